//! `ElectLeaders`: leaders that somebody asks for (KIP-460), and the preferred ones that the controller elects by itself.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::controller::Decision;
use super::election::Election;
use super::image::{MetadataImage, PartitionImage, TopicImage};
use super::record::{MetadataRecord, PartitionState};
use crate::ids::PartitionId;

/// What is to be elected, by its number in the request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Preferred = 0,
    Unclean = 1,
}

/// As many partitions are given back at a time, so that brokers are not busy with nothing else.
const REBALANCED_MAX: usize = 1000;

/// Decides on each partition by itself; without a list, on all that need an election.
pub(super) fn elect_leaders(
    election: Election,
    image: &MetadataImage,
    request: &ElectLeadersRequest,
) -> Decision {
    let kind = match request.election_type {
        0 => Kind::Preferred,
        1 => Kind::Unclean,
        _ => {
            let error = ResponseError::InvalidRequest.code();
            return (Vec::new(), ElectLeadersResponse::default().with_error_code(error).into());
        }
    };
    let mut records = Vec::new();
    let mut results: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    let mut add = |name: &str, partition: i32, elected: Result<MetadataRecord, ResponseError>| {
        let result = PartitionResult::default().with_partition_id(partition);
        let result = match elected {
            Ok(record) => {
                records.push(record);
                result.with_error_message(None)
            }
            Err(error) => {
                let message = StrBytes::from_string(error.to_string());
                result.with_error_code(error.code()).with_error_message(Some(message))
            }
        };
        results.entry(name.to_owned()).or_default().push(result);
    };
    match &request.topic_partitions {
        Some(asked) => {
            let mut seen = BTreeSet::new();
            for topic in asked {
                let name = topic.topic.as_str();
                for partition in &topic.partitions {
                    if !seen.insert((name, *partition)) {
                        add(name, *partition, Err(ResponseError::InvalidRequest));
                        continue;
                    }
                    let found = image.topic_named(name).and_then(|topic| {
                        let index = PartitionId(*partition);
                        topic.partitions.get(&index).map(|image| (topic, index, image))
                    });
                    let elected = found.map_or(Err(ResponseError::UnknownTopicOrPartition), |found| {
                        elect(election, kind, image, found)
                    });
                    add(name, *partition, elected);
                }
            }
        }
        None => {
            for topic in image.topics() {
                for (index, partition) in &topic.partitions {
                    let elected = elect(election, kind, image, (topic, *index, partition));
                    if !matches!(elected, Err(ResponseError::ElectionNotNeeded)) {
                        add(&topic.name, index.0, elected);
                    }
                }
            }
        }
    }
    let results = results.into_iter().map(|(name, partitions)| {
        let name = TopicName(StrBytes::from_string(name));
        ReplicaElectionResult::default().with_topic(name).with_partition_result(partitions)
    });
    (records, ElectLeadersResponse::default().with_replica_election_results(results.collect()).into())
}

fn elect(
    election: Election,
    kind: Kind,
    image: &MetadataImage,
    (topic, index, partition): (&TopicImage, PartitionId, &PartitionImage),
) -> Result<MetadataRecord, ResponseError> {
    let may_lead = |node| image.is_active(node);
    let state: Result<PartitionState, ResponseError> = match kind {
        Kind::Preferred if partition.replicas.first() == Some(&partition.state.leader) => {
            Err(ResponseError::ElectionNotNeeded)
        }
        Kind::Preferred => {
            Election::prefer(partition, may_lead).ok_or(ResponseError::PreferredLeaderNotAvailable)
        }
        Kind::Unclean if partition.has_leader() => Err(ResponseError::ElectionNotNeeded),
        // A clean leader is better, if there is one after all.
        Kind::Unclean => election
            .settle(topic, partition, may_lead, None)
            .filter(|state| state.leader != crate::ids::NodeId::NONE)
            .or_else(|| Election::force(partition, may_lead))
            .ok_or(ResponseError::EligibleLeadersNotAvailable),
    };
    Ok(MetadataRecord::PartitionChange { topic: topic.id, partition: index, state: state? })
}

/// Leadership goes back to preferred replicas that can take it.
pub(super) fn rebalance(image: &MetadataImage) -> Vec<MetadataRecord> {
    let partitions = image.partitions().filter_map(|(id, partition)| {
        let state = Election::prefer(partition, |node| image.is_active(node))?;
        Some(MetadataRecord::PartitionChange { topic: id.topic, partition: id.partition, state })
    });
    partitions.take(REBALANCED_MAX).collect()
}
