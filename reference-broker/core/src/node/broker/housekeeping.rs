//! Looking after the logs: what is deleted by age and size, what is compacted, and producers that are gone.
//!
//! Compaction goes on in pieces, a few milliseconds apart, and waits for its flushes like everything else.

use std::collections::BTreeSet;

use crate::controller::TopicPartitionId;
use crate::log::{Cleaning, LogError};
use crate::node::Effect;

use super::{Broker, NS_PER_MS, Turn};

/// How long after a piece of compaction comes the next.
const PAUSE_MS: u64 = 5;

/// What is to be done, and when.
#[derive(Debug)]
pub(super) struct Housekeeping {
    next_look_ns: u64,
    /// The logs that are being compacted and wait for nothing.
    cleaning: BTreeSet<TopicPartitionId>,
    next_piece_ns: u64,
}

impl Housekeeping {
    pub(super) fn from(first_look_ns: u64) -> Self {
        Self { next_look_ns: first_look_ns, cleaning: BTreeSet::new(), next_piece_ns: 0 }
    }

    pub(super) fn next_tick_ns(&self) -> u64 {
        let piece = if self.cleaning.is_empty() { u64::MAX } else { self.next_piece_ns };
        self.next_look_ns.min(piece)
    }
}

impl Broker {
    /// Looks at all logs when it is time.
    pub(super) fn keep_house(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now.mono_ns;
        if now_ns >= self.housekeeping.next_look_ns {
            self.housekeeping.next_look_ns = now_ns + self.config.log_retention_check_interval_ms * NS_PER_MS;
            for id in self.partitions.keys().copied().collect::<Vec<_>>() {
                let looked = self.look_after(id, turn);
                self.looked(id, looked, turn);
            }
        }
        if now_ns >= self.housekeeping.next_piece_ns {
            self.housekeeping.next_piece_ns = now_ns + PAUSE_MS * NS_PER_MS;
            for id in std::mem::take(&mut self.housekeeping.cleaning) {
                let cleaned = self.clean_some(id, turn);
                self.looked(id, cleaned, turn);
            }
        }
    }

    fn looked(&self, id: TopicPartitionId, done: Result<(), LogError>, turn: &mut Turn<'_>) {
        match done {
            Ok(()) => {}
            Err(LogError::Disk(error)) => super::fail(&error, turn),
            Err(error) => {
                let topic = self.partitions.get(&id).map(crate::replication::Partition::topic);
                tracing::error!(topic, partition = id.partition.0, %error, "cannot look after the log");
            }
        }
    }

    /// A piece of compaction.
    fn clean_some(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) -> Result<(), LogError> {
        let may_replace = !self.flushes.is_busy(id);
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        match partition.log.clean_some(may_replace, turn.disk)? {
            Cleaning::Busy => {
                self.housekeeping.cleaning.insert(id);
            }
            Cleaning::Flush(files) => {
                let token = self.flushes.expect_cleaned(id);
                turn.effects.push(Effect::Sync { files, token });
            }
            Cleaning::Done => {
                tracing::info!(topic = partition.topic(), partition = id.partition.0, "compacted");
                self.touched.insert(id);
            }
            Cleaning::Idle | Cleaning::NotDurable => {}
        }
        Ok(())
    }

    /// A compacted segment is flushed and may take its place.
    pub(super) fn cleaned_flushed(&mut self, id: TopicPartitionId) {
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.log.cleaned_flushed();
            self.housekeeping.cleaning.insert(id);
        }
    }

    fn look_after(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) -> Result<(), LogError> {
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        let high_watermark = partition.high_watermark();
        partition.log.expire_producers(turn.now.wall_ms);
        if partition.log.retain(high_watermark, turn.now.wall_ms, turn.disk)? {
            tracing::info!(
                topic = partition.topic(),
                partition = id.partition.0,
                start = partition.log.log_start_offset().0,
                "old records are deleted"
            );
            self.touched.insert(id);
        }
        // A flush on its way needs its files.
        if !self.flushes.is_busy(id) {
            partition.log.remove_deleted(turn.disk)?;
        }
        match partition.log.begin_cleaning(high_watermark, turn.now.wall_ms, turn.disk)? {
            Cleaning::Busy => {
                self.housekeeping.cleaning.insert(id);
            }
            Cleaning::NotDurable => self.begin_flush(id, turn),
            _ => {}
        }
        Ok(())
    }
}
