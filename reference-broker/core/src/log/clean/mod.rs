//! Compaction: of all records with the same key only the newest has to be kept (`cleanup.policy=compact`).
//!
//! In:  closed segments below the last stable offset that are durable. Out: smaller segments in their places.
//! A pass reads what came since the last one and notes the newest offset of each key; then it writes all segments anew,
//! several as one where they have become small, and puts the new files in the places of the old ones. It works in pieces, so that
//! the broker does not stand still, and begins again if the log is cut or loses its beginning meanwhile.
//! Rules: as Kafka's cleaner. Offsets do not change, batches keep theirs. A tombstone, and the marker of a transaction of which
//! nothing is left, stays for `delete.retention.ms` after it was first met (KIP-534). Records of aborted transactions go at once.
//! The last batch of each producer stays, if need be without records, since its sequence number does.
//! Compressed batches are not looked into: they stay as they are, and so do tombstones behind them.

mod filter;
mod offset_map;
mod pass;
mod swap;
mod transactions;

pub(super) use pass::CleanPass;
pub use pass::Cleaning;
pub(super) use swap::complete;
