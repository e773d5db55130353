//! The transaction coordinator of one broker, as a state machine over `__transaction_state`, in both protocols (KIP-98 and
//! KIP-890).
//!
//! In:  requests of transactional producers, completed appends, allocated producer ids, the outcome of markers, timers,
//!      and the committed records of a partition that is taken over.
//! Out: [`TransactionEffect`]s (replies, records to append, producer ids to ask for) and markers to be written.
//! Owns: the transactional ids whose partition this broker leads: their producer epochs, their open transactions, and
//!       the markers that decided ones still lack.
//! Never: acts on a decision before its record is committed; talks to a broker.
//!
//! The invariant: what a transaction is while it runs is what [`TransactionCoordinator::load`] makes of its committed
//! records.

mod config;
mod coordinator;
mod joins;
mod markers;
mod message;
mod metadata;
mod records;
mod requests;
mod response;
#[cfg(test)]
mod tests;
mod version;

pub use config::TransactionConfig;
pub use coordinator::TransactionCoordinator;
pub use markers::{DueMarker, OrderId};
pub use message::{Join, TopicPartition, TransactionEffect, TransactionRequest, TransactionResponse};
pub use metadata::{TransactionMetadata, TransactionState};
pub use version::{TRANSACTION_FEATURE, TransactionVersion};

pub(crate) use response::added;
