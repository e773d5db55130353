//! The channel's state machine.

use kafka_protocol::messages::ApiKey;

use super::effect::{CallId, ChannelEffect, ChannelKind};
use crate::controller::api::{ControllerRequest, ControllerResponse};
use crate::controller::image::MetadataImage;
use crate::ids::BrokerEpoch;
use crate::node::{NodeConfig, Now};

/// A broker's side of its talk with the controllers.
pub struct ControllerChannel {
    image: MetadataImage,
    broker_epoch: Option<BrokerEpoch>,
    fenced: bool,
}

impl ControllerChannel {
    /// A channel that dials at the first [`tick`](Self::tick), which is due at once. `previous_epoch` is the one that
    /// the broker noted down at its last orderly stop, if there was one (KIP-966).
    pub fn new(config: &NodeConfig, previous_epoch: Option<BrokerEpoch>, now: Now) -> Self {
        let _ = (config, previous_epoch, now);
        Self { image: MetadataImage::default(), broker_epoch: None, fenced: true }
    }

    /// The state of the cluster, as far as the broker has heard.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The broker's registration, once it has one.
    pub fn broker_epoch(&self) -> Option<BrokerEpoch> {
        self.broker_epoch
    }

    /// Whether the controller has fenced this broker; true until it first says otherwise.
    pub fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Forwards a request to the active controller, again and again if need be, for at most `timeout_ms`. The broker's
    /// id and epoch are filled in.
    pub fn call(
        &mut self,
        now: Now,
        request: ControllerRequest,
        timeout_ms: u64,
        out: &mut Vec<ChannelEffect>,
    ) -> CallId {
        let _ = (now, request, timeout_ms, out);
        CallId(0)
    }

    /// Asks the controller to move leadership away; [`ChannelEffect::MayStop`] follows.
    pub fn begin_shutdown(&mut self, now: Now, out: &mut Vec<ChannelEffect>) {
        let _ = (now, out);
    }

    /// The connection stands.
    pub fn connected(&mut self, now: Now, kind: ChannelKind, out: &mut Vec<ChannelEffect>) {
        let _ = (now, kind, out);
    }

    /// The connection is gone or could not be made.
    pub fn closed(&mut self, now: Now, kind: ChannelKind, out: &mut Vec<ChannelEffect>) {
        let _ = (now, kind, out);
    }

    /// Key and version of the request that the next response on this connection answers.
    pub fn awaits(&self, kind: ChannelKind) -> Option<(ApiKey, i16)> {
        let _ = kind;
        None
    }

    /// An answer has come.
    pub fn response(
        &mut self,
        now: Now,
        kind: ChannelKind,
        response: ControllerResponse,
        out: &mut Vec<ChannelEffect>,
    ) {
        let _ = (now, kind, response, out);
    }

    /// Sends what is due.
    pub fn tick(&mut self, now: Now, out: &mut Vec<ChannelEffect>) {
        let _ = (now, out);
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock.
    pub fn next_tick_ns(&self) -> u64 {
        u64::MAX
    }
}
