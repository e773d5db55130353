//! Appends to the log of one partition, and keeps all that is known of it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::checkpoint::Checkpoint;
use super::clean::CleanPass;
use super::epochs::EpochCache;
use super::planted::Planted;
use super::producers::ProducerStates;
use super::recover::recover;
use super::segment::Segment;
use super::snapshot;
use super::tail::Tail;
use super::transactions::TransactionEnd;
use super::verification::Verifications;
use super::{AppendError, LogConfig, LogError};
use crate::disk::{Disk, DiskError, FileId};
use crate::ids::{LeaderEpoch, Offset};
use crate::record::{self, Batch, BatchError, BatchHeader, Marker};

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

/// What has happened to a log since it was opened, for who watches it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogEvents {
    /// Passes of compaction that came to their end.
    pub compactions: u64,
    /// How often it forgot everything to begin elsewhere.
    pub restarts: u64,
    /// Segments that a process before had half replaced.
    pub swaps_completed: u64,
    /// Whether recovery began with a snapshot of the producers.
    pub from_snapshot: bool,
}

/// Deletes the directory of a log that is not open. The checkpoint goes first: a loss of power may bring some of the files
/// back, which without it are no damage but the beginning of a log, or nothing.
pub fn remove(directory: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
    Checkpoint::remove(directory, disk)?;
    disk.remove_dir(directory)
}

/// The log of one partition.
#[derive(Debug)]
pub struct PartitionLog {
    pub(super) directory: String,
    pub(super) config: LogConfig,
    /// In order, never empty; the last one is appended to.
    pub(super) segments: Vec<Segment>,
    /// What lies below is deleted, even if it is still in the first segment.
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) flushed: Offset,
    /// How often the log was cut.
    pub(super) generation: u64,
    /// How often segments went or were replaced.
    pub(super) shape: u64,
    /// All below is compacted.
    pub(super) cleaned: Offset,
    /// Offsets may be missing between batches.
    pub(super) holes: bool,
    /// The pass of compaction in progress.
    pub(super) cleaning: Option<CleanPass>,
    /// Compaction has met damage.
    pub(super) uncleanable: bool,
    /// What has happened since the log was opened.
    pub(super) events: LogEvents,
    /// As in the stored checkpoint.
    pub(super) durable: Offset,
    pub(super) epochs: EpochCache,
    pub(super) producers: ProducerStates,
    /// Transactions that have ended with markers that may not be committed: from their first records to the markers.
    pub(super) ended: BTreeMap<Offset, Offset>,
    pub(super) verifications: Verifications,
    pub(super) tail: Tail,
    /// A file was created whose directory entry was not flushed yet.
    pub(super) unlisted: bool,
    pub(super) fenced: bool,
    planted: Planted,
}

impl PartitionLog {
    /// Opens the log in a directory, and creates it if it is missing. What was not durable when the process died is
    /// checked batch by batch; the log ends before the first bad or torn one. What was found need not be durable:
    /// see [`Self::flushed_end_offset`].
    pub fn open(directory: &str, mut config: LogConfig, disk: &mut dyn Disk) -> Result<Self, LogError> {
        config.segment_bytes = config.segment_bytes.min(i32::MAX as u64);
        disk.create_dir(directory)?;
        let found = recover(directory, &config, disk)?;
        Ok(Self {
            directory: directory.into(),
            segments: found.segments,
            start: found.start,
            end: found.end,
            // What is deleted need not be durable.
            flushed: found.durable.max(found.start),
            generation: 0,
            shape: 0,
            cleaned: found.cleaned,
            holes: found.holes,
            cleaning: None,
            uncleanable: false,
            events: found.events,
            durable: found.durable,
            epochs: found.epochs,
            producers: found.producers,
            ended: found.ended,
            verifications: Verifications::default(),
            tail: Tail::new(config.tail_bytes),
            unlisted: true,
            fenced: false,
            planted: Planted::new(config.defects),
            config,
        })
    }

    /// The settings in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// The settings have changed; what is stored stays as it is.
    pub fn configure(&mut self, config: LogConfig) {
        let segment_bytes = config.segment_bytes.min(i32::MAX as u64);
        self.config = LogConfig { segment_bytes, ..config };
    }

    /// What has happened since it was opened.
    pub fn events(&self) -> LogEvents {
        self.events
    }

