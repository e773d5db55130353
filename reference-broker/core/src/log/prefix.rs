//! The beginning of the log: what is deleted there, and how a log begins anew elsewhere.

use super::epochs::EpochCache;
use super::producers::ProducerStates;
use super::segment::Segment;
use super::{LogError, PartitionLog};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset};

impl PartitionLog {
    /// Deletes all below `offset`, at most up to the end of the log; says whether the start has moved. The batch that holds
    /// `offset` stays whole (KAFKA-6975). The new start is durable when this returns; the files go with
    /// [`Self::remove_deleted`].
    pub fn raise_start(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<bool, LogError> {
        let offset = offset.min(self.end);
        if self.fenced || offset <= self.start {
            return Ok(false);
        }
        self.start = offset;
        self.flushed = self.flushed.max(offset);
        self.epochs.forget_below(offset);
        self.store_checkpoint(self.durable, disk)?;
        Ok(true)
    }

    /// Deletes the segments that end at or below `offset`, as far as they are durable.
    pub fn delete_segments_below(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        let base = self.segments[self.segment_of(offset.min(self.flushed))].base;
        self.raise_start(base, disk)?;
        self.remove_deleted(disk)
    }

    /// Removes the segments all of which is deleted. Names that a power loss brings back are known to be leftovers, as the start
    /// is durable. Not to be called while a flush is on its way.
    pub fn remove_deleted(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        while self.segments.get(1).is_some_and(|second| second.base <= self.start) {
            self.shape += 1;
            self.segments.remove(0).remove(disk).inspect_err(|_| self.fenced = true)?;
        }
        Ok(())
    }

    /// Forgets all records. The log goes on at `start`; the record before that was appended under `epoch`, if that is known.
    ///
    /// A crash on the way leaves a log that ends before `start`, or one that holds other records; never one that seems
    /// to be damaged.
    pub fn start_again_at(
        &mut self,
        start: Offset,
        epoch: LeaderEpoch,
        disk: &mut dyn Disk,
    ) -> Result<(), LogError> {
        self.generation += 1;
        self.shape += 1;
        self.events.restarts += 1;
        (self.start, self.end, self.flushed) = (start, start, start);
        self.cleaned = Offset(0);
        self.tail.truncate(Offset(i64::MIN));
        self.epochs = EpochCache::default();
        if start > Offset(0) {
            self.epochs.assign(epoch, Offset(start.0 - 1));
        }
        self.producers = ProducerStates::default();
        self.producers.forget_some();
        self.ended.clear();
        self.verifications.clear();
        self.replace_segments(disk).inspect_err(|_| self.fenced = true)
    }

    fn replace_segments(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        self.stop_cleaning(disk)?;
        // From now on nothing is expected to be there.
        self.store_checkpoint(Offset(0), disk)?;
        for segment in self.segments.split_off(0) {
            segment.remove(disk)?;
        }
        self.segments.push(Segment::open(&self.directory, self.start, disk)?);
        self.unlisted = true;
        self.list_files(disk)?;
        self.store_checkpoint(self.start, disk)
    }
}
