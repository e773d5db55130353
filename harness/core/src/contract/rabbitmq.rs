//! What RabbitMQ promises.
//!
//! Sources: RabbitMQ documentation, "Consumer Acknowledgements and Publisher Confirms" (when messages are confirmed,
//! automatic acknowledgement), "Quorum Queues" (data safety), "Streams and Super Streams" (data safety), "Classic
//! Queues", "Queues" (message ordering), "Reliability Guide". Verified by source: a quorum queue's log is flushed before a
//! confirm, a stream's never is.

use super::claim::Claim;
use super::promises::{Envelope, group_loss, is_ordered, written};
use super::settings::{ExpectedSetting, Must, SettingScope};
use super::storage::{Storage, storage};
use crate::plan::{Durability, Plan, Settle};
use crate::property::Property;

/// AMQP 0-9-1 has a `tx` class; the documentation of publisher confirms says what it lacks.
pub(super) const NO_TRANSACTIONS: &str =
    "transactions: AMQP's `tx` is atomic on one queue at most, and promises nothing when a node dies";

/// What serves a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// One node has it.
    Classic,
    /// A majority has it, flushed.
    Quorum,
    /// A majority has it, in memory, and it stays.
    Stream,
}

impl Kind {
    /// The kind of queue that a plan is served with.
    pub(super) fn of(plan: &Plan) -> Self {
        match (storage("rabbitmq", plan), plan.durability) {
            (Storage::Log, _) => Self::Stream,
            (Storage::Queue, Durability::Quorum | Durability::QuorumDisk) => Self::Quorum,
            (Storage::Queue, Durability::None | Durability::Leader) => Self::Classic,
        }
    }

    /// The value of `x-queue-type`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }
}

/// The claim on a property.
pub(super) fn claim(property: Property, plan: &Plan, envelope: Envelope) -> Claim {
    use Property as P;
    let kind = Kind::of(plan);
    let no_acknowledgement =
        || Claim::NotClaimed("nothing is acknowledged without publisher confirms".to_owned());
    match property {
        P::DuplicateAppend => Claim::NotOffered(
            "RabbitMQ removes no copies of what an AMQP publisher sends twice; only named producers of the stream \
             protocol have that"
                .into(),
        ),
        _ if property.is_transactional() => Claim::NotOffered(NO_TRANSACTIONS.into()),
        P::OrderLog | P::OrderConsumer | P::Divergence | P::HighWatermarkRollback if kind != Kind::Stream => {
            Claim::NotOffered(
                "a queue has no offsets, and a message leaves it when it is settled: there is no log to read".into(),
            )
        }
        P::AckedLoss | P::Rto | P::AckLatency | P::Rpo if plan.durability == Durability::None => {
            no_acknowledgement()
        }
        P::AckedLoss => acked_loss(kind, plan, envelope),
        // Of queues only what groups were never handed is known, so what a group gave up cannot be told from it.
        P::Rpo => {
            let groups = plan.consumers.iter().map(|one| of_group(plan, &one.group, envelope));
            let given_up = groups.into_iter().find(|claim| !claim.is_claimed());
            given_up.unwrap_or_else(|| acked_loss(kind, plan, envelope))
        }
        P::Divergence | P::HighWatermarkRollback => acked_loss(kind, plan, envelope),
        P::Rto if kind == Kind::Classic => Claim::NotClaimed(
            "a classic queue has no other copy: it is away until its node is back (outage instead of loss)".into(),
        ),
        P::OrderPerKey => order_per_key(plan),
        _ => Claim::Claimed,
    }
}

/// A durable queue is kept on disk: a node that comes back with its data brings all that was confirmed.
fn acked_loss(kind: Kind, plan: &Plan, envelope: Envelope) -> Claim {
    if kind != Kind::Stream {
        return Claim::Claimed;
    }
    let survives = written(plan).map(|(_, topic)| topic.replicas.saturating_sub(1) / 2).min().unwrap_or(0);
    let dead = envelope.brokers_dead_at_once;
    Claim::unless((dead > survives).then(|| {
        format!(
            "`{dead}` nodes were dead at once, and a stream, which is never flushed, survives `{survives}`"
        )
    }))
}

