//! What a reader must know before setting products side by side: what a product lacks, who must answer, and where a class
//! is more or less than was asked for.

use super::product::Product;
use super::rabbitmq::{self, Kind};
use super::rocketmq;
use super::storage::{Storage, storage};
use crate::plan::{Durability, Expectation, Flush, Plan};
use crate::property::Property;

/// How a product's class stands to what was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Equality {
    /// It means what was asked for.
    Equal,
    /// It promises more, so that its numbers cost more: why.
    Stronger(String),
    /// It promises less, or something else: why.
    Unequal(String),
}

impl Equality {
    /// The mark for a column's header; None where nothing need be said.
    pub fn mark(&self) -> Option<&str> {
        match self {
            Self::Equal => None,
            Self::Stronger(why) | Self::Unequal(why) => Some(why),
        }
    }
}

/// How the class of a plan on a system stands to what was asked for. None: no contract is written for the system.
pub fn equality(system: &str, plan: &Plan) -> Option<Equality> {
    Some(match Product::named(system)? {
        Product::Kafka => Equality::Equal,
        Product::RabbitMq => match (Kind::of(plan), plan.durability) {
            (Kind::Quorum, Durability::Quorum) => {
                Equality::Stronger("stronger than asked: a quorum queue flushes before it confirms".into())
            }
            (Kind::Classic, Durability::Leader) => Equality::Unequal(
                "no failover: outage instead of loss: a classic queue is on one node, written to its disk".into(),
            ),
            _ => Equality::Equal,
        },
        Product::RocketMq if rocketmq::flushes(plan) && plan.durability == Durability::Quorum => {
            Equality::Unequal(
                "quorum + leader disk: only the master has flushed what SEND_OK acknowledges, slaves have appended it"
                    .into(),
            )
        }
        Product::RocketMq => Equality::Equal,
    })
}

/// Whose answers an acknowledgement waits for. None: nothing is acknowledged, or no contract is written for the system.
pub fn ack_waits_for(system: &str, plan: &Plan) -> Option<&'static str> {
    let product = Product::named(system)?;
    match plan.durability {
        Durability::None => None,
        Durability::Leader => Some("one node"),
        Durability::Quorum | Durability::QuorumDisk => Some(match product {
            Product::Kafka | Product::RocketMq => "all in sync",
            Product::RabbitMq => "a majority",
        }),
    }
}

/// Why a plan cannot be carried out on a system, as far as the product decides it: it lacks what the plan needs. What the
/// harness cannot do to a cluster is not asked here.
pub fn not_offered(system: &str, plan: &Plan) -> Option<String> {
    match Product::named(system)? {
        Product::Kafka => None,
        Product::RabbitMq => on_rabbitmq(plan),
        Product::RocketMq => on_rocketmq(plan),
    }
    .or_else(|| nothing_left(system, plan))
}

fn is_transactional(plan: &Plan) -> bool {
    plan.producers.iter().any(|producer| producer.transactions.is_some())
}

fn on_rabbitmq(plan: &Plan) -> Option<String> {
    if is_transactional(plan) {
        return Some(rabbitmq::NO_TRANSACTIONS.into());
    }
    let is_log = storage("rabbitmq", plan) == Storage::Log;
    let topics = || plan.topology.topics.values();
    if topics().any(|topic| matches!(topic.flush, Flush::IntervalMs(_))) {
        return Some("a flush interval of one topic: a queue is flushed with its confirms, or never".into());
    }
    if Kind::of(plan) != Kind::Quorum && topics().any(|topic| topic.flush == Flush::BeforeAck) {
        return Some(
            "a flush before each acknowledgement below class quorum: only quorum queues do that".into(),
        );
    }
    match plan.durability {
        Durability::Leader if is_log => Some(
            "class leader of a log: a stream is confirmed by a majority or not at all, and a classic queue cannot be read \
             twice"
                .into(),
        ),
        Durability::QuorumDisk if is_log => {
            Some("class quorum-disk of a log: a stream is never flushed, and a quorum queue cannot be read twice".into())
        }
        _ => None,
    }
}

fn on_rocketmq(plan: &Plan) -> Option<String> {
    if is_transactional(plan) {
        return Some(rocketmq::NO_TRANSACTIONS.into());
    }
    if plan.durability == Durability::QuorumDisk {
        return Some(
            "class quorum-disk: a slave acknowledges what it appended, not what it flushed, so only the master's flush \
             precedes SEND_OK"
                .into(),
        );
    }
    let per_topic = plan.topology.topics.values().any(|topic| matches!(topic.flush, Flush::IntervalMs(_)));
    per_topic.then(|| "a flush interval of one topic: flushing is a setting of the whole broker".into())
}

/// A scenario that is about nothing but what the product lacks.
fn nothing_left(system: &str, plan: &Plan) -> Option<String> {
    let contract = super::Contract::of(system, plan, super::Envelope::default());
    let mut asked = plan.expect.iter().filter(|(_, expected)| **expected != Expectation::Allowed).peekable();
    asked.peek()?;
    let lacks = |property: &Property| match contract.claim(*property) {
        super::Claim::NotOffered(why) => Some(why.clone()),
        _ => None,
    };
    let reasons: Option<Vec<String>> = asked.map(|(property, _)| lacks(property)).collect();
    reasons?.into_iter().next()
}
