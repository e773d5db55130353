//! Offsets that are committed in a transaction: stored at once, and in force when its commit marker is (KIP-98, KIP-447).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestPartition;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};

use super::group::{Group, GroupState, TopicPartition};
use super::journal::{Turn, Write};
use super::message::{GroupResponse, ReplyId, RequestContext};
use super::offsets::{Asked, accept};
use super::records::CommittedOffset;
use super::response::{self, CommitResponse};
use crate::ids::{PartitionId, ProducerEpoch, ProducerId};

impl<'a> From<&'a TxnOffsetCommitRequestPartition> for Asked<'a> {
    fn from(asked: &'a TxnOffsetCommitRequestPartition) -> Self {
        Self {
            partition: asked.partition_index,
            offset: asked.committed_offset,
            leader_epoch: asked.committed_leader_epoch,
            metadata: asked.committed_metadata.as_deref(),
        }
    }
}

impl Group {
    /// Takes a TxnOffsetCommit: refuses it at once, or stores the offsets and answers when the records are committed.
    pub(super) fn commit_in_transaction(
        &mut self,
        request: &TxnOffsetCommitRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        turn: &mut Turn<'_>,
    ) {
        if let Err(error) = self.check_transactional_commit(request) {
            turn.reply(reply, GroupResponse::TxnOffsetCommit(txn_commit_refused(request, error)));
            return;
        }
        let mut offsets = Vec::new();
        let response = answer(request, |topic, asked| {
            let result = accept(topic, &Asked::from(asked), context.topics, turn);
            let code = response::code(result.as_ref().map(|_| ()).map_err(|error| *error));
            if let Ok(committed) = result {
                offsets.push(((topic.to_owned(), PartitionId(asked.partition_index)), committed));
            }
            code
        });
        if offsets.is_empty() {
            turn.reply(reply, GroupResponse::TxnOffsetCommit(response));
            return;
        }
        let batch = self.offset_records(&offsets);
        let producer = Some((ProducerId(request.producer_id.0), ProducerEpoch(request.producer_epoch)));
        let answer = Some((reply, CommitResponse::Transactional(response)));
        self.append(batch, Write::Commit { offsets, producer, answer }, turn);
    }

    /// Who may commit: a member of this generation, or a producer that names none (before KIP-447).
    fn check_transactional_commit(&mut self, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        let (generation, member_id) = (request.generation_id, request.member_id.as_str());
        let instance_id = request.group_instance_id.as_deref();
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let names_nobody = generation < 0 && member_id.is_empty() && instance_id.is_none();
        if let Some(consumer) = self.consumer.as_ref().filter(|_| !names_nobody) {
            return consumer.check_transactional_commit(member_id, generation);
        }
        if names_nobody || (generation < 0 && self.state == GroupState::Empty) {
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    /// Takes over what a committed record says.
    pub(super) fn replay_offset(
        &mut self,
        producer: Option<ProducerId>,
        partition: TopicPartition,
        value: Option<CommittedOffset>,
    ) {
        match (producer, value) {
            (Some(producer), Some(committed)) => {
                self.undecided.entry(producer).or_default().insert(partition, committed);
            }
            (None, Some(committed)) => {
                self.offsets.insert(partition, committed);
            }
            (_, None) => {
                self.offsets.remove(&partition);
            }
        }
    }

    /// A transaction has ended: its offsets count, or they never will.
    pub(super) fn transaction_ended(&mut self, producer: ProducerId, counts: bool) {
        if let Some(offsets) = self.undecided.remove(&producer)
            && counts
        {
            self.offsets.extend(offsets);
        }
    }

    /// Whether an open transaction has committed an offset of this partition.
    pub(super) fn is_undecided(&self, partition: &TopicPartition) -> bool {
        self.undecided.values().any(|offsets| offsets.contains_key(partition))
    }
}

fn answer(
    request: &TxnOffsetCommitRequest,
    mut code: impl FnMut(&str, &TxnOffsetCommitRequestPartition) -> i16,
) -> TxnOffsetCommitResponse {
    let mut response = TxnOffsetCommitResponse::default();
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|asked| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code(&topic.name, asked))
        });
        let partitions = partitions.collect();
        response.topics.push(
            TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions),
        );
    }
    response
}

/// The same error for every partition.
pub(crate) fn txn_commit_refused(
    request: &TxnOffsetCommitRequest,
    error: ResponseError,
) -> TxnOffsetCommitResponse {
    answer(request, |_, _| error.code())
}
