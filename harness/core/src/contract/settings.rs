//! What a durability class means in a product's own settings.

use std::collections::BTreeMap;

use super::product::Product;
use super::promises::is_ordered;
use super::{kafka, rabbitmq, rocketmq};
use crate::history::Level;
use crate::plan::{Durability, Plan, ProducerPlan, TopicPlan};

/// Where a setting is read back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SettingScope {
    /// Every producer's client.
    Producer,
    /// This topic, in the running cluster.
    Topic(String),
    /// Every broker, in the running cluster.
    Broker,
}

/// How a setting is compared with a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Must {
    /// It must have the value.
    Be,
    /// It may have any value but this.
    NotBe,
}

/// A setting that must be in force before load, else the cell is not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedSetting {
    /// Where it is read back.
    pub scope: SettingScope,
    /// Its name in the product. `replication.factor` is the number of replicas, which is no setting of Kafka's.
    pub name: &'static str,
    /// How it is compared.
    pub must: Must,
    /// With which value.
    pub value: String,
}

impl ExpectedSetting {
    pub(super) fn new(scope: SettingScope, name: &'static str, must: Must, value: &str) -> Self {
        Self { scope, name, must, value: value.to_owned() }
    }

    /// Whether the value in force will do.
    pub fn accepts(&self, found: &str) -> bool {
        (found == self.value) == (self.must == Must::Be)
    }

    /// What is needed: `2`, or `anything but none`.
    pub fn needed(&self) -> String {
        match self.must {
            Must::Be => self.value.clone(),
            Must::NotBe => format!("anything but {}", self.value),
        }
    }
}

/// The level at which an acknowledgement counts; None where nothing is acknowledged.
pub fn required_level(durability: Durability) -> Option<Level> {
    match durability {
        Durability::None => None,
        Durability::Leader => Some(Level::Leader),
        Durability::Quorum => Some(Level::Quorum),
        Durability::QuorumDisk => Some(Level::QuorumDisk),
    }
}

/// Whether a producer's session is idempotent in force: librdkafka refuses idempotence with acks other than `all`, so the
/// weaker classes switch it off.
pub fn is_idempotent(producer: &ProducerPlan, durability: Durability) -> bool {
    producer.idempotence && durability >= Durability::Quorum
}

/// One line for people: what the class means on this system. None: the system is not known, or has no such class.
pub fn class_in_words(system: &str, durability: Durability) -> Option<&'static str> {
    match Product::named(system)? {
        Product::Kafka => Some(kafka::class_in_words(durability)),
        Product::RabbitMq => Some(rabbitmq::class_in_words(durability)),
        Product::RocketMq => rocketmq::class_in_words(durability),
    }
}

/// The settings to read back from the running cluster and its clients for a plan, deployed with the parts of a profile.
/// Empty for an unknown system.
pub fn expected_settings(system: &str, profile: &[&str], plan: &Plan) -> Vec<ExpectedSetting> {
    match Product::named(system) {
        Some(Product::Kafka) => kafka::expected_settings(plan),
        Some(Product::RabbitMq) => rabbitmq::expected_settings(plan),
        Some(Product::RocketMq) => rocketmq::expected_settings(profile, plan),
        None => Vec::new(),
    }
}

/// Settings that a topic is created with, in the product's own names.
pub fn topic_settings(system: &str, plan: &Plan, topic: &TopicPlan) -> BTreeMap<String, String> {
    let settings = match Product::named(system) {
        Some(Product::RabbitMq) => rabbitmq::topic_settings(plan, topic.replicas),
        Some(Product::RocketMq) => Vec::new(),
        Some(Product::Kafka) | None => kafka::topic_settings(topic),
    };
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Settings of a driver's clients that the plan itself does not hold, in the driver's own names.
pub fn client_settings(system: &str, plan: &Plan) -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match system {
        // It lets a member that died go sooner than Kafka's least session time-out of 6 s.
        "reference" => {
            BTreeMap::from([pair("session.timeout.ms", "1000"), pair("heartbeat.interval.ms", "200")])
        }
        // Longer than it takes to replace a dead leader, so that a send is not given up in between: 13 s by default.
        "kafka" => BTreeMap::from([pair("message.timeout.ms", "60000")]),
        "rabbitmq" => BTreeMap::from([pair("queue-type", rabbitmq::Kind::of(plan).name())]),
        "rocketmq" => {
            let how = if is_ordered(plan) { "orderly" } else { "concurrently" };
            BTreeMap::from([pair("consume", how)])
        }
        _ => BTreeMap::new(),
    }
}
