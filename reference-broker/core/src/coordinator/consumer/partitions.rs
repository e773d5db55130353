//! Sets of partitions, and their form on the wire.

use std::collections::BTreeSet;

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};

use crate::controller::TopicId;
use crate::ids::PartitionId;

/// Partitions of any topics.
pub type Partitions = BTreeSet<(TopicId, PartitionId)>;

/// The same, topic by topic.
pub(super) fn by_topic(partitions: &Partitions) -> Vec<(TopicId, Vec<i32>)> {
    let mut topics: Vec<(TopicId, Vec<i32>)> = Vec::new();
    for (topic, partition) in partitions {
        match topics.last_mut() {
            Some((last, indexes)) if last == topic => indexes.push(partition.0),
            _ => topics.push((*topic, vec![partition.0])),
        }
    }
    topics
}

/// What a member says that it owns.
pub(super) fn owned(topics: &[Owned]) -> Partitions {
    let all = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|index| (TopicId(topic.topic_id), PartitionId(*index)))
    });
    all.collect()
}

/// As a member is told what it may have.
pub(super) fn assignment(partitions: &Partitions) -> Assignment {
    let topics = by_topic(partitions)
        .into_iter()
        .map(|(topic, indexes)| TopicPartitions::default().with_topic_id(topic.0).with_partitions(indexes));
    Assignment::default().with_topic_partitions(topics.collect())
}
