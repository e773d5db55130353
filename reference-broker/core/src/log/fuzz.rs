//! Recovery of a damaged log: it ends with a log that can be read and written, or with an error that says where the damage is.
//!
//! In:  damage to the files of a log that has closed segments, indexes, producers, transactions and deleted records.
//! Never: panics, goes round in circles, or gives out bytes that are no batches.

use std::sync::OnceLock;

use bytes::Bytes;

use super::{LogConfig, LogError, PartitionLog, TransactionEnd};
use crate::disk::{MemDisk, damage};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::{BatchBuilder, BatchHeader, Marker, batches};

const DIRECTORY: &str = "orders-0";
/// A read that brings nothing new so often is a circle.
const READS_MAX: usize = 10_000;

fn config() -> LogConfig {
    LogConfig { segment_bytes: 400, index_interval_bytes: 100, tail_bytes: 0, ..LogConfig::default() }
}

/// A log of some age, killed or stopped in an orderly way.
fn sample(orderly: bool) -> MemDisk {
    let mut disk = MemDisk::new();
    let mut log = PartitionLog::open(DIRECTORY, config(), &mut disk).expect("an empty disk is good");
    for number in 0..24 {
        let epoch = LeaderEpoch(1 + number / 10);
        let batch = BatchBuilder::new(1_000 + i64::from(number));
        let batch = match number % 4 {
            0 => batch,
            1 => batch.producer(ProducerId(7), ProducerEpoch(0), Sequence(number / 4)),
            _ => batch
                .producer(ProducerId(9), ProducerEpoch(0), Sequence(number / 4 * 2 + number % 2))
                .transactional(),
        };
        let batch = batch.record(Some(b"key"), Some(&[number as u8; 20])).build();
        let header = BatchHeader::parse(&batch).expect("a batch");
        if let Some(guard) = log.begin_verification(&header) {
            log.verified(header.producer_id, guard);
        }
        log.append_as_leader(batch, epoch, 5_000, &mut disk).expect("a good batch");
        if number % 8 == 7 {
            let end = TransactionEnd {
                producer: ProducerId(9),
                producer_epoch: ProducerEpoch(0),
                bumped: false,
                marker: Marker { commit: number % 16 == 7, coordinator_epoch: 1 },
            };
            log.append_marker(end, epoch, 5_000, &mut disk).expect("a marker");
        }
        if number == 15 {
            let (_, ticket) = log.begin_flush();
            log.complete_flush(ticket, &mut disk).expect("a flush");
            log.raise_start(Offset(3), &mut disk).expect("a deletion");
        }
    }
    if orderly {
        log.close(&mut disk).expect("closes");
    }
    disk.close_all();
    disk
}

/// Opens a log whose files have suffered what the bytes describe, and uses it.
///
/// # Panics
/// If it is neither usable nor refused.
pub fn damaged_log(bytes: &[u8]) {
    static SAMPLES: OnceLock<[MemDisk; 2]> = OnceLock::new();
    let Some((first, rest)) = bytes.split_first() else { return };
    let samples = SAMPLES.get_or_init(|| [sample(false), sample(true)]);
    let mut disk = samples[usize::from(first % 2)].clone();
    damage(&mut disk, rest);
    let mut log = match PartitionLog::open(DIRECTORY, config(), &mut disk) {
        Ok(log) => log,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let readable = walk(&log, &mut disk);
    let end = log.log_end_offset();
    let batch = BatchBuilder::new(1).record(None, Some(b"next")).build();
    let epoch = LeaderEpoch(log.latest_epoch().0.max(0));
    let appended = log.append_as_leader(batch, epoch, 5_000, &mut disk).expect("a good log takes more");
    assert_eq!(appended.first_offset, end);
    for timestamp in [0, 1_010, 2_000] {
        // What it finds depends on the damage; that it ends does not.
        let _ = log.offset_for_timestamp(timestamp, &mut disk);
    }
    drop(log);
    disk.close_all();
    // What was found once is found again, with what was added.
    let again = PartitionLog::open(DIRECTORY, config(), &mut disk).expect("a log that was good stays so");
    assert_eq!(again.log_end_offset(), end.next());
    if readable {
        assert!(walk(&again, &mut disk), "what could be read can be read again");
    }
}

/// Reads all there is, as a consumer does; false if some of it is damaged, which is said.
fn walk(log: &PartitionLog, disk: &mut MemDisk) -> bool {
    let (mut from, end) = (log.log_start_offset(), log.log_end_offset());
    assert!(from <= end && log.flushed_end_offset() <= end, "{from} {} {end}", log.flushed_end_offset());
    for _ in 0..READS_MAX {
        if from >= end {
            return true;
        }
        let parts = match log.read(from, end, 300, true, disk) {
            Ok(parts) => Bytes::from(parts.concat()),
            Err(LogError::Damaged { .. }) => return false,
            Err(error) => panic!("at {from}: {error}"),
        };
        let before = from;
        for batch in batches(parts) {
            let batch = batch.expect("whole batches");
            let header = BatchHeader::validate(&batch.bytes).expect("good batches");
            assert!(header.last_offset() >= from, "batch {} at {from}", header.base_offset);
            from = header.last_offset().next();
        }
        if from == before {
            // Compaction may have left nothing behind here.
            assert!(log.holes, "nothing at {from} of {end}");
            return true;
        }
    }
    panic!("reading goes round in circles at {from}");
}
