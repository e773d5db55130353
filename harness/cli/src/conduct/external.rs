//! What changes when the cluster is somebody else's.

use std::time::Duration;

use mqproof_core::plan::{FaultTarget, Plan, Role};

use super::connect::connect;
use super::error::CellError;
use super::setup::wait_for_brokers;
use super::target::Target;
use crate::provision::ProvisionError;

/// Fits a plan to somebody else's cluster: topics and groups get names of their own, and replicas are no more than
/// there are live brokers. Returns what was changed, for the report.
pub fn fit_to_external(plan: &mut Plan, target: &Target, run_number: u64) -> Result<Vec<String>, CellError> {
    let address = target.address.clone().unwrap_or_default();
    let admin = connect(&address)?;
    let cluster = wait_for_brokers(&*admin, 1, Duration::from_secs(5))
        .map_err(|why| ProvisionError::Unreachable { address, why })?;
    let notes = plan.clamp_replicas(cluster.brokers.len() as u32);
    rename(plan, &format!("mqproof-{:08x}-", run_number as u32));
    Ok(notes)
}

fn rename(plan: &mut Plan, prefix: &str) {
    let add = |name: &mut String| name.insert_str(0, prefix);
    plan.topology.topics = std::mem::take(&mut plan.topology.topics)
        .into_iter()
        .map(|(name, topic)| (format!("{prefix}{name}"), topic))
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
