//! What changes when the cluster is somebody else's.

use mqproof_core::plan::{FaultTarget, Plan, Role};

use super::connect::{connect, first_answer};
use super::error::CellError;
use super::target::Target;

/// Fits a plan to somebody else's cluster: topics and groups get names of their own, and replicas are no more than
/// there are live brokers. Returns what was changed, for the report.
pub fn fit_to_external(plan: &mut Plan, target: &Target, run_number: u64) -> Result<Vec<String>, CellError> {
    let address = target.address.clone().unwrap_or_default();
    let admin = connect(target.system, &address, &target.client.0)?;
    let cluster = first_answer(&*admin, &address)?;
    let notes = plan.clamp_replicas(cluster.brokers.len() as u32);
    let prefix = format!("mqproof-{:08x}-", run_number as u32);
    rename(plan, |name| format!("{prefix}{name}"));
    Ok(notes)
}

/// Gives topics and groups other names.
pub fn rename(plan: &mut Plan, new: impl Fn(&str) -> String) {
    let add = |name: &mut String| *name = new(name);
    plan.topology.topics = std::mem::take(&mut plan.topology.topics)
        .into_iter()
        .map(|(name, topic)| (new(&name), topic))
        .collect();
    for producer in &mut plan.producers {
        add(&mut producer.topic);
    }
    for consumer in &mut plan.consumers {
        add(&mut consumer.topic);
        add(&mut consumer.group);
    }
    for fault in &mut plan.faults {
        let roles = match &mut fault.target {
            FaultTarget::Nodes(role) => vec![role],
            FaultTarget::Link(a, b) => vec![a, b],
        };
        for role in roles {
            if let Role::LeaderOf { topic, .. } | Role::FollowersOf { topic, .. } = role {
                add(topic);
            }
        }
    }
}
