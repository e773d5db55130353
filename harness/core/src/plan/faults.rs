//! Faults as written to faults as planned: repetitions spelt out, random targets drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::types::{FaultKind, FaultPlan, FaultTarget, Role, Trigger};
use crate::ids::NodeId;
use crate::scenario::{self, Death, Document, Fault, Target, Timing};

/// All faults, in the order in which they may start; those that wait for progress come last.
pub(super) fn expand(document: &Document, random: &mut ChaCha8Rng) -> Vec<FaultPlan> {
    let end_ms = scenario::load_end_ms(document);
    let mut plans = Vec::new();
    for fault in &document.faults {
        let timing = fault.timing();
        for trigger in triggers(timing, end_ms) {
            plans.push(FaultPlan {
                kind: kind(fault),
                target: target(fault, document.topology.brokers, random),
                trigger,
                for_ms: timing.lasts.map(scenario::Duration::ms),
                optional: timing.optional,
            });
        }
    }
    plans.sort_by_key(|plan| match plan.trigger {
        Trigger::AtMs(at) => (0, at),
        Trigger::AfterAcked(acked) => (1, acked),
    });
    plans
}

fn triggers(timing: Timing, end_ms: u64) -> Vec<Trigger> {
    if let Some(after) = timing.after {
        return vec![Trigger::AfterAcked(after.acked)];
    }
    if let Some(every) = timing.every {
        let times = (1..).map(|nth| every.ms() * nth).take_while(|at| *at < end_ms);
        let limit = timing.repeat.map_or(usize::MAX, |repeat| repeat as usize);
        return times.take(limit).map(Trigger::AtMs).collect();
    }
    timing.at.map(|at| Trigger::AtMs(at.ms())).into_iter().collect()
}

fn kind(fault: &Fault) -> FaultKind {
    match fault {
        Fault::Kill(kill) => match kill.how {
            Death::Process => FaultKind::Kill,
            Death::Host => FaultKind::KillHost,
            Death::Disk => FaultKind::KillDisk,
            Death::Power => FaultKind::KillPower,
        },
        Fault::Pause(_) => FaultKind::Pause,
        Fault::Stop(_) => FaultKind::Stop,
        Fault::Cut(_) => FaultKind::Cut,
        Fault::Stall(_) => FaultKind::Stall,
        Fault::Slow(slow) => FaultKind::Slow {
            latency_ms: slow.latency.ms(),
            bytes_per_s: slow.bandwidth.map_or(0, |bandwidth| bandwidth.0),
        },
    }
}

fn target(fault: &Fault, brokers: u32, random: &mut ChaCha8Rng) -> FaultTarget {
    match fault.targets()[..] {
        [(first, _), (second, _)] => FaultTarget::Link(
            role(first, Some(second), brokers, random),
            role(second, Some(first), brokers, random),
        ),
        _ => FaultTarget::Nodes(role(fault.targets()[0].0, None, brokers, random)),
    }
}

fn role(target: &Target, opposite: Option<&Target>, brokers: u32, random: &mut ChaCha8Rng) -> Role {
    match target {
        Target::LeaderOf(partition) => {
            Role::LeaderOf { topic: partition.topic.clone(), partition: partition.partition }
        }
        Target::FollowersOf(partition) => {
            Role::FollowersOf { topic: partition.topic.clone(), partition: partition.partition }
        }
        Target::Followers => match opposite {
            Some(Target::LeaderOf(partition)) => {
                Role::FollowersOf { topic: partition.topic.clone(), partition: partition.partition }
            }
            _ => unreachable!("a checked scenario has `followers` only opposite to `leader-of`"),
        },
        Target::Controller => Role::Controller,
        Target::Node(node) => Role::Nodes(vec![NodeId(*node)]),
        Target::Random(count) => Role::Nodes(pick(*count, brokers, random)),
        Target::Minority => Role::Nodes(pick((brokers - 1) / 2, brokers, random)),
        Target::All => Role::All,
        Target::Clients => Role::Clients,
    }
}

/// `count` different brokers, in rising order (a partial Fisher–Yates shuffle).
fn pick(count: u32, brokers: u32, random: &mut ChaCha8Rng) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = (1..=brokers).map(NodeId).collect();
    let count = count.min(brokers) as usize;
    for place in 0..count {
        let left = (nodes.len() - place) as u64;
        nodes.swap(place, place + (random.next_u64() % left) as usize);
    }
    nodes.truncate(count);
    nodes.sort_unstable();
    nodes
}
