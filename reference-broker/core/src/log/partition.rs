//! The log of one partition.

use bytes::Bytes;

use super::{AppendError, LogConfig, LogError};
use crate::disk::{Disk, FileId};
use crate::ids::{LeaderEpoch, Offset};

/// What an append did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The time that the records were given, or −1 if they keep the sender's.
    pub log_append_time_ms: i64,
    /// Nothing was appended: the batch was stored before, at these offsets.
    pub duplicate: bool,
}

/// What a flush in progress makes durable. Void once the log was cut meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlushTicket {
    up_to: Offset,
    generation: u64,
}

/// The log of one partition.
#[derive(Debug)]
pub struct PartitionLog {}

impl PartitionLog {
    /// Opens the log in a directory, and creates it if it is missing. What was not durable when the process died is
    /// checked batch by batch; the log ends before the first bad or torn one.
    pub fn open(_dir: &str, _config: LogConfig, _disk: &mut dyn Disk) -> Result<Self, LogError> {
        todo!()
    }
    /// The first offset there is.
    pub fn log_start_offset(&self) -> Offset {
        todo!()
    }
    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        todo!()
    }
    /// All below is durable.
    pub fn flushed_end_offset(&self) -> Offset {
        todo!()
    }
    /// The newest leader epoch that left a trace here, or none.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        todo!()
    }
    /// A new leader stamps its epoch at the end of its log, even before it has any data (KAFKA-7415).
    pub fn start_epoch(&mut self, _epoch: LeaderEpoch) {
        todo!()
    }
    /// The largest epoch not above `epoch` and its end offset (`OffsetForLeaderEpoch`, KIP-101 and KIP-279);
    /// `(NONE, −1)` if `epoch` is newer than all this log knows.
    pub fn end_offset_for_epoch(&self, _epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        todo!()
    }
    /// The epoch of the leader that appended the record at `offset`, or none.
    pub fn epoch_at(&self, _offset: Offset) -> LeaderEpoch {
        todo!()
    }
    /// Appends one batch as it came from a client, at the end of the log and under this leader epoch.
    pub fn append_as_leader(
        &mut self,
        _records: Bytes,
        _epoch: LeaderEpoch,
        _wall_ms: i64,
        _disk: &mut dyn Disk,
    ) -> Result<Appended, AppendError> {
        todo!()
    }
    /// Appends batches as they came from the leader, with its offsets and epochs.
    pub fn append_as_follower(
        &mut self,
        _records: Bytes,
        _disk: &mut dyn Disk,
    ) -> Result<Appended, AppendError> {
        todo!()
    }
    /// Whole batches from the one that holds `from` (inclusive) up to `to` (exclusive), at most `max_bytes`; with
    /// `at_least_one` the first comes whole even if it is larger. Empty if there is nothing.
    pub fn read(
        &self,
        _from: Offset,
        _to: Offset,
        _max_bytes: usize,
        _at_least_one: bool,
        _disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, LogError> {
        todo!()
    }
    /// The first record whose time stamp is at or after `timestamp`: its offset, time stamp and leader epoch.
    pub fn offset_for_timestamp(
        &self,
        _timestamp: i64,
        _disk: &mut dyn Disk,
    ) -> Result<Option<(Offset, i64, LeaderEpoch)>, LogError> {
        todo!()
    }
    /// Forgets everything from `offset` on: records, epochs, producer state, index entries.
    pub fn truncate_to(&mut self, _offset: Offset, _disk: &mut dyn Disk) -> Result<(), LogError> {
        todo!()
    }
    /// The files to flush, and the ticket to hand to [`Self::complete_flush`] when that is done.
    pub fn begin_flush(&self) -> (Vec<FileId>, FlushTicket) {
        todo!()
    }
    /// The flush succeeded.
    pub fn complete_flush(&mut self, _ticket: FlushTicket, _disk: &mut dyn Disk) -> Result<(), LogError> {
        todo!()
    }
    /// A flush failed: nothing is appended any more.
    pub fn fence(&mut self) {
        todo!()
    }
    /// Whether a write or a flush failed.
    pub fn is_fenced(&self) -> bool {
        todo!()
    }
    /// Flushes and closes the files.
    pub fn close(self, _disk: &mut dyn Disk) -> Result<(), LogError> {
        todo!()
    }
    /// Deletes the log and its directory.
    pub fn delete(self, _disk: &mut dyn Disk) -> Result<(), LogError> {
        todo!()
    }
}
