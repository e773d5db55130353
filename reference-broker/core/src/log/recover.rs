//! Finds out after a start what the log holds.
//!
//! Segments below the checkpoint are believed. From there on every batch is checked, and the log ends before the
//! first one that is torn, damaged, or left over from a log that was cut; what lies behind it is deleted. The leader
//! epochs, the producers and their transactions are rebuilt on the way. Damage below what was durable is never cut away: that would lose
//! records that were acknowledged.

use std::collections::BTreeMap;

use super::checkpoint::Checkpoint;
use super::epochs::EpochCache;
use super::index::Index;
use super::producers::ProducerStates;
use super::scan::{Reach, Step};
use super::segment::{self, Segment};
use super::snapshot;
use super::transactions::AbortedIndex;
use super::{LogConfig, LogError};
use super::{LogEvents, clean};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::record::BatchError;

/// What recovery found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: Vec<Segment>,
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) durable: Offset,
    pub(super) cleaned: Offset,
    pub(super) holes: bool,
    pub(super) epochs: EpochCache,
    pub(super) producers: ProducerStates,
    /// The transactions whose markers were scanned: from their first records to their markers.
    pub(super) ended: BTreeMap<Offset, Offset>,
    pub(super) events: LogEvents,
    /// The base of the first segment that was scanned.
    scanned_from: Offset,
}

/// Where the scan begins, and what is believed of the segments before.
struct Believed {
    scan_from: Offset,
    /// The producers as of there.
    producers: ProducerStates,
    from_snapshot: bool,
    /// By segment.
    aborted: Vec<AbortedIndex>,
}

/// Opens all segments in a directory.
pub(super) fn recover(
    directory: &str,
    config: &LogConfig,
    disk: &mut dyn Disk,
) -> Result<Recovered, LogError> {
    let swaps_completed = clean::complete(directory, disk)?;
    let stored = Checkpoint::load(directory, disk)?;
    let mut bases = segment::bases(directory, disk)?;
    if stored.is_none() && bases.first().is_some_and(|first| *first > Offset(0)) {
        // 1. Segments 0 and 9 are created, their directory is not flushed. 2. Power is lost, and only the name of the second is
        // left. A log that began there would hide that the records before are missing.
        tracing::warn!(directory, first = %bases[0], "the log has lost its beginning and is emptied");
        discard(directory, &bases, disk)?;
        bases.clear();
    }
    let checkpoint = stored.unwrap_or_default();
    forget_deleted(directory, &mut bases, &checkpoint, disk)?;
    let believed = believe(directory, &bases, checkpoint.durable, disk)?;
    let mut found = Recovered {
        segments: Vec::new(),
        start: checkpoint.start,
        end: bases[0],
        durable: checkpoint.durable,
        cleaned: checkpoint.cleaned,
        holes: checkpoint.holes,
        epochs: checkpoint.epochs.clone(),
        producers: believed.producers,
        ended: BTreeMap::new(),
        events: LogEvents { swaps_completed, from_snapshot: believed.from_snapshot, ..LogEvents::default() },
        scanned_from: believed.scan_from,
    };
    let mut aborted = believed.aborted.into_iter();
    for (number, base) in bases.iter().copied().enumerate() {
        if let Some(aborted) = aborted.next() {
            found.believe(directory, base, bases[number + 1], config, disk)?;
            found.segments.last_mut().expect("believed").aborted = aborted;
        } else if !found.scan(directory, base, config, disk)? {
            discard(directory, &bases[number + 1..], disk)?;
            break;
        }
    }
    if let Some(last) = found.segments.last().filter(|_| found.end < found.durable) {
        let error = BatchError::Offset { expected: found.durable, found: found.end };
        return Err(LogError::Damaged { path: last.path(), position: last.size, error });
    }
    if found.end < found.start {
        found.begin_at_start(directory, checkpoint.epochs, disk)?;
    }
    found.close_segments(directory, disk)?;
    Ok(found)
}

/// Removes the segments that lie below the start of the log: a power loss may have brought their names back.
fn forget_deleted(
    directory: &str,
    bases: &mut Vec<Offset>,
    checkpoint: &Checkpoint,
    disk: &mut dyn Disk,
) -> Result<(), LogError> {
    let Checkpoint { start, durable, .. } = *checkpoint;
    let deleted = bases.partition_point(|base| *base <= start);
    match bases.first() {
        Some(first) if deleted == 0 && durable > start => {
            let error = BatchError::Offset { expected: start, found: *first };
            let path = format!("{}.log", segment::stem(directory, *first));
            return Err(LogError::Damaged { path, position: 0, error });
        }
        // None of them was ever durable.
        Some(_) if deleted == 0 => discard(directory, &std::mem::take(bases), disk)?,
        _ => {
            let below: Vec<_> = bases.drain(..deleted.saturating_sub(1)).collect();
            discard(directory, &below, disk)?;
        }
    }
    if bases.is_empty() {
        bases.push(start);
    }
    Ok(())
}

