//! Transactions that have ended in the log of one partition, and the index of those that were aborted.
//!
//! The index lives in memory, by the segment that holds the marker. Its file (`.txnindex`, entries as Kafka's, with a
//! checksum behind them) is written once, when the segment is closed. A file that is missing or damaged is never taken
//! for an empty one, since a reader would then be shown aborted records: the log is scanned instead.

use crate::disk::{Disk, DiskError};
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::record::Marker;

use super::index::{read_whole, replace};

const ENTRY_BYTES: usize = 34;
const ENTRY_VERSION: i16 = 0;

/// The end of a transaction, as a marker is to tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionEnd {
    /// Whose transaction.
    pub producer: ProducerId,
    /// Its epoch, or a newer one that fences it.
    pub producer_epoch: ProducerEpoch,
    /// Surely a newer one: a transaction under this very epoch is a later one.
    pub bumped: bool,
    /// How it ended.
    pub marker: Marker,
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EndedTransaction {
    pub(super) producer: ProducerId,
    /// Its first record here.
    pub(super) first: Offset,
    /// Its marker.
    pub(super) marker: Offset,
    pub(super) committed: bool,
    /// Where the oldest transaction began that is still open then, or else the end of the log.
    pub(super) stable_end: Offset,
}

/// A transaction that was aborted: its records, from `first` to the marker, must not be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    /// Who began it.
    pub producer: ProducerId,
    /// Its first record here.
    pub first: Offset,
    /// Its marker.
    pub marker: Offset,
    /// Every transaction that was ended later begins at or after it.
    pub stable_end: Offset,
}

/// The aborted transactions whose markers are in one segment, in the order of the markers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct AbortedIndex {
    entries: Vec<AbortedTransaction>,
}

impl AbortedIndex {
    /// Notes a transaction if it was aborted.
    pub(super) fn add(&mut self, ended: &EndedTransaction) {
        let EndedTransaction { producer, first, marker, committed, stable_end } = *ended;
        if !committed {
            self.entries.push(AbortedTransaction { producer, first, marker, stable_end });
        }
    }

    /// Forgets the markers from `end` on.
    pub(super) fn truncate(&mut self, end: Offset) {
        self.entries.retain(|entry| entry.marker < end);
    }

    pub(super) fn entries(&self) -> &[AbortedTransaction] {
        &self.entries
    }

    pub(super) fn store(&self, stem: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES + 4);
        for entry in &self.entries {
            bytes.extend_from_slice(&ENTRY_VERSION.to_be_bytes());
            for number in [entry.producer.0, entry.first.0, entry.marker.0, entry.stable_end.0] {
                bytes.extend_from_slice(&number.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&checksum(&bytes));
        replace(&path(stem), &bytes, disk)
    }

    /// Reads the file of a closed segment; `None` if it is missing or damaged.
    pub(super) fn load(stem: &str, disk: &mut dyn Disk) -> Result<Option<Self>, DiskError> {
        Ok(Self::decode(&read_whole(&path(stem), disk)?))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, stored) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if self::checksum(body) != stored || !body.len().is_multiple_of(ENTRY_BYTES) {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let number = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
            Some(AbortedTransaction {
                producer: ProducerId(number(2)?),
                first: Offset(number(10)?),
                marker: Offset(number(18)?),
                stable_end: Offset(number(26)?),
            })
        };
        body.chunks_exact(ENTRY_BYTES).map(entry).collect::<Option<_>>().map(|entries| Self { entries })
    }
}

/// Of a file without entries, too, it is not zero: a file that was extended and never written has nothing but zeros.
fn checksum(entries: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(b"txnindex"), entries).to_be_bytes()
}

fn path(stem: &str) -> String {
    format!("{stem}.txnindex")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn index() -> AbortedIndex {
        let mut index = AbortedIndex::default();
        for (first, marker, committed) in [(3, 9, false), (10, 12, true), (5, 20, false)] {
            let (first, marker) = (Offset(first), Offset(marker));
            let producer = ProducerId(7);
            index.add(&EndedTransaction { producer, first, marker, committed, stable_end: marker.next() });
        }
        index
    }

    #[test]
    fn only_what_was_aborted_is_kept_and_a_cut_forgets_its_markers() {
        let mut index = index();
        assert_eq!(index.entries().iter().map(|entry| entry.marker.0).collect::<Vec<_>>(), [9, 20]);
        index.truncate(Offset(20));
        assert_eq!(index.entries().len(), 1);
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_a_missing_or_damaged_one_is_not_taken_for_an_empty_one() {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        assert_eq!(AbortedIndex::load("log/0", &mut disk), Ok(None));
        index().store("log/0", &mut disk).unwrap();
        assert_eq!(AbortedIndex::load("log/0", &mut disk), Ok(Some(index())));
        let length = disk.contents("log/0.txnindex").unwrap().len();
        assert_eq!(length, 2 * ENTRY_BYTES + 4);
        for at in 0..length {
            let mut damaged = disk.clone();
            damaged.contents_mut("log/0.txnindex").unwrap()[at] ^= 1;
            assert_eq!(AbortedIndex::load("log/0", &mut damaged), Ok(None), "byte {at}");
            let mut cut = disk.clone();
            cut.contents_mut("log/0.txnindex").unwrap().truncate(at);
            assert_eq!(AbortedIndex::load("log/0", &mut cut), Ok(None), "cut at {at}");
        }
        AbortedIndex::default().store("log/0", &mut disk).unwrap();
        assert_eq!(AbortedIndex::load("log/0", &mut disk), Ok(Some(AbortedIndex::default())));
    }
}
