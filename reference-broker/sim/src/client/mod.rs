//! Clients without sockets: they see connections, frames and the time, like the node itself.
//!
//! In:  [`ClientEvent`]s. Out: [`ClientEffect`]s, and entries in the [`Ledger`](crate::ledger::Ledger).
//! Owns: what a Kafka client owns: connections, metadata, batches in flight, positions.
//! Never: looks into a node.

mod admin;
mod deleter;
pub(crate) mod desk;
mod elder;
pub(crate) mod fetcher;
pub(crate) mod group_talk;
mod lane;
mod member;
pub(crate) mod metadata;
mod mover;
mod payer;
mod payments;
pub(crate) mod pipeline;
mod producer;
mod range;
mod reader;
mod receipts;
pub(crate) mod session;
pub(crate) mod transactor;

use broker_core::{ConnId, NodeId};
use bytes::Bytes;

use crate::ledger::Ledger;

pub(crate) use admin::Admin;
pub(crate) use deleter::Deleter;
pub(crate) use elder::Elder;
pub(crate) use member::{GroupMember, HEARTBEAT_MS, SESSION_MS};
pub(crate) use mover::Mover;
pub(crate) use payer::Payer;
pub(crate) use payments::PaymentsReader;
pub(crate) use producer::Producer;
pub(crate) use reader::Reader;
pub(crate) use receipts::Receipts;

/// The topic of all but the transactional clients.
pub(crate) const TOPIC: &str = "orders";
/// The topic of those.
pub(crate) const PAYMENTS: &str = "payments";

/// What has happened to a client.
#[derive(Clone, Debug)]
pub(crate) enum ClientEvent {
    Connected(ConnId),
    Closed(ConnId),
    Frame(ConnId, Bytes),
    /// The time it asked for has come; also sent once at the start.
    Wake,
}

/// What a client wants done.
#[derive(Debug)]
pub(crate) enum ClientEffect {
    Dial(ConnId, NodeId),
    Send(ConnId, Bytes),
    Close(ConnId),
}

/// What a client works with in one step.
pub(crate) struct ClientTurn<'a> {
    pub(crate) now_ns: u64,
    /// How many brokers there are, numbered from 1.
    pub(crate) brokers: u64,
    pub(crate) effects: &'a mut Vec<ClientEffect>,
    pub(crate) ledger: &'a mut Ledger,
}

/// A client.
pub(crate) trait Client {
    /// Takes one event; says when it wants to be woken at the latest.
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64;

    /// Whether it has done all that it is there for.
    fn is_done(&self) -> bool;

    /// From now on it only finishes what it has begun.
    fn finish(&mut self);

    /// One line on what it waits for.
    fn status(&self) -> String;
}
