//! The consumer protocol of KIP-848: members say what they subscribe to and what they own, and the coordinator assigns.
//!
//! In:  heartbeats, commits that name a member epoch, ended sessions, the topics of the cluster.
//! Out: records of Kafka's own kinds, and answers once they are committed.
//! Owns: the three epochs. The *group epoch* counts changes of who wants what, the *assignment epoch* is the group epoch
//! that the target assignment was made for, and a *member epoch* is the assignment that a member has come to.
//! Never: gives a partition to a member before whoever had it has said that it let go, or is gone.
//!
//! A group takes one step at a time. A step is computed from the committed state, stored as one batch, and becomes the
//! state when that batch is committed; what comes meanwhile waits. So the live state is the committed log by construction.

mod assignor;
mod describe;
mod heartbeat;
mod member;
mod offsets;
mod partitions;
mod reconcile;
mod records;
mod state;
mod step;
mod subscription;
mod timers;

pub(super) use heartbeat::{Beat, refused};
pub use member::{ConsumerMember, Current, MemberState, Subscription};
pub use partitions::Partitions;
pub(super) use records::ConsumerRecord;
pub use state::ConsumerGroup;
pub(super) use step::Stored;
pub(super) use timers::Timers;
