//! Cuts the end off the log of a follower that has diverged from its leader.

use super::producers::ProducerStates;
use super::read::find;
use super::scan::{Reach, Step};
use super::segment::Segment;
use super::snapshot;
use super::{LogError, PartitionLog};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::record::BatchHeader;

impl PartitionLog {
    /// Forgets everything from `offset` on: records, epochs, producer state, index entries. If `offset` is inside a
    /// batch the whole batch goes; if nothing is left, the log goes on where it starts. Epochs that began at or after `offset` are forgotten even if the log is not that
    /// long (KAFKA-10706).
    pub fn truncate_to(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        if offset >= self.end {
            self.epochs.truncate(offset);
            return Ok(());
        }
        if self.start > Offset(0) && offset <= self.start {
            return self.start_again_at(self.start, self.epochs.at(Offset(self.start.0 - 1)), disk);
        }
        let cut = self.cut(offset.max(self.start), disk);
        cut.inspect_err(|_| self.fenced = true)
    }

    fn cut(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        let kept = self.segment_of(offset);
        let segment = &self.segments[kept];
        let holds = |header: &BatchHeader| header.last_offset() >= offset;
        let found = find(segment, segment.index.floor(offset), holds, self.holes, disk)?;
        // Where compaction has left a hole nothing is found, or what lies behind it.
        let (position, end) = found
            .map_or((segment.size, offset), |(position, first)| (position, first.base_offset.min(offset)));
        if end < self.start {
            return self.start_again_at(self.start, self.epochs.at(Offset(self.start.0 - 1)), disk);
        }
        // Compaction has left nothing right before the end that this log is to have.
        let hole = self.holes && end_before(position, segment, disk)? < end;

        self.stop_cleaning(disk)?;
        if hole && self.durable < end {
            self.flush_here(disk)?;
        }
        // In memory first: no answer given from now on rests on what is about to go (KAFKA-12153).
        self.generation += 1;
        self.end = end;
        self.flushed = self.flushed.min(end);
        self.tail.truncate(end);
        self.epochs.truncate(end);
        self.cleaned = self.cleaned.min(end);
        self.shape += 1;
        if self.durable > end {
            self.store_checkpoint(end, disk)?;
        }

        for segment in self.segments.split_off(kept + 1).into_iter().rev() {
            segment.remove(disk)?;
        }
        if hole {
            // Recovery finds the end as the base of a segment, which has to be there before the batches behind it are gone.
            self.segments.push(Segment::open(&self.directory, end, disk)?);
        }
        // A snapshot of a segment that is gone must not come back under one that begins at the same offset.
        disk.sync_dir(&self.directory)?;
        let interval = self.config.index_interval_bytes;
        self.ended.retain(|_, marker| *marker < end);
        self.verifications.clear();
        let segment = &mut self.segments[kept];
        segment.aborted.truncate(end);
        segment.remove_index_files(disk)?;
        disk.truncate(segment.file, position)?;
        // Flushes are for what is appended. If that goes to a new segment, a loss of power would bring the old end back before it.
        disk.sync(segment.file)?;
        segment.size = position;
        let last_entry = segment.index.truncate(end);
        let mut scanner = segment.scan(last_entry, Reach::Near, self.holes);
        while let Step::Batch { position, header, .. } = scanner.next(disk)? {
            segment.index.add(&header, position, interval);
        }
        let mut first = segment.scan((segment.base, 0), Reach::Near, self.holes);
        segment.first_timestamp = match first.next(disk)? {
            Step::Batch { header, .. } => Some(header.max_timestamp),
            Step::End | Step::Bad { .. } => None,
        };
        self.replay_producers(disk)?;
        if hole {
            self.segments[kept].store_index_files(end, disk)?;
            snapshot::store(&self.directory, end, &self.producers, disk)?;
        }
        Ok(())
    }

    /// Rebuilds the producers from the newest snapshot on.
    fn replay_producers(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        let mut first = self.segments.len() - 1;
        let mut producers = loop {
            if let Some(producers) = snapshot::load(&self.directory, self.segments[first].base, disk)? {
                break producers;
            }
            if first == 0 {
                break ProducerStates::before(self.segments[0].base);
            }
            first -= 1;
        };
        for segment in &self.segments[first..] {
            let mut scanner = segment.scan((segment.base, 0), Reach::Far, self.holes);
            loop {
                match scanner.next(disk)? {
                    // What the kept markers have ended is noted already.
                    Step::Batch { header, marker, .. } => {
                        producers.update(&header, marker);
                    }
                    Step::End => break,
                    Step::Bad { position, error } => {
                        return Err(LogError::Damaged { path: segment.path(), position, error });
                    }
                }
            }
        }
        self.producers = producers;
        Ok(())
    }
}

/// The end of what a segment holds before a position.
fn end_before(position: u64, segment: &Segment, disk: &mut dyn Disk) -> Result<Offset, LogError> {
    let mut end = segment.base;
    let mut scanner = segment.scan((segment.base, 0), Reach::Near, true);
    while let Step::Batch { position: at, header, .. } = scanner.next(disk)?
        && at < position
    {
        end = header.last_offset().next();
    }
    Ok(end)
}