/// Whether a group is owed every acknowledged message.
pub(super) fn of_group(plan: &Plan, group: &str, envelope: Envelope) -> Claim {
    let automatic = |one: &&crate::plan::ConsumerPlan| one.group == group && one.settle == Settle::Auto;
    if plan.consumers.iter().any(|one| automatic(&one)) {
        return Claim::NotClaimed(
            "with automatic acknowledgement a message is settled when it is written to the connection \
             (\"Consumer Acknowledgements\", automatic acknowledgement mode)"
                .into(),
        );
    }
    group_loss(plan, group, envelope)
}

fn order_per_key(plan: &Plan) -> Claim {
    let members = |group: &str| plan.consumers.iter().filter(|one| one.group == group).count();
    let competing = plan.consumers.iter().find(|one| members(&one.group) > 1);
    Claim::unless(competing.filter(|_| !is_ordered(plan)).map(|one| {
        format!("the members of `{}` compete for each queue: order holds for one consumer only", one.group)
    }))
}

/// What the class means.
pub(super) fn class_in_words(durability: Durability) -> &'static str {
    match durability {
        Durability::None => "no publisher confirms; nothing is acknowledged",
        Durability::Leader => {
            "durable classic queue, persistent messages, confirms; one node has it, written and not flushed; no \
             fail-over: outage instead of loss"
        }
        Durability::Quorum => {
            "confirms; quorum queue: a majority has written and flushed it (stronger than asked); stream where nobody \
             settles: a majority has it, in memory"
        }
        Durability::QuorumDisk => "quorum queue, confirms; a majority has written and flushed it",
    }
}

/// What is read back before load.
pub(super) fn expected_settings(plan: &Plan) -> Vec<ExpectedSetting> {
    let kind = Kind::of(plan);
    let setting = |scope, name, must, value: &str| ExpectedSetting::new(scope, name, must, value);
    let confirms = plan.durability != Durability::None;
    let mut settings =
        vec![setting(SettingScope::Producer, "publisher-confirms", Must::Be, &confirms.to_string())];
    if confirms {
        // What nobody could route is acknowledged, too, unless it must come back.
        settings.push(setting(SettingScope::Producer, "mandatory", Must::Be, "true"));
        settings.push(setting(SettingScope::Producer, "delivery-mode", Must::Be, "2"));
    }
    for (name, topic) in &plan.topology.topics {
        let scope = SettingScope::Topic(name.clone());
        settings.push(setting(scope.clone(), "type", Must::Be, kind.name()));
        settings.push(setting(scope.clone(), "durable", Must::Be, "true"));
        if kind != Kind::Classic {
            settings.push(setting(scope.clone(), "members", Must::Be, &topic.replicas.to_string()));
            settings.push(setting(scope, "online", Must::Be, &topic.replicas.to_string()));
        }
    }
    if kind == Kind::Quorum {
        settings.push(setting(SettingScope::Broker, "wal_sync_method", Must::NotBe, "none"));
        settings.push(setting(SettingScope::Broker, "wal_write_strategy", Must::NotBe, "sync_after_notify"));
    }
    settings
}

/// Arguments that a queue is declared with.
pub(super) fn topic_settings(plan: &Plan, replicas: u32) -> Vec<(&'static str, String)> {
    let kind = Kind::of(plan);
    let mut settings = vec![("x-queue-type", kind.name().to_owned())];
    match kind {
        Kind::Classic => {}
        Kind::Quorum => {
            settings.push(("x-quorum-initial-group-size", replicas.to_string()));
            // Twenty by default, after which a message is dropped.
            settings.push(("x-delivery-limit", "-1".to_owned()));
        }
        Kind::Stream => settings.push(("x-initial-cluster-size", replicas.to_string())),
    }
    if kind != Kind::Stream && is_ordered(plan) {
        settings.push(("x-single-active-consumer", "true".to_owned()));
    }
    settings
}
