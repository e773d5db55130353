//! The time, as the core wants it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker_core::node::Now;

/// Counts from the start of the node, so that the core's monotonic times are small and never go back.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ns: self.start.elapsed().as_nanos() as u64, wall_ms: wall.as_millis() as i64 }
    }

    /// How long until the monotonic time `mono_ns`; zero if it has passed.
    pub(crate) fn until(&self, mono_ns: u64) -> Duration {
        Duration::from_nanos(mono_ns).saturating_sub(self.start.elapsed())
    }
}
