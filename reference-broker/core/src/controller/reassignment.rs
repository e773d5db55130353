//! Partitions move to other brokers (KIP-455).
//!
//! A partition that moves is held by the replicas of its target and by those that it leaves. It has arrived when all of its target are in
//! sync; only then do the others let go of it. What it came from is remembered until then, so that it can go back.
//!
//! To let go of a replica must not leave acknowledged records on fewer than `min.insync.replicas`. Kafka drops the replicas of a
//! cancelled move at once, whoever of the old ones is in sync; here they stay until enough of those are.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::controller::Decision;
use super::election::Election;
use super::image::{MetadataImage, PartitionImage, TopicImage};
use super::record::MetadataRecord;
use super::topics::Refusal;
use crate::defects::Defect;
use crate::ids::{NodeId, PartitionId};

/// `AlterPartitionReassignments`: decides on each partition by itself.
pub(super) fn alter(
    election: Election,
    image: &MetadataImage,
    request: &AlterPartitionReassignmentsRequest,
) -> Decision {
    let mut records = Vec::new();
    let mut seen = BTreeSet::new();
    let mut responses = Vec::new();
    for topic in &request.topics {
        let name = topic.name.as_str();
        let mut partitions = Vec::new();
        for asked in &topic.partitions {
            let index = PartitionId(asked.partition_index);
            let target = asked.replicas.as_ref().map(|ids| ids.iter().map(|id| NodeId(id.0)).collect());
            let decided = if seen.insert((name, index)) {
                find(image, name, index).and_then(|(topic, partition)| {
                    let moved = move_one(election, image, topic, partition, target, request)?;
                    Ok(moved.map(|moved| record(topic, index, moved)))
                })
            } else {
                Err((ResponseError::InvalidRequest, "the partition is in the request twice".into()))
            };
            let answer = ReassignablePartitionResponse::default().with_partition_index(index.0);
            partitions.push(match decided {
                Ok(record) => {
                    records.extend(record);
                    answer.with_error_message(None)
                }
                Err((error, message)) => answer
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_string(message))),
            });
        }
        let answer = ReassignableTopicResponse::default().with_name(topic.name.clone());
        responses.push(answer.with_partitions(partitions));
    }
    let response = AlterPartitionReassignmentsResponse::default()
        .with_error_message(None)
        .with_allow_replication_factor_change(request.allow_replication_factor_change)
        .with_responses(responses);
    (records, response.into())
}

fn find<'a>(
    image: &'a MetadataImage,
    name: &str,
    index: PartitionId,
) -> Result<(&'a TopicImage, &'a PartitionImage), Refusal> {
    let found = image.topic_named(name).and_then(|topic| Some((topic, topic.partitions.get(&index)?)));
    found.ok_or_else(|| {
        (ResponseError::UnknownTopicOrPartition, format!("there is no partition `{index}` of `{name}`"))
    })
}

fn record(topic: &TopicImage, index: PartitionId, partition: PartitionImage) -> MetadataRecord {
    MetadataRecord::Reassignment { topic: topic.id, partition: index, image: partition }
}

/// What the partition becomes, if that is anything else. Without a target it goes back to where it came from.
fn move_one(
    election: Election,
    image: &MetadataImage,
    topic: &TopicImage,
    partition: &PartitionImage,
    target: Option<Vec<NodeId>>,
    request: &AlterPartitionReassignmentsRequest,
) -> Result<Option<PartitionImage>, Refusal> {
    let may_lead = |node| image.is_active(node);
    let originals = without(&partition.replicas, &partition.adding);
    let target = match target {
        Some(target) => {
            check_target(image, &target)?;
            if !request.allow_replication_factor_change && target.len() != originals.len() {
                let message = format!("`{}` replicas instead of `{}`", target.len(), originals.len());
                return Err((ResponseError::InvalidReplicationFactor, message));
            }
            target
        }
        None if partition.is_reassigning() => originals.clone(),
        None => return Err((ResponseError::NoReassignmentInProgress, "nothing is in progress".into())),
    };
    let (mut adding, mut removing) = (without(&target, &originals), without(&originals, &target));
    let mut all: Vec<NodeId> = target.iter().chain(&removing).copied().collect();
    // Replicas that it was to move to and is not any more, and that have caught up.
    let mut unwanted = without(&partition.adding, &target);
    unwanted.retain(|node| partition.state.isr.contains(node));
    if !unwanted.is_empty() && !suffices(election, topic, partition, &all) {
        for nodes in [&mut all, &mut adding, &mut removing] {
            nodes.extend(&unwanted);
        }
    }
    let mut next = election.hold_by(topic, partition, all, may_lead)?;
    (next.adding, next.removing) = (adding, removing);
    if (&next.replicas, &next.adding, &next.removing)
        == (&partition.replicas, &partition.adding, &partition.removing)
    {
        return Ok(None);
    }
    let arrived = arrive(election, topic, &next, may_lead).map(|mut arrived| {
        // One change, not two.
        arrived.state.partition_epoch = next.state.partition_epoch;
        arrived
    });
    Ok(Some(arrived.unwrap_or(next)))
}

