//! The active controller.

use super::api::ControllerRequest;
use super::effect::{ControllerEffect, ReplyId};
use super::image::MetadataImage;
use crate::disk::Disk;
use crate::ids::NodeId;
use crate::node::{BootError, NodeConfig, Now};

/// The state machine of a [`Role::Controller`](crate::Role::Controller) node.
pub struct Controller {
    config: NodeConfig,
    image: MetadataImage,
}

impl Controller {
    /// Recovers the metadata log.
    pub fn boot(config: &NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let _ = (now, disk);
        Ok(Self { config: config.clone(), image: MetadataImage::default() })
    }

    /// Takes one request; its answer comes as an effect, at once or later.
    pub fn handle(
        &mut self,
        now: Now,
        request: ControllerRequest,
        reply: ReplyId,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        let _ = (now, request, reply, disk, out);
    }

    /// Fences brokers whose session has ended, and answers requests that have waited long enough.
    pub fn tick(&mut self, now: Now, disk: &mut dyn Disk, out: &mut Vec<ControllerEffect>) {
        let _ = (now, disk, out);
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock.
    pub fn next_tick_ns(&self) -> u64 {
        u64::MAX
    }

    /// The state of the cluster, with all that was decided so far.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The active controller, as far as this voter knows.
    pub fn leader(&self) -> Option<NodeId> {
        Some(self.config.node_id)
    }
}
