//! The contract of a cell.

use std::collections::BTreeMap;

use super::claim::Claim;
use super::settings::{is_idempotent, speaks_kafka};
use crate::plan::{Durability, Plan, ProducerPlan, Settle};
use crate::property::Property;

/// What was really done to the cluster and its clients, as observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The most brokers that were dead at one time by a fault.
    pub brokers_dead_at_once: u32,
    /// Whether a consumer's process died.
    pub consumer_crashed: bool,
}

/// What a product promises for one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    claims: BTreeMap<Property, Claim>,
    groups: BTreeMap<String, Claim>,
    acknowledged_offsets: Claim,
}

impl Contract {
    /// The contract of `system` with the settings of `plan`, within `envelope`.
    pub fn of(system: &str, plan: &Plan, envelope: Envelope) -> Self {
        if !speaks_kafka(system) {
            let none = Claim::NotOffered(format!("no contract is written for `{system}` yet"));
            return Self {
                claims: Property::ALL.map(|property| (property, none.clone())).into(),
                groups: BTreeMap::new(),
                acknowledged_offsets: none,
            };
        }
        let acked = acked_loss(plan, envelope);
        let claims = Property::ALL.map(|property| {
            let claim = match property {
                Property::AckedLoss | Property::Rpo => acked.clone(),
                Property::DuplicateAppend => duplicate_append(plan),
                Property::OrderLog | Property::OrderPerKey => order(plan),
                Property::HighWatermarkRollback | Property::Divergence => committed_reads(plan, envelope),
                Property::AckLatency if plan.durability == Durability::None => {
                    Claim::NotClaimed("nothing is acknowledged with acks=0".into())
                }
                Property::Rto if plan.durability == Durability::None => Claim::NotClaimed(
                    "nothing is acknowledged with acks=0, so no outage of producing can be seen".into(),
                ),
                _ => Claim::Claimed,
            };
            (property, claim)
        });
        let groups = plan
            .consumers
            .iter()
            .map(|consumer| (consumer.group.clone(), group_loss(consumer.settle, envelope)));
        Self { claims: claims.into(), groups: groups.collect(), acknowledged_offsets: acked }
    }

    /// The claim on a property.
    pub fn claim(&self, property: Property) -> &Claim {
        &self.claims[&property]
    }

    /// Whether a group is owed every acknowledged message that the log holds.
    pub fn group_loss(&self, group: &str) -> Claim {
        self.groups.get(group).cloned().unwrap_or(Claim::Claimed)
    }

    /// Whether the offset of an acknowledgement stays that of its message. Without it a new leader legally puts another
    /// message at the offset of a lost one.
    pub fn acknowledged_offsets(&self) -> &Claim {
        &self.acknowledged_offsets
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

fn group_loss(settle: Settle, envelope: Envelope) -> Claim {
    Claim::unless(match settle {
        Settle::After => None,
        _ if !envelope.consumer_crashed => None,
        Settle::Before => {
            Some("settle: before gives up what a crashed consumer had settled and not processed".into())
        }
        Settle::Auto => Some("settle: auto may settle before processing, and a consumer crashed".into()),
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

fn written(plan: &Plan) -> impl Iterator<Item = (&String, &crate::plan::TopicPlan)> {
    plan.topology
        .topics
        .iter()
        .filter(|(name, _)| plan.producers.iter().any(|producer| producer.topic == **name))
}
