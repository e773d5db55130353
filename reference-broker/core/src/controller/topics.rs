//! Topics come, grow and go.
//!
//! In:  the image and a request. Out: records and an answer per topic; the topics of one request stand each for itself.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::controller::Decision;
use super::image::{MetadataImage, TopicImage};
use super::placement::{check_assignment, spread};
use super::record::{MetadataRecord, PartitionState};
use super::topic_config;
use super::topic_id::TopicId;
use crate::ids::{LeaderEpoch, NodeId, Offset, PartitionId};
use crate::node::NodeConfig;

/// More partitions than this in one request are a mistake.
const PARTITIONS_MAX: i32 = 10_000;

/// Error code and what to tell a person.
pub(super) type Refusal = (ResponseError, String);

/// `CreateTopics`.
pub(super) fn create(config: &NodeConfig, image: &MetadataImage, request: &CreateTopicsRequest) -> Decision {
    let mut records = Vec::new();
    let mut names = BTreeSet::new();
    let mut results = Vec::new();
    for topic in &request.topics {
        let name = topic.name.as_str();
        let first_offset = Offset(image.next_offset().0 + records.len() as i64);
        let planned = if names.insert(name) {
            plan(config, image, topic, records.len(), first_offset)
        } else {
            Err((ResponseError::InvalidRequest, format!("topic `{name}` is in the request twice")))
        };
        let result = CreatableTopicResult::default().with_name(topic.name.clone()).with_error_message(None);
        results.push(match planned {
            Ok(new) => {
                let result = result
                    .with_topic_id(new.id.0)
                    .with_num_partitions(new.assignment.len() as i32)
                    .with_replication_factor(new.assignment[0].len() as i16);
                if !request.validate_only {
                    records.extend(new.into_records(image));
                }
                result
            }
            Err((error, message)) => result
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        });
    }
    (records, CreateTopicsResponse::default().with_topics(results).into())
}

struct NewTopic {
    id: TopicId,
    name: String,
    configs: BTreeMap<String, String>,
    assignment: Vec<Vec<NodeId>>,
}

impl NewTopic {
    fn into_records(self, image: &MetadataImage) -> Vec<MetadataRecord> {
        let mut records = vec![MetadataRecord::Topic { id: self.id, name: self.name, configs: self.configs }];
        records.extend(new_partitions(image, self.id, 0, self.assignment));
        records
    }
}

fn plan(
    config: &NodeConfig,
    image: &MetadataImage,
    topic: &CreatableTopic,
    planned_records: usize,
    offset: Offset,
) -> Result<NewTopic, Refusal> {
    let name = topic.name.as_str();
    check_name(name)?;
    if image.topic_named(name).is_some() {
        return Err((ResponseError::TopicAlreadyExists, format!("topic `{name}` already exists")));
    }
    let given = topic.configs.iter().map(|it| (it.name.as_str(), it.value.as_deref()));
    let configs = topic_config::validate(given).map_err(|message| (ResponseError::InvalidConfig, message))?;
    let assignment = if topic.assignments.is_empty() {
        let partitions =
            if topic.num_partitions == -1 { config.num_partitions } else { topic.num_partitions };
        let replicas = match topic.replication_factor {
            -1 => config.default_replication_factor,
            factor => factor,
        };
        check_count(partitions)?;
        let start = image.partitions().count() + planned_records;
        spread(image, partitions as usize, replicas, start)?
    } else {
        manual(image, topic)?
    };
    let id = TopicId::derive(&config.cluster_id, name, offset);
    Ok(NewTopic { id, name: name.to_owned(), configs, assignment })
}

fn manual(image: &MetadataImage, topic: &CreatableTopic) -> Result<Vec<Vec<NodeId>>, Refusal> {
    if topic.num_partitions != -1 || topic.replication_factor != -1 {
        let message = "partitions and replication factor must be -1 beside an assignment";
        return Err((ResponseError::InvalidRequest, message.into()));
    }
    let by_index: BTreeMap<i32, &[BrokerId]> =
        topic.assignments.iter().map(|it| (it.partition_index, it.broker_ids.as_slice())).collect();
    if !by_index.keys().copied().eq(0..topic.assignments.len() as i32) {
        let message = "the assignment must name each partition from 0 on once";
        return Err((ResponseError::InvalidReplicaAssignment, message.into()));
    }
    let replicas = by_index[&0].len();
    by_index.into_values().map(|brokers| check_assignment(image, brokers, replicas)).collect()
}