fn without(nodes: &[NodeId], others: &[NodeId]) -> Vec<NodeId> {
    nodes.iter().copied().filter(|node| !others.contains(node)).collect()
}

fn check_target(image: &MetadataImage, target: &[NodeId]) -> Result<(), Refusal> {
    let refuse = |message: String| Err((ResponseError::InvalidReplicaAssignment, message));
    if target.is_empty() {
        return refuse("no replicas are given".into());
    }
    if target.iter().collect::<BTreeSet<_>>().len() != target.len() {
        return refuse(format!("a broker is named twice: {target:?}"));
    }
    match target.iter().find(|node| image.broker(**node).is_none()) {
        Some(node) => refuse(format!("broker `{node}` is not registered")),
        None => Ok(()),
    }
}

/// Whether enough of these are in sync: as many as an acknowledgement takes, if there are so many now at all.
fn suffices(election: Election, topic: &TopicImage, partition: &PartitionImage, nodes: &[NodeId]) -> bool {
    let isr = &partition.state.isr;
    let min = election.min_insync_replicas(topic).min(nodes.len()).min(isr.len());
    nodes.iter().filter(|node| isr.contains(node)).count() >= min
}

/// The partition held by its target alone, if it has arrived there.
pub(super) fn arrive(
    election: Election,
    topic: &TopicImage,
    partition: &PartitionImage,
    may_lead: impl Fn(NodeId) -> bool,
) -> Option<PartitionImage> {
    let target = partition.target();
    let in_sync = |node: &NodeId| partition.state.isr.contains(node);
    let arrived = target.iter().all(in_sync)
        || partition.is_going_back() && suffices(election, topic, partition, &target)
        || election.defects.has(Defect::ReassignEarly) && target.iter().any(in_sync);
    if !partition.is_reassigning() || !arrived {
        return None;
    }
    election.hold_by(topic, partition, target, may_lead).ok()
}

/// `ListPartitionReassignments`.
pub(super) fn list<'a>(
    image: &'a MetadataImage,
    request: &ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let mut found: BTreeMap<&str, Vec<OngoingPartitionReassignment>> = BTreeMap::new();
    let mut add = |topic: &'a TopicImage, index: PartitionId| {
        if let Some(partition) = topic.partitions.get(&index).filter(|it| it.is_reassigning()) {
            found.entry(&topic.name).or_default().push(ongoing(index, partition));
        }
    };
    match &request.topics {
        None => {
            for topic in image.topics() {
                topic.partitions.keys().for_each(|index| add(topic, *index));
            }
        }
        Some(asked) => {
            for asked in asked {
                if let Some(topic) = image.topic_named(&asked.name) {
                    asked.partition_indexes.iter().for_each(|index| add(topic, PartitionId(*index)));
                }
            }
        }
    }
    let topics = found.into_iter().map(|(name, partitions)| {
        let name = TopicName(StrBytes::from_string(name.to_owned()));
        OngoingTopicReassignment::default().with_name(name).with_partitions(partitions)
    });
    ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(topics.collect())
}

fn ongoing(index: PartitionId, partition: &PartitionImage) -> OngoingPartitionReassignment {
    let brokers = |nodes: &[NodeId]| nodes.iter().map(|node| BrokerId(node.0)).collect();
    OngoingPartitionReassignment::default()
        .with_partition_index(index.0)
        .with_replicas(brokers(&partition.replicas))
        .with_adding_replicas(brokers(&partition.adding))
        .with_removing_replicas(brokers(&partition.removing))
}
