//! The channel's state machine.
//!
//! Both connections go to the same voter. When one of them fails, or the voter says that it is not the active controller,
//! both are closed and, after a back-off, the voter it names or else the next one is dialled. A broker that reaches no
//! controller keeps serving what it leads; its forwarded requests wait.

use std::collections::VecDeque;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, BrokerHeartbeatResponse, BrokerRegistrationResponse, FetchResponse, FetchSnapshotResponse,
};

use super::backoff::Backoff;
use super::calls::Calls;
use super::effect::{CallId, ChannelEffect, ChannelKind};
use super::link::{InFlight, Link, Purpose};
use super::requests::{FETCH_WAIT_MS, Identity};
use crate::controller::api::{ControllerRequest, ControllerResponse};
use crate::controller::image::{ImageDelta, MetadataImage};
use crate::controller::refusal::{is_not_controller, leader_elsewhere};
use crate::controller::replay::apply_batches;
use crate::controller::snapshot::load_snapshot;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};
use crate::node::{NodeConfig, Now, Peer};
use crate::quorum::{Received, Receiver, SnapshotId, chunk_of};

const KINDS: [ChannelKind; 2] = [ChannelKind::Control, ChannelKind::Metadata];
/// So many times as long as for an answer, a broker that wants to stop waits for leave.
const STOP_PATIENCE: u64 = 4;

/// A broker's side of its talk with the controllers.
pub struct ControllerChannel {
    identity: Identity,
    voters: Vec<Peer>,
    /// Index of the voter that is dialled.
    target: usize,
    heartbeat_ns: u64,
    /// How long an answer of the controller is waited for.
    patience_ns: u64,
    backoff: Backoff,
    control: Link,
    metadata: Link,
    /// No dialling before this.
    dial_at_ns: u64,
    /// No registration or heartbeat before this.
    next_beat_ns: u64,
    image: MetadataImage,
    /// The snapshot that is being fetched.
    receiver: Option<Receiver>,
    snapshots_loaded: u64,
    snapshots_resumed: u64,
    /// What the broker has not been told yet, while it catches up after its start: an old leadership of its own,
    /// read again from the log, must not come to life.
    untold: ImageDelta,
    /// The image has reached this process's registration.
    caught_up: bool,
    broker_epoch: Option<BrokerEpoch>,
    fenced: bool,
    /// Set while the broker wants to stop: when it stops without the controller's consent.
    stop_by_ns: Option<u64>,
    calls: Calls,
}

impl ControllerChannel {
    /// A channel that dials at the first [`tick`](Self::tick), which is due at once. `previous_epoch` is the one that
    /// the broker noted down at its last orderly stop, if there was one (KIP-966).
    pub fn new(config: &NodeConfig, previous_epoch: Option<BrokerEpoch>, now: Now) -> Self {
        assert!(!config.controllers.is_empty(), "a broker needs at least one controller to talk to");
        Self {
            identity: Identity::new(config, previous_epoch, now),
            voters: config.controllers.clone(),
            target: 0,
            heartbeat_ns: config.broker_heartbeat_interval_ms * 1_000_000,
            patience_ns: config.quorum_fetch_timeout_ms.min(config.broker_session_timeout_ms) * 1_000_000,
            backoff: Backoff::new(config.seed),
            control: Link::Down,
            metadata: Link::Down,
            dial_at_ns: now.mono_ns,
            next_beat_ns: now.mono_ns,
            image: MetadataImage::default(),
            receiver: None,
            snapshots_loaded: 0,
            snapshots_resumed: 0,
            untold: ImageDelta::default(),
            caught_up: false,
            broker_epoch: None,
            fenced: true,
            stop_by_ns: None,
            calls: Calls::default(),
        }
    }

