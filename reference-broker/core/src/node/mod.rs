//! One node of the cluster: the only type that the shells know.
//!
//! In:  [`Event`]s and the time. Out: [`Effect`]s, in order, and writes to the [`Disk`].
//! Owns: connections, and the broker or the controller behind them.

mod broker;
mod config;
mod connections;
mod controller_seat;
mod dialled;
mod event;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::auth::AuthConfigError;
use crate::controller::{MetadataAudit, MetadataImage, MetadataViolation, TopicPartitionId};
use crate::disk::{Disk, DiskError};
use crate::ids::Offset;
use crate::log::LogError;
use crate::quorum::{QuorumError, QuorumView, SnapshotId};

use broker::{Broker, Turn};
use controller_seat::ControllerSeat;

pub use broker::{PartitionView, Violation};

pub use config::{FlushPolicy, NodeConfig, Peer, ReplicaSelector, Role};
#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::{client_stream, damaged_node};

pub use event::{Effect, Endpoint, Event, ListenerKind, Now, SyncToken};

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It would not protect what it is asked to.
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
    /// The data directory is not usable, for the reason given.
    #[error("{0}")]
    BadData(String),
}

/// A broker or a controller.
pub struct Node {
    config: NodeConfig,
    seat: Seat,
}

enum Seat {
    Broker(Box<Broker>),
    Controller(Box<ControllerSeat>),
}

impl Node {
    /// Opens the data directory, recovers every log, and returns the node and its first effects.
    pub fn boot(
        config: NodeConfig,
        now: Now,
        disk: &mut dyn Disk,
        effects: &mut Vec<Effect>,
    ) -> Result<Self, BootError> {
        config.auth.check()?;
        let seat = match config.role {
            Role::Broker => Seat::Broker(Box::new(Broker::boot(config.clone(), now, disk)?)),
            Role::Controller => Seat::Controller(Box::new(ControllerSeat::boot(&config, now, disk)?)),
        };
        let mut node = Self { config, seat };
        node.step(now, Event::Tick, disk, effects);
        Ok(node)
    }

    /// Takes one event. Effects are appended in the order in which they must be carried out.
    pub fn step(&mut self, now: Now, event: Event, disk: &mut dyn Disk, effects: &mut Vec<Effect>) {
        let mut turn = Turn { now, disk, effects };
        match &mut self.seat {
            Seat::Broker(broker) => broker.step(event, &mut turn),
            Seat::Controller(controller) => controller.step(event, &mut turn),
        }
    }

    /// When [`Event::Tick`] is due next, on the monotonic clock; asked after every step.
    pub fn next_tick_ns(&self) -> u64 {
        match &self.seat {
            Seat::Broker(broker) => broker.next_tick_ns(),
            Seat::Controller(controller) => controller.next_tick_ns(),
        }
    }

    /// Whether it serves: a broker that is registered and not fenced, a controller that knows who leads the quorum.
    pub fn is_ready(&self) -> bool {
        match &self.seat {
            Seat::Broker(broker) => broker.is_ready(),
            Seat::Controller(controller) => controller.is_ready(),
        }
    }

    /// The configuration it was booted with.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// The state of the cluster as this node knows it.
    pub fn image(&self) -> &MetadataImage {
        match &self.seat {
            Seat::Broker(broker) => broker.image(),
            Seat::Controller(controller) => controller.image(),
        }
    }

    /// The replicas that this node has open; none on a controller.
    pub fn partitions(&self) -> Vec<PartitionView> {
        match &self.seat {
            Seat::Broker(broker) => broker.views().collect(),
            Seat::Controller(_) => Vec::new(),
        }
    }

    /// The batches of a replica from `from` up to its high watermark, at most about `max_bytes`; the first is whole.
    pub fn read_committed(
        &self,
        partition: TopicPartitionId,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, LogError> {
        match &self.seat {
            Seat::Broker(broker) => broker.read_committed(partition, from, max_bytes, disk),
            Seat::Controller(_) => Ok(Vec::new()),
        }
    }

    /// The election of the active controller as this node sees it; only a voter does.
    pub fn quorum(&self) -> Option<QuorumView> {
        match &self.seat {
            Seat::Broker(_) => None,
            Seat::Controller(controller) => Some(controller.quorum_view()),
        }
    }

    /// Committed batches of the metadata log from the one that holds `from`, at most about `max_bytes`; the first is whole. Only
    /// a controller has that log.
    pub fn read_committed_metadata(
        &self,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, QuorumError> {
        match &self.seat {
            Seat::Broker(_) => Ok(Vec::new()),
            Seat::Controller(controller) => controller.read_committed(from, max_bytes, disk),
        }
    }

    /// The newest snapshot of the metadata; only a controller has any.
    pub fn metadata_snapshot(&self, disk: &mut dyn Disk) -> Result<Option<(SnapshotId, Bytes)>, QuorumError> {
        match &self.seat {
            Seat::Broker(_) => Ok(None),
            Seat::Controller(controller) => controller.snapshot(disk),
        }
    }

    /// How often this process took the metadata from a snapshot, and how often that went on after an interruption; only a broker
    /// counts.
    pub fn snapshots(&self) -> (u64, u64) {
        match &self.seat {
            Seat::Broker(broker) => broker.snapshots(),
            Seat::Controller(_) => (0, 0),
        }
    }

    /// Shows an audit what was committed in the metadata log since it last looked; only a controller has that log.
    pub fn audit_metadata(
        &self,
        audit: &mut MetadataAudit,
        disk: &mut dyn Disk,
    ) -> Result<Vec<MetadataViolation>, QuorumError> {
        match &self.seat {
            Seat::Broker(_) => Ok(Vec::new()),
            Seat::Controller(controller) => controller.audit(audit, disk),
        }
    }

    /// The rules that are broken now, and those that were broken since the last call: each is a bug, or a planted one.
    pub fn invariants(&mut self) -> Vec<Violation> {
        match &mut self.seat {
            Seat::Broker(broker) => broker.invariants(),
            Seat::Controller(_) => Vec::new(),
        }
    }
}