/// `DeleteTopics`.
pub(super) fn delete(image: &MetadataImage, request: &DeleteTopicsRequest) -> Decision {
    let mut records = Vec::new();
    let mut gone = BTreeSet::new();
    let mut responses = Vec::new();
    for (name, id) in asked_to_delete(request) {
        let (found, unknown) = match &name {
            Some(name) => (image.topic_named(name), ResponseError::UnknownTopicOrPartition),
            None => (image.topic(TopicId(id)), ResponseError::UnknownTopicId),
        };
        let result = DeletableTopicResult::default();
        responses.push(match found.filter(|topic| gone.insert(topic.id)) {
            Some(topic) => {
                records.push(MetadataRecord::RemoveTopic { id: topic.id });
                result.with_name(Some(topic_name(topic))).with_topic_id(topic.id.0)
            }
            None => result.with_name(name).with_topic_id(id).with_error_code(unknown.code()),
        });
    }
    (records, DeleteTopicsResponse::default().with_responses(responses).into())
}

/// What a request names: by name or id from version 6 on, by name before.
pub(super) fn asked_to_delete(
    request: &DeleteTopicsRequest,
) -> impl Iterator<Item = (Option<TopicName>, Uuid)> {
    let new = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id));
    new.chain(request.topic_names.iter().map(|name| (Some(name.clone()), Uuid::nil())))
}

/// `CreatePartitions`.
pub(super) fn grow(image: &MetadataImage, request: &CreatePartitionsRequest) -> Decision {
    let mut records = Vec::new();
    let mut names = BTreeSet::new();
    let mut results = Vec::new();
    for wanted in &request.topics {
        let name = wanted.name.as_str();
        let grown = if names.insert(name) {
            grow_one(image, wanted)
        } else {
            Err((ResponseError::InvalidRequest, format!("topic `{name}` is in the request twice")))
        };
        let result = CreatePartitionsTopicResult::default().with_name(wanted.name.clone());
        results.push(match grown {
            Ok(new) => {
                if !request.validate_only {
                    records.extend(new);
                }
                result.with_error_message(None)
            }
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
            }
        });
    }
    (records, CreatePartitionsResponse::default().with_results(results).into())
}

fn grow_one(image: &MetadataImage, wanted: &CreatePartitionsTopic) -> Result<Vec<MetadataRecord>, Refusal> {
    let name = wanted.name.as_str();
    let unknown = || (ResponseError::UnknownTopicOrPartition, format!("there is no topic `{name}`"));
    let topic = image.topic_named(name).ok_or_else(unknown)?;
    let old = topic.partitions.len() as i32;
    check_count(wanted.count)?;
    if wanted.count <= old {
        let message = format!("topic `{name}` has `{old}` partitions, `{}` are not more", wanted.count);
        return Err((ResponseError::InvalidPartitions, message));
    }
    let new = (wanted.count - old) as usize;
    let replicas = topic.partitions[&PartitionId(0)].target().len();
    let assignment = match &wanted.assignments {
        None => spread(image, new, replicas as i16, image.partitions().count())?,
        Some(given) if given.len() == new => given
            .iter()
            .map(|it| check_assignment(image, &it.broker_ids, replicas))
            .collect::<Result<_, _>>()?,
        Some(given) => {
            let message = format!("`{}` assignments for `{new}` new partitions", given.len());
            return Err((ResponseError::InvalidReplicaAssignment, message));
        }
    };
    Ok(new_partitions(image, topic.id, old, assignment).collect())
}

/// A new partition is in sync on all its live replicas, and led by the first.
/// The replicas that live are in sync, and the first of them leads; there is one.
fn new_partitions(
    image: &MetadataImage,
    topic: TopicId,
    first: i32,
    assignment: Vec<Vec<NodeId>>,
) -> impl Iterator<Item = MetadataRecord> {
    (first..).zip(assignment).map(move |(index, replicas)| {
        let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| image.is_active(*node)).collect();
        let leader = isr[0];
        let (elr, leader_epoch) = (Vec::new(), LeaderEpoch(0));
        let state = PartitionState { isr, elr, leader, leader_epoch, partition_epoch: 0 };
        MetadataRecord::Partition { topic, partition: PartitionId(index), replicas, state }
    })
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = !matches!(name, "" | "." | "..") && name.len() <= 249 && name.bytes().all(legal);
    let message = || {
        format!(
            "topic name `{name}` is not made of 1 to 249 letters, digits, `.`, `_` and `-`, or is `.` or `..`"
        )
    };
    if fits { Ok(()) } else { Err((ResponseError::InvalidTopicException, message())) }
}

fn check_count(partitions: i32) -> Result<(), Refusal> {
    if (1..=PARTITIONS_MAX).contains(&partitions) {
        return Ok(());
    }
    let message = format!("number of partitions is `{partitions}`, expected 1 to {PARTITIONS_MAX}");
    Err((ResponseError::InvalidPartitions, message))
}

fn topic_name(topic: &TopicImage) -> TopicName {
    TopicName(StrBytes::from_string(topic.name.clone()))
}
