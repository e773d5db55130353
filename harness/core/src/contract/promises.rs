//! The contract of a cell.

use std::collections::BTreeMap;

use super::claim::Claim;
use super::product::Product;
use super::{kafka, rabbitmq, rocketmq};
use crate::plan::{Expectation, Plan, Settle, TopicPlan};
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
        let Some(product) = Product::named(system) else {
            let none = Claim::NotOffered(format!("no contract is written for `{system}` yet"));
            return Self {
                claims: Property::ALL.map(|property| (property, none.clone())).into(),
                groups: BTreeMap::new(),
                acknowledged_offsets: none,
            };
        };
        let claim = |property| match product {
            Product::Kafka => kafka::claim(property, plan, envelope),
            Product::RabbitMq => rabbitmq::claim(property, plan, envelope),
            Product::RocketMq => rocketmq::claim(property, plan, envelope),
        };
        let of_group = |group: &str| match product {
            Product::RabbitMq => rabbitmq::of_group(plan, group, envelope),
            Product::Kafka | Product::RocketMq => group_loss(plan, group, envelope),
        };
        let groups = plan.consumers.iter().map(|one| (one.group.clone(), of_group(&one.group)));
        Self {
            claims: Property::ALL.map(|property| (property, claim(property))).into(),
            groups: groups.collect(),
            acknowledged_offsets: match claim(Property::Divergence) {
                none @ Claim::NotOffered(_) => none,
                _ => claim(Property::AckedLoss),
            },
        }
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

/// What a group is owed where a consumer's settling is answered: everything, but for what it gave up itself.
pub(super) fn group_loss(plan: &Plan, group: &str, envelope: Envelope) -> Claim {
    let gives_up = |settle: Settle| match settle {
        Settle::After => None,
        _ if !envelope.consumer_crashed => None,
        Settle::Before => {
            Some("settle: before gives up what a crashed consumer had settled and not processed".to_owned())
        }
        Settle::Auto => Some("settle: auto may settle before processing, and a consumer crashed".to_owned()),
    };
    let mut members = plan.consumers.iter().filter(|consumer| consumer.group == group);
    Claim::unless(members.find_map(|consumer| gives_up(consumer.settle)))
}

/// The topics that producers write to.
pub(super) fn written(plan: &Plan) -> impl Iterator<Item = (&String, &TopicPlan)> {
    plan.topology
        .topics
        .iter()
        .filter(|(name, _)| plan.producers.iter().any(|producer| producer.topic == **name))
}

/// Whether each queue is to be given to one consumer at a time: where order by key is asked for, as Kafka's groups do it
/// always.
pub(super) fn is_ordered(plan: &Plan) -> bool {
    plan.expect.get(&Property::OrderPerKey).is_some_and(|expected| *expected == Expectation::Never)
}
