//! What is done with every batch that comes in: its header is read, and its checksum computed.

mod support;

use broker_core::record::BatchHeader;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 16, 64])]
fn validate_kib(bencher: Bencher<'_, '_>, records: usize) {
    let batch = support::batch(records, 1024);
    bencher.counter(BytesCount::new(batch.len())).bench(|| BatchHeader::validate(black_box(&batch)));
}

#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let batch = support::batch(1, 1024);
    bencher.bench(|| BatchHeader::parse(black_box(&batch)));
}