/// The newest segment that begins where all before was durable and the producers are known. Of the closed ones before it the
/// aborted transactions must be known, too: who is shown what depends on it.
fn believe(
    directory: &str,
    bases: &[Offset],
    durable: Offset,
    disk: &mut dyn Disk,
) -> Result<Believed, LogError> {
    let mut aborted = Vec::new();
    for base in bases.iter().take_while(|base| **base < durable) {
        match AbortedIndex::load(&segment::stem(directory, *base), disk)? {
            Some(index) => aborted.push(index),
            None => break,
        }
    }
    let mut number = aborted.len().min(bases.partition_point(|base| *base <= durable).saturating_sub(1));
    loop {
        let scan_from = bases[number];
        let snapshot = snapshot::load(directory, scan_from, disk)?;
        let from_snapshot = snapshot.is_some();
        let before = || (number == 0).then(|| ProducerStates::before(scan_from));
        if let Some(producers) = snapshot.or_else(before) {
            aborted.truncate(number);
            return Ok(Believed { scan_from, producers, from_snapshot, aborted });
        }
        number -= 1;
    }
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
            let mut scanner = segment.scan((base, 0), Reach::Far, self.holes);
            loop {
                match scanner.next(disk)? {
                    Step::Batch { position, header, .. } => {
                        segment.index.add(&header, position, config.index_interval_bytes);
                    }
                    Step::End if scanner.expected() == end || (self.holes && scanner.expected() < end) => {
                        break;
                    }
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
        // Only what was durable is compacted: a gap before another segment is a tail that was lost.
        let follows = base == self.end || (self.holes && base > self.end && base <= self.durable);
        if !follows {
            return self.ends_before(segment, disk);
        }
        let mut end = std::mem::replace(&mut self.end, base);
        if base != self.scanned_from {
            // What is there may tell of records that were lost.
            snapshot::store(directory, base, &self.producers, disk)?;
        }
        segment.size = disk.len(segment.file)?;
        let mut scanner = segment.scan((base, 0), Reach::Far, self.holes).verify(self.epochs.at(base));
        let bad = loop {
            match scanner.next(disk)? {
                Step::Batch { position, header, marker } => {
                    segment.index.add(&header, position, config.index_interval_bytes);
                    segment.first_timestamp.get_or_insert(header.max_timestamp);
                    self.epochs.assign(header.leader_epoch, end);
                    end = header.last_offset().next();
                    if let Some(ended) = self.producers.update(&header, marker) {
                        segment.aborted.add(&ended);
                        self.ended.insert(ended.first, ended.marker);
                    }
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
            // What comes next may go to a new segment, behind what a loss of power must not bring back.
            disk.sync(segment.file)?;
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

    /// Nothing is left of what was not deleted: the log goes on, empty, where it starts.
    fn begin_at_start(
        &mut self,
        directory: &str,
        mut epochs: EpochCache,
        disk: &mut dyn Disk,
    ) -> Result<(), LogError> {
        tracing::warn!(directory, end = %self.end, start = %self.start, "the log has lost all that was not deleted");
        for segment in self.segments.split_off(0) {
            segment.remove(disk)?;
        }
        self.segments.push(Segment::open(directory, self.start, disk)?);
        epochs.truncate(self.start);
        self.epochs = epochs;
        self.end = self.start;
        self.scanned_from = self.start;
        self.producers = ProducerStates::before(self.start);
        self.ended.clear();
        Ok(())
    }

    /// All segments but the last have index files, the last has none. Snapshots belong to a segment.
    fn close_segments(&self, directory: &str, disk: &mut dyn Disk) -> Result<(), LogError> {
        for pair in self.segments.windows(2) {
            if pair[0].base >= self.scanned_from {
                pair[0].store_index_files(pair[1].base, disk)?;
            }
        }
        if let Some(active) = self.segments.last() {
            active.remove_index_files(disk)?;
        }
        let bases: Vec<_> = self.segments.iter().map(|segment| segment.base).collect();
        Ok(snapshot::remove_others(directory, &bases, disk)?)
    }
}
