//! One node of the cluster: the only type that the shells know.
//!
//! In:  [`Event`]s and the time. Out: [`Effect`]s, in order, and writes to the [`Disk`].
//! Owns: connections, and the broker or the controller behind them.

mod config;
mod event;

use crate::disk::{Disk, DiskError};

pub use config::{FlushPolicy, NodeConfig, Peer, Role};
pub use event::{Effect, Endpoint, Event, ListenerKind, Now, SyncToken};

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The data directory is not usable, for the reason given.
    #[error("{0}")]
    BadData(String),
}

/// A broker or a controller.
pub struct Node {
    config: NodeConfig,
}

impl Node {
    /// Opens the data directory, recovers every log, and returns the node and its first effects.
    pub fn boot(
        config: NodeConfig,
        now: Now,
        disk: &mut dyn Disk,
        effects: &mut Vec<Effect>,
    ) -> Result<Self, BootError> {
        let _ = (now, disk, effects);
        Ok(Self { config })
    }

    /// Takes one event. Effects are appended in the order in which they must be carried out.
    pub fn step(&mut self, now: Now, event: Event, disk: &mut dyn Disk, effects: &mut Vec<Effect>) {
        let _ = (now, event, disk, effects);
    }

    /// When [`Event::Tick`] is due next, on the monotonic clock; asked after every step.
    pub fn next_tick_ns(&self) -> u64 {
        u64::MAX
    }

    /// Whether it serves: a broker that is registered and not fenced, a controller that knows who leads the quorum.
    pub fn is_ready(&self) -> bool {
        false
    }

    /// The configuration it was booted with.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }
}
