//! Changes to a plan, so that products are compared like with like where they are unlike; each change is told.

use super::product::Product;
use super::rabbitmq::Kind;
use crate::plan::{Expectation, FaultKind, FaultTarget, Plan, Role, Trigger};
use crate::property::Property;

/// How long the followers of a quorum queue may be deaf to a leader that is to be killed. After some five seconds they
/// replace it (Raft over Erlang's distribution: the link that replicates also tells who lives); the kill would then hit the
/// new leader with the old one still cut off, and two of three nodes away are more than any majority survives.
const DEAF_AT_MOST_MS: u64 = 3_000;

/// Changes a plan where a product lacks what the plan counts on, so that the comparison stays fair, and says what was
/// changed: without producer dedupe, order is compared with one request in flight.
pub fn adapt(system: &str, plan: &mut Plan) -> Vec<String> {
    let Some(product @ (Product::RabbitMq | Product::RocketMq)) = Product::named(system) else {
        return Vec::new();
    };
    let compares_order = [Property::OrderLog, Property::OrderPerKey]
        .iter()
        .any(|property| plan.expect.get(property) == Some(&Expectation::Never));
    let mut notes = Vec::new();
    if product == Product::RabbitMq && Kind::of(plan) == Kind::Classic {
        notes.extend(without_followers(plan));
    }
    if product == Product::RabbitMq {
        notes.extend(deaf_for_less(plan));
    }
    for producer in &mut plan.producers {
        let was = (producer.idempotence, producer.in_flight);
        producer.idempotence = false;
        if product == Product::RocketMq && compares_order {
            producer.in_flight = 1;
        }
        if producer.instance > 0 {
            continue;
        }
        if was.0 {
            notes.push(format!("`{}`: not idempotent, for {system} removes no copies", producer.role));
        }
        if was.1 != producer.in_flight {
            notes.push(format!(
                "`{}`: 1 request in flight instead of {}, for order is compared and {system} keeps it only so",
                producer.role, was.1
            ));
        }
    }
    notes
}

/// A classic queue is on one node: a fault that needs its followers has nobody to happen to, and the rest is judged.
fn without_followers(plan: &mut Plan) -> Option<String> {
    let is_follower = |role: &Role| matches!(role, Role::FollowersOf { .. });
    let mut excused = false;
    for fault in &mut plan.faults {
        let needs_followers = match &fault.target {
            FaultTarget::Nodes(role) => is_follower(role),
            FaultTarget::Link(one, other) => is_follower(one) || is_follower(other),
        };
        fault.optional |= needs_followers;
        excused |= needs_followers;
    }
    excused.then(|| {
        "a classic queue has no followers: what the scenario does to them is left out (no failover: outage instead of loss)"
            .to_owned()
    })
}

/// Lets followers be cut off from a leader that is then killed only so long that it still leads.
fn deaf_for_less(plan: &mut Plan) -> Option<String> {
    let kills: Vec<(Role, u64)> = plan
        .faults
        .iter()
        .filter(|fault| fault.kind.is_kill())
        .filter_map(|fault| match (&fault.target, fault.trigger) {
            (FaultTarget::Nodes(role @ Role::LeaderOf { .. }), Trigger::AtMs(ms)) => Some((role.clone(), ms)),
            _ => None,
        })
        .collect();
    let mut changed = false;
    for fault in &mut plan.faults {
        let (FaultTarget::Link(one, other), Trigger::AtMs(at), Some(lasts)) =
            (&fault.target, fault.trigger, fault.for_ms)
        else {
            continue;
        };
        let killed = |(role, ms): &&(Role, u64)| {
            (role == one || role == other) && (at + DEAF_AT_MOST_MS..at + lasts).contains(ms)
        };
        if !matches!(fault.kind, FaultKind::Stall | FaultKind::Cut) {
            continue;
        }
        if let Some((_, kill)) = kills.iter().find(killed) {
            let later = kill - DEAF_AT_MOST_MS;
            fault.trigger = Trigger::AtMs(later);
            fault.for_ms = Some(at + lasts - later);
            changed = true;
        }
    }
    changed.then(|| {
        format!(
            "followers are cut off {} s before their leader is killed, not earlier: a leader that they do not hear is \
             replaced after 5 s",
            DEAF_AT_MOST_MS / 1_000
        )
    })
}
