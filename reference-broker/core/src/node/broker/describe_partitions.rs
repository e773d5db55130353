//! `DescribeTopicPartitions`: topics a page at a time, with who may lead beyond the in-sync set (KIP-966).

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::{MetadataImage, PartitionImage, TopicImage};
use crate::ids::{NodeId, PartitionId};

use super::metadata::{NO_OPERATIONS, is_legal_name};
use super::{Broker, is_internal};

/// As many partitions are described at once, whatever was asked for (`max.request.partition.size.limit`).
const PARTITIONS_MAX: usize = 2_000;

impl Broker {
    /// Answers from the metadata image. Topics come in the order of their names; a request without names means all of them.
    pub(super) fn describe_topic_partitions(
        &self,
        request: &DescribeTopicPartitionsRequest,
    ) -> DescribeTopicPartitionsResponse {
        page(self.channel.image(), request)
    }
}

fn page(image: &MetadataImage, request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let from = request.cursor.as_ref().map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    let mut names: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    if names.is_empty() {
        names = image.topics().map(|topic| topic.name.as_str()).collect();
    }
    let mut left = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PARTITIONS_MAX);
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    for name in names.into_iter().filter(|name| from.is_none_or(|(first, _)| *name >= first)) {
        let Some(topic) = image.topic_named(name) else {
            response.topics.push(unknown(name));
            continue;
        };
        let first = from.filter(|(first, _)| *first == name).map_or(0, |(_, partition)| partition);
        let mut rest = topic.partitions.range(PartitionId(first)..);
        let partitions =
            rest.by_ref().take(left).map(|(index, partition)| describe(image, *index, partition));
        let described = of(topic).with_partitions(partitions.collect());
        left -= described.partitions.len();
        let next = rest.next().map(|(index, _)| *index);
        // A topic of which nothing fits any more is left to the next page altogether.
        if described.partitions.is_empty() && next.is_some() {
            response.next_cursor = Some(cursor(name, PartitionId(first)));
            break;
        }
        response.topics.push(described);
        if let Some(next) = next {
            response.next_cursor = Some(cursor(name, next));
            break;
        }
    }
    response
}

fn text(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn cursor(name: &str, partition: PartitionId) -> Cursor {
    Cursor::default().with_topic_name(text(name)).with_partition_index(partition.0)
}

fn unknown(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let legal = is_legal_name(name);
    let error =
        if legal { ResponseError::UnknownTopicOrPartition } else { ResponseError::InvalidTopicException };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(text(name)))
        .with_is_internal(is_internal(name))
        .with_topic_authorized_operations(NO_OPERATIONS)
}

fn of(topic: &TopicImage) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(text(&topic.name)))
        .with_topic_id(topic.id.0)
        .with_is_internal(is_internal(&topic.name))
        .with_topic_authorized_operations(NO_OPERATIONS)
}

fn describe(
    image: &MetadataImage,
    index: PartitionId,
    partition: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition {
    let brokers = |nodes: &[NodeId]| nodes.iter().map(|node| BrokerId(node.0)).collect::<Vec<_>>();
    let serves = |node: NodeId| image.serving_brokers().any(|(id, _)| id == node);
    let offline: Vec<_> = partition.replicas.iter().copied().filter(|node| !serves(*node)).collect();
    let error = if partition.has_leader() { 0 } else { ResponseError::LeaderNotAvailable.code() };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index.0)
        .with_leader_id(BrokerId(partition.state.leader.0))
        .with_leader_epoch(partition.state.leader_epoch.0)
        .with_replica_nodes(brokers(&partition.replicas))
        .with_isr_nodes(brokers(&partition.state.isr))
        .with_eligible_leader_replicas(Some(brokers(&partition.state.elr)))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(brokers(&offline))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as AskedCursor, TopicRequest};
    use uuid::Uuid;

    use super::*;
    use crate::controller::{ImageDelta, MetadataRecord, PartitionState, TopicId};
    use crate::ids::{LeaderEpoch, Offset};

    /// Topics `a`, `b` and `c` with three partitions each; of the second one of `b` an eligible replica is left.
    fn image() -> MetadataImage {
        let mut image = MetadataImage::default();
        let mut add = |record| {
            let offset = image.next_offset();
            image.apply(offset, &record, &mut ImageDelta::default()).unwrap();
        };
        for (number, name) in [(3, "c"), (1, "a"), (2, "b")] {
            let id = TopicId(Uuid::from_u128(number));
            add(MetadataRecord::Topic { id, name: name.into(), configs: BTreeMap::new() });
            for index in 0..3 {
                let few = (number, index) == (2, 1);
                let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
                let state = PartitionState {
                    isr: if few { nodes(&[1]) } else { nodes(&[1, 2]) },
                    elr: if few { nodes(&[2]) } else { Vec::new() },
                    leader: NodeId(1),
                    leader_epoch: LeaderEpoch(4),
                    partition_epoch: 0,
                };
                let (partition, replicas) = (PartitionId(index), nodes(&[1, 2]));
                add(MetadataRecord::Partition { topic: id, partition, replicas, state });
            }
        }
        assert_eq!(image.next_offset(), Offset(12));
        image
    }

    fn ask(names: &[&str], limit: i32, from: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        let topics = names.iter().map(|name| TopicRequest::default().with_name(text(name)));
        let cursor = from.map(|(name, partition)| {
            AskedCursor::default().with_topic_name(text(name)).with_partition_index(partition)
        });
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    }

    /// Names, each with the partitions that are described; and where the next page begins.
    type Shown = (Vec<(String, Vec<i32>)>, Option<(String, i32)>);

    fn shown(response: &DescribeTopicPartitionsResponse) -> Shown {
        let name = |name: &TopicName| name.as_str().to_owned();
        let topics = response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|it| it.partition_index).collect();
            (topic.name.as_ref().map(name).unwrap_or_default(), partitions)
        });
        let next = response.next_cursor.as_ref().map(|it| (name(&it.topic_name), it.partition_index));
        (topics.collect(), next)
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let image = image();
        let mut seen = Vec::new();
        let mut from: Option<(String, i32)> = None;
        for _ in 0..5 {
            let asked = ask(&[], 2, from.as_ref().map(|(name, partition)| (name.as_str(), *partition)));
            let (topics, next) = shown(&page(&image, &asked));
            let count: usize = topics.iter().map(|(_, partitions)| partitions.len()).sum();
            assert!((1..=2).contains(&count), "{topics:?}");
            for (name, partitions) in topics {
                seen.extend(partitions.into_iter().map(|partition| format!("{name}{partition}")));
            }
            from = next;
        }
        assert_eq!(seen, ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]);
        assert_eq!(from, None);
    }

    #[test]
    fn eligible_replicas_are_told_and_unknown_topics_are_errors() {
        let response = page(&image(), &ask(&["b", "nowhere", "?"], 100, None));
        let errors: Vec<_> = response.topics.iter().map(|topic| topic.error_code).collect();
        let (illegal, unknown) =
            (ResponseError::InvalidTopicException.code(), ResponseError::UnknownTopicOrPartition.code());
        assert_eq!(errors, [illegal, 0, unknown]);
        let eligible: Vec<_> = response.topics[1]
            .partitions
            .iter()
            .map(|partition| partition.eligible_leader_replicas.clone().unwrap_or_default())
            .collect();
        assert_eq!(eligible, [vec![], vec![BrokerId(2)], vec![]]);
    }
}
