//! A log on this disk: what recovery makes of a torn tail, and of rot.

use broker_core::log::{LogConfig, LogError, PartitionLog};
use broker_core::record::BatchBuilder;
use broker_core::{LeaderEpoch, Offset};

use super::*;

const DIRECTORY: &str = "orders-0";
const BATCHES: i64 = 6;

/// A log of one segment.
fn open(disk: &mut SimDisk) -> Result<PartitionLog, LogError> {
    PartitionLog::open(DIRECTORY, LogConfig::default(), disk)
}

fn append(log: &mut PartitionLog, disk: &mut SimDisk) {
    for _ in 0..BATCHES {
        let batch = BatchBuilder::new(1).record(None, Some(&[7; 200])).build();
        log.append_as_leader(batch, LeaderEpoch(1), 1, disk).unwrap();
    }
}

fn flush(log: &mut PartitionLog, disk: &mut SimDisk) {
    let (files, ticket) = log.begin_flush();
    let flush = disk.begin_flush(&files).unwrap();
    disk.end_flush(&flush).unwrap();
    log.complete_flush(ticket, disk).unwrap();
}

#[test]
fn after_a_power_loss_a_log_has_all_that_was_flushed_and_no_half_batch() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let mut disk = SimDisk::new();
        let mut log = open(&mut disk).unwrap();
        append(&mut log, &mut disk);
        flush(&mut log, &mut disk);
        append(&mut log, &mut disk);
        disk.lose_power(&mut dice(seed));
        let log = open(&mut disk).unwrap();
        let end = log.log_end_offset();
        assert!((BATCHES..=2 * BATCHES).contains(&end.0), "seed {seed}: {end}");
        let stored = log.read(Offset(0), end, usize::MAX, true, &mut disk).unwrap();
        let whole = stored.into_iter().flat_map(broker_core::record::batches).map(Result::unwrap).count();
        assert_eq!(whole as i64, end.0, "seed {seed}");
        ends.insert(end);
    }
    assert!(ends.len() > 4, "{ends:?}");
}

#[test]
fn rot_below_what_was_durable_is_told_and_nothing_is_cut() {
    let mut told = 0;
    for seed in 0..100 {
        let mut disk = SimDisk::new();
        let mut log = open(&mut disk).unwrap();
        append(&mut log, &mut disk);
        log.close(&mut disk).unwrap();
        disk.close_all();
        assert!(disk.rot(&mut dice(seed)));
        match open(&mut disk) {
            Err(LogError::Damaged { .. }) => told += 1,
            // The checkpoint has rotted, which only means that all is looked at; or the one field without a checksum.
            Ok(log) => assert_eq!(log.log_end_offset(), Offset(BATCHES), "seed {seed}"),
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    assert!(told > 20, "{told}");
}
