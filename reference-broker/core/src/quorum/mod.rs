//! The voters of the metadata log: who leads it, and what of it is committed (KIP-595, KIP-996).
//!
//! In:  values of records from the active controller, requests and answers of the other voters, the time, and at boot
//!      the log and the last vote. Out: offsets, the high watermark, batches, what to send to which voter.
//! Owns: the log of `__cluster_metadata`, its epochs and snapshots, the vote, the connections to the other voters.
//! Never: looks into the records; that is `controller`'s.
//!
//! ```text
//!              time-out                 majority            majority
//! Unattached ──────────▶ Prospective ──────────▶ Candidate ──────────▶ Leader
//!     ▲  ▲                 ▲     │    (pre-vote)     │  (vote, epoch + 1)   │
//!     │  │        time-out │     │ a leader is known │ time-out             │ no majority fetches,
//!     │  │                 │     ▼                   ▼                      ▼ or it stops
//!     │  └─ higher epoch  Follower             Prospective              Resigned
//!     └──── from any state, when a message carries a higher epoch
//! ```
//!
//! The log is pulled: followers fetch from the leader, and the offset of a fetch says what its sender has on its disk.
//! A follower that has fallen behind the beginning of the leader's log fetches a snapshot first.

mod boot;
mod effect;
mod election;
mod following;
mod leading;
mod links;
mod messages;
mod progress;
#[expect(clippy::module_inception, reason = "the folder is named after its one type")]
mod quorum;
mod receiver;
mod role;
mod snapshot;
mod snapshot_messages;
mod snapshots;
mod snapshotting;
mod view;
mod vote;

#[cfg(test)]
mod tests;

pub use effect::QuorumEffect;
pub use progress::ReaderView;
pub use quorum::{Quorum, QuorumError};
pub(crate) use receiver::{Received, Receiver};
#[cfg(test)]
pub(crate) use snapshot::encode as encode_snapshot;
pub use snapshot::{SnapshotError, SnapshotId, decode as decode_snapshot};
pub(crate) use snapshot_messages::{ChunkAsked, chunk_of, chunk_request, chunk_response};
pub use view::{QuorumView, ReceiverView};
