//! Leaders change their in-sync sets (KIP-497), with the eligibility rules of KIP-841 and KIP-903.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_request::PartitionData as Proposal;
use kafka_protocol::messages::alter_partition_response::{PartitionData, TopicData};
use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse, BrokerId};

use super::controller::Decision;
use super::election::Election;
use super::eligible::eligible;
use super::image::{MetadataImage, PartitionImage, TopicPartitionId};
use super::reassignment::arrive;
use super::record::{MetadataRecord, PartitionState};
use super::topic_id::TopicId;
use crate::defects::Defect;
use crate::ids::{LeaderEpoch, NodeId, PartitionId};

/// Decides on each proposal by itself. The answer holds the state that follows, committed when it is sent.
pub(super) fn alter_partition(
    election: Election,
    image: &MetadataImage,
    request: &AlterPartitionRequest,
) -> Decision {
    let sender = NodeId(request.broker_id.0);
    if image.broker(sender).is_none_or(|broker| broker.epoch.0 != request.broker_epoch) {
        let error = ResponseError::StaleBrokerEpoch.code();
        return (Vec::new(), AlterPartitionResponse::default().with_error_code(error).into());
    }
    let mut records = Vec::new();
    let mut topics = Vec::new();
    let mut seen = BTreeSet::new();
    for topic in &request.topics {
        let mut partitions = Vec::new();
        for proposal in &topic.partitions {
            let id = TopicPartitionId {
                topic: TopicId(topic.topic_id),
                partition: PartitionId(proposal.partition_index),
            };
            let once = if seen.insert(id) { Ok(()) } else { Err(ResponseError::InvalidRequest) };
            let decided = once.and_then(|()| decide(election, image, sender, id, proposal));
            partitions.push(match decided {
                Ok(change) => {
                    let (answer, new) = carry_out(election, image, id, change);
                    records.extend(new);
                    answer
                }
                Err(error) => refused(id, error),
            });
        }
        topics.push(TopicData::default().with_topic_id(topic.topic_id).with_partitions(partitions));
    }
    (records, AlterPartitionResponse::default().with_topics(topics).into())
}

/// The answer, and what is to be recorded. A partition that moves may have arrived by this change; if it has a new leader epoch then,
/// its leader is to hear of that from the metadata log.
fn carry_out(
    election: Election,
    image: &MetadataImage,
    id: TopicPartitionId,
    (state, changed): (PartitionState, bool),
) -> (PartitionData, Vec<MetadataRecord>) {
    let (topic, partition) = (id.topic, id.partition);
    if !changed {
        return (accepted(partition.0, &state), Vec::new());
    }
    let change = MetadataRecord::PartitionChange { topic, partition, state: state.clone() };
    let arrived = image.topic(topic).zip(image.partition(id)).and_then(|(topic, before)| {
        let after = PartitionImage { state: state.clone(), ..before.clone() };
        arrive(election, topic, &after, |node| image.is_active(node))
    });
    let Some(image) = arrived else { return (accepted(partition.0, &state), vec![change]) };
    let answer = if image.state.leader_epoch == state.leader_epoch {
        accepted(partition.0, &image.state)
    } else {
        refused(id, ResponseError::NewLeaderElected)
    };
    (answer, vec![change, MetadataRecord::Reassignment { topic, partition, image }])
}

fn refused(id: TopicPartitionId, error: ResponseError) -> PartitionData {
    PartitionData::default().with_partition_index(id.partition.0).with_error_code(error.code())
}

/// The state that follows, and whether it is another one.
fn decide(
    election: Election,
    image: &MetadataImage,
    sender: NodeId,
    id: TopicPartitionId,
    proposal: &Proposal,
) -> Result<(PartitionState, bool), ResponseError> {
    let topic = image.topic(id.topic).ok_or(ResponseError::UnknownTopicId)?;
    let partition = topic.partitions.get(&id.partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let state = &partition.state;
    check_epochs(state, sender, proposal)?;
    let isr = new_isr(election, image, partition, sender, proposal)?;
    if isr == state.isr {
        return Ok((state.clone(), false));
    }
    let min = topic.min_insync_replicas(election.min_insync_replicas).max(1) as usize;
    let elr = eligible(state, &isr, &partition.replicas, min);
    Ok((PartitionState { isr, elr, partition_epoch: state.partition_epoch + 1, ..state.clone() }, true))
}

/// Epochs come before everything else, fencing too (KAFKA-14144).
fn check_epochs(state: &PartitionState, sender: NodeId, proposal: &Proposal) -> Result<(), ResponseError> {
    let (leader_epoch, partition_epoch) = (LeaderEpoch(proposal.leader_epoch), proposal.partition_epoch);
    if leader_epoch > state.leader_epoch || partition_epoch > state.partition_epoch {
        // The leader knows of decisions that are not in this image: another voter is active (KAFKA-14154).
        return Err(ResponseError::NotController);
    }
    if leader_epoch < state.leader_epoch {
        return Err(ResponseError::FencedLeaderEpoch);
    }
    if sender != state.leader {
        return Err(ResponseError::InvalidRequest);
    }
    if partition_epoch < state.partition_epoch {
        return Err(ResponseError::InvalidUpdateVersion);
    }
    Ok(())
}

/// The proposed in-sync set, in the order of the replicas.
fn new_isr(
    election: Election,
    image: &MetadataImage,
    partition: &PartitionImage,
    leader: NodeId,
    proposal: &Proposal,
) -> Result<Vec<NodeId>, ResponseError> {
    // Versions before 3 carry no broker epochs.
    let members: Vec<(NodeId, i64)> = if proposal.new_isr_with_epochs.is_empty() {
        proposal.new_isr.iter().map(|id| (NodeId(id.0), -1)).collect()
    } else {
        proposal.new_isr_with_epochs.iter().map(|it| (NodeId(it.broker_id.0), it.broker_epoch)).collect()
    };
    let has = |id: &NodeId| members.iter().any(|(member, _)| member == id);
    if !has(&leader) || members.iter().any(|(member, _)| !partition.replicas.contains(member)) {
        return Err(ResponseError::InvalidRequest);
    }
    for (member, epoch) in &members {
        let registered = image.broker(*member).ok_or(ResponseError::IneligibleReplica)?;
        let fenced = !image.is_active(*member) && !election.defects.has(Defect::FencedJoinsIsr);
        let restarted = *epoch != -1 && *epoch != registered.epoch.0;
        if fenced || restarted {
            return Err(ResponseError::IneligibleReplica);
        }
    }
    Ok(partition.replicas.iter().copied().filter(has).collect())
}

fn accepted(partition_index: i32, state: &PartitionState) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition_index)
        .with_leader_id(BrokerId(state.leader.0))
        .with_leader_epoch(state.leader_epoch.0)
        .with_isr(state.isr.iter().map(|node| BrokerId(node.0)).collect())
        .with_partition_epoch(state.partition_epoch)
}
