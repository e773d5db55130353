//! OffsetFetch: one group before version 8, any number since.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;

use super::group_coordinator::GroupCoordinator;
use super::message::{GroupResponse, RequestContext};
use super::response::text;
use crate::ids::PartitionId;

/// The topics of a request; `None` asks for all that the group has.
type Asked = Option<Vec<(StrBytes, Vec<i32>)>>;
/// The topics of a response, with their partitions in the form of version 8.
type Found = Vec<(StrBytes, Vec<OffsetFetchResponsePartitions>)>;

impl GroupCoordinator {
    pub(super) fn fetch(&self, request: &OffsetFetchRequest, context: &RequestContext<'_>) -> GroupResponse {
        let response = if context.version >= 8 {
            let groups = request.groups.iter().map(|asked| {
                let topics = asked.topics.as_ref().map(|topics| {
                    topics
                        .iter()
                        .map(|topic| (topic.name.0.clone(), topic.partition_indexes.clone()))
                        .collect()
                });
                let member = (asked.member_id.as_deref(), asked.member_epoch);
                self.fetch_group(&asked.group_id, member, topics, request.require_stable)
                    .map_or_else(
                        |error| OffsetFetchResponseGroup::default().with_error_code(error.code()),
                        |found| OffsetFetchResponseGroup::default().with_topics(new_topics(found)),
                    )
                    .with_group_id(asked.group_id.clone())
            });
            OffsetFetchResponse::default().with_groups(groups.collect())
        } else {
            let asked: Asked = request.topics.as_ref().map(|topics| {
                topics.iter().map(|topic| (topic.name.0.clone(), topic.partition_indexes.clone())).collect()
            });
            match self.fetch_group(&request.group_id, (None, -1), asked.clone(), request.require_stable) {
                Ok(found) => OffsetFetchResponse::default().with_topics(old_topics(found)),
                // Version 1 has room for an error only in the partitions.
                Err(error) if context.version < 2 => {
                    OffsetFetchResponse::default().with_topics(old_topics(all_refused(asked, error)))
                }
                Err(error) => OffsetFetchResponse::default().with_error_code(error.code()),
            }
        };
        GroupResponse::OffsetFetch(response)
    }

    fn fetch_group(
        &self,
        group_id: &str,
        (member_id, member_epoch): (Option<&str>, i32),
        asked: Asked,
        stable: bool,
    ) -> Result<Found, ResponseError> {
        let group = self.find(group_id)?;
        if let Some(consumer) = group.and_then(|group| group.consumer.as_ref()) {
            consumer.check_fetch(member_id, member_epoch)?;
        }
        let asked = asked.unwrap_or_else(|| {
            let mut topics: Vec<(StrBytes, Vec<i32>)> = Vec::new();
            for (topic, partition) in group.into_iter().flat_map(|group| group.offsets.keys()) {
                match topics.last_mut() {
                    Some((name, partitions)) if **name == **topic => partitions.push(partition.0),
                    _ => topics.push((text(topic), vec![partition.0])),
                }
            }
            topics
        });
        let found = asked.into_iter().map(|(name, indexes)| {
            let partitions = indexes.into_iter().map(|index| {
                let partition = (name.to_string(), PartitionId(index));
                let committed = group.map_or(Ok(None), |group| group.committed(&partition, stable));
                let none = no_offset(index);
                match committed {
                    Ok(Some(committed)) => none
                        .with_committed_offset(committed.offset.0)
                        .with_committed_leader_epoch(committed.leader_epoch.0)
                        .with_metadata(Some(text(&committed.metadata))),
                    Ok(None) => none,
                    Err(error) => none.with_error_code(error.code()),
                }
            });
            let partitions = partitions.collect();
            (name, partitions)
        });
        Ok(found.collect())
    }
}

fn no_offset(index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_committed_leader_epoch(-1)
        .with_metadata(Some(StrBytes::new()))
}

fn all_refused(asked: Asked, error: ResponseError) -> Found {
    let topics = asked.unwrap_or_default().into_iter().map(|(name, indexes)| {
        let refused = indexes.into_iter().map(|index| no_offset(index).with_error_code(error.code()));
        (name, refused.collect())
    });
    topics.collect()
}

fn new_topics(found: Found) -> Vec<OffsetFetchResponseTopics> {
    let topics = found.into_iter().map(|(name, partitions)| {
        OffsetFetchResponseTopics::default().with_name(name.into()).with_partitions(partitions)
    });
    topics.collect()
}

fn old_topics(found: Found) -> Vec<OffsetFetchResponseTopic> {
    let topics = found.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(name.into()).with_partitions(partitions.collect())
    });
    topics.collect()
}
