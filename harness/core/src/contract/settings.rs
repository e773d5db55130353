//! What a durability class means in a product's own settings.

use crate::history::Level;
use crate::plan::{Durability, Flush, Plan, ProducerPlan};

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

/// A setting that must be in force before load, else the cell is not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectedSetting {
    /// Where it is read back.
    pub scope: SettingScope,
    /// Its name in the product. `replication.factor` is the number of replicas, which is no setting of Kafka's.
    pub name: &'static str,
    /// The value in force.
    pub value: String,
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
    if !speaks_kafka(system) {
        return None;
    }
    Some(match durability {
        Durability::None => "acks=0, idempotence off; nothing is acknowledged",
        Durability::Leader => "acks=1, idempotence off; the leader alone has it, in memory",
        Durability::Quorum => {
            "acks=all, min.insync.replicas as planned; all in-sync replicas have it, in memory"
        }
        Durability::QuorumDisk => {
            "acks=all, min.insync.replicas as planned, log.flush.interval.messages=1 on every broker; flushed before \
             it is acknowledged"
        }
    })
}

/// The settings to read back from the running cluster and its clients for a plan. Empty for an unknown system.
pub fn expected_settings(system: &str, plan: &Plan) -> Vec<ExpectedSetting> {
    if !speaks_kafka(system) {
        return Vec::new();
    }
    let acks = match plan.durability {
        Durability::None => "0",
        Durability::Leader => "1",
        Durability::Quorum | Durability::QuorumDisk => "all",
    };
    let setting = |scope, name, value: &str| ExpectedSetting { scope, name, value: value.to_owned() };
    let mut settings = vec![setting(SettingScope::Producer, "acks", acks)];
    if plan.durability < Durability::Quorum {
        settings.push(setting(SettingScope::Producer, "enable.idempotence", "false"));
    }
    let mut flushes = plan.durability == Durability::QuorumDisk;
    for (name, topic) in &plan.topology.topics {
        let scope = SettingScope::Topic(name.clone());
        settings.push(setting(scope.clone(), "replication.factor", &topic.replicas.to_string()));
        settings.push(setting(scope.clone(), "min.insync.replicas", &topic.min_in_sync.to_string()));
        settings.push(setting(scope, "unclean.leader.election.enable", "false"));
        flushes |= topic.flush == Flush::BeforeAck;
    }
    if flushes {
        settings.push(setting(SettingScope::Broker, "log.flush.interval.messages", "1"));
    }
    settings
}

/// Whether a system is a broker of Kafka's wire and contract.
pub(super) fn speaks_kafka(system: &str) -> bool {
    matches!(system, "reference" | "kafka" | "sim")
}
