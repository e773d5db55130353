//! What the history says: one checker per property, pure and streaming.
//!
//! In:  a history as a [`Source`], the plan for names and limits, and a function that tells the key of a message.
//! Out: counts, comparisons made, and findings with the events that show them.
//! Owns: the definitions of the properties. Never: asks what was promised; that is `contract` and `verdict`.
//!
//! One pass over each journal fills sets of messages (`sends`, `log_view`, `group_view`) and an index of what each stretch
//! of a journal speaks of; two joins (`offset_join`, `message_join`) then read it again in windows. Memory does not grow
//! with the length of a healthy run but for 16 bytes per 65,536 messages.

mod aborted_read;
mod acked_loss;
mod certificate;
mod check;
mod chunk_index;
mod conductor;
mod corruption;
mod divergence;
mod duplicate_append;
mod duplicate_delivery;
mod early_read;
mod fail_visible;
mod finding;
mod group_view;
mod hanging_transaction;
mod high_watermark_rollback;
mod history_source;
mod intervals;
mod latency;
mod limits;
mod log_view;
mod message_join;
mod message_set;
mod narrate;
mod offset_join;
mod order_consumer;
mod order_log;
mod order_per_key;
mod outage;
mod phantom;
mod queue_trace;
mod redelivery;
mod sends;
mod slots;
mod source;
mod torn_transaction;
mod transactional_reads;
mod transactions;

pub use acked_loss::Losses;
pub use certificate::Certificate;
pub use check::{Checked, Depth, check};
pub use conductor::{Conductor, FaultSeen, LeaderSeen};
pub use finding::{Finding, Findings, Moment, Place};
pub use group_view::GroupView;
pub use hanging_transaction::ROUNDS_NS as TRANSACTION_ROUNDS_NS;
pub use history_source::{HistorySource, PlanKeys};
pub use latency::Latency;
pub use narrate::Narrator;
pub use outage::{Outage, Outages};
pub use sends::Sends;
pub use slots::SLOT_NS;
pub use source::{Events, KeyOf, MemorySource, Names, ShardMeta, ShardRole, Source};
pub use transactional_reads::{Seen as TransactionalSeen, TransactionalReads};
pub use transactions::{Fate, Transaction, Transactions};

#[cfg(test)]
mod tests;
