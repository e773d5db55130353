//! Cuts the end off the log of a follower that has diverged from its leader.

use super::producers::ProducerStates;
use super::read::find;
use super::scan::{Reach, Step};
use super::{LogError, PartitionLog};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::record::BatchHeader;

impl PartitionLog {
    /// Forgets everything from `offset` on: records, epochs, producer state, index entries. If `offset` is inside a
    /// batch the whole batch goes. Epochs that began at or after `offset` are forgotten even if the log is not that
    /// long (KAFKA-10706).
    pub fn truncate_to(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        if offset >= self.end {
            self.epochs.truncate(offset);
            return Ok(());
        }
        let cut = self.cut(offset.max(self.log_start_offset()), disk);
        cut.inspect_err(|_| self.fenced = true)
    }

    fn cut(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        let kept = self.segment_of(offset);
        let segment = &self.segments[kept];
        let holds = |header: &BatchHeader| header.last_offset() >= offset;
        let Some((position, first)) = find(segment, segment.index.floor(offset), holds, disk)? else {
            unreachable!("offset {offset} is below the end {} of `{}`", self.end, self.directory);
        };
        let end = first.base_offset;

        // In memory first: no answer given from now on rests on what is about to go (KAFKA-12153).
        self.generation += 1;
        self.end = end;
        self.flushed = self.flushed.min(end);
        self.tail.truncate(end);
        self.epochs.truncate(end);
        self.snapshots.retain(|base, _| *base <= end);
        if self.durable > end {
            self.store_checkpoint(end, disk)?;
        }

        for segment in self.segments.split_off(kept + 1).into_iter().rev() {
            segment.remove(disk)?;
        }
        let interval = self.config.index_interval_bytes;
        let segment = &mut self.segments[kept];
        segment.remove_index_files(disk)?;
        disk.truncate(segment.file, position)?;
        segment.size = position;
        let last_entry = segment.index.truncate(end);
        let mut scanner = segment.scan(last_entry, Reach::Near);
        while let Step::Batch { position, header } = scanner.next(disk)? {
            segment.index.add(&header, position, interval);
        }
        self.replay_producers(disk)
    }

    /// Rebuilds the producers from the newest snapshot on.
    fn replay_producers(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        let snapshot = self.snapshots.last_key_value();
        let (from, mut producers) = snapshot.map_or_else(
            || (self.log_start_offset(), ProducerStates::default()),
            |(base, state)| (*base, state.clone()),
        );
        for segment in &self.segments[self.segment_of(from)..] {
            let mut scanner = segment.scan((segment.base, 0), Reach::Far);
            loop {
                match scanner.next(disk)? {
                    Step::Batch { header, .. } => producers.update(&header),
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
