//! How a broker stops in an orderly way: leadership moves first, then the logs are flushed.

use crate::disk::DiskError;
use crate::node::Effect;
use crate::replication;

use super::{Broker, NS_PER_MS, Turn};

/// Holds the broker's epoch after an orderly stop.
pub(super) const CLEAN_SHUTDOWN: &str = "clean-shutdown";

/// How long a broker waits for the controller to move its leaderships.
const PATIENCE_MS: u64 = 5_000;

/// A stop in progress.
#[derive(Debug)]
pub(super) struct Stopping {
    until_ns: u64,
}

impl Stopping {
    pub(super) fn next_tick_ns(&self) -> u64 {
        self.until_ns
    }
}

impl Broker {
    /// Asks the controller to move leadership away.
    pub(super) fn begin_stop(&mut self, turn: &mut Turn<'_>) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping { until_ns: turn.now.mono_ns + PATIENCE_MS * NS_PER_MS });
        if self.channel.broker_epoch().is_none() {
            self.stop("orderly stop before registration", turn);
            return;
        }
        let mut out = Vec::new();
        self.channel.begin_shutdown(turn.now, &mut out);
        self.carry_out(out, turn);
    }

    /// Stops without the controller's consent when it takes too long to answer.
    pub(super) fn stop_when_due(&mut self, turn: &mut Turn<'_>) {
        if self.stopping.as_ref().is_some_and(|stopping| stopping.until_ns <= turn.now.mono_ns) {
            self.stop("orderly stop, without an answer of the controller", turn);
        }
    }

    /// Flushes everything and ends the process. The note of a clean stop is written last of all (KAFKA-15375).
    pub(super) fn stop(&mut self, reason: &str, turn: &mut Turn<'_>) {
        let effect = match self.close_all(turn) {
            Ok(()) => Effect::Exit { clean: true, reason: reason.into() },
            Err(error) => {
                Effect::Exit { clean: false, reason: format!("{reason}; the last flush failed: {error}") }
            }
        };
        self.stopping = Some(Stopping { until_ns: u64::MAX });
        turn.effects.push(effect);
    }

    fn close_all(&mut self, turn: &mut Turn<'_>) -> Result<(), String> {
        self.write_high_watermarks(turn.disk).map_err(|error| error.to_string())?;
        self.fetchers.clear();
        while let Some((_, partition)) = self.partitions.pop_first() {
            partition.log.close(turn.disk).map_err(|error| error.to_string())?;
        }
        let Some(epoch) = self.channel.broker_epoch() else { return Ok(()) };
        let text = format!("{epoch}\n");
        replication::replace_file(CLEAN_SHUTDOWN, "clean-shutdown.tmp", text.as_bytes(), turn.disk)
            .map_err(|error: DiskError| error.to_string())
    }
}
