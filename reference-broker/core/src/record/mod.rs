//! Record batches of Kafka's message format 2, as bytes.
//!
//! In:  the bytes of one or more batches, from a producer, a leader or a file.
//! Out: their headers, their records, patched copies; the broker's own batches.
//! Never: decompresses; a compressed batch stays opaque and is stored as it came.

mod builder;
mod header;
mod iter;
mod marker;
mod rewrite;
mod varint;

#[cfg(test)]
mod tests;

pub use builder::BatchBuilder;
pub use header::{
    BatchError, BatchHeader, Compression, HEADER_BYTES, LENGTH_PREFIX_BYTES, patch_base_offset,
    patch_leader_epoch, seal, set_log_append_time,
};
pub use iter::{Batch, Batches, Header, Record, Records, batches};
pub use marker::Marker;
pub use rewrite::rewrite;
