//! OffsetCommit, OffsetFetch and OffsetDelete, on one group.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse,
};
use kafka_protocol::protocol::Decodable;

use super::group::{Group, GroupState, TopicPartition};
use super::journal::{Turn, Write};
use super::message::{GroupResponse, ReplyId, RequestContext, TopicView};
use super::records::{self, CommittedOffset};
use super::response::{self, CommitResponse};
use crate::defects::Defect;
use crate::ids::{LeaderEpoch, Offset, PartitionId, ProducerId};

impl Group {
    /// Takes an OffsetCommit: refuses it at once, or stores the offsets and answers when they are committed.
    pub(super) fn commit(
        &mut self,
        request: &OffsetCommitRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        turn: &mut Turn<'_>,
    ) {
        if let Err(error) = self.check_commit(request, context.version, turn) {
            turn.reply(reply, GroupResponse::OffsetCommit(commit_refused(request, error)));
            return;
        }
        let mut offsets = Vec::new();
        let mut response = OffsetCommitResponse::default();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                let asked = Asked::from(partition);
                let result = accept(&topic.name, &asked, context.topics, turn);
                let error_code = response::code(result.as_ref().map(|_| ()).map_err(|error| *error));
                partitions.push(commit_result(partition.partition_index, error_code));
                if let Ok(committed) = result {
                    offsets
                        .push(((topic.name.to_string(), PartitionId(partition.partition_index)), committed));
                }
            }
            response.topics.push(
                OffsetCommitResponseTopic::default()
                    .with_name(topic.name.clone())
                    .with_partitions(partitions),
            );
        }
        if offsets.is_empty() {
            turn.reply(reply, GroupResponse::OffsetCommit(response));
            return;
        }
        let batch = self.offset_records(&offsets);
        let answer = Some((reply, CommitResponse::Plain(response)));
        self.append(batch, Write::Commit { offsets, producer: None, answer }, turn);
    }

    /// The records of a commit, which is under way from now on.
    pub(super) fn offset_records(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
    ) -> Vec<(Bytes, Option<Bytes>)> {
        let mut batch = Vec::with_capacity(offsets.len());
        for (partition, committed) in offsets {
            *self.pending_offsets.entry(partition.clone()).or_default() += 1;
            let key = records::offset_key(&self.id, &partition.0, partition.1);
            batch.push((key, Some(records::offset_value(committed))));
        }
        batch
    }

    /// Who may commit: a member of this generation, or anybody without one while nobody is a member.
    fn check_commit(
        &mut self,
        request: &OffsetCommitRequest,
        version: i16,
        turn: &Turn<'_>,
    ) -> Result<(), ResponseError> {
        let generation = request.generation_id_or_member_epoch;
        let member_id = request.member_id.as_str();
        let instance_id = request.group_instance_id.as_deref();
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if let Some(consumer) = &self.consumer {
            return consumer.check_commit(member_id, generation, version, turn.config.defects);
        }
        if generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.touch(member_id, turn);
        match self.state {
            // Still time to commit what the old generation has handled.
            GroupState::Stable | GroupState::PreparingRebalance => Ok(()),
            // The member has joined the new generation, but does not know its assignment yet.
            _ => Err(ResponseError::RebalanceInProgress),
        }
    }

    /// The records of a commit are in the log, or never will be.
    pub(super) fn settle_commit(
        &mut self,
        offsets: &[(TopicPartition, CommittedOffset)],
        producer: Option<ProducerId>,
        committed: bool,
    ) {
        for (partition, offset) in offsets {
            if let Some(count) = self.pending_offsets.get_mut(partition) {
                *count -= 1;
                if *count == 0 {
                    self.pending_offsets.remove(partition);
                }
            }
            if committed {
                self.replay_offset(producer, partition.clone(), Some(offset.clone()));
            }
        }
    }

    /// The committed offset, or none. With `stable`, an offset under way is an error to be retried (KIP-447).
    pub(super) fn committed(
        &self,
        partition: &TopicPartition,
        stable: bool,
    ) -> Result<Option<&CommittedOffset>, ResponseError> {
        if stable && (self.pending_offsets.contains_key(partition) || self.is_undecided(partition)) {
            return Err(ResponseError::UnstableOffsetCommit);
        }
        Ok(self.offsets.get(partition))
    }

    /// Takes an OffsetDelete; offsets of topics that members are subscribed to stay.
    pub(super) fn delete_offsets(
        &mut self,
        request: &OffsetDeleteRequest,
        reply: ReplyId,
        turn: &mut Turn<'_>,
    ) {
        let refused = match self.state {
            GroupState::Dead => Some(ResponseError::GroupIdNotFound),
            _ if self.consumer.is_some() => None,
            GroupState::Empty => None,
            _ if self.protocol_type.as_deref() == Some("consumer") => None,
            _ => Some(ResponseError::NonEmptyGroup),
        };
        if let Some(error) = refused {
            let response = OffsetDeleteResponse::default().with_error_code(error.code());
            turn.reply(reply, GroupResponse::OffsetDelete(response));
            return;
        }
        let subscribed = match &self.consumer {
            Some(consumer) => consumer.subscribed_topics(turn.topics),
            None => self.subscribed_topics(),
        };
        let mut offsets = Vec::new();
        let mut response = OffsetDeleteResponse::default();
        for topic in &request.topics {
            let in_use = subscribed.contains(topic.name.as_str());
            let error_code = if in_use { ResponseError::GroupSubscribedToTopic.code() } else { 0 };
            let mut partitions = Vec::new();
            for asked in &topic.partitions {
                let partition = (topic.name.to_string(), PartitionId(asked.partition_index));
                let stored =
                    self.offsets.contains_key(&partition) || self.pending_offsets.contains_key(&partition);
                partitions.push(
                    OffsetDeleteResponsePartition::default()
                        .with_partition_index(asked.partition_index)
                        .with_error_code(error_code),
                );
                if stored && !in_use {
                    offsets.push(partition);
                }
            }
            response.topics.push(
                OffsetDeleteResponseTopic::default()
                    .with_name(topic.name.clone())
                    .with_partitions(partitions),
            );
        }
        if offsets.is_empty() {
            turn.reply(reply, GroupResponse::OffsetDelete(response));
            return;
        }
        let batch = offsets.iter().map(|(topic, partition)| records::offset_key(&self.id, topic, *partition));
        let batch = batch.map(|key| (key, None)).collect();
        self.append(batch, Write::DeleteOffsets { offsets, reply, response }, turn);
    }

    /// The topics that members have subscribed to; a subscription that cannot be read names none.
    pub(super) fn subscribed_topics(&self) -> BTreeSet<String> {
        let subscriptions = self.members.values().flat_map(|member| &member.profile.protocols);
        let topics = subscriptions.filter_map(|(_, metadata)| {
            let (version, mut body) = (metadata.get(..2)?, metadata.slice(2..));
            let version = i16::from_be_bytes([version[0], version[1]]).clamp(0, 3);
            Some(ConsumerProtocolSubscription::decode(&mut body, version).ok()?.topics)
        });
        topics.flatten().map(|topic| topic.to_string()).collect()
    }
}

