//! DeleteRecords: the log start of a partition is raised, first by its leader, then by its followers (KIP-107).
//!
//! In:  offsets below which nothing is needed any more. Out: how far the deletion has come on all replicas that live.
//! A follower learns of it with its next fetch, and says so with the one after.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, ResponseKind};

use crate::controller::{MetadataImage, TopicPartitionId};
use crate::ids::{LeaderEpoch, Offset, PartitionId};
use crate::log::LogError;
use crate::node::connections::ReplyTo;
use crate::replication::Partition;

use super::{Broker, NS_PER_MS, Turn, is_internal};

/// Asks for all that is committed to be deleted.
const ALL: i64 = -1;
/// Instead of a low watermark, with an error.
const NONE: i64 = -1;

/// A deletion that followers have not carried out yet.
#[derive(Debug)]
pub(super) struct DelayedDelete {
    reply: ReplyTo,
    response: Box<DeleteRecordsResponse>,
    waiting: Vec<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: TopicPartitionId,
    /// Where it stands in the response: which topic, which partition of it.
    place: (usize, usize),
    offset: Offset,
    leader_epoch: LeaderEpoch,
}

impl Broker {
    /// Raises the starts of the partitions that this broker leads, and waits for the followers.
    pub(super) fn delete_records(
        &mut self,
        request: DeleteRecordsRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let deadline_ns = turn.now.mono_ns + request.timeout_ms.max(0) as u64 * NS_PER_MS;
        let mut response = DeleteRecordsResponse::default();
        let mut waiting = Vec::new();
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let result = DeleteRecordsPartitionResult::default()
                    .with_partition_index(asked.partition_index)
                    .with_low_watermark(NONE);
                partitions.push(match self.delete_from(&topic.name, asked, turn) {
                    Ok(begun) => {
                        waiting.push(Waiting { place: (response.topics.len(), partitions.len()), ..begun });
                        result
                    }
                    Err(error) => result.with_error_code(error.code()),
                });
            }
            response
                .topics
                .push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
        }
        let mut operation = DelayedDelete { reply, response: Box::new(response), waiting };
        operation.judge(&self.partitions, self.channel.image());
        if operation.waiting.is_empty() {
            return self.end_delete(operation, ResponseError::RequestTimedOut, turn);
        }
        let watches = operation.waiting.iter().map(|waiting| waiting.id).collect();
        self.deletes.park(operation, watches, deadline_ns);
    }

    fn delete_from(
        &mut self,
        topic: &str,
        asked: &DeleteRecordsPartition,
        turn: &mut Turn<'_>,
    ) -> Result<Waiting, ResponseError> {
        let id = self.led_partition(topic, PartitionId(asked.partition_index))?;
        if is_internal(topic) {
            return Err(ResponseError::InvalidTopicException);
        }
        let partition = self.partitions.get_mut(&id).ok_or(ResponseError::NotLeaderOrFollower)?;
        if !partition.log.config().deletes {
            return Err(ResponseError::PolicyViolation);
        }
        let offset = match asked.offset {
            ALL => partition.high_watermark(),
            offset => Offset(offset),
        };
        if offset < Offset(0) || offset > partition.high_watermark() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let leader_epoch = partition.state().leader_epoch;
        match partition.raise_start(offset, turn.disk) {
            Ok(_) => Ok(Waiting { id, place: (0, 0), offset, leader_epoch }),
            Err(error) => {
                if let LogError::Disk(error) = &error {
                    super::fail(error, turn);
                }
                Err(ResponseError::KafkaStorageError)
            }
        }
    }

    /// Looks again at the deletions that wait for this partition.
    pub(super) fn complete_deletes(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        for ticket in self.deletes.watching(id) {
            let Some(operation) = self.deletes.get_mut(ticket) else { continue };
            operation.judge(&self.partitions, self.channel.image());
            if operation.waiting.is_empty()
                && let Some(operation) = self.deletes.take(ticket)
            {
                self.end_delete(operation, ResponseError::RequestTimedOut, turn);
            }
        }
    }

    /// Answers the deletions whose time is over: they go on all the same.
    pub(super) fn expire_deletes(&mut self, turn: &mut Turn<'_>) {
        for ticket in self.deletes.expired(turn.now.mono_ns) {
            if let Some(operation) = self.deletes.take(ticket) {
                self.end_delete(operation, ResponseError::RequestTimedOut, turn);
            }
        }
    }

    fn end_delete(&mut self, mut operation: DelayedDelete, late: ResponseError, turn: &mut Turn<'_>) {
        for waiting in std::mem::take(&mut operation.waiting) {
            operation.result(waiting.place).error_code = late.code();
        }
        self.respond(operation.reply, &ResponseKind::DeleteRecords(*operation.response), turn);
    }
}

impl DelayedDelete {
    /// Takes out of `waiting` what is decided by now.
    fn judge(&mut self, partitions: &BTreeMap<TopicPartitionId, Partition>, image: &MetadataImage) {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting.verdict(partitions.get(&waiting.id), image) {
                None => self.waiting.push(waiting),
                Some(Ok(low)) => self.result(waiting.place).low_watermark = low.0,
                Some(Err(error)) => self.result(waiting.place).error_code = error.code(),
            }
        }
    }

    fn result(&mut self, (topic, partition): (usize, usize)) -> &mut DeleteRecordsPartitionResult {
        &mut self.response.topics[topic].partitions[partition]
    }
}

impl Waiting {
    /// `None` while a replica that lives still has something below.
    fn verdict(
        &self,
        partition: Option<&Partition>,
        image: &MetadataImage,
    ) -> Option<Result<Offset, ResponseError>> {
        let led = partition
            .filter(|partition| partition.is_leader() && partition.state().leader_epoch == self.leader_epoch);
        let Some(partition) = led else { return Some(Err(ResponseError::NotLeaderOrFollower)) };
        let low = partition.low_watermark(|node| image.is_active(node))?;
        (low >= self.offset).then_some(Ok(low))
    }
}
