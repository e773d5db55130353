//! Finds out after a start what the log holds.
//!
//! Segments below the checkpoint are believed. From there on every batch is checked, and the log ends before the
//! first one that is torn, damaged, or left over from a log that was cut; what lies behind it is deleted. The leader
//! epochs and the producers are rebuilt on the way. Damage below what was durable is never cut away: that would lose
//! records that were acknowledged.

use std::collections::BTreeMap;

use super::checkpoint::Checkpoint;
use super::epochs::EpochCache;
use super::index::Index;
use super::producers::ProducerStates;
use super::scan::{Reach, Step};
use super::segment::{self, Segment};
use super::{LogConfig, LogError};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::record::BatchError;

/// What recovery found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: Vec<Segment>,
    pub(super) end: Offset,
    pub(super) durable: Offset,
    pub(super) epochs: EpochCache,
    pub(super) producers: ProducerStates,
    /// The producers as of the base of each segment that was scanned.
    pub(super) snapshots: BTreeMap<Offset, ProducerStates>,
}

/// Opens all segments in a directory.
pub(super) fn recover(
    directory: &str,
    config: &LogConfig,
    disk: &mut dyn Disk,
) -> Result<Recovered, LogError> {
    let mut bases = segment::bases(directory, disk)?;
    if bases.is_empty() {
        bases.push(Offset(0));
    }
    let checkpoint = Checkpoint::load(directory, disk)?
        .filter(|checkpoint| bases.contains(&checkpoint.scan_from))
        .unwrap_or_else(|| Checkpoint { scan_from: bases[0], ..Checkpoint::default() });
    let mut found = Recovered {
        segments: Vec::new(),
        end: bases[0],
        durable: checkpoint.durable,
        epochs: checkpoint.epochs,
        producers: checkpoint.producers,
        snapshots: BTreeMap::new(),
    };
    let scanned = bases.partition_point(|base| *base < checkpoint.scan_from);
    for (number, base) in bases.iter().copied().enumerate() {
        if number < scanned {
            found.believe(directory, base, bases[number + 1], config, disk)?;
        } else if !found.scan(directory, base, config, disk)? {
            discard(directory, &bases[number + 1..], disk)?;
            break;
        }
    }
    if let Some(last) = found.segments.last().filter(|_| found.end < found.durable) {
        let error = BatchError::Offset { expected: found.durable, found: found.end };
        return Err(LogError::Damaged { path: last.path(), position: last.size, error });
    }
    found.close_segments(disk)?;
    Ok(found)
}

fn discard(directory: &str, bases: &[Offset], disk: &mut dyn Disk) -> Result<(), LogError> {
    for base in bases {
        Segment::open(directory, *base, disk)?.remove(disk)?;
    }
    Ok(())
}

impl Recovered {
    /// Takes over a segment that was durable; only its index is rebuilt if need be.
    fn believe(
        &mut self,
        directory: &str,
        base: Offset,
        end: Offset,
        config: &LogConfig,
        disk: &mut dyn Disk,
    ) -> Result<(), LogError> {
        let mut segment = Segment::open(directory, base, disk)?;
        segment.size = disk.len(segment.file)?;
        if let Some(index) = Index::load(segment.stem(), base, end, segment.size, disk)? {
            segment.index = index;
        } else {
            let mut scanner = segment.scan((base, 0), Reach::Far);
            loop {
                match scanner.next(disk)? {
                    Step::Batch { position, header } => {
                        segment.index.add(&header, position, config.index_interval_bytes);
                    }
                    Step::End if scanner.expected() == end => break,
                    Step::End => {
                        let error = BatchError::Offset { expected: scanner.expected(), found: end };
                        return Err(LogError::Damaged {
                            path: segment.path(),
                            position: segment.size,
                            error,
                        });
                    }
                    Step::Bad { position, error } => {
                        return Err(LogError::Damaged { path: segment.path(), position, error });
                    }
                }
            }
            segment.index.store(segment.stem(), end, disk)?;
        }
        self.segments.push(segment);
        self.end = end;
        Ok(())
    }

    /// Checks every batch of a segment. False if the log ends here.
    fn scan(
        &mut self,
        directory: &str,
        base: Offset,
        config: &LogConfig,
        disk: &mut dyn Disk,
    ) -> Result<bool, LogError> {
        let mut segment = Segment::open(directory, base, disk)?;
        if base != self.end {
            return self.ends_before(segment, disk);
        }
        self.snapshots.insert(base, self.producers.clone());
        segment.size = disk.len(segment.file)?;
        let mut scanner = segment.scan((base, 0), Reach::Far).verify(self.epochs.latest());
        let bad = loop {
            match scanner.next(disk)? {
                Step::Batch { position, header } => {
                    segment.index.add(&header, position, config.index_interval_bytes);
                    self.epochs.assign(header.leader_epoch, header.base_offset);
                    self.producers.update(&header);
                }
                Step::End => break None,
                Step::Bad { position, error } => break Some((position, error)),
            }
        };
        self.end = scanner.expected();
        if let Some((position, error)) = bad {
            let path = segment.path();
            if self.end < self.durable {
                return Err(LogError::Damaged { path, position, error });
            }
            tracing::warn!(path, position, %error, end = %self.end, "the log is cut at a bad batch");
            disk.truncate(segment.file, position)?;
            segment.size = position;
        }
        self.segments.push(segment);
        Ok(bad.is_none())
    }

    /// A segment that does not begin where the one before ended is no part of the log.
    fn ends_before(&self, segment: Segment, disk: &mut dyn Disk) -> Result<bool, LogError> {
        if self.end < self.durable {
            let error = BatchError::Offset { expected: self.end, found: segment.base };
            return Err(LogError::Damaged { path: segment.path(), position: 0, error });
        }
        segment.remove(disk)?;
        Ok(false)
    }

    /// All segments but the last have index files, the last has none.
    fn close_segments(&self, disk: &mut dyn Disk) -> Result<(), LogError> {
        for pair in self.segments.windows(2) {
            if self.snapshots.contains_key(&pair[0].base) {
                pair[0].index.store(pair[0].stem(), pair[1].base, disk)?;
            }
        }
        if let Some(active) = self.segments.last() {
            active.remove_index_files(disk)?;
        }
        Ok(())
    }
}
