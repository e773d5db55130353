//! One link: its mode, and what it did to the bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// Bytes pass.
    #[default]
    Pass,
    /// Connections are reset, and new ones too.
    Cut,
    /// Bytes are taken and held. They go on when the link passes again, and are lost if the connection ends before.
    Stall,
    /// Bytes arrive late, and at most so many a second.
    Slow {
        /// Added to each direction.
        latency: Duration,
        /// Bytes a second and direction; 0 is unlimited.
        bytes_per_s: u64,
    },
}

impl LinkMode {
    /// Of several faults on one link the strongest shows.
    pub fn strength(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Slow { .. } => 1,
            Self::Stall => 2,
            Self::Cut => 3,
        }
    }
}

/// Counters of one link since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Connections that stand.
    pub connections: u64,
    /// Connections that were reset or refused by a cut.
    pub reset: u64,
    /// Bytes that were held by a stall.
    pub held_bytes: u64,
    /// Bytes that were made late.
    pub delayed_bytes: u64,
    /// Bytes that passed.
    pub passed_bytes: u64,
}

/// The state that all connections of a link share.
#[derive(Debug)]
pub struct Link {
    mode: watch::Sender<LinkMode>,
    connections: AtomicU64,
    reset: AtomicU64,
    held: AtomicU64,
    delayed: AtomicU64,
    passed: AtomicU64,
}

impl Link {
    /// A link that passes.
    pub fn new() -> Self {
        Self {
            mode: watch::Sender::new(LinkMode::Pass),
            connections: AtomicU64::new(0),
            reset: AtomicU64::new(0),
            held: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        }
    }

    /// Changes what it does, also for connections that stand.
    pub fn set_mode(&self, mode: LinkMode) {
        self.mode.send_replace(mode);
    }

    /// To be told of changes.
    pub fn watch(&self) -> watch::Receiver<LinkMode> {
        self.mode.subscribe()
    }

    /// What it does now.
    pub fn mode(&self) -> LinkMode {
        *self.mode.borrow()
    }

    /// The counters.
    pub fn stats(&self) -> LinkStats {
        LinkStats {
            connections: self.connections.load(Ordering::Relaxed),
            reset: self.reset.load(Ordering::Relaxed),
            held_bytes: self.held.load(Ordering::Relaxed),
            delayed_bytes: self.delayed.load(Ordering::Relaxed),
            passed_bytes: self.passed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_reset(&self) {
        self.reset.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_held(&self, bytes: usize) {
        self.held.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_delayed(&self, bytes: usize) {
        self.delayed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_passed(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
