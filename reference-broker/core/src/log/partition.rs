//! Appends to the log of one partition, and keeps all that is known of it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::checkpoint::Checkpoint;
use super::epochs::EpochCache;
use super::planted::Planted;
use super::producers::ProducerStates;
use super::recover::recover;
use super::segment::Segment;
use super::tail::Tail;
use super::{AppendError, LogConfig, LogError};
use crate::disk::{Disk, DiskError, FileId};
use crate::ids::{LeaderEpoch, Offset};
use crate::record::{self, Batch, BatchError, BatchHeader};

/// For how many segments the state of the producers at their base is kept, so that a cut need not replay the log.
const SNAPSHOTS_MAX: usize = 3;

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
pub struct PartitionLog {
    pub(super) directory: String,
    pub(super) config: LogConfig,
    /// In order, never empty; the last one is appended to.
    pub(super) segments: Vec<Segment>,
    pub(super) end: Offset,
    pub(super) flushed: Offset,
    /// How often the log was cut.
    pub(super) generation: u64,
    /// As in the stored checkpoint.
    pub(super) durable: Offset,
    pub(super) epochs: EpochCache,
    pub(super) producers: ProducerStates,
    /// The producers as of the bases of the newest segments.
    pub(super) snapshots: BTreeMap<Offset, ProducerStates>,
    pub(super) tail: Tail,
    /// A file was created whose directory entry was not flushed yet.
    unlisted: bool,
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
        let mut log = Self {
            directory: directory.into(),
            segments: found.segments,
            end: found.end,
            flushed: found.durable,
            generation: 0,
            durable: found.durable,
            epochs: found.epochs,
            producers: found.producers,
            snapshots: found.snapshots,
            tail: Tail::new(config.tail_bytes),
            unlisted: true,
            fenced: false,
            planted: Planted::new(config.defects),
            config,
        };
        log.forget_old_snapshots();
        Ok(log)
    }

    /// The first offset there is.
    pub fn log_start_offset(&self) -> Offset {
        self.segments[0].base
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

    /// Appends batches as they came from the leader, with its offsets and epochs: all of them or, on an error, none.
    pub fn append_as_follower(
        &mut self,
        records: Bytes,
        disk: &mut dyn Disk,
    ) -> Result<Appended, AppendError> {
        self.writable()?;
        let headers = self.validate_for_follower(&records)?;
        let mut copy = Bytes::copy_from_slice(&records);
        drop(records);
        let first_offset = self.end;
        for header in headers {
            self.store(&Batch { header, bytes: copy.split_to(header.size()) }, disk)?;
        }
        let last_offset = Offset(self.end.0 - 1);
        Ok(Appended { first_offset, last_offset, log_append_time_ms: -1, duplicate: false })
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
        flushed
    }

    /// Deletes the log and its directory.
    pub fn delete(self, disk: &mut dyn Disk) -> Result<(), LogError> {
        for segment in &self.segments {
            disk.close(segment.file);
        }
        Ok(disk.remove_dir(&self.directory)?)
    }

    fn flush_here(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
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

    fn validate_for_leader(&self, records: &[u8]) -> Result<BatchHeader, AppendError> {
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
        let sequenced = header.producer_epoch.0 >= 0 && header.base_sequence.0 >= 0;
        if header.is_idempotent() && !header.is_control() && !sequenced {
            return Err(AppendError::InvalidRecord("a producer id without epoch or sequence"));
        }
        Ok(header)
    }

    fn validate_for_follower(&self, records: &Bytes) -> Result<Vec<BatchHeader>, AppendError> {
        let (mut expected, mut epoch) = (self.end, self.epochs.latest());
        let mut headers = Vec::new();
        for batch in record::batches(records.clone()) {
            let header = BatchHeader::validate(&batch?.bytes)?;
            if header.base_offset != expected {
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
        self.epochs.assign(header.leader_epoch, header.base_offset);
        self.producers.update(header);
        self.end = header.last_offset().next();
        self.tail.push(header.base_offset, header.last_offset(), batch.bytes.clone());
        Ok(())
    }

    fn write(&mut self, batch: &Batch, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let size = self.active().size;
        if size > 0 && size + batch.bytes.len() as u64 > self.config.segment_bytes {
            self.roll(disk)?;
        }
        let interval = self.config.index_interval_bytes;
        let segment = self.segments.last_mut().expect("a log has a segment");
        disk.write_at(segment.file, segment.size, &[&batch.bytes])?;
        segment.index.add(&batch.header, segment.size, interval);
        segment.size += batch.bytes.len() as u64;
        Ok(())
    }

    fn roll(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let closed = self.active();
        closed.index.store(closed.stem(), self.end, disk)?;
        let segment = Segment::open(&self.directory, self.end, disk)?;
        self.segments.push(segment);
        self.unlisted = true;
        self.snapshots.insert(self.end, self.producers.clone());
        self.forget_old_snapshots();
        Ok(())
    }

    pub(super) fn active(&self) -> &Segment {
        self.segments.last().expect("a log has a segment")
    }

    fn forget_old_snapshots(&mut self) {
        while self.snapshots.len() > SNAPSHOTS_MAX {
            self.snapshots.pop_first();
        }
    }

    /// Makes new files findable after a power loss.
    fn list_files(&mut self, disk: &mut dyn Disk) -> Result<(), LogError> {
        if self.unlisted {
            let parent = self.directory.rsplit_once('/').map_or("", |(parent, _)| parent);
            disk.sync_dir(&self.directory)
                .and_then(|()| disk.sync_dir(parent))
                .inspect_err(|_| self.fenced = true)?;
            self.unlisted = false;
        }
        Ok(())
    }

    /// Notes that all below `durable` is durable, and what is known as of the last segment that begins there.
    pub(super) fn store_checkpoint(&mut self, durable: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        let start = self.log_start_offset();
        let scan_from = self.snapshots.range(..=durable).next_back().map_or(start, |(base, _)| *base);
        let epochs = self.epochs.clone();
        let producers = self.snapshots.get(&scan_from).cloned().unwrap_or_default();
        Checkpoint { durable, scan_from, epochs, producers }
            .store(&self.directory, disk)
            .inspect_err(|_| self.fenced = true)?;
        self.durable = durable;
        Ok(())
    }
}