    /// The state of the cluster, as far as the broker has heard.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// How often the image came from a snapshot, and how often the fetch of one went on after its connection was lost.
    pub fn snapshots(&self) -> (u64, u64) {
        (self.snapshots_loaded, self.snapshots_resumed)
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
    /// id and epoch are filled in. A request may be carried out twice if a connection breaks before its answer.
    pub fn call(
        &mut self,
        now: Now,
        request: ControllerRequest,
        timeout_ms: u64,
        out: &mut Vec<ChannelEffect>,
    ) -> CallId {
        let id = self.calls.add(request, now.mono_ns + timeout_ms * 1_000_000);
        self.tick(now, out);
        id
    }

    /// Asks the controller to move leadership away; [`ChannelEffect::MayStop`] follows, after a while even if the controller
    /// does not answer.
    pub fn begin_shutdown(&mut self, now: Now, out: &mut Vec<ChannelEffect>) {
        self.stop_by_ns = Some(if self.broker_epoch.is_some() {
            now.mono_ns + STOP_PATIENCE * self.patience_ns
        } else {
            0
        });
        self.next_beat_ns = now.mono_ns;
        self.tick(now, out);
    }

    /// The connection stands.
    pub fn connected(&mut self, now: Now, kind: ChannelKind, out: &mut Vec<ChannelEffect>) {
        *self.link(kind) = Link::Up { in_flight: VecDeque::new() };
        self.tick(now, out);
    }

    /// The connection is gone or could not be made.
    pub fn closed(&mut self, now: Now, kind: ChannelKind, out: &mut Vec<ChannelEffect>) {
        *self.link(kind) = Link::Down;
        self.try_elsewhere(now, NodeId::NONE, out);
    }

    /// Key and version of the request that the next response on this connection answers.
    pub fn awaits(&self, kind: ChannelKind) -> Option<(ApiKey, i16)> {
        let link = match kind {
            ChannelKind::Control => &self.control,
            ChannelKind::Metadata => &self.metadata,
        };
        link.oldest().map(|request| (request.key, request.version))
    }

    /// An answer has come.
    pub fn response(
        &mut self,
        now: Now,
        kind: ChannelKind,
        response: ControllerResponse,
        out: &mut Vec<ChannelEffect>,
    ) {
        let Some(request) = self.link(kind).take_oldest() else { return };
        if is_not_controller(&response) {
            let is_beat = matches!(request.purpose, Purpose::Register | Purpose::Heartbeat);
            if is_beat && !matches!(self.metadata, Link::Down) {
                // What the other connection is answered names the one that is.
                self.next_beat_ns = now.mono_ns + self.backoff.step();
                return;
            }
            let hint = leader_elsewhere(&response).unwrap_or(NodeId::NONE);
            return self.try_elsewhere(now, hint, out);
        }
        match (request.purpose, response) {
            (Purpose::Register, ControllerResponse::BrokerRegistration(answer)) => {
                self.registered(now, &answer);
            }
            (Purpose::Heartbeat, ControllerResponse::BrokerHeartbeat(answer)) => {
                self.heard(now, &answer, out);
            }
            (Purpose::Fetch, ControllerResponse::Fetch(answer)) => self.fetched(now, &answer, out),
            (Purpose::Fetch, ControllerResponse::FetchSnapshot(answer)) => {
                self.chunk_fetched(now, &answer, out);
            }
            (Purpose::Call(call), response) => {
                if self.calls.end(call) {
                    out.push(ChannelEffect::Answer { call, response: Some(Box::new(response)) });
                }
            }
            (purpose, _) => {
                tracing::warn!(?purpose, "the controller answers another request");
                return self.try_elsewhere(now, NodeId::NONE, out);
            }
        }
        self.tick(now, out);
    }

    /// Dials and sends what is due, and gives up what is overdue.
    pub fn tick(&mut self, now: Now, out: &mut Vec<ChannelEffect>) {
        for call in self.calls.expire(now.mono_ns) {
            out.push(ChannelEffect::Answer { call, response: None });
        }
        if self.stop_by_ns.is_some_and(|by| now.mono_ns >= by) {
            self.stop_by_ns = Some(u64::MAX);
            out.push(ChannelEffect::MayStop);
        }
        if now.mono_ns >= self.control.deadline_ns().min(self.metadata.deadline_ns()) {
            return self.try_elsewhere(now, NodeId::NONE, out);
        }
        self.dial(now, out);
        self.send_control(now, out);
        if self.metadata.is_up() && !self.metadata.awaits(Purpose::Fetch) {
            let request = match self.receiver.as_ref().filter(|receiver| receiver.is_offered()) {
                Some(receiver) => self.identity.fetch_snapshot(receiver),
                None => self.identity.fetch(self.broker_epoch, &self.image),
            };
            self.send(now, ChannelKind::Metadata, Purpose::Fetch, request, out);
        }
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock.
    pub fn next_tick_ns(&self) -> u64 {
        let links = self.control.deadline_ns().min(self.metadata.deadline_ns());
        let dial = if self.is_down() { self.dial_at_ns } else { u64::MAX };
        let idle = self.control.is_up() && !self.awaits_beat();
        let beat = if idle { self.next_beat_ns } else { u64::MAX };
        let stop = self.stop_by_ns.unwrap_or(u64::MAX);
        links.min(dial).min(beat).min(stop).min(self.calls.next_deadline_ns())
    }

    fn dial(&mut self, now: Now, out: &mut Vec<ChannelEffect>) {
        if !self.is_down() || now.mono_ns < self.dial_at_ns {
            return;
        }
        let Peer { node, endpoint } = self.voters[self.target].clone();
        for kind in KINDS {
            *self.link(kind) = Link::Dialling { deadline_ns: now.mono_ns + self.patience_ns };
            out.push(ChannelEffect::Dial { kind, node, endpoint: endpoint.clone() });
        }
    }

    fn send_control(&mut self, now: Now, out: &mut Vec<ChannelEffect>) {
        if !self.control.is_up() {
            return;
        }
        if now.mono_ns >= self.next_beat_ns && !self.awaits_beat() {
            let (purpose, request) = match self.broker_epoch {
                None => (Purpose::Register, self.identity.registration()),
                Some(epoch) => {
                    let stopping = self.stop_by_ns.is_some();
                    (Purpose::Heartbeat, self.identity.heartbeat(epoch, &self.image, stopping))
                }
            };
            // A broker that waits for leave to stop asks more often.
            let every = if self.stop_by_ns.is_some() { self.heartbeat_ns / 5 } else { self.heartbeat_ns };
            self.next_beat_ns = now.mono_ns + every;
            self.send(now, ChannelKind::Control, purpose, request, out);
        }
        while let Some(epoch) = self.broker_epoch
            && let Some((call, request)) = self.calls.next_unsent()
        {
            let request = self.identity.sign(request, epoch);
            self.send(now, ChannelKind::Control, Purpose::Call(call), request, out);
        }
    }

    fn send(
        &mut self,
        now: Now,
        kind: ChannelKind,
        purpose: Purpose,
        request: ControllerRequest,
        out: &mut Vec<ChannelEffect>,
    ) {
        let deadline_ns = match purpose {
            Purpose::Register | Purpose::Heartbeat => now.mono_ns + self.patience_ns,
            Purpose::Fetch => now.mono_ns + self.patience_ns + FETCH_WAIT_MS as u64 * 1_000_000,
            Purpose::Call(_) => u64::MAX,
        };
        let (key, version) = (request.api_key(), request.version());
        if let Link::Up { in_flight } = self.link(kind) {
            in_flight.push_back(InFlight { purpose, key, version, deadline_ns });
            out.push(ChannelEffect::Send { kind, request: Box::new(request) });
        }
    }

    fn registered(&mut self, now: Now, answer: &BrokerRegistrationResponse) {
        if answer.error_code == 0 {
            self.broker_epoch = Some(BrokerEpoch(answer.broker_epoch));
            self.backoff.reset();
            self.next_beat_ns = now.mono_ns;
        } else {
            // Another process under this id is still thought to be alive, for at most one session time-out more.
            tracing::warn!(error = answer.error_code, "the controller refuses the registration");
            self.next_beat_ns = now.mono_ns + self.backoff.step();
        }
    }

    fn heard(&mut self, now: Now, answer: &BrokerHeartbeatResponse, out: &mut Vec<ChannelEffect>) {
        let lapsed = [ResponseError::StaleBrokerEpoch.code(), ResponseError::BrokerIdNotRegistered.code()];
        if lapsed.contains(&answer.error_code) {
            self.broker_epoch = None;
            self.next_beat_ns = now.mono_ns;
            return self.set_fenced(true, out);
        }
        if answer.error_code != 0 {
            tracing::warn!(error = answer.error_code, "the controller refuses a heartbeat");
            return;
        }
        self.backoff.reset();
        self.set_fenced(answer.is_fenced, out);
        if answer.should_shut_down && self.stop_by_ns != Some(u64::MAX) {
            self.stop_by_ns = Some(u64::MAX);
            out.push(ChannelEffect::MayStop);
        }
    }

    fn set_fenced(&mut self, fenced: bool, out: &mut Vec<ChannelEffect>) {
        if fenced != self.fenced {
            self.fenced = fenced;
            out.push(ChannelEffect::Fenced { fenced });
        }
    }

    fn fetched(&mut self, now: Now, answer: &FetchResponse, out: &mut Vec<ChannelEffect>) {
        let partition = answer.responses.first().and_then(|topic| topic.partitions.first());
        let Some(partition) = partition.filter(|it| answer.error_code == 0 && it.error_code == 0) else {
            tracing::warn!(error = answer.error_code, "the controller refuses a Fetch of the metadata log");
            return self.try_elsewhere(now, NodeId::NONE, out);
        };
        let (end, epoch) = (partition.snapshot_id.end_offset, partition.snapshot_id.epoch);
        let before = self.receiver.take();
        if end != -1 {
            let id = SnapshotId { end: Offset(end), epoch: LeaderEpoch(epoch) };
            self.receiver = Some(Receiver::of(id, before));
            return;
        }
        if partition.diverging_epoch.end_offset != -1 {
            tracing::warn!(offset = %self.image.next_offset(), "the metadata log is another one; starting again");
            self.image = MetadataImage::default();
            self.caught_up = false;
            return out.push(ChannelEffect::ImageReset);
        }
        let bytes = partition.records.clone().unwrap_or_default();
        let applied = apply_batches(&mut self.image, bytes, &mut self.untold);
        self.tell(out);
        if let Err(error) = applied {
            tracing::error!(%error, "cannot follow the metadata log");
            return self.try_elsewhere(now, NodeId::NONE, out);
        }
        self.beat_if_caught_up(now);
    }

    /// A broker is unfenced by the first heartbeat after it has caught up with its registration.
    fn beat_if_caught_up(&mut self, now: Now) {
        if self.fenced && self.knows_registration() {
            self.next_beat_ns = now.mono_ns;
        }
    }

    /// A part of a snapshot has come, or the word that there is none any more: then the next fetch tells what there is.
    fn chunk_fetched(&mut self, now: Now, answer: &FetchSnapshotResponse, out: &mut Vec<ChannelEffect>) {
        let (Some(chunk), Some(receiver)) = (chunk_of(answer), &mut self.receiver) else {
            tracing::warn!(error = answer.error_code, "the controller refuses a snapshot of the metadata");
            self.receiver = None;
            return self.try_elsewhere(now, NodeId::NONE, out);
        };
        let id = receiver.id();
        let received = if chunk.error_code == 0 { receiver.take(chunk) } else { Received::Mismatch };
        if received == Received::Part {
            return;
        }
        self.snapshots_resumed += u64::from(receiver.resumed());
        self.receiver = None;
        let Received::Whole(bytes) = received else { return };
        match load_snapshot(id, bytes) {
            Ok(image) if image.next_offset() > self.image.next_offset() => {
                tracing::info!(%id, "has the metadata from a snapshot");
                self.untold.add_difference(&self.image, &image);
                self.image = image;
                self.snapshots_loaded += 1;
                self.tell(out);
                self.beat_if_caught_up(now);
            }
            Ok(_) => tracing::warn!(%id, "a snapshot is older than what is known"),
            Err(error) => tracing::warn!(%id, %error, "a snapshot came damaged"),
        }
    }

    fn knows_registration(&self) -> bool {
        self.broker_epoch.is_some_and(|epoch| epoch.0 < self.image.next_offset().0)
    }

    fn tell(&mut self, out: &mut Vec<ChannelEffect>) {
        self.caught_up |= self.knows_registration();
        if self.caught_up && self.untold != ImageDelta::default() {
            out.push(ChannelEffect::ImageChanged { delta: std::mem::take(&mut self.untold) });
        }
    }

    /// Closes both connections, and dials the voter `hint` soon, or else the next one after a back-off.
    fn try_elsewhere(&mut self, now: Now, hint: NodeId, out: &mut Vec<ChannelEffect>) {
        for kind in KINDS {
            if !matches!(self.link(kind), Link::Down) {
                *self.link(kind) = Link::Down;
                out.push(ChannelEffect::Close { kind });
            }
        }
        if let Some(receiver) = &mut self.receiver {
            receiver.wait();
        }
        self.calls.resend();
        let (target, pause_ns) = match self.voters.iter().position(|peer| peer.node == hint) {
            Some(named) => (named, self.backoff.least()),
            None => ((self.target + 1) % self.voters.len(), self.backoff.step()),
        };
        self.target = target;
        self.dial_at_ns = now.mono_ns + pause_ns;
        self.next_beat_ns = now.mono_ns;
    }

    fn link(&mut self, kind: ChannelKind) -> &mut Link {
        match kind {
            ChannelKind::Control => &mut self.control,
            ChannelKind::Metadata => &mut self.metadata,
        }
    }

    fn is_down(&self) -> bool {
        matches!((&self.control, &self.metadata), (Link::Down, Link::Down))
    }

    fn awaits_beat(&self) -> bool {
        self.control.awaits(Purpose::Register) || self.control.awaits(Purpose::Heartbeat)
    }
}
