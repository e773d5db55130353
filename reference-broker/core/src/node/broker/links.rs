//! Connections to other brokers on behalf of transactions.
//!
//! In:  requests for a broker. Out: the same requests over one connection each, and what became of them.
//! A request whose connection fails, or that is not answered in time, has failed: whoever sent it may try again, by then
//! perhaps with another broker.

use std::collections::VecDeque;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use crate::ids::NodeId;
use crate::node::dialled::Purpose;
use crate::wire::Asked;

use super::markers::SentMarkers;
use super::verify::VerificationId;
use super::{Broker, NS_PER_MS, Turn};

/// How long a connection or an answer may take.
const PATIENCE_MS: u64 = 3_000;

/// What an answer is for.
#[derive(Debug)]
pub(super) enum Awaited {
    Markers(SentMarkers),
    Verification(VerificationId),
}

/// A request that waits for its connection.
#[derive(Debug)]
struct Outgoing {
    asked: Asked,
    request: RequestKind,
    awaited: Awaited,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Down,
    Dialling { until_ns: u64 },
    Up,
}

/// The connection to one broker.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    queue: VecDeque<Outgoing>,
    /// In the order in which they were sent, with the time until which an answer is awaited.
    in_flight: VecDeque<(Awaited, u64)>,
}

impl Link {
    pub(super) fn next_tick_ns(&self) -> u64 {
        let dialling = match self.state {
            State::Dialling { until_ns } => until_ns,
            State::Down | State::Up => u64::MAX,
        };
        self.in_flight.front().map_or(u64::MAX, |(_, until_ns)| *until_ns).min(dialling)
    }
}

impl Broker {
    /// Sends a request to another broker; the answer, or the lack of one, is handed on by what is awaited.
    pub(super) fn send_over_link(
        &mut self,
        node: NodeId,
        (api, version): (ApiKey, i16),
        request: RequestKind,
        awaited: Awaited,
    ) {
        let link = self.links.entry(node).or_insert_with(|| Link {
            state: State::Down,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
        });
        let asked = Asked { api, version, correlation: 0 };
        link.queue.push_back(Outgoing { asked, request, awaited });
    }

    /// Dials, sends and gives up, as it is due.
    pub(super) fn drive_links(&mut self, turn: &mut Turn<'_>) {
        let nodes: Vec<_> = self.links.keys().copied().collect();
        for node in nodes {
            let Some(link) = self.links.get_mut(&node) else { continue };
            if link.next_tick_ns() <= turn.now.mono_ns {
                tracing::info!(node = node.0, "no answer in time");
                self.dialled.close(Purpose::Transactions(node), turn.effects);
                self.link_lost(node, turn);
                continue;
            }
            match link.state {
                State::Up => self.send_queued(node, turn),
                State::Down if !link.queue.is_empty() => self.dial_link(node, turn),
                State::Down | State::Dialling { .. } => {}
            }
        }
    }

    fn dial_link(&mut self, node: NodeId, turn: &mut Turn<'_>) {
        let Some(endpoint) = self.endpoint_of(node) else { return self.link_lost(node, turn) };
        if let Some(link) = self.links.get_mut(&node) {
            link.state = State::Dialling { until_ns: turn.now.mono_ns + PATIENCE_MS * NS_PER_MS };
            self.dialled.dial(Purpose::Transactions(node), node, endpoint, turn.effects);
        }
    }

    fn send_queued(&mut self, node: NodeId, turn: &mut Turn<'_>) {
        let Some(link) = self.links.get_mut(&node) else { return };
        let until_ns = turn.now.mono_ns + PATIENCE_MS * NS_PER_MS;
        for Outgoing { asked, request, awaited } in link.queue.drain(..) {
            self.dialled.send(Purpose::Transactions(node), &request, asked, turn.effects);
            link.in_flight.push_back((awaited, until_ns));
        }
    }

    pub(super) fn link_connected(&mut self, node: NodeId, turn: &mut Turn<'_>) {
        if let Some(link) = self.links.get_mut(&node) {
            link.state = State::Up;
            self.send_queued(node, turn);
        }
    }

    /// The connection is gone, or none could be made.
    pub(super) fn link_lost(&mut self, node: NodeId, turn: &mut Turn<'_>) {
        let Some(link) = self.links.remove(&node) else { return };
        let queued = link.queue.into_iter().map(|outgoing| outgoing.awaited);
        let failed: Vec<_> = link.in_flight.into_iter().map(|(awaited, _)| awaited).chain(queued).collect();
        for awaited in failed {
            self.link_ended(awaited, None, turn);
        }
    }

    pub(super) fn link_answered(&mut self, node: NodeId, response: ResponseKind, turn: &mut Turn<'_>) {
        let awaited = self.links.get_mut(&node).and_then(|link| link.in_flight.pop_front());
        if let Some((awaited, _)) = awaited {
            self.link_ended(awaited, Some(response), turn);
        }
    }

    fn link_ended(&mut self, awaited: Awaited, response: Option<ResponseKind>, turn: &mut Turn<'_>) {
        match (awaited, response) {
            (Awaited::Markers(sent), Some(ResponseKind::WriteTxnMarkers(response))) => {
                self.markers_answered(&sent, Some(&response), turn);
            }
            (Awaited::Markers(sent), _) => self.markers_answered(&sent, None, turn),
            (Awaited::Verification(id), Some(ResponseKind::AddPartitionsToTxn(response))) => {
                self.verification_answered(id, Some(&response), turn);
            }
            (Awaited::Verification(id), _) => self.verification_answered(id, None, turn),
        }
    }
}
