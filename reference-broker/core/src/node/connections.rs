//! The connections that others have opened, who is at their other end, and the order of the responses on each.
//!
//! In:  requests as they come, responses as they are ready. Out: responses in the order of the requests.
//! Kafka's protocol has no other way to tie them together that all clients honour: a response that is ready early
//! waits for those before it.

mod admission;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::messages::ResponseKind;

use crate::auth::{AuthConfig, Authority, Session};
use crate::ids::ConnId;
use crate::node::{Effect, ListenerKind};
use crate::wire::{self, Asked};

/// The place of one response in the order of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReplyTo {
    conn: ConnId,
    slot: u64,
    /// How the response has to be written.
    pub(crate) asked: Asked,
}

/// All accepted connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    accepted: BTreeMap<ConnId, Accepted>,
    authorities: Authorities,
}

/// Whom the listeners let in; one without an authority asks nobody.
#[derive(Debug, Default)]
struct Authorities {
    clients: Option<Authority>,
    nodes: Option<Authority>,
}

impl Authorities {
    fn of(&mut self, listener: ListenerKind) -> Option<&mut Authority> {
        match listener {
            ListenerKind::Client => self.clients.as_mut(),
            ListenerKind::Internal => self.nodes.as_mut(),
        }
    }
}

#[derive(Debug)]
struct Accepted {
    listener: ListenerKind,
    /// Where the peer has to log in.
    login: Option<Login>,
    /// The number of the first slot in `waiting`.
    first_slot: u64,
    /// One slot per request without a sent response; `Some` when it is ready.
    waiting: VecDeque<Option<Vec<Bytes>>>,
}

#[derive(Debug)]
struct Login {
    session: Session,
    /// Tokens come without a request around them (version 0 of the handshake).
    bare_tokens: bool,
}

impl Connections {
    /// No connection yet.
    pub(crate) fn new(auth: &AuthConfig) -> Self {
        let authorities =
            Authorities { clients: Authority::of_clients(auth), nodes: Authority::of_nodes(auth) };
        Self { authorities, ..Self::default() }
    }

    /// Somebody connected.
    pub(crate) fn accepted(&mut self, conn: ConnId, listener: ListenerKind) {
        let login = self.authorities.of(listener).map(|_| Login::new());
        self.accepted.insert(conn, Accepted { listener, login, first_slot: 0, waiting: VecDeque::new() });
    }

    /// The connection is gone; responses to it are dropped from now on.
    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.accepted.remove(&conn);
    }

    /// Closes the connection after what was sent.
    pub(crate) fn close(&mut self, conn: ConnId, effects: &mut Vec<Effect>) {
        if self.accepted.remove(&conn).is_some() {
            effects.push(Effect::Close { conn });
        }
    }

    /// The door it came in by; `None` for a connection that is gone or was dialled.
    pub(crate) fn listener(&self, conn: ConnId) -> Option<ListenerKind> {
        self.accepted.get(&conn).map(|accepted| accepted.listener)
    }

    /// Keeps a place for the response to a request that has just come in.
    pub(crate) fn expect(&mut self, conn: ConnId, asked: Asked) -> ReplyTo {
        let Some(accepted) = self.accepted.get_mut(&conn) else { return ReplyTo { conn, slot: 0, asked } };
        accepted.waiting.push_back(None);
        ReplyTo { conn, slot: accepted.first_slot + accepted.waiting.len() as u64 - 1, asked }
    }

    /// Sends a response as soon as all before it are sent. A second response to one request is a bug.
    pub(crate) fn reply(&mut self, to: ReplyTo, parts: Vec<Bytes>, effects: &mut Vec<Effect>) {
        let Some(accepted) = self.accepted.get_mut(&to.conn) else { return };
        let place = (to.slot - accepted.first_slot) as usize;
        assert!(accepted.waiting[place].is_none(), "two responses to request {} of {:?}", to.slot, to.conn);
        accepted.waiting[place] = Some(parts);
        while let Some(Some(_)) = accepted.waiting.front() {
            let parts = accepted.waiting.pop_front().flatten().unwrap_or_default();
            accepted.first_slot += 1;
            effects.push(Effect::Send { conn: to.conn, parts });
        }
    }

    /// Encodes and sends a response, in its turn. One that its version cannot carry is a bug of ours, and no reason to
    /// leave the client waiting: the connection is closed.
    pub(crate) fn respond(&mut self, to: ReplyTo, response: &ResponseKind, effects: &mut Vec<Effect>) {
        match wire::encode_response(to.asked, response) {
            Ok(frame) => self.reply(to, vec![frame], effects),
            Err(error) => {
                tracing::error!(api = ?to.asked.api, version = to.asked.version, error, "closing: cannot encode");
                self.close(to.conn, effects);
            }
        }
    }

    /// Closes the connection of a request that cannot be answered.
    pub(crate) fn abandon(&mut self, to: ReplyTo, effects: &mut Vec<Effect>) {
        self.close(to.conn, effects);
    }

    /// Whether the client of this response is still there.
    pub(crate) fn is_open(&self, to: ReplyTo) -> bool {
        self.accepted.contains_key(&to.conn)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::ApiKey;

    use super::*;

    fn asked(correlation: i32) -> Asked {
        Asked { api: ApiKey::Metadata, version: 1, correlation }
    }

    #[test]
    fn a_response_that_is_ready_early_waits_for_the_ones_before_it() {
        let conn = ConnId(2);
        let mut connections = Connections::default();
        let mut effects = Vec::new();
        connections.accepted(conn, ListenerKind::Client);
        let first = connections.expect(conn, asked(1));
        let second = connections.expect(conn, asked(2));
        connections.reply(second, vec![Bytes::from_static(b"second")], &mut effects);
        assert!(effects.is_empty());
        connections.reply(first, vec![Bytes::from_static(b"first")], &mut effects);
        let sent: Vec<_> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Send { parts, .. } => parts[0].clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sent, [&b"first"[..], b"second"]);
    }

    #[test]
    fn a_response_to_a_connection_that_is_gone_is_dropped() {
        let conn = ConnId(2);
        let mut connections = Connections::default();
        let mut effects = Vec::new();
        connections.accepted(conn, ListenerKind::Client);
        let reply = connections.expect(conn, asked(1));
        connections.closed(conn);
        connections.reply(reply, vec![Bytes::new()], &mut effects);
        assert!(effects.is_empty() && !connections.is_open(reply));
    }
}
