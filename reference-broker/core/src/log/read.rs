//! Reads from the log: from memory at its end, from the files before.

use bytes::{Bytes, BytesMut};

use super::scan::{Reach, Step};
use super::segment::Segment;
use super::{LogError, PartitionLog};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset};
use crate::record::{Batch, BatchError, BatchHeader, HEADER_BYTES};

impl PartitionLog {
    /// Whole batches from the one that holds `from` (inclusive) up to `to` (exclusive), at most `max_bytes`; with
    /// `at_least_one` the first comes whole even if it is larger. Empty if there is nothing; it may be less than
    /// there is, as one read stays in one file.
    pub fn read(
        &self,
        from: Offset,
        to: Offset,
        max_bytes: usize,
        at_least_one: bool,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, LogError> {
        let (start, end) = (self.log_start_offset(), self.end);
        if from < start || from > end {
            return Err(LogError::OutOfRange { offset: from, start, end });
        }
        let to = to.min(end);
        if from >= to {
            return Ok(Vec::new());
        }
        if self.tail.holds(from) {
            return Ok(self.tail.read(from, to, max_bytes, at_least_one));
        }
        self.read_file(from, to, max_bytes, at_least_one, disk)
    }

    /// The first record whose time stamp is at or after `timestamp`: its offset, time stamp and leader epoch. In a
    /// compressed batch it is taken to be the first, with the largest time stamp of the batch: never too late.
    pub fn offset_for_timestamp(
        &self,
        timestamp: i64,
        disk: &mut dyn Disk,
    ) -> Result<Option<(Offset, i64, LeaderEpoch)>, LogError> {
        let late_enough = |segment: &&Segment| segment.index.max_timestamp() >= timestamp;
        for segment in self.segments.iter().filter(late_enough) {
            let mut scanner = segment.scan(segment.index.floor_by_time(timestamp), Reach::Near, self.holes);
            loop {
                match scanner.next(disk)? {
                    Step::Batch { position, header, .. }
                        if header.max_timestamp >= timestamp && header.last_offset() >= self.start =>
                    {
                        let found = self.first_from(timestamp, segment, (position, header), disk)?;
                        if found.is_some() {
                            return Ok(found);
                        }
                    }
                    Step::Batch { .. } => {}
                    Step::End => break,
                    Step::Bad { position, error } => {
                        return Err(LogError::Damaged { path: segment.path(), position, error });
                    }
                }
            }
        }
        Ok(None)
    }

    /// The first record of a batch whose time stamp is at or after `timestamp` and that is not deleted.
    fn first_from(
        &self,
        timestamp: i64,
        segment: &Segment,
        (position, header): (u64, BatchHeader),
        disk: &mut dyn Disk,
    ) -> Result<Option<(Offset, i64, LeaderEpoch)>, LogError> {
        let batch = Batch { header, bytes: read_range(segment, position, header.size(), disk)? };
        let Some(records) = batch.records() else {
            let first = header.base_offset.max(self.start);
            return Ok(Some((first, header.max_timestamp, header.leader_epoch)));
        };
        for record in records {
            let record =
                record.map_err(|error| LogError::Damaged { path: segment.path(), position, error })?;
            if record.timestamp >= timestamp && record.offset >= self.start {
                return Ok(Some((record.offset, record.timestamp, header.leader_epoch)));
            }
        }
        Ok(None)
    }

    fn read_file(
        &self,
        from: Offset,
        to: Offset,
        max_bytes: usize,
        at_least_one: bool,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, LogError> {
        let holds = |header: &BatchHeader| header.last_offset() >= from;
        let mut found = None;
        // What compaction has left of a segment may end before it.
        for segment in &self.segments[self.segment_of(from)..] {
            found = find(segment, segment.index.floor(from), holds, self.holes, disk)?
                .map(|(position, header)| (segment, position, header));
            if found.is_some() || !self.holes {
                break;
            }
        }
        let Some((segment, position, first)) = found else { return self.nothing_at(from) };
        if first.last_offset() >= self.end {
            let error = BatchError::Offset { expected: self.end, found: first.last_offset().next() };
            return Err(LogError::Damaged { path: segment.path(), position, error });
        }
        if first.last_offset() >= to || (first.size() > max_bytes && !at_least_one) {
            return Ok(Vec::new());
        }
        let left = (segment.size - position) as usize;
        let mut bytes =
            read_range(segment, position, max_bytes.clamp(first.size(), left.max(first.size())), disk)?;
        let whole = whole_batches(&bytes, to).map_err(|(at, error)| LogError::Damaged {
            path: segment.path(),
            position: position + at as u64,
            error,
        })?;
        bytes.truncate(whole);
        Ok(vec![bytes])
    }

    /// Compaction may have left nothing from here on. Any other log has lost what should be there, and who waited for it to come would wait
    /// for ever.
    fn nothing_at(&self, offset: Offset) -> Result<Vec<Bytes>, LogError> {
        if self.holes {
            return Ok(Vec::new());
        }
        let segment = &self.segments[self.segment_of(offset)];
        let error = BatchError::Torn { have: 0, need: HEADER_BYTES };
        Err(LogError::Damaged { path: segment.path(), position: segment.size, error })
    }

    /// The index of the segment that holds `offset`.
    pub(super) fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }
}

/// How many bytes the whole batches below `to` have. Bytes that have changed on the disk go to nobody: what comes before them does, and
/// without anything before them they are an error.
fn whole_batches(bytes: &[u8], to: Offset) -> Result<usize, (usize, BatchError)> {
    let mut whole = 0;
    while whole < bytes.len() {
        match BatchHeader::validate(&bytes[whole..]) {
            Ok(header) if header.last_offset() < to => whole += header.size(),
            Ok(_) => break,
            Err(_) if whole > 0 => break,
            Err(error) => return Err((whole, error)),
        }
    }
    Ok(whole)
}

/// The first batch from `start` on that is wanted, and its position. An index that leads astray is no damage of the log: the segment is
/// then walked from its beginning.
pub(super) fn find(
    segment: &Segment,
    start: (Offset, u64),
    wanted: impl Fn(&BatchHeader) -> bool,
    holes: bool,
    disk: &mut dyn Disk,
) -> Result<Option<(u64, BatchHeader)>, LogError> {
    let mut scanner = segment.scan(start, Reach::Near, holes);
    let mut by_index = start.1 > 0;
    loop {
        match scanner.next(disk)? {
            Step::Batch { position, header, .. } if wanted(&header) => return Ok(Some((position, header))),
            Step::Batch { .. } => {}
            Step::End => return Ok(None),
            Step::Bad { .. } if by_index => {
                by_index = false;
                scanner = segment.scan((segment.base, 0), Reach::Far, holes);
            }
            Step::Bad { position, error } => {
                return Err(LogError::Damaged { path: segment.path(), position, error });
            }
        }
    }
}

pub(super) fn read_range(
    segment: &Segment,
    position: u64,
    length: usize,
    disk: &mut dyn Disk,
) -> Result<Bytes, LogError> {
    let mut buffer = BytesMut::zeroed(length);
    let count = disk.read_at(segment.file, position, &mut buffer)?;
    buffer.truncate(count);
    Ok(buffer.freeze())
}
