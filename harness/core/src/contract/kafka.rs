//! What Apache Kafka, and a broker of its wire and contract, promises.
//!
//! Sources: Kafka documentation, producer configuration `acks`, topic configuration `min.insync.replicas`, design
//! "replication" and "message delivery semantics"; KIP-98 (idempotence, transactions), KIP-101 and KIP-279 (high
//! watermark).

use super::claim::Claim;
use super::promises::{Envelope, written};
use super::settings::{ExpectedSetting, Must, SettingScope, is_idempotent};
use crate::plan::{Durability, Flush, Plan, ProducerPlan, TopicPlan};
use crate::property::Property;

/// The claim on a property.
pub(super) fn claim(property: Property, plan: &Plan, envelope: Envelope) -> Claim {
    match property {
        Property::AckedLoss | Property::Rpo => acked_loss(plan, envelope),
        Property::DuplicateAppend => duplicate_append(plan),
        Property::OrderLog | Property::OrderPerKey => order(plan),
        Property::HighWatermarkRollback | Property::Divergence => committed_reads(plan, envelope),
        Property::AbortedRead | Property::EarlyRead | Property::HangingTransaction => {
            committed_reads(plan, envelope)
        }
        // What is lost of a committed transaction leaves it torn.
        Property::TornTransaction => acked_loss(plan, envelope),
        Property::AckLatency if plan.durability == Durability::None => {
            Claim::NotClaimed("nothing is acknowledged with acks=0".into())
        }
        Property::Rto if plan.durability == Durability::None => Claim::NotClaimed(
            "nothing is acknowledged with acks=0, so no outage of producing can be seen".into(),
        ),
        _ => Claim::Claimed,
    }
}

fn acked_loss(plan: &Plan, envelope: Envelope) -> Claim {
    Claim::unless(match plan.durability {
        Durability::None => Some("acks=0 acknowledges nothing".into()),
        Durability::Leader => {
            Some("acks=1: the leader answers before any other replica has the record".into())
        }
        Durability::Quorum => {
            let survives =
                written(plan).map(|(_, topic)| topic.min_in_sync.saturating_sub(1)).min().unwrap_or(0);
            let dead = envelope.brokers_dead_at_once;
            (dead > survives).then(|| {
                format!("`{dead}` brokers were dead at once, and records in the memory of `{}` survive `{survives}`", survives + 1)
            })
        }
        Durability::QuorumDisk => None,
    })
}

fn duplicate_append(plan: &Plan) -> Claim {
    let plain = plan.producers.iter().find(|producer| !is_idempotent(producer, plan.durability));
    Claim::unless(plain.map(|producer| {
        let why = if producer.idempotence { "switched off below acks=all" } else { "off" };
        format!("idempotence of `{}` is {why}: a retry may be stored twice", producer.role)
    }))
}

fn order(plan: &Plan) -> Claim {
    let reorders = |producer: &&ProducerPlan| {
        producer.in_flight > 1 && producer.retries > 0 && !is_idempotent(producer, plan.durability)
    };
    Claim::unless(plan.producers.iter().find(reorders).map(|producer| {
        format!(
            "`{}` has `{}` requests in flight and retries without idempotence: a retry may overtake",
            producer.role, producer.in_flight
        )
    }))
}

/// What a consumer was handed lies below the high watermark, which every in-sync replica has (KIP-101, KIP-279).
fn committed_reads(plan: &Plan, envelope: Envelope) -> Claim {
    let dead = envelope.brokers_dead_at_once;
    let all_dead = written(plan).find(|(_, topic)| topic.replicas <= dead);
    let flushed = plan.durability == Durability::QuorumDisk;
    Claim::unless(all_dead.filter(|_| !flushed).map(|(name, _)| {
        format!("`{dead}` brokers were dead at once: every replica of `{name}`, none of which had flushed")
    }))
}

/// What the class means.
pub(super) fn class_in_words(durability: Durability) -> &'static str {
    match durability {
        Durability::None => "acks=0, idempotence off; nothing is acknowledged",
        Durability::Leader => "acks=1, idempotence off; the leader alone has it, in memory",
        Durability::Quorum => {
            "acks=all, min.insync.replicas as planned; all in-sync replicas have it, in memory"
        }
        Durability::QuorumDisk => {
            "acks=all, min.insync.replicas as planned, log.flush.interval.messages=1 on every broker; flushed before \
             it is acknowledged"
        }
    }
}

/// What is read back before load.
pub(super) fn expected_settings(plan: &Plan) -> Vec<ExpectedSetting> {
    let acks = match plan.durability {
        Durability::None => "0",
        Durability::Leader => "1",
        Durability::Quorum | Durability::QuorumDisk => "all",
    };
    let setting = |scope, name, value: &str| ExpectedSetting::new(scope, name, Must::Be, value);
    let mut settings = vec![setting(SettingScope::Producer, "acks", acks)];
    if plan.durability < Durability::Quorum {
        settings.push(setting(SettingScope::Producer, "enable.idempotence", "false"));
    }
    let mut flushes = false;
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

/// Settings that a topic is created with.
pub(super) fn topic_settings(topic: &TopicPlan) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("min.insync.replicas", topic.min_in_sync.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
    ];
    if topic.flush == Flush::BeforeAck {
        settings.push(("flush.messages", "1".to_owned()));
    }
    settings
}
