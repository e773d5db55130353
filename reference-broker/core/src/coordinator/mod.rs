//! The consumer-group coordinator of one broker, as a state machine over `__consumer_offsets`: the classic protocol here,
//! the consumer protocol of KIP-848 in [`consumer`].
//!
//! In:  group requests, completed appends, timers, and the committed records of a partition that is taken over.
//! Out: [`CoordinatorEffect`]s: replies, and records to append to a partition of `__consumer_offsets`.
//! Owns: the groups whose partition this broker leads: members, generations, committed offsets.
//! Never: answers a request before the records it depends on are committed, nor shows an offset before that.
//!
//! The invariant: what a group is while it runs is what [`GroupCoordinator::load`] makes of its committed records.

mod admin;
mod config;
mod consumer;
mod expiry;
mod fetch;
mod group;
mod group_coordinator;
mod journal;
mod member;
mod membership;
mod message;
mod offsets;
mod partitioning;
mod rebalance;
mod records;
mod request;
mod response;
pub(crate) mod schema;
mod snapshot;
#[cfg(test)]
mod tests;
mod transactional;

pub use config::CoordinatorConfig;
pub use consumer::{ConsumerGroup, ConsumerMember, Current, MemberState, Partitions, Subscription};
pub use group::GroupState;
pub use group_coordinator::GroupCoordinator;
pub(crate) use journal::store_error;
pub use message::{
    AppendToken, CoordinatorEffect, GroupRequest, GroupResponse, ReplyId, RequestContext, StoredRecord,
    TopicView,
};
pub(crate) use partitioning::partition_of;
pub use records::CommittedOffset;
pub use snapshot::{CoordinatorSnapshot, GroupSnapshot, MemberSnapshot, Membership};
pub(crate) use transactional::txn_commit_refused;