/// One offset that is to be committed.
pub(super) struct Asked<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) metadata: Option<&'a str>,
}

impl<'a> From<&'a OffsetCommitRequestPartition> for Asked<'a> {
    fn from(asked: &'a OffsetCommitRequestPartition) -> Self {
        Self {
            partition: asked.partition_index,
            offset: asked.committed_offset,
            leader_epoch: asked.committed_leader_epoch,
            metadata: asked.committed_metadata.as_deref(),
        }
    }
}

pub(super) fn accept(
    topic: &str,
    asked: &Asked<'_>,
    topics: &dyn TopicView,
    turn: &Turn<'_>,
) -> Result<CommittedOffset, ResponseError> {
    let metadata = asked.metadata.unwrap_or_default();
    if metadata.len() > turn.config.offset_metadata_max_bytes {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let index = PartitionId(asked.partition);
    if !topics.contains(topic, index) {
        return Err(ResponseError::UnknownTopicOrPartition);
    }
    let mut offset = Offset(asked.offset);
    if turn.config.defects.has(Defect::CommitHighWatermark) {
        offset = topics.high_watermark(topic, index).unwrap_or(offset);
    }
    Ok(CommittedOffset {
        offset,
        leader_epoch: LeaderEpoch(asked.leader_epoch),
        metadata: metadata.to_owned(),
        commit_timestamp_ms: turn.now.wall_ms,
    })
}

fn commit_result(index: i32, error_code: i16) -> OffsetCommitResponsePartition {
    OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(error_code)
}

/// The same error for every partition.
pub(super) fn commit_refused(request: &OffsetCommitRequest, error: ResponseError) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|asked| commit_result(asked.partition_index, error.code())).collect();
        OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}