    /// The first offset there is.
    pub fn log_start_offset(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> Offset {
        self.end
    }

    /// All below is durable. After a start this may lag behind the end although nothing was appended yet.
    pub fn flushed_end_offset(&self) -> Offset {
        self.flushed
    }

    /// The newest leader epoch that is known here, or none.
    pub fn latest_epoch(&self) -> LeaderEpoch {
        self.epochs.latest()
    }

    /// A new leader stamps its epoch at the end of its log, even before it has any data (KAFKA-7415).
    pub fn start_epoch(&mut self, epoch: LeaderEpoch) {
        self.epochs.assign(epoch, self.end);
        self.verifications.clear();
    }

    /// The largest epoch not above `epoch` and its end offset (`OffsetForLeaderEpoch`, KIP-101 and KIP-279);
    /// `(NONE, −1)` if `epoch` is newer than all this log knows.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.epochs.end_offset(epoch, self.end)
    }

    /// The epoch of the leader that appended the record at `offset`, or none.
    pub fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.epochs.at(offset)
    }

    /// Appends one batch as it came from a client or from the broker itself, at the end of the log and under this
    /// leader epoch. A batch that an idempotent producer has sent before is not appended again.
    ///
    /// # Panics
    /// If `epoch` is older than [`Self::latest_epoch`]: who appends must know that it still leads.
    pub fn append_as_leader(
        &mut self,
        records: Bytes,
        epoch: LeaderEpoch,
        wall_ms: i64,
        disk: &mut dyn Disk,
    ) -> Result<Appended, AppendError> {
        let latest = self.epochs.latest();
        assert!(epoch >= latest, "append under leader epoch {epoch} after {latest}");
        self.writable()?;
        let header = self.validate_for_leader(&records)?;
        let log_append_time_ms = if self.config.log_append_time { wall_ms } else { -1 };
        if let Some(stored) = self.producers.check(&header, self.config.defects)? {
            return Ok(Appended {
                first_offset: stored.first_offset,
                last_offset: stored.last_offset,
                log_append_time_ms: if self.config.log_append_time { stored.timestamp } else { -1 },
                duplicate: true,
            });
        }
        self.check_transaction(&header)?;
        // The one copy: otherwise the tail would keep whole request frames alive.
        let mut batch = BytesMut::from(&records[..]);
        drop(records);
        if self.config.log_append_time {
            record::set_log_append_time(&mut batch, wall_ms);
        }
        self.planted.flip_byte(&header, &mut batch);
        let stored = self.append_batch(batch, epoch, disk)?;
        if let Some(phantom) = self.planted.phantom(&stored) {
            self.append_batch(phantom, epoch, disk)?;
        }
        Ok(Appended {
            first_offset: stored.header.base_offset,
            last_offset: stored.header.last_offset(),
            log_append_time_ms,
            duplicate: false,
        })
    }

    /// Appends the marker that ends a transaction, or did so before: a coordinator that had no answer asks again.
    pub fn append_marker(
        &mut self,
        end: TransactionEnd,
        epoch: LeaderEpoch,
        wall_ms: i64,
        disk: &mut dyn Disk,
    ) -> Result<Appended, AppendError> {
        self.writable()?;
        self.producers.check_marker(&end)?;
        let batch = BytesMut::from(end.marker.batch(end.producer, end.producer_epoch, wall_ms));
        let stored = self.append_batch(batch, epoch, disk)?;
        self.verifications.ended(&end);
        let (first_offset, last_offset) = (stored.header.base_offset, stored.header.last_offset());
        Ok(Appended { first_offset, last_offset, log_append_time_ms: -1, duplicate: false })
    }

    /// Appends batches as they came from the leader, with its offsets and epochs: all of them or, on an error, none.
    pub fn append_as_follower(
        &mut self,
        records: Bytes,
        disk: &mut dyn Disk,
    ) -> Result<Appended, AppendError> {
        self.writable()?;
        let headers = self.validate_for_follower(&records)?;
        self.expect_holes(&headers, disk)?;
        let mut copy = Bytes::copy_from_slice(&records);
        drop(records);
        let first_offset = self.end;
        for header in headers {
            self.store(&Batch { header, bytes: copy.split_to(header.size()) }, disk)?;
        }
        let last_offset = Offset(self.end.0 - 1);
        Ok(Appended { first_offset, last_offset, log_append_time_ms: -1, duplicate: false })
    }

    /// A log with holes is known as such before it has the first.
    fn expect_holes(&mut self, headers: &[BatchHeader], disk: &mut dyn Disk) -> Result<(), AppendError> {
        let ends = headers.iter().map(|header| header.last_offset().next());
        let gap =
            std::iter::once(self.end).chain(ends).zip(headers).any(|(end, next)| next.base_offset > end);
        if !gap || self.holes {
            return Ok(());
        }
        self.holes = true;
        self.store_checkpoint(self.durable, disk).map_err(|error| match error {
            LogError::Disk(error) => AppendError::Disk(error),
            _ => AppendError::Fenced,
        })
    }

    /// The files to flush, and the ticket to hand to [`Self::complete_flush`] when that is done.
    pub fn begin_flush(&self) -> (Vec<FileId>, FlushTicket) {
        let first = self.segments.partition_point(|segment| segment.base <= self.flushed).saturating_sub(1);
        let files = self.segments[first..].iter().map(|segment| segment.file).collect();
        (files, FlushTicket { up_to: self.end, generation: self.generation })
    }

    /// The flush succeeded. A ticket from before a cut is worth nothing: what was flushed may have been replaced.
    pub fn complete_flush(&mut self, ticket: FlushTicket, disk: &mut dyn Disk) -> Result<(), LogError> {
        if self.fenced || ticket.generation != self.generation || ticket.up_to <= self.flushed {
            return Ok(());
        }
        self.list_files(disk)?;
        self.flushed = ticket.up_to;
        let closed = self.segments.iter().rev().find(|segment| segment.base <= self.flushed);
        match closed {
            Some(segment) if segment.base > self.durable => self.store_checkpoint(segment.base, disk),
            _ => Ok(()),
        }
    }

    /// A flush failed: nothing is appended any more (KAFKA-10778).
    pub fn fence(&mut self) {
        self.fenced = true;
    }

    /// The last append failed for want of room: what there is of it is cut off, and the log is as before.
    pub fn take_back(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        disk.truncate(self.active().file, self.active().size)?;
        self.fenced = false;
        Ok(())
    }

    /// Whether a write or a flush failed.
    pub fn is_fenced(&self) -> bool {
        self.fenced
    }

    /// Flushes and closes the files, and notes that all is durable. A fenced log is only closed.
    pub fn close(mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        let flushed = if self.fenced { Ok(()) } else { self.flush_here(disk) };
        for segment in &self.segments {
            disk.close(segment.file);
        }
        if let Some(file) = self.cleaning.as_ref().and_then(CleanPass::file) {
            disk.close(file);
        }
        flushed
    }

    /// Deletes the log and its directory.
    pub fn delete(self, disk: &mut dyn Disk) -> Result<(), LogError> {
        for segment in &self.segments {
            disk.close(segment.file);
        }
        if let Some(file) = self.cleaning.as_ref().and_then(CleanPass::file) {
            disk.close(file);
        }
        Ok(remove(&self.directory, disk)?)
    }

    /// Flushes, and notes that all is durable.
    pub(super) fn flush_here(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        for file in self.begin_flush().0 {
            disk.sync(file)?;
        }
        self.list_files(disk)?;
        self.flushed = self.end;
        self.store_checkpoint(self.end, disk)
    }

    fn writable(&self) -> Result<(), AppendError> {
        if self.fenced { Err(AppendError::Fenced) } else { Ok(()) }
    }

    fn validate_for_leader(&self, records: &Bytes) -> Result<BatchHeader, AppendError> {
        let header = BatchHeader::parse(records)?;
        let max = self.config.message_max_bytes;
        if header.size() > max {
            return Err(AppendError::TooLarge { size: header.size(), max });
        }
        BatchHeader::validate(records)?;
        if records.len() != header.size() {
            return Err(AppendError::InvalidRecord("more than one batch"));
        }
        // `last_offset_delta` decides how far the offset moves, so it must not lie.
        if header.record_count < 1 || header.last_offset_delta != header.record_count - 1 {
            return Err(AppendError::InvalidRecord("the number of records does not fit their offsets"));
        }
        // Offsets that are committed in a transaction have no sequence; those of clients are checked at the door.
        let numbered = header.base_sequence.0 >= 0 || header.is_transactional();
        let sequenced = header.producer_epoch.0 >= 0 && numbered;
        if header.is_idempotent() && !header.is_control() && !sequenced {
            return Err(AppendError::InvalidRecord("a producer id without epoch or sequence"));
        }
        if self.config.compacts && !header.is_control() {
            let records = keyless(&header, records);
            if !records.is_empty() {
                return Err(AppendError::NoKey { records });
            }
        }
        Ok(header)
    }

    fn validate_for_follower(&self, records: &Bytes) -> Result<Vec<BatchHeader>, AppendError> {
        let (mut expected, mut epoch) = (self.end, self.epochs.latest());
        let mut headers = Vec::new();
        for batch in record::batches(records.clone()) {
            let header = BatchHeader::validate(&batch?.bytes)?;
            let follows =
                header.base_offset == expected || (self.config.takes_gaps && header.base_offset > expected);
            if !follows {
                return Err(AppendError::NonContiguous { expected, found: header.base_offset });
            }
            if header.leader_epoch < epoch {
                let (before, found) = (epoch, header.leader_epoch);
                return Err(AppendError::Corrupt(BatchError::Epoch { before, found }));
            }
            if header.last_offset_delta < 0 {
                return Err(AppendError::InvalidRecord("a batch without records"));
            }
            (expected, epoch) = (header.last_offset().next(), header.leader_epoch);
            headers.push(header);
        }
        Ok(headers)
    }

    /// Gives a batch its place in the log, and stores it.
    fn append_batch(
        &mut self,
        mut batch: BytesMut,
        epoch: LeaderEpoch,
        disk: &mut dyn Disk,
    ) -> Result<Batch, AppendError> {
        record::patch_base_offset(&mut batch, self.end);
        record::patch_leader_epoch(&mut batch, epoch);
        let header = BatchHeader::parse(&batch)?;
        let batch = Batch { header, bytes: batch.freeze() };
        self.store(&batch, disk)?;
        Ok(batch)
    }

    fn store(&mut self, batch: &Batch, disk: &mut dyn Disk) -> Result<(), AppendError> {
        self.write(batch, disk).inspect_err(|error| {
            tracing::error!(log = self.directory, %error, "the log is fenced");
            self.fenced = true;
        })?;
        let header = &batch.header;
        self.epochs.assign(header.leader_epoch, self.end);
        if let Some(ended) = self.producers.update(header, Marker::of(batch)) {
            self.ended.insert(ended.first, ended.marker);
            self.segments.last_mut().expect("a log has a segment").aborted.add(&ended);
        }
        if header.is_transactional() && !header.is_control() {
            self.verifications.begun(header.producer_id);
        }
        self.end = header.last_offset().next();
        self.tail.push(header.base_offset, header.last_offset(), batch.bytes.clone());
        Ok(())
    }

    fn write(&mut self, batch: &Batch, disk: &mut dyn Disk) -> Result<(), DiskError> {
        if self.is_full_for(batch) {
            self.roll(disk)?;
        }
        let interval = self.config.index_interval_bytes;
        let segment = self.segments.last_mut().expect("a log has a segment");
        disk.write_at(segment.file, segment.size, &[&batch.bytes])?;
        segment.index.add(&batch.header, segment.size, interval);
        segment.first_timestamp.get_or_insert(batch.header.max_timestamp);
        segment.size += batch.bytes.len() as u64;
        Ok(())
    }

    /// Whether a batch has to go to a new segment: of size, of the span of time stamps, or since offsets are stored relative to
    /// the segment's.
    fn is_full_for(&self, batch: &Batch) -> bool {
        let active = self.active();
        let Some(first_timestamp) = active.first_timestamp else { return false };
        let segment_ms = if self.config.compacts {
            self.config.segment_ms.min(self.config.max_compaction_lag_ms)
        } else {
            self.config.segment_ms
        };
        active.size + batch.bytes.len() as u64 > self.config.segment_bytes
            || batch.header.max_timestamp.saturating_sub(first_timestamp) > segment_ms
            || batch.header.last_offset().0 - active.base.0 > i64::from(i32::MAX)
    }

    pub(super) fn roll(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        self.active().store_index_files(self.end, disk)?;
        let segment = Segment::open(&self.directory, self.end, disk)?;
        self.segments.push(segment);
        self.unlisted = true;
        snapshot::store(&self.directory, self.end, &self.producers, disk)
    }

    pub(super) fn active(&self) -> &Segment {
        self.segments.last().expect("a log has a segment")
    }

    /// Makes new files findable after a power loss.
    pub(super) fn list_files(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        if self.unlisted {
            let parent = self.directory.rsplit_once('/').map_or("", |(parent, _)| parent);
            disk.sync_dir(&self.directory)
                .and_then(|()| disk.sync_dir(parent))
                .inspect_err(|_| self.fenced = true)?;
            self.unlisted = false;
        }
        Ok(())
    }

    /// Notes that all below `durable` is durable, and what else recovery should know.
    pub(super) fn store_checkpoint(&mut self, durable: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        let Self { start, cleaned, holes, .. } = *self;
        Checkpoint { start, durable, cleaned, holes, epochs: self.epochs.clone() }
            .store(&self.directory, disk)
            .inspect_err(|_| self.fenced = true)?;
        self.durable = durable;
        Ok(())
    }
}

/// Which records have no key. Compressed batches are not looked into.
fn keyless(header: &BatchHeader, records: &Bytes) -> Vec<i32> {
    let batch = Batch { header: *header, bytes: records.clone() };
    let records = batch.records().into_iter().flatten();
    let without = records.zip(0..).filter(|(record, _)| record.as_ref().is_ok_and(|it| it.key.is_none()));
    without.map(|(_, place)| place).collect()
}
