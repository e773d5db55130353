//! What Apache RocketMQ 5 promises, in controller mode.
//!
//! Sources: RocketMQ documentation, "Deployment", master-slave automatic switch (SyncStateSet, `allAckInSyncStateSet`,
//! `minInSyncReplicas`); "Feature behaviour", ordered messages, message sending retry; verified by source of 5.5.0: a slave
//! acknowledges what it appended, not what it flushed.
//!
//! Known and still claimed, for it is promised: the SyncStateSet that shrinks to the master while a send waits, so that one
//! copy is acknowledged; and groups that start again from 0 after a change of master, because slaves of stock 5.5.0 do not
//! copy consumers' progress (apache/rocketmq #10284).

use super::claim::Claim;
use super::promises::{Envelope, is_ordered, written};
use super::settings::{ExpectedSetting, Must, SettingScope};
use crate::plan::{Durability, Flush, Plan};
use crate::property::Property;

/// RocketMQ's transactional messages are another thing.
pub(super) const NO_TRANSACTIONS: &str = "transactions of several messages: RocketMQ's transactional message is one half message that is shown or dropped";

/// The part of a profile that asks for a master for good and slaves, without controllers.
const CLASSIC: &str = "classic";

/// The claim on a property.
pub(super) fn claim(property: Property, plan: &Plan, envelope: Envelope) -> Claim {
    match property {
        _ if property.is_transactional() => Claim::NotOffered(NO_TRANSACTIONS.into()),
        Property::DuplicateAppend => Claim::NotOffered(
            "RocketMQ removes no copies of what a producer sends twice (\"Message sending retry\": consumers do it by key)"
                .into(),
        ),
        Property::AckedLoss | Property::Rpo => acked_loss(plan, envelope),
        Property::Divergence | Property::HighWatermarkRollback => committed_reads(plan, envelope),
        Property::OrderPerKey if !is_ordered(plan) => Claim::NotClaimed(
            "concurrent consumers do not lock their queues: order holds for orderly ones (\"Ordered messages\")".into(),
        ),
        Property::OrderLog | Property::OrderPerKey => order(plan),
        Property::AckLatency | Property::Rto if plan.durability == Durability::None => {
            Claim::NotClaimed("one-way sends are not answered".into())
        }
        _ => Claim::Claimed,
    }
}

fn acked_loss(plan: &Plan, envelope: Envelope) -> Claim {
    Claim::unless(match plan.durability {
        Durability::None => Some("one-way sends acknowledge nothing".into()),
        Durability::Leader => Some(
            "allAckInSyncStateSet=false, inSyncReplicas=1: SEND_OK is given when the master alone has appended".into(),
        ),
        Durability::Quorum | Durability::QuorumDisk => {
            let survives = min_in_sync(plan) - 1;
            let dead = envelope.brokers_dead_at_once;
            (dead > survives).then(|| {
                format!(
                    "`{dead}` brokers were dead at once, and what `{}` have appended survives `{survives}`",
                    survives + 1
                )
            })
        }
    })
}

/// What a consumer was handed lies below the confirm offset, which the SyncStateSet has.
fn committed_reads(plan: &Plan, envelope: Envelope) -> Claim {
    let dead = envelope.brokers_dead_at_once;
    if plan.durability < Durability::Quorum {
        return Claim::NotClaimed(
            "with inSyncReplicas=1 consumers may be handed what only the master has appended".into(),
        );
    }
    Claim::unless(written(plan).find(|(_, topic)| topic.replicas <= dead).map(|(name, _)| {
        format!("`{dead}` brokers were dead at once: every replica of `{name}`, none of which had flushed")
    }))
}

/// Requests of one connection are served by many threads of a broker, so only what waits for its answer keeps its place.
fn order(plan: &Plan) -> Claim {
    Claim::unless(plan.producers.iter().find(|producer| producer.in_flight > 1).map(|producer| {
        format!(
            "`{}` has `{}` requests in flight, and only one at a time keeps the order (\"Ordered messages\")",
            producer.role, producer.in_flight
        )
    }))
}

/// What the class means.
pub(super) fn class_in_words(durability: Durability) -> Option<&'static str> {
    match durability {
        Durability::None => Some("one-way sends; nothing is acknowledged"),
        Durability::Leader => Some(
            "controller mode, ASYNC_FLUSH, allAckInSyncStateSet=false, inSyncReplicas=1; the master alone has it, in memory",
        ),
        Durability::Quorum => Some(
            "controller mode, ASYNC_FLUSH, allAckInSyncStateSet=true, minInSyncReplicas=2; the whole SyncStateSet has it, in \
             memory",
        ),
        Durability::QuorumDisk => None,
    }
}

/// What is read back before load.
pub(super) fn expected_settings(profile: &[&str], plan: &Plan) -> Vec<ExpectedSetting> {
    let broker = |name, value: &str| ExpectedSetting::new(SettingScope::Broker, name, Must::Be, value);
    let strong = plan.durability >= Durability::Quorum;
    let flush = if flushes(plan) { "SYNC_FLUSH" } else { "ASYNC_FLUSH" };
    let least = if strong { min_in_sync(plan) } else { 1 }.to_string();
    let mut settings = vec![
        broker("flushDiskType", flush),
        // It would acknowledge before the message is in the page cache.
        broker("transientStorePoolEnable", "false"),
    ];
    if profile.contains(&CLASSIC) {
        // Without controllers it is the number of copies that SEND_OK waits for; `minInSyncReplicas` is not looked at.
        settings.extend([broker("enableControllerMode", "false"), broker("inSyncReplicas", &least)]);
    } else {
        settings.extend([
            broker("enableControllerMode", "true"),
            broker("allAckInSyncStateSet", &strong.to_string()),
            broker("minInSyncReplicas", &least),
        ]);
        if !strong {
            settings.push(broker("inSyncReplicas", "1"));
        }
    }
    let must = if plan.durability == Durability::None { Must::Be } else { Must::NotBe };
    settings.push(ExpectedSetting::new(SettingScope::Producer, "send", must, "one-way"));
    settings
}

/// The setting holds for all topics of a broker.
fn min_in_sync(plan: &Plan) -> u32 {
    plan.topology.brokers.clamp(1, 2)
}

/// Whether the master flushes before it answers.
pub(super) fn flushes(plan: &Plan) -> bool {
    plan.topology.topics.values().any(|topic| topic.flush == Flush::BeforeAck)
}
