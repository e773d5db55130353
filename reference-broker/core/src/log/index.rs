//! The sparse indexes of a segment: from offsets and from time stamps to positions in its file.
//!
//! They live in memory. The files (`.index`, `.timeindex`, layout as Kafka's) are written once, when a segment is
//! closed; the active segment has none, so a file can never be older than what it describes.

use crate::disk::{Disk, DiskError};
use crate::ids::Offset;
use crate::record::BatchHeader;

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    /// Of the first record of a batch, relative to the segment.
    relative: u32,
    /// Where that batch begins.
    position: u32,
    /// The largest time stamp of all batches of the segment before it.
    max_timestamp_before: i64,
}

/// The indexes of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Index {
    base: Offset,
    entries: Vec<Entry>,
    max_timestamp: i64,
    indexed_up_to: u64,
}

impl Index {
    pub(super) fn new(base: Offset) -> Self {
        Self { base, entries: Vec::new(), max_timestamp: -1, indexed_up_to: 0 }
    }

    /// The largest time stamp in the segment, or −1.
    pub(super) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// Notes a batch at `position`; it gets an entry if the last one is at least `interval` bytes before.
    pub(super) fn add(&mut self, header: &BatchHeader, position: u64, interval: u64) {
        if position >= self.indexed_up_to + interval.max(1) {
            self.entries.push(Entry {
                relative: (header.base_offset.0 - self.base.0) as u32,
                position: position as u32,
                max_timestamp_before: self.max_timestamp,
            });
            self.indexed_up_to = position;
        }
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// A batch at or before the record at `offset`: its offset and position.
    pub(super) fn floor(&self, offset: Offset) -> (Offset, u64) {
        self.entry_before(
            self.entries.partition_point(|entry| self.base.0 + i64::from(entry.relative) <= offset.0),
        )
    }

    /// A batch before which no record has a time stamp of `timestamp` or later: its offset and position.
    pub(super) fn floor_by_time(&self, timestamp: i64) -> (Offset, u64) {
        self.entry_before(self.entries.partition_point(|entry| entry.max_timestamp_before < timestamp))
    }

    fn entry_before(&self, count: usize) -> (Offset, u64) {
        count.checked_sub(1).map_or((self.base, 0), |last| {
            let entry = self.entries[last];
            (Offset(self.base.0 + i64::from(entry.relative)), u64::from(entry.position))
        })
    }

    /// Forgets the batches from `end` on, where one begins. Those between the returned offset and position and `end`
    /// have to be added again, for their time stamps.
    pub(super) fn truncate(&mut self, end: Offset) -> (Offset, u64) {
        let keep = self.entries.partition_point(|entry| self.base.0 + i64::from(entry.relative) < end.0);
        self.entries.truncate(keep);
        self.max_timestamp = self.entries.last().map_or(-1, |entry| entry.max_timestamp_before);
        self.indexed_up_to = self.entries.last().map_or(0, |entry| u64::from(entry.position));
        self.entry_before(keep)
    }

    /// Writes both files of a segment that ends at `end`, which closes the time index as its last entry.
    pub(super) fn store(&self, stem: &str, end: Offset, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let mut offsets = Vec::with_capacity(self.entries.len() * OFFSET_ENTRY_BYTES);
        let mut times = Vec::with_capacity((self.entries.len() + 1) * TIME_ENTRY_BYTES);
        for entry in &self.entries {
            offsets.extend_from_slice(&entry.relative.to_be_bytes());
            offsets.extend_from_slice(&entry.position.to_be_bytes());
            times.extend_from_slice(&entry.max_timestamp_before.to_be_bytes());
            times.extend_from_slice(&entry.relative.to_be_bytes());
        }
        times.extend_from_slice(&self.max_timestamp.to_be_bytes());
        times.extend_from_slice(&((end.0 - self.base.0) as u32).to_be_bytes());
        replace(&format!("{stem}.index"), &offsets, disk)?;
        replace(&format!("{stem}.timeindex"), &times, disk)
    }

    /// Reads both files of a segment of `size` bytes that ends at `end`; `None` if they are missing or cannot be
    /// right.
    pub(super) fn load(
        stem: &str,
        base: Offset,
        end: Offset,
        size: u64,
        disk: &mut dyn Disk,
    ) -> Result<Option<Self>, DiskError> {
        let offsets = read_whole(&format!("{stem}.index"), disk)?;
        let times = read_whole(&format!("{stem}.timeindex"), disk)?;
        Ok(Self::decode(base, end, size, &offsets, &times))
    }

    fn decode(base: Offset, end: Offset, size: u64, offsets: &[u8], times: &[u8]) -> Option<Self> {
        let count = offsets.len() / OFFSET_ENTRY_BYTES;
        let consistent =
            offsets.len().is_multiple_of(OFFSET_ENTRY_BYTES) && times.len() == (count + 1) * TIME_ENTRY_BYTES;
        if !consistent {
            return None;
        }
        let (times, last) = times.split_at(count * TIME_ENTRY_BYTES);
        let (max_timestamp, relative_end) = time_entry(last)?;
        let mut index = Self::new(base);
        for (offset, time) in
            offsets.chunks_exact(OFFSET_ENTRY_BYTES).zip(times.chunks_exact(TIME_ENTRY_BYTES))
        {
            let (relative, position) = offset.split_at(4);
            let (max_timestamp_before, relative_again) = time_entry(time)?;
            let relative = u32::from_be_bytes(relative.try_into().ok()?);
            let position = u32::from_be_bytes(position.try_into().ok()?);
            let grows = index.entries.last().is_none_or(|before| {
                before.relative < relative
                    && before.position < position
                    && before.max_timestamp_before <= max_timestamp_before
            });
            if !grows || relative != relative_again || u64::from(position) >= size {
                return None;
            }
            index.entries.push(Entry { relative, position, max_timestamp_before });
        }
        index.max_timestamp = max_timestamp;
        index.indexed_up_to = index.entries.last().map_or(0, |entry| u64::from(entry.position));
        (base.0 + i64::from(relative_end) == end.0).then_some(index)
    }
}

fn time_entry(bytes: &[u8]) -> Option<(i64, u32)> {
    let (timestamp, relative) = bytes.split_at_checked(8)?;
    Some((i64::from_be_bytes(timestamp.try_into().ok()?), u32::from_be_bytes(relative.try_into().ok()?)))
}

/// Writes a small file as a whole.
pub(super) fn replace(path: &str, bytes: &[u8], disk: &mut dyn Disk) -> Result<(), DiskError> {
    let file = disk.open(path)?;
    let done = disk.truncate(file, 0).and_then(|()| disk.write_at(file, 0, &[bytes]));
    disk.close(file);
    done
}

/// The bytes of a small file, none if it is missing.
pub(super) fn read_whole(path: &str, disk: &mut dyn Disk) -> Result<Vec<u8>, DiskError> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    if !disk.list(directory)?.iter().any(|entry| entry == name) {
        return Ok(Vec::new());
    }
    let file = disk.open(path)?;
    let read = disk.len(file).and_then(|length| {
        let mut bytes = vec![0; length as usize];
        let count = disk.read_at(file, 0, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    });
    disk.close(file);
    read
}
