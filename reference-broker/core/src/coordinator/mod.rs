//! The classic consumer-group coordinator of one broker, as a state machine over `__consumer_offsets`.
//!
//! In:  group requests, completed appends, timers, and the committed records of a partition that is taken over.
//! Out: [`CoordinatorEffect`]s: replies, and records to append to a partition of `__consumer_offsets`.
//! Owns: the groups whose partition this broker leads: members, generations, committed offsets.
//! Never: answers a request before the records it depends on are committed, nor shows an offset before that.
//!
//! The invariant: what a group is while it runs is what [`GroupCoordinator::load`] makes of its committed records.

mod coordinator;
mod message;

pub use coordinator::{CoordinatorConfig, GroupCoordinator};
pub use message::{
    AppendToken, CoordinatorEffect, GroupRequest, GroupResponse, ReplyId, RequestContext, TopicView,
};
