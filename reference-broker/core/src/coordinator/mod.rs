//! The classic consumer-group coordinator of one broker, as a state machine over `__consumer_offsets`.
//!
//! In:  group requests, completed appends, timers, and the committed records of a partition that is taken over.
//! Out: [`CoordinatorEffect`]s: replies, and records to append to a partition of `__consumer_offsets`.
//! Owns: the groups whose partition this broker leads: members, generations, committed offsets.
//! Never: answers a request before the records it depends on are committed, nor shows an offset before that.
//!
//! The invariant: what a group is while it runs is what [`GroupCoordinator::load`] makes of its committed records.

mod admin;
mod config;
mod fetch;
mod group;
mod group_coordinator;
mod journal;
mod member;
mod membership;
mod message;
mod offsets;
mod rebalance;
mod records;
mod request;
mod response;
mod snapshot;
#[cfg(test)]
mod tests;

pub use config::CoordinatorConfig;
pub use group::GroupState;
pub use group_coordinator::GroupCoordinator;
pub use message::{
    AppendToken, CoordinatorEffect, GroupRequest, GroupResponse, ReplyId, RequestContext, TopicView,
};
pub use records::CommittedOffset;
pub use snapshot::{CoordinatorSnapshot, GroupSnapshot, MemberSnapshot, Membership};
