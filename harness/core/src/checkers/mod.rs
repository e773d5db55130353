//! What the history says: one checker per property, pure and streaming.
//!
//! In:  a history as a [`Source`], the plan for names and limits, and a function that tells the key of a message.
//! Out: counts, comparisons made, and findings with the events that show them.
//! Owns: the definitions of the properties. Never: asks what was promised; that is `contract` and `verdict`.

mod source;

pub use source::{Events, KeyOf, MemorySource, Names, ShardMeta, ShardRole, Source};
