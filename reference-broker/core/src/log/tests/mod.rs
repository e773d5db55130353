//! Tests of the log as a whole.

mod append;
mod clean;
mod cut;
mod model;
mod planted;
mod prefix;
mod read;
mod recovery;
mod retention;
mod transactions;

use bytes::Bytes;

use super::{AppendError, Appended, LogConfig, PartitionLog, TransactionEnd};
use crate::disk::MemDisk;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::{self, BatchBuilder, BatchHeader, Marker};

const DIRECTORY: &str = "data/orders-0";

fn small() -> LogConfig {
    LogConfig { segment_bytes: 400, index_interval_bytes: 100, ..LogConfig::default() }
}

fn open(config: &LogConfig, disk: &mut MemDisk) -> PartitionLog {
    PartitionLog::open(DIRECTORY, *config, disk).unwrap()
}

/// `count` records with values of 20 bytes.
fn plain(count: usize) -> Bytes {
    let mut builder = BatchBuilder::new(1000);
    (0..count).for_each(|_| builder.push(1000, None, Some(&[7; 20]), &[]));
    builder.build()
}

fn from_producer(id: i64, epoch: i16, sequence: i32) -> Bytes {
    BatchBuilder::new(1000)
        .producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence))
        .record(None, Some(b"value"))
        .build()
}

fn transactional(id: i64, epoch: i16, sequence: i32) -> Bytes {
    BatchBuilder::new(1000)
        .producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence))
        .transactional()
        .record(None, Some(b"value"))
        .build()
}

/// Appends a batch of a transaction, about which the coordinator was asked if need be.
fn append_verified(
    log: &mut PartitionLog,
    batch: Bytes,
    epoch: i32,
    disk: &mut MemDisk,
) -> Result<Appended, AppendError> {
    let header = BatchHeader::parse(&batch).unwrap();
    if let Some(guard) = log.begin_verification(&header) {
        log.verified(header.producer_id, guard);
    }
    append(log, batch, epoch, disk)
}

fn mark(
    log: &mut PartitionLog,
    (id, epoch): (i64, i16),
    commit: bool,
    leader_epoch: i32,
    disk: &mut MemDisk,
) -> Result<Appended, AppendError> {
    log.append_marker(ending(id, epoch, commit), LeaderEpoch(leader_epoch), 5_000, disk)
}

fn ending(id: i64, epoch: i16, commit: bool) -> TransactionEnd {
    TransactionEnd {
        producer: ProducerId(id),
        producer_epoch: ProducerEpoch(epoch),
        bumped: false,
        marker: Marker { commit, coordinator_epoch: 3 },
    }
}

fn append(
    log: &mut PartitionLog,
    batch: Bytes,
    epoch: i32,
    disk: &mut MemDisk,
) -> Result<Appended, AppendError> {
    log.append_as_leader(batch, LeaderEpoch(epoch), 5_000, disk)
}

/// A log with so many batches of one record each, under epoch 1.
fn filled(batches: usize, config: &LogConfig, disk: &mut MemDisk) -> PartitionLog {
    let mut log = open(config, disk);
    for _ in 0..batches {
        append(&mut log, plain(1), 1, disk).unwrap();
    }
    log
}

fn active_path(log: &PartitionLog) -> String {
    log.active().path()
}

/// All bytes of the log, read in pieces. Where compaction has left nothing before its end, it is over.
fn contents(log: &PartitionLog, disk: &mut MemDisk) -> Vec<u8> {
    let mut all = Vec::new();
    let mut from = log.log_start_offset();
    while from < log.log_end_offset() {
        let parts = log.read(from, log.log_end_offset(), 300, true, disk).unwrap();
        let piece: Vec<u8> = parts.concat();
        let Some(last) = record::batches(Bytes::from(piece.clone())).last() else { break };
        let last = last.unwrap();
        from = last.header.last_offset().next();
        all.extend(piece);
    }
    all
}

fn bases(bytes: Vec<u8>) -> Vec<i64> {
    record::batches(bytes.into()).map(|batch| batch.unwrap().header.base_offset.0).collect()
}

fn flush(log: &mut PartitionLog, disk: &mut MemDisk) {
    let (_, ticket) = log.begin_flush();
    log.complete_flush(ticket, disk).unwrap();
}

fn end(log: &PartitionLog) -> i64 {
    let Offset(end) = log.log_end_offset();
    end
}
