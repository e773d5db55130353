//! Connections of one client, and the requests that wait for an answer on them.

use std::collections::{BTreeMap, VecDeque};

use broker_core::wire::{self, Asked};
use broker_core::{ConnId, NodeId};
use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use super::{ClientEffect, ClientEvent, ClientTurn};

/// How a request ended; `T` says what it was for.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    Answered(T, Box<ResponseKind>),
    /// The connection broke or the answer took too long: it may or may not have been carried out.
    Lost(T),
}

struct Pending<T> {
    asked: Asked,
    tag: T,
    deadline_ns: u64,
}

struct Link<T> {
    node: NodeId,
    up: bool,
    /// Sent as soon as the connection stands.
    unsent: Vec<Bytes>,
    pending: VecDeque<Pending<T>>,
}

/// At most one connection per broker; answers come in the order of the requests.
pub(crate) struct Session<T> {
    links: BTreeMap<ConnId, Link<T>>,
    next_conn: u64,
    conn_step: u64,
    last_correlation: i32,
    timeout_ns: u64,
}

impl<T> Session<T> {
    pub(crate) fn new(timeout_ns: u64) -> Self {
        Self { links: BTreeMap::new(), next_conn: 1, conn_step: 1, last_correlation: 0, timeout_ns }
    }

    /// Two sessions of one client, each with connections and a patience of its own.
    pub(crate) fn pair<U>(timeout_ns: u64, other_ns: u64) -> (Self, Session<U>) {
        let odd = Self { conn_step: 2, ..Self::new(timeout_ns) };
        (odd, Session { next_conn: 2, conn_step: 2, ..Session::new(other_ns) })
    }

    /// Sends a request, and dials first where there is no connection.
    pub(crate) fn request(
        &mut self,
        node: NodeId,
        api: ApiKey,
        version: i16,
        request: &RequestKind,
        tag: T,
        turn: &mut ClientTurn<'_>,
    ) {
        self.request_within(self.timeout_ns, node, api, version, request, tag, turn);
    }

    /// As [`Self::request`], where the answer may take longer, or has to come sooner.
    #[expect(
        clippy::too_many_arguments,
        reason = "a request has an address, a kind, a body and a time limit"
    )]
    pub(crate) fn request_within(
        &mut self,
        timeout_ns: u64,
        node: NodeId,
        api: ApiKey,
        version: i16,
        request: &RequestKind,
        tag: T,
        turn: &mut ClientTurn<'_>,
    ) {
        let (asked, conn) = self.send(node, api, version, request, turn);
        let deadline_ns = turn.now_ns + timeout_ns;
        if let Some(link) = self.links.get_mut(&conn) {
            link.pending.push_back(Pending { asked, tag, deadline_ns });
        }
    }

    /// Sends what nobody answers.
    pub(crate) fn tell(
        &mut self,
        node: NodeId,
        api: ApiKey,
        version: i16,
        request: &RequestKind,
        turn: &mut ClientTurn<'_>,
    ) {
        self.send(node, api, version, request, turn);
    }

    fn send(
        &mut self,
        node: NodeId,
        api: ApiKey,
        version: i16,
        request: &RequestKind,
        turn: &mut ClientTurn<'_>,
    ) -> (Asked, ConnId) {
        self.last_correlation += 1;
        let asked = Asked { api, version, correlation: self.last_correlation };
        let frame =
            wire::encode_request(asked, "sim", request).unwrap_or_else(|error| panic!("{api:?}: {error}"));
        let conn = self.connect(node, turn);
        if let Some(link) = self.links.get_mut(&conn) {
            if link.up {
                turn.effects.push(ClientEffect::Send(conn, frame));
            } else {
                link.unsent.push(frame);
            }
        }
        (asked, conn)
    }

    /// Whether a connection to the node stands.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.links.values().any(|link| link.node == node && link.up)
    }

    /// The connection to a node, which is dialled if there is none.
    pub(crate) fn connect(&mut self, node: NodeId, turn: &mut ClientTurn<'_>) -> ConnId {
        if let Some((conn, _)) = self.links.iter().find(|(_, link)| link.node == node) {
            return *conn;
        }
        let conn = ConnId(self.next_conn);
        self.next_conn += self.conn_step;
        self.links.insert(conn, Link { node, up: false, unsent: Vec::new(), pending: VecDeque::new() });
        turn.effects.push(ClientEffect::Dial(conn, node));
        conn
    }

    /// Takes an event; the requests that it ends come out.
    pub(crate) fn take(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> Vec<Reply<T>> {
        match event {
            ClientEvent::Connected(conn) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.up = true;
                    turn.effects.extend(link.unsent.drain(..).map(|frame| ClientEffect::Send(conn, frame)));
                }
                Vec::new()
            }
            ClientEvent::Closed(conn) => self.lose(conn),
            ClientEvent::Frame(conn, frame) => self.answered(conn, frame, turn),
            ClientEvent::Wake => self.expire(turn),
        }
    }

    fn answered(&mut self, conn: ConnId, frame: Bytes, turn: &mut ClientTurn<'_>) -> Vec<Reply<T>> {
        let Some(link) = self.links.get_mut(&conn) else { return Vec::new() };
        let Some(pending) = link.pending.pop_front() else {
            turn.ledger.violation("protocol", "a response that nobody asked for".into());
            return Vec::new();
        };
        if wire::correlation_of(&frame) != Some(pending.asked.correlation) {
            turn.ledger.violation("protocol", format!("responses out of order: {:?}", pending.asked));
        }
        match wire::decode_response(pending.asked, frame) {
            Ok(response) => vec![Reply::Answered(pending.tag, Box::new(response))],
            Err(error) => {
                turn.ledger.violation("protocol", format!("{:?}: {error}", pending.asked));
                vec![Reply::Lost(pending.tag)]
            }
        }
    }

    /// A late answer means that all on its connection is in doubt.
    fn expire(&mut self, turn: &mut ClientTurn<'_>) -> Vec<Reply<T>> {
        let late =
            |link: &Link<T>| link.pending.front().is_some_and(|first| first.deadline_ns <= turn.now_ns);
        let conns: Vec<ConnId> =
            self.links.iter().filter(|(_, link)| late(link)).map(|(conn, _)| *conn).collect();
        let mut lost = Vec::new();
        for conn in conns {
            turn.effects.push(ClientEffect::Close(conn));
            lost.extend(self.lose(conn));
        }
        lost
    }

    fn lose(&mut self, conn: ConnId) -> Vec<Reply<T>> {
        let link = self.links.remove(&conn);
        link.into_iter().flat_map(|link| link.pending).map(|pending| Reply::Lost(pending.tag)).collect()
    }

    /// When the next answer is late.
    pub(crate) fn deadline_ns(&self) -> u64 {
        let deadlines =
            self.links.values().filter_map(|link| link.pending.front()).map(|first| first.deadline_ns);
        deadlines.min().unwrap_or(u64::MAX)
    }
}
