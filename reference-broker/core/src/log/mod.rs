//! The log of one partition.
//!
//! In:  batches as a producer or a leader sent them, and a [`Disk`](crate::Disk).
//! Out: offsets, whole batches, and the answers that replication needs (end of an epoch, end of what is durable).
//! Owns: segments and their indexes, the leader epochs, the state of idempotent producers.
//! Never: decides who leads or what is committed; the high watermark is replication's.

mod checkpoint;
mod config;
mod epochs;
mod error;
mod index;
mod partition;
mod planted;
mod producers;
mod read;
mod recover;
mod scan;
mod segment;
mod tail;
mod truncate;

#[cfg(test)]
mod tests;

pub use config::LogConfig;
pub use error::{AppendError, LogError};
pub use partition::{Appended, FlushTicket, PartitionLog};
