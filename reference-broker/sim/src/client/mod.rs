//! Clients without sockets: they see connections, frames and the time, like the node itself.
//!
//! In:  [`ClientEvent`]s. Out: [`ClientEffect`]s, and entries in the [`Ledger`](crate::ledger::Ledger).
//! Owns: what a Kafka client owns: connections, metadata, batches in flight, positions.
//! Never: looks into a node.

mod admin;
mod metadata;
mod producer;
mod reader;
mod session;

use broker_core::{ConnId, NodeId};
use bytes::Bytes;

use crate::ledger::Ledger;

pub(crate) use admin::Admin;
pub(crate) use producer::Producer;
pub(crate) use reader::Reader;

/// The one topic of a run.
pub(crate) const TOPIC: &str = "orders";

/// What has happened to a client.
#[derive(Debug)]
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
