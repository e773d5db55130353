//! A broker: stores partitions and serves clients.
//!
//! In:  frames from clients and other brokers, answers of controllers and leaders, ended flushes, the time.
//! Out: responses, fetches, flushes. Owns: partitions, the requests that wait for them, the groups it coordinates.
//! Never: decides who leads; the controller does, and [`ControllerChannel`] brings its word.

mod boot;
mod configs;
mod control;
mod delete_records;
mod describe_partitions;
mod fetch;
mod fetch_sessions;
mod flush;
mod groups;
mod housekeeping;
mod internal;
mod invariants;
mod joins;
mod links;
mod marker_order;
mod markers;
mod metadata;
mod offsets;
mod produce;
mod producer_ids;
mod replicate;
mod requests;
mod stop;
mod strays;
mod topics;
mod transactions;
mod trouble;
mod verify;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::ResponseKind;

use crate::controller::TopicPartitionId;
use crate::controller::channel::{CallId, ChannelEffect, ControllerChannel};
use crate::coordinator::GroupCoordinator;
use crate::disk::Disk;
use crate::ids::{ConnId, LeaderEpoch, NodeId, Offset};
use crate::node::connections::{Connections, ReplyTo};
use crate::node::dialled::{Answer, Dialled, Purpose};
use crate::node::{Effect, Event, NodeConfig, Now};
use crate::replication::{Fetcher, Partition, Purgatory};
use crate::transaction::TransactionCoordinator;

pub use invariants::Violation;
pub(in crate::node) use marker_order::MarkerOrder;
#[cfg(test)]
pub(in crate::node) use marker_order::sent_to;
pub(in crate::node) use requests::api_versions;
pub use view::PartitionView;

use control::Call;
use delete_records::DelayedDelete;
use fetch::DelayedFetch;
use fetch_sessions::FetchSessions;
use flush::Flushes;
use housekeeping::Housekeeping;
use internal::Replies;
use joins::Joins;
use links::Link;
use markers::MarkerRequests;
use produce::DelayedProduce;
use producer_ids::ProducerIds;
use stop::Stopping;
use trouble::Trouble;
use verify::Verifications;

/// The topic in which groups keep their state.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// The topic in which transactions keep their state.
pub(crate) const TRANSACTION_TOPIC: &str = "__transaction_state";

/// Whether a topic is the brokers' own: clients neither create it nor write to it.
fn is_internal(topic: &str) -> bool {
    topic == OFFSETS_TOPIC || topic == TRANSACTION_TOPIC
}

const NS_PER_MS: u64 = 1_000_000;

/// What comes with every event.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) disk: &'a mut dyn Disk,
    pub(crate) effects: &'a mut Vec<Effect>,
}

/// A broker.
pub(crate) struct Broker {
    config: NodeConfig,
    channel: ControllerChannel,
    connections: Connections,
    dialled: Dialled<Purpose>,
    partitions: BTreeMap<TopicPartitionId, Partition>,
    /// High watermarks of partitions that are not open yet, as noted down before the last stop.
    checkpoint: BTreeMap<TopicPartitionId, Offset>,
    fetchers: BTreeMap<NodeId, Fetcher>,
    produces: Purgatory<DelayedProduce>,
    fetches: Purgatory<DelayedFetch>,
    fetch_sessions: FetchSessions,
    deletes: Purgatory<DelayedDelete>,
    /// Partitions whose end or high watermark has moved, or which have a new role, in this turn.
    touched: BTreeSet<TopicPartitionId>,
    calls: BTreeMap<CallId, Call>,
    flushes: Flushes,
    producer_ids: ProducerIds,
    coordinator: GroupCoordinator,
    transactions: TransactionCoordinator,
    /// Requests that wait for one of the coordinators.
    replies: Replies,
    links: BTreeMap<NodeId, Link>,
    verifications: Verifications,
    joins: Joins,
    marker_requests: MarkerRequests,
    marker_order: MarkerOrder,
    /// The leader epochs in which partitions of the brokers' own topics wait to be loaded.
    loading: BTreeMap<TopicPartitionId, LeaderEpoch>,
    /// Internal partitions that could not be read, and when to try again.
    reloads: BTreeMap<TopicPartitionId, (u64, LeaderEpoch)>,
    stopping: Option<Stopping>,
    next_isr_check_ns: u64,
    next_checkpoint_ns: u64,
    housekeeping: Housekeeping,
    /// Counts the produced batches, for the planted bug that rejects what it stores.
    produced: u64,
    /// Whether this process has looked for partitions that were deleted while the one before it was gone.
    strays_removed: bool,
    violations: Vec<Violation>,
    trouble: Trouble,
}

impl Broker {
    /// Takes one event.
    pub(crate) fn step(&mut self, event: Event, turn: &mut Turn<'_>) {
        match event {
            Event::Accepted { conn, listener } => self.connections.accepted(conn, listener),
            Event::Connected { conn } => self.connected(conn, turn),
            Event::Closed { conn } => self.closed(conn, turn),
            Event::Frame { conn, frame } => match self.dialled.purpose(conn) {
                Some(purpose) => self.answered(conn, purpose, frame, turn),
                None => self.request(conn, frame, turn),
            },
            Event::Synced { token, result } => self.synced(token, result, turn),
            Event::Tick => self.tick(turn),
            Event::Shutdown => self.begin_stop(turn),
        }
        self.settle(turn);
    }

    fn connected(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        match self.dialled.purpose(conn) {
            Some(purpose) if self.dialled.connected(conn, turn.effects) => self.made(purpose, turn),
            Some(_) => {}
            None => turn.effects.push(Effect::Close { conn }),
        }
    }

