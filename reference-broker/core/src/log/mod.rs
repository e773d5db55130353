//! The log of one partition.
//!
//! In:  batches as a producer or a leader sent them, and a [`Disk`](crate::Disk).
//! Out: offsets, whole batches, and the answers that replication needs (end of an epoch, end of what is durable).
//! Owns: segments and their indexes, the leader epochs, the state of producers and of their transactions; what of all that is
//!       deleted by age, by size and on request, and what is compacted.
//! Never: decides who leads or what is committed; the high watermark is replication's.

mod checkpoint;
mod clean;
mod config;
mod epochs;
mod error;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
mod index;
mod partition;
mod planted;
mod prefix;
mod producers;
mod read;
mod recover;
mod retention;
mod scan;
mod segment;
mod snapshot;
mod stable;
mod tail;
mod text_file;
mod transactions;
mod truncate;
mod verification;

#[cfg(test)]
mod tests;

pub use clean::Cleaning;
pub use config::LogConfig;
pub use error::{AppendError, LogError};
#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::damaged_log;
pub use partition::{Appended, FlushTicket, LogEvents, PartitionLog, remove};
pub use transactions::{AbortedTransaction, TransactionEnd};
pub use verification::VerificationGuard;
