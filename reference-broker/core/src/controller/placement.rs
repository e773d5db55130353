//! Which brokers hold a new partition.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;

use super::image::MetadataImage;
use super::topics::Refusal;
use crate::ids::NodeId;

/// Round robin over the active brokers, and where they are too few over fenced ones as well: a replica that comes back later is
/// better than none, as long as one that is there can lead. `start` moves on with each partition of the cluster, so that
/// leaders spread.
pub(super) fn spread(
    image: &MetadataImage,
    partitions: usize,
    replicas: i16,
    start: usize,
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    let (active, fenced): (Vec<NodeId>, Vec<NodeId>) =
        image.brokers().keys().partition(|node| image.is_active(**node));
    let registered = active.len() + fenced.len();
    let count = usize::try_from(replicas).unwrap_or(0);
    if count == 0 || count > registered || active.is_empty() {
        let message = format!(
            "replication factor is `{replicas}`, with `{registered}` registered brokers, `{}` of them live",
            active.len()
        );
        return Err((ResponseError::InvalidReplicationFactor, message));
    }
    let turned = |nodes: &[NodeId], by: usize| {
        nodes.iter().copied().cycle().skip(by % nodes.len().max(1)).take(nodes.len()).collect::<Vec<_>>()
    };
    let replicas = |partition: usize| {
        let first = turned(&active, start + partition);
        first.into_iter().chain(turned(&fenced, start + partition)).take(count).collect()
    };
    Ok((0..partitions).map(replicas).collect())
}

/// An assignment as a client gave it: `replicas` brokers, each live and named once.
pub(super) fn check_assignment(
    image: &MetadataImage,
    brokers: &[BrokerId],
    replicas: usize,
) -> Result<Vec<NodeId>, Refusal> {
    let nodes: Vec<NodeId> = brokers.iter().map(|id| NodeId(id.0)).collect();
    let refuse = |message: String| Err((ResponseError::InvalidReplicaAssignment, message));
    if nodes.is_empty() || nodes.len() != replicas {
        return refuse(format!(
            "an assignment has `{}` replicas, expected `{}`",
            nodes.len(),
            replicas.max(1)
        ));
    }
    if nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
        return refuse(format!("an assignment names a broker twice: {nodes:?}"));
    }
    match nodes.iter().find(|node| !image.is_active(**node)) {
        Some(node) => refuse(format!("broker `{node}` is not live")),
        None => Ok(nodes),
    }
}
