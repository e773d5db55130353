//! The connections that this node has opened, and the requests on them that wait for a response.
//!
//! Where nodes have to log in at each other, a connection counts as made when that is done.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;

use bytes::Bytes;
use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::auth::{AuthConfig, Login, OngoingLogin};
use crate::controller::channel::ChannelKind;
use crate::ids::{ConnId, NodeId};
use crate::node::{Effect, Endpoint};
use crate::wire::{self, Asked};

/// What a connection that a broker has dialled is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Purpose {
    /// The talk with the controllers.
    Controller(ChannelKind),
    /// Fetching from the leader of partitions.
    Replication(NodeId),
    /// Markers for the leader of partitions, and questions to the coordinator of transactions.
    Transactions(NodeId),
}

/// All dialled connections, at most one for each `P`urpose.
#[derive(Debug)]
pub(crate) struct Dialled<P> {
    next_conn: u64,
    connections: BTreeMap<ConnId, Connection<P>>,
    by_purpose: BTreeMap<P, ConnId>,
    /// If nodes have to log in.
    login: Option<Login>,
}

#[derive(Debug)]
struct Connection<P> {
    purpose: P,
    next_correlation: i32,
    awaited: VecDeque<Asked>,
    login: Option<OngoingLogin>,
}

/// What a frame on a dialled connection is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "taken apart as soon as it is made")]
pub(crate) enum Answer {
    /// The response to the oldest request.
    Response(ResponseKind),
    /// One more step of the login.
    LoggingIn,
    /// The last one: the connection is made.
    LoggedIn,
    /// Not what was asked for, or a refusal: the connection is of no use.
    Useless,
}

impl<P: Ord + Copy + Debug> Dialled<P> {
    /// No connection yet; ids count up from 1 in odd numbers.
    pub(crate) fn new(auth: &AuthConfig) -> Self {
        Self {
            next_conn: 1,
            connections: BTreeMap::new(),
            by_purpose: BTreeMap::new(),
            login: Login::new(auth),
        }
    }

    /// Opens a connection. There must be none for this purpose.
    pub(crate) fn dial(&mut self, purpose: P, node: NodeId, endpoint: Endpoint, effects: &mut Vec<Effect>) {
        let conn = ConnId(self.next_conn);
        self.next_conn += 2;
        let connection = Connection { purpose, next_correlation: 0, awaited: VecDeque::new(), login: None };
        self.connections.insert(conn, connection);
        let previous = self.by_purpose.insert(purpose, conn);
        assert!(previous.is_none(), "a second connection for {purpose:?}");
        effects.push(Effect::Dial { conn, node, endpoint });
    }

    /// Closes the connection of this purpose, if there is one.
    pub(crate) fn close(&mut self, purpose: P, effects: &mut Vec<Effect>) {
        if let Some(conn) = self.by_purpose.remove(&purpose) {
            self.connections.remove(&conn);
            effects.push(Effect::Close { conn });
        }
    }

    /// The connection is gone; says what it was for.
    pub(crate) fn closed(&mut self, conn: ConnId) -> Option<P> {
        let connection = self.connections.remove(&conn)?;
        self.by_purpose.remove(&connection.purpose);
        Some(connection.purpose)
    }

    /// What a connection is for.
    pub(crate) fn purpose(&self, conn: ConnId) -> Option<P> {
        self.connections.get(&conn).map(|connection| connection.purpose)
    }

    /// The other side is there. True if the connection is made with that; else the login has begun.
    pub(crate) fn connected(&mut self, conn: ConnId, effects: &mut Vec<Effect>) -> bool {
        let (Some(login), Some(connection)) = (&mut self.login, self.connections.get_mut(&conn)) else {
            return true;
        };
        let (ongoing, (request, api, version)) = login.begin();
        connection.login = Some(ongoing);
        connection.send(conn, &request, Asked { api, version, correlation: 0 }, effects);
        false
    }

    /// Sends a request over the connection of this purpose, if there is one.
    pub(crate) fn send(&mut self, purpose: P, request: &RequestKind, api: Asked, effects: &mut Vec<Effect>) {
        let Some(&conn) = self.by_purpose.get(&purpose) else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.send(conn, request, api, effects);
    }

    /// Takes a frame.
    pub(crate) fn answered(&mut self, conn: ConnId, frame: Bytes, effects: &mut Vec<Effect>) -> Answer {
        let Some(connection) = self.connections.get_mut(&conn) else { return Answer::Useless };
        let Some(response) = connection.response(conn, frame) else { return Answer::Useless };
        let Some(login) = connection.login.take() else { return Answer::Response(response) };
        match login.answered(response) {
            Ok(Some((ongoing, (request, api, version)))) => {
                connection.login = Some(ongoing);
                connection.send(conn, &request, Asked { api, version, correlation: 0 }, effects);
                Answer::LoggingIn
            }
            Ok(None) => Answer::LoggedIn,
            Err(error) => {
                tracing::warn!(?conn, purpose = ?connection.purpose, %error, "cannot log in at another node");
                Answer::Useless
            }
        }
    }
}

impl<P> Connection<P> {
    fn send(&mut self, conn: ConnId, request: &RequestKind, api: Asked, effects: &mut Vec<Effect>) {
        let asked = Asked { correlation: self.next_correlation, ..api };
        self.next_correlation = self.next_correlation.wrapping_add(1);
        match wire::encode_request(asked, "broker", request) {
            Ok(frame) => {
                self.awaited.push_back(asked);
                effects.push(Effect::Send { conn, parts: vec![frame] });
            }
            Err(error) => panic!("cannot encode {:?} version {}: {error}", asked.api, asked.version),
        }
    }

    /// Takes a response; `None` if it does not answer the oldest request, or cannot be decoded.
    fn response(&mut self, conn: ConnId, frame: Bytes) -> Option<ResponseKind> {
        let asked = self.awaited.pop_front()?;
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
