//! The log of one partition on a disk in memory: appends, reads from its files, look-ups in its index, recovery.

mod support;

use broker_core::disk::MemDisk;
use broker_core::log::{LogConfig, PartitionLog};
use broker_core::{LeaderEpoch, Offset};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

/// Batches of one log.
const BATCHES: usize = 256;
const DIRECTORY: &str = "orders-0";

fn main() {
    divan::main();
}

/// Nothing is kept in memory, so that all reads go to the files.
fn config() -> LogConfig {
    LogConfig { tail_bytes: 0, segment_bytes: 4 << 20, ..LogConfig::default() }
}

fn open(disk: &mut MemDisk, config: LogConfig) -> PartitionLog {
    PartitionLog::open(DIRECTORY, config, disk).expect("a log that can be opened")
}

/// A log with 1 KiB records, 16 of them in each batch.
fn full() -> (MemDisk, PartitionLog) {
    let mut disk = MemDisk::new();
    let mut log = open(&mut disk, config());
    let batch = support::batch(16, 1024);
    for _ in 0..BATCHES {
        log.append_as_leader(batch.clone(), LeaderEpoch(0), 0, &mut disk).expect("an append");
    }
    (disk, log)
}

#[divan::bench(args = [1, 16, 64], sample_count = 50, sample_size = 1)]
fn append_kib(bencher: Bencher<'_, '_>, records: usize) {
    let batch = support::batch(records, 1024);
    bencher
        .counter(BytesCount::new(batch.len() * BATCHES))
        .counter(ItemsCount::new(BATCHES))
        .with_inputs(|| {
            let mut disk = MemDisk::new();
            let log = open(&mut disk, LogConfig::default());
            (disk, log)
        })
        .bench_local_refs(|(disk, log)| {
            for _ in 0..BATCHES {
                log.append_as_leader(batch.clone(), LeaderEpoch(0), 0, disk).expect("an append");
            }
        });
}

#[divan::bench]
fn read_a_mebibyte_from_the_files(bencher: Bencher<'_, '_>) {
    let (mut disk, log) = full();
    bencher
        .counter(BytesCount::new(1_usize << 20))
        .bench_local(|| log.read(Offset(0), log.log_end_offset(), 1 << 20, true, &mut disk).expect("a read"));
}

#[divan::bench]
fn find_one_record_in_the_middle(bencher: Bencher<'_, '_>) {
    let (mut disk, log) = full();
    let middle = Offset(log.log_end_offset().0 / 2);
    bencher.bench_local(|| {
        log.read(black_box(middle), log.log_end_offset(), 1, true, &mut disk).expect("a read")
    });
}

/// Every batch that was not known to be durable is checked.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn recover(bencher: Bencher<'_, '_>) {
    let (disk, log) = full();
    drop(log);
    bencher
        .counter(BytesCount::new(support::batch(16, 1024).len() * BATCHES))
        .with_inputs(|| {
            let mut crashed = disk.clone();
            crashed.close_all();
            crashed
        })
        .bench_local_refs(|crashed| open(crashed, config()).log_end_offset());
}