    /// A dialled connection can be used.
    fn made(&mut self, purpose: Purpose, turn: &mut Turn<'_>) {
        match purpose {
            Purpose::Controller(kind) => {
                let mut out = Vec::new();
                self.channel.connected(turn.now, kind, &mut out);
                self.carry_out(out, turn);
            }
            Purpose::Replication(leader) => self.leader_connected(leader),
            Purpose::Transactions(node) => self.link_connected(node, turn),
        }
    }

    fn closed(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        match self.dialled.closed(conn) {
            Some(purpose) => self.lost(purpose, turn),
            None => self.connections.closed(conn),
        }
    }

    /// A dialled connection is gone, or could not be made.
    fn lost(&mut self, purpose: Purpose, turn: &mut Turn<'_>) {
        match purpose {
            Purpose::Controller(kind) => {
                let mut out = Vec::new();
                self.channel.closed(turn.now, kind, &mut out);
                self.carry_out(out, turn);
            }
            Purpose::Replication(leader) => self.leader_lost(leader, turn.now),
            Purpose::Transactions(node) => self.link_lost(node, turn),
        }
    }

    fn answered(&mut self, conn: ConnId, purpose: Purpose, frame: bytes::Bytes, turn: &mut Turn<'_>) {
        let response = match self.dialled.answered(conn, frame, turn.effects) {
            Answer::Response(response) => response,
            Answer::LoggingIn => return,
            Answer::LoggedIn => return self.made(purpose, turn),
            Answer::Useless => {
                self.dialled.close(purpose, turn.effects);
                return self.lost(purpose, turn);
            }
        };
        match (purpose, response) {
            (Purpose::Replication(leader), ResponseKind::Fetch(response)) => {
                self.leader_answered(leader, response, turn);
            }
            (Purpose::Controller(kind), response) => {
                if let Ok(response) = response.try_into() {
                    let mut out = Vec::new();
                    self.channel.response(turn.now, kind, response, &mut out);
                    self.carry_out(out, turn);
                }
            }
            (Purpose::Transactions(node), response) => self.link_answered(node, response, turn),
            (Purpose::Replication(_), _) => {}
        }
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        let mut out = Vec::new();
        self.channel.tick(turn.now, &mut out);
        self.carry_out(out, turn);
        self.tick_groups(turn);
        self.reload(turn);
        let mut effects = Vec::new();
        self.transactions.tick(turn.now, &mut effects);
        self.carry_out_transactions(effects, turn);
        self.expire_produces(turn);
        self.expire_fetches(turn);
        self.expire_deletes(turn);
        self.keep_house(turn);
        self.check_in_sync_sets(turn);
        self.flush_on_time(turn);
        self.note_high_watermarks(turn);
        self.stop_when_due(turn);
    }

    /// Looks again at all that waits for the partitions touched in this turn.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        loop {
            while let Some(id) = self.touched.pop_first() {
                self.load_if_ready(id, turn);
                self.complete_produces(id, turn);
                self.complete_fetches(id, turn);
                self.complete_deletes(id, turn);
            }
            // Markers for partitions that this broker leads itself touch them.
            self.drive_markers(turn);
            self.drive_links(turn);
            if self.touched.is_empty() {
                break;
            }
        }
        self.drive_fetchers(turn);
    }

    /// When the next tick is due.
    pub(crate) fn next_tick_ns(&self) -> u64 {
        let fetchers = self.fetchers.values().map(Fetcher::next_tick_ns).min().unwrap_or(u64::MAX);
        [
            self.channel.next_tick_ns(),
            self.coordinator.next_tick_ns(),
            self.transactions.next_tick_ns(),
            self.links.values().map(Link::next_tick_ns).min().unwrap_or(u64::MAX),
            self.produces.next_deadline_ns(),
            self.fetches.next_deadline_ns(),
            self.deletes.next_deadline_ns(),
            self.housekeeping.next_tick_ns(),
            self.flushes.next_tick_ns(),
            self.next_isr_check_ns,
            self.next_checkpoint_ns,
            self.reloads.values().map(|(due_ns, _)| *due_ns).min().unwrap_or(u64::MAX),
            self.stopping.as_ref().map_or(u64::MAX, Stopping::next_tick_ns),
            fetchers,
        ]
        .into_iter()
        .min()
        .unwrap_or(u64::MAX)
    }

    /// Whether it is registered and not fenced.
    pub(crate) fn is_ready(&self) -> bool {
        self.channel.broker_epoch().is_some() && !self.channel.is_fenced()
    }

    fn respond(&mut self, to: ReplyTo, response: &ResponseKind, turn: &mut Turn<'_>) {
        self.connections.respond(to, response, turn.effects);
    }

    fn call(
        &mut self,
        request: impl Into<crate::controller::ControllerRequest>,
        timeout_ms: u64,
        call: Call,
        turn: &mut Turn<'_>,
    ) {
        let mut out: Vec<ChannelEffect> = Vec::new();
        let id = self.channel.call(turn.now, request.into(), timeout_ms, &mut out);
        self.calls.insert(id, call);
        self.carry_out(out, turn);
    }
}

/// The disk has failed: nothing that this process says about its logs can be trusted any more. Kafka halts, too.
fn fail(what: &dyn std::fmt::Display, turn: &mut Turn<'_>) {
    tracing::error!(%what, "the log directory has failed");
    turn.effects.push(Effect::Exit { clean: false, reason: format!("log directory failed: {what}") });
}
