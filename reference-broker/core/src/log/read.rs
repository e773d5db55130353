//! Reads from the log: from memory at its end, from the files before.

use bytes::{Bytes, BytesMut};

use super::scan::{Reach, Step};
use super::segment::Segment;
use super::{LogError, PartitionLog};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset};
use crate::record::{Batch, BatchHeader};

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
        let Some(segment) = self.segments.iter().find(late_enough) else { return Ok(None) };
        let start = segment.index.floor_by_time(timestamp);
        let wanted = |header: &BatchHeader| header.max_timestamp >= timestamp;
        let Some((position, header)) = find(segment, start, wanted, disk)? else { return Ok(None) };
        let batch = Batch { header, bytes: read_range(segment, position, header.size(), disk)? };
        let mut found = (header.base_offset, header.max_timestamp);
        for record in batch.records().into_iter().flatten() {
            let record =
                record.map_err(|error| LogError::Damaged { path: segment.path(), position, error })?;
            if record.timestamp >= timestamp {
                found = (record.offset, record.timestamp);
                break;
            }
        }
        Ok(Some((found.0, found.1, header.leader_epoch)))
    }

    fn read_file(
        &self,
        from: Offset,
        to: Offset,
        max_bytes: usize,
        at_least_one: bool,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, LogError> {
        let segment = &self.segments[self.segment_of(from)];
        let start = segment.index.floor(from);
        let holds = |header: &BatchHeader| header.last_offset() >= from;
        let Some((position, first)) = find(segment, start, holds, disk)? else { return Ok(Vec::new()) };
        if first.last_offset() >= to || (first.size() > max_bytes && !at_least_one) {
            return Ok(Vec::new());
        }
        let left = (segment.size - position) as usize;
        let mut bytes =
            read_range(segment, position, max_bytes.clamp(first.size(), left.max(first.size())), disk)?;
        let mut whole = 0;
        while let Ok(header) = BatchHeader::parse(&bytes[whole..]) {
            if header.last_offset() >= to || whole + header.size() > bytes.len() {
                break;
            }
            whole += header.size();
        }
        bytes.truncate(whole);
        Ok(vec![bytes])
    }

    /// The index of the segment that holds `offset`.
    pub(super) fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }
}

/// The first batch from `start` on that is wanted, and its position.
pub(super) fn find(
    segment: &Segment,
    start: (Offset, u64),
    wanted: impl Fn(&BatchHeader) -> bool,
    disk: &mut dyn Disk,
) -> Result<Option<(u64, BatchHeader)>, LogError> {
    let mut scanner = segment.scan(start, Reach::Near);
    loop {
        match scanner.next(disk)? {
            Step::Batch { position, header } if wanted(&header) => return Ok(Some((position, header))),
            Step::Batch { .. } => {}
            Step::End => return Ok(None),
            Step::Bad { position, error } => {
                return Err(LogError::Damaged { path: segment.path(), position, error });
            }
        }
    }
}

fn read_range(
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
