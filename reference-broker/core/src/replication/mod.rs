//! Replicas of partitions: who has what, and what of it is committed.
//!
//! In:  the controller's word, appends, fetches of followers, flushes.
//! Out: high watermarks, in-sync sets to ask for, where to truncate.
//! Owns: the logs of a broker's partitions, and the requests that wait for them.
//! Never: frames, connections, clocks.

mod checkpoint;
mod fetcher;
mod leading;
mod partition;
mod purgatory;

pub(crate) use checkpoint::{read as read_checkpoint, replace as replace_file, write as write_checkpoint};
pub(crate) use fetcher::{Asked as FetchAsked, Fetcher, FetcherState, truncation_offset};
pub use partition::{Partition, PartitionSettings, Transition};
pub(crate) use purgatory::Purgatory;
