//! What the benchmarks share.

use broker_core::record::BatchBuilder;
use bytes::Bytes;

/// A batch with values of one size.
pub fn batch(records: usize, record_bytes: usize) -> Bytes {
    let value = vec![0xA5; record_bytes];
    let builder = BatchBuilder::new(1_700_000_000_000);
    (0..records).fold(builder, |builder, _| builder.record(None, Some(&value))).build()
}
