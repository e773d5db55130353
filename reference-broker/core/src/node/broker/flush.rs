//! When logs are flushed, and when high watermarks are noted down.
//!
//! A log has at most one flush on its way; what is appended meanwhile waits for the next one together (group commit).

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::TopicPartitionId;
use crate::disk::{Disk, DiskError};
use crate::log::FlushTicket;
use crate::node::{Effect, FlushPolicy, SyncToken};
use crate::replication;

use super::{Broker, NS_PER_MS, Turn};

/// How often the high watermarks are noted down, in milliseconds; Kafka's `replica.high.watermark.checkpoint.interval.ms`.
const CHECKPOINT_INTERVAL_MS: u64 = 5_000;

/// The flushes on their way, and those due by the clock.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    next_token: u64,
    running: BTreeMap<SyncToken, (TopicPartitionId, FlushTicket)>,
    busy: BTreeSet<TopicPartitionId>,
    /// Flushes of segments that compaction has written.
    cleaned: BTreeMap<SyncToken, TopicPartitionId>,
    timed: BTreeSet<(u64, TopicPartitionId)>,
    scheduled: BTreeSet<TopicPartitionId>,
}

impl Flushes {
    pub(super) fn next_tick_ns(&self) -> u64 {
        self.timed.first().map_or(u64::MAX, |(due, _)| *due)
    }

    fn token(&mut self) -> SyncToken {
        self.next_token += 1;
        SyncToken(self.next_token)
    }

    /// A flush of what compaction has written begins.
    pub(super) fn expect_cleaned(&mut self, id: TopicPartitionId) -> SyncToken {
        let token = self.token();
        self.cleaned.insert(token, id);
        token
    }

    /// The log is gone: what its flushes end with says nothing about another one of the same partition.
    pub(super) fn forget(&mut self, id: TopicPartitionId) {
        self.running.retain(|_, (of, _)| *of != id);
        self.cleaned.retain(|_, of| *of != id);
        self.busy.remove(&id);
        self.scheduled.remove(&id);
        self.timed.retain(|(_, of)| *of != id);
    }

    /// Whether a flush of this log is on its way.
    pub(super) fn is_busy(&self, id: TopicPartitionId) -> bool {
        self.busy.contains(&id)
    }
}

impl Broker {
    /// To be called after every append: starts or schedules the flush that the policy asks for.
    pub(super) fn appended(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        self.touched.insert(id);
        match self.partitions.get(&id).map(|partition| partition.settings().flush) {
            Some(FlushPolicy::BeforeAck) => self.begin_flush(id, turn),
            Some(FlushPolicy::IntervalMs(interval)) => {
                if self.flushes.scheduled.insert(id) {
                    self.flushes.timed.insert((turn.now.mono_ns + interval * NS_PER_MS, id));
                }
            }
            Some(FlushPolicy::PageCache) | None => {}
        }
    }

    pub(super) fn flush_on_time(&mut self, turn: &mut Turn<'_>) {
        while let Some(&(due, id)) = self.flushes.timed.first() {
            if due > turn.now.mono_ns {
                return;
            }
            self.flushes.timed.pop_first();
            self.flushes.scheduled.remove(&id);
            self.begin_flush(id, turn);
        }
    }

    pub(super) fn begin_flush(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        let Some(partition) = self.partitions.get(&id) else { return };
        let log = &partition.log;
        if self.flushes.is_busy(id) || log.is_fenced() || log.flushed_end_offset() >= log.log_end_offset() {
            return;
        }
        let (files, ticket) = log.begin_flush();
        let token = self.flushes.token();
        self.flushes.running.insert(token, (id, ticket));
        self.flushes.busy.insert(id);
        turn.effects.push(Effect::Sync { files, token });
    }

    /// A flush has ended.
    pub(super) fn synced(&mut self, token: SyncToken, result: Result<(), DiskError>, turn: &mut Turn<'_>) {
        if let Some(id) = self.flushes.cleaned.remove(&token) {
            return match result {
                Ok(()) => self.cleaned_flushed(id),
                Err(error) => super::fail(&error, turn),
            };
        }
        let Some((id, ticket)) = self.flushes.running.remove(&token) else { return };
        self.flushes.busy.remove(&id);
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let done = result.map_err(|error| error.to_string()).and_then(|()| {
            partition.log.complete_flush(ticket, turn.disk).map_err(|error| error.to_string())
        });
        if let Err(error) = done {
            partition.log.fence();
            super::fail(&error, turn);
            return;
        }
        partition.advance_high_watermark();
        self.touched.insert(id);
        if partition.settings().flush == FlushPolicy::BeforeAck {
            self.begin_flush(id, turn);
        }
    }

    pub(super) fn note_high_watermarks(&mut self, turn: &mut Turn<'_>) {
        if turn.now.mono_ns < self.next_checkpoint_ns {
            return;
        }
        self.next_checkpoint_ns = turn.now.mono_ns + CHECKPOINT_INTERVAL_MS * NS_PER_MS;
        if let Err(error) = self.write_high_watermarks(turn.disk) {
            self.checkpoint_failed(&error, turn);
        }
    }

    pub(super) fn write_high_watermarks(&self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let marks = self.partitions.iter().map(|(id, partition)| (*id, partition.high_watermark()));
        // What was not opened yet keeps its old note.
        let old = self.checkpoint.iter().map(|(id, offset)| (*id, *offset));
        replication::write_checkpoint(old.chain(marks), disk)
    }
}
