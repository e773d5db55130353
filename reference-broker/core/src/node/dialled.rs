//! The connections that this node has opened, and the requests on them that wait for a response.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::controller::channel::ChannelKind;
use crate::ids::{ConnId, NodeId};
use crate::node::{Effect, Endpoint};
use crate::wire::{self, Asked};

/// What a dialled connection is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Purpose {
    /// The talk with the controllers.
    Controller(ChannelKind),
    /// Fetching from the leader of partitions.
    Replication(NodeId),
}

/// All dialled connections.
#[derive(Debug)]
pub(crate) struct Dialled {
    next_conn: u64,
    connections: BTreeMap<ConnId, Connection>,
    by_purpose: BTreeMap<Purpose, ConnId>,
}

#[derive(Debug)]
struct Connection {
    purpose: Purpose,
    next_correlation: i32,
    awaited: VecDeque<Asked>,
}

impl Dialled {
    /// No connection yet; ids count up from 1 in odd numbers.
    pub(crate) fn new() -> Self {
        Self { next_conn: 1, connections: BTreeMap::new(), by_purpose: BTreeMap::new() }
    }

    /// Opens a connection. There must be none for this purpose.
    pub(crate) fn dial(
        &mut self,
        purpose: Purpose,
        node: NodeId,
        endpoint: Endpoint,
        effects: &mut Vec<Effect>,
    ) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        let connection = Connection { purpose, next_correlation: 0, awaited: VecDeque::new() };
        self.connections.insert(conn, connection);
        let previous = self.by_purpose.insert(purpose, conn);
        assert!(previous.is_none(), "a second connection for {purpose:?}");
        effects.push(Effect::Dial { conn, node, endpoint });
    }

    /// Closes the connection of this purpose, if there is one.
    pub(crate) fn close(&mut self, purpose: Purpose, effects: &mut Vec<Effect>) {
        if let Some(conn) = self.by_purpose.remove(&purpose) {
            self.connections.remove(&conn);
            effects.push(Effect::Close { conn });
        }
    }

    /// The connection is gone; says what it was for.
    pub(crate) fn closed(&mut self, conn: ConnId) -> Option<Purpose> {
        let connection = self.connections.remove(&conn)?;
        self.by_purpose.remove(&connection.purpose);
        Some(connection.purpose)
    }

    /// What a connection is for.
    pub(crate) fn purpose(&self, conn: ConnId) -> Option<Purpose> {
        self.connections.get(&conn).map(|connection| connection.purpose)
    }

    /// Sends a request over the connection of this purpose, if there is one.
    pub(crate) fn send(
        &mut self,
        purpose: Purpose,
        request: &RequestKind,
        api: Asked,
        effects: &mut Vec<Effect>,
    ) {
        let Some(&conn) = self.by_purpose.get(&purpose) else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let asked = Asked { correlation: connection.next_correlation, ..api };
        connection.next_correlation = connection.next_correlation.wrapping_add(1);
        match wire::encode_request(asked, "broker", request) {
            Ok(frame) => {
                connection.awaited.push_back(asked);
                effects.push(Effect::Send { conn, parts: vec![frame] });
            }
            Err(error) => panic!("cannot encode {:?} version {}: {error}", asked.api, asked.version),
        }
    }

    /// Takes a response; `None` if it does not answer the oldest request, or cannot be decoded.
    pub(crate) fn response(&mut self, conn: ConnId, frame: Bytes) -> Option<ResponseKind> {
        let asked = self.connections.get_mut(&conn)?.awaited.pop_front()?;
        let correlation = wire::correlation_of(&frame)?;
        if correlation != asked.correlation {
            tracing::warn!(?conn, correlation, expected = asked.correlation, "response out of order");
            return None;
        }
        wire::decode_response(asked, frame)
            .inspect_err(|error| tracing::warn!(?conn, %error, "response dropped"))
            .ok()
    }
}
