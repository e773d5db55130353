//! ListOffsets and OffsetForLeaderEpoch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};

use crate::controller::TopicPartitionId;
use crate::ids::{LeaderEpoch, Offset, PartitionId};
use crate::replication::Partition;

use super::fetch::READ_COMMITTED;
use super::{Broker, Turn};

/// The end of what a consumer may read.
const LATEST: i64 = -1;
/// Where the log starts.
const EARLIEST: i64 = -2;
/// The record with the highest time stamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;

impl Broker {
    /// Answers from the logs of the partitions that this broker leads.
    pub(super) fn list_offsets(
        &self,
        request: &ListOffsetsRequest,
        version: i16,
        turn: &mut Turn<'_>,
    ) -> ListOffsetsResponse {
        let bound_of = |partition: &Partition| match request.isolation_level {
            READ_COMMITTED => partition.last_stable_offset(),
            _ => partition.high_watermark(),
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let index = PartitionId(asked.partition_index);
                let answer = self
                    .partition_named(&topic.name, index)
                    .and_then(|id| self.readable(id, LeaderEpoch(asked.current_leader_epoch)))
                    .and_then(|partition| list_offset(partition, asked, bound_of(partition), version, turn));
                let response = ListOffsetsPartitionResponse::default().with_partition_index(index.0);
                match answer {
                    Ok((offset, timestamp, epoch)) => {
                        let response = response.with_offset(offset.0).with_timestamp(timestamp);
                        if version >= 4 { response.with_leader_epoch(epoch.0) } else { response }
                    }
                    Err(error) => response.with_error_code(error.code()),
                }
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    }

    /// Says where an epoch ends in the leader's log (KIP-101, KIP-320).
    pub(super) fn offset_for_leader_epoch(
        &self,
        request: &OffsetForLeaderEpochRequest,
    ) -> OffsetForLeaderEpochResponse {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let index = PartitionId(asked.partition);
                let answer = self
                    .partition_named(&topic.topic, index)
                    .and_then(|id| self.readable(id, LeaderEpoch(asked.current_leader_epoch)))
                    .map(|partition| partition.log.end_offset_for_epoch(LeaderEpoch(asked.leader_epoch)));
                let response = EpochEndOffset::default().with_partition(index.0);
                match answer {
                    Ok((epoch, end)) => response.with_leader_epoch(epoch.0).with_end_offset(end.0),
                    Err(error) => {
                        response.with_error_code(error.code()).with_leader_epoch(-1).with_end_offset(-1)
                    }
                }
            });
            OffsetForLeaderTopicResult::default()
                .with_topic(topic.topic.clone())
                .with_partitions(partitions.collect())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    }

    fn partition_named(
        &self,
        topic: &str,
        partition: PartitionId,
    ) -> Result<TopicPartitionId, ResponseError> {
        let topic = self.channel.image().topic_named(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        Ok(TopicPartitionId { topic: topic.id, partition })
    }
}

/// Offset, time stamp and the epoch of the leader that wrote the record: consumers detect truncation by it. `bound` ends
/// what whoever asks may read.
fn list_offset(
    partition: &Partition,
    asked: &ListOffsetsPartition,
    bound: Offset,
    version: i16,
    turn: &mut Turn<'_>,
) -> Result<(Offset, i64, LeaderEpoch), ResponseError> {
    let start = partition.log.log_start_offset();
    match asked.timestamp {
        EARLIEST => Ok((start, -1, partition.log.epoch_at(start))),
        LATEST => {
            // A new leader that has not caught up with what its predecessor showed would let the end go back (KIP-207).
            if partition.epoch_start().is_some_and(|epoch_start| partition.high_watermark() < epoch_start) {
                let code = if version >= 5 {
                    ResponseError::OffsetNotAvailable
                } else {
                    ResponseError::LeaderNotAvailable
                };
                return Err(code);
            }
            let last = Offset(bound.0 - 1);
            let epoch =
                if last >= start { partition.log.epoch_at(last) } else { partition.state().leader_epoch };
            Ok((bound, -1, epoch))
        }
        MAX_TIMESTAMP => Err(ResponseError::UnsupportedVersion),
        timestamp if timestamp >= 0 => {
            let found = partition.log.offset_for_timestamp(timestamp, turn.disk);
            let found = found.map_err(|error| {
                ResponseError::try_from_code(error.code()).unwrap_or(ResponseError::UnknownServerError)
            })?;
            Ok(found.filter(|(offset, ..)| *offset < bound).unwrap_or((Offset(-1), -1, LeaderEpoch::NONE)))
        }
        _ => Err(ResponseError::InvalidRequest),
    }
}
