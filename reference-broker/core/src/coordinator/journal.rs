//! Appends that are not committed yet, and what happens when they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsResponse, JoinGroupResponse, OffsetDeleteResponse};

use super::config::CoordinatorConfig;
use super::consumer::{self, Stored};
use super::group::TopicPartition;
use super::member::MemberIds;
use super::message::{AppendToken, CoordinatorEffect, GroupResponse, ReplyId, TopicView};
use super::records::CommittedOffset;
use super::response::{self, CommitResponse};
use crate::ids::{LeaderEpoch, PartitionId, ProducerEpoch, ProducerId};
use crate::node::Now;

/// What an append stands for.
#[derive(Debug)]
pub(super) enum Write {
    /// Offsets; they count once the records are committed, and those of a transaction once it is. The answer may have
    /// been given before, at a timeout.
    Commit {
        offsets: Vec<(TopicPartition, CommittedOffset)>,
        producer: Option<(ProducerId, ProducerEpoch)>,
        answer: Option<(ReplyId, CommitResponse)>,
    },
    /// A generation with its assignment.
    Assignment { generation: i32, assignments: BTreeMap<String, Bytes> },
    /// A generation without members.
    Emptied,
    /// The same generation with the new id of a static member.
    StaticRejoin { reply: ReplyId, version: i16, response: JoinGroupResponse },
    /// Tombstones of some offsets.
    DeleteOffsets { offsets: Vec<TopicPartition>, reply: ReplyId, response: OffsetDeleteResponse },
    /// Tombstones of offsets that nobody needs any more.
    ExpireOffsets { offsets: Vec<TopicPartition> },
    /// Tombstones of all that is left of a group.
    ExpireGroup,
    /// A step of a group of the consumer protocol.
    Consumer(Stored),
    /// Tombstones of all that a group has stored; the answer waits for the other groups of the request.
    DeleteGroup { reply: ReplyId, index: usize },
}

/// An append under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) partition: PartitionId,
    pub(super) group: String,
    pub(super) write: Write,
    /// When its request is answered although the outcome is open.
    answer_by_ns: u64,
}

/// A DeleteGroups request that waits for its appends.
#[derive(Debug)]
struct Deletion {
    results: Vec<DeletableGroupResult>,
    waiting: usize,
}

/// All appends under way.
#[derive(Debug, Default)]
pub(super) struct Journal {
    next_token: u64,
    in_flight: BTreeMap<AppendToken, InFlight>,
    deletions: BTreeMap<ReplyId, Deletion>,
}

impl Journal {
    /// Takes an append out, when its outcome is known.
    pub(super) fn take(&mut self, token: AppendToken) -> Option<InFlight> {
        self.in_flight.remove(&token)
    }

    /// Takes all appends of a partition out.
    pub(super) fn take_partition(&mut self, partition: PartitionId) -> Vec<InFlight> {
        self.in_flight
            .extract_if(.., |_, entry| entry.partition == partition)
            .map(|(_, entry)| entry)
            .collect()
    }

    /// Remembers a DeleteGroups request of which `waiting` groups are still to be deleted.
    pub(super) fn open_deletion(
        &mut self,
        reply: ReplyId,
        results: Vec<DeletableGroupResult>,
        waiting: usize,
    ) {
        self.deletions.insert(reply, Deletion { results, waiting });
    }

    /// Answers the requests of an append whose outcome is known.
    pub(super) fn answer(
        &mut self,
        write: Write,
        result: Result<(), ResponseError>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let (reply, response) = match write {
            Write::Assignment { .. }
            | Write::Emptied
            | Write::ExpireOffsets { .. }
            | Write::ExpireGroup
            | Write::Consumer(Stored { answer: None, .. })
            | Write::Commit { answer: None, .. } => return,
            Write::Consumer(Stored { answer: Some((reply, response)), .. }) => match result {
                Ok(()) => (reply, response),
                Err(error) => (reply, consumer::refused(store_error(error))),
            },
            Write::Commit { answer: Some((reply, mut response)), .. } => {
                if let Err(error) = result {
                    response.fail(commit_error(error));
                }
                (reply, response.into())
            }
            Write::StaticRejoin { reply, version, response } => {
                let response = match result {
                    Ok(()) => response,
                    Err(error) => response::join_refused(store_error(error), &response.member_id, version),
                };
                (reply, GroupResponse::Join(response))
            }
            Write::DeleteOffsets { reply, response, .. } => {
                let response = match result {
                    Ok(()) => response,
                    Err(error) => OffsetDeleteResponse::default().with_error_code(store_error(error).code()),
                };
                (reply, GroupResponse::OffsetDelete(response))
            }
            Write::DeleteGroup { reply, index } => match self.close_deletion(reply, index, result) {
                Some(response) => (reply, response),
                None => return,
            },
        };
        out.push(CoordinatorEffect::Reply { reply, response });
    }

    fn close_deletion(
        &mut self,
        reply: ReplyId,
        index: usize,
        result: Result<(), ResponseError>,
    ) -> Option<GroupResponse> {
        let deletion = self.deletions.get_mut(&reply)?;
        deletion.results[index].error_code = response::code(result.map_err(store_error));
        deletion.waiting -= 1;
        if deletion.waiting > 0 {
            return None;
        }
        let deletion = self.deletions.remove(&reply)?;
        Some(GroupResponse::Delete(DeleteGroupsResponse::default().with_results(deletion.results)))
    }

    /// Answers commits that took too long. They stay in flight: the record may still be committed, and then counts.
    pub(super) fn tick(&mut self, now_ns: u64, out: &mut Vec<CoordinatorEffect>) {
        for entry in self.in_flight.values_mut().filter(|entry| entry.answer_by_ns <= now_ns) {
            entry.answer_by_ns = u64::MAX;
            if let Write::Commit { answer, .. } = &mut entry.write
                && let Some((reply, mut response)) = answer.take()
            {
                response.fail(ResponseError::CoordinatorNotAvailable);
                out.push(CoordinatorEffect::Reply { reply, response: response.into() });
            }
        }
    }

    pub(super) fn next_tick_ns(&self) -> u64 {
        self.in_flight.values().map(|entry| entry.answer_by_ns).min().unwrap_or(u64::MAX)
    }
}

/// What clients are told when offsets could not be stored, as Kafka maps it.
fn commit_error(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::MessageTooLarge
        | ResponseError::RecordListTooLarge
        | ResponseError::InvalidFetchSize => ResponseError::InvalidCommitOffsetSize,
        error => store_error(error),
    }
}

/// What clients are told when group metadata could not be stored, as Kafka maps it.
pub(crate) fn store_error(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::UnknownTopicOrPartition
        | ResponseError::NotEnoughReplicas
        | ResponseError::NotEnoughReplicasAfterAppend
        | ResponseError::RequestTimedOut => ResponseError::CoordinatorNotAvailable,
        ResponseError::NotLeaderOrFollower | ResponseError::KafkaStorageError => {
            ResponseError::NotCoordinator
        }
        ResponseError::MessageTooLarge
        | ResponseError::RecordListTooLarge
        | ResponseError::InvalidFetchSize => ResponseError::UnknownServerError,
        error => error,
    }
}

/// What a group needs to do one step.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) config: &'a CoordinatorConfig,
    pub(super) topics: &'a dyn TopicView,
    pub(super) partition: PartitionId,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) ids: &'a mut MemberIds,
    pub(super) journal: &'a mut Journal,
    pub(super) out: &'a mut Vec<CoordinatorEffect>,
}

impl Turn<'_> {
    pub(super) fn now_ns(&self) -> u64 {
        self.now.mono_ns
    }

    pub(super) fn reply(&mut self, reply: ReplyId, response: GroupResponse) {
        self.out.push(CoordinatorEffect::Reply { reply, response });
    }

    pub(super) fn append(&mut self, group: &str, records: Vec<(Bytes, Option<Bytes>)>, write: Write) {
        let token = AppendToken(self.journal.next_token);
        self.journal.next_token += 1;
        let answer_by_ns = match write {
            Write::Commit { .. } => self.now_ns() + self.config.offsets_commit_timeout_ms * 1_000_000,
            _ => u64::MAX,
        };
        let producer = match write {
            Write::Commit { producer, .. } => producer,
            _ => None,
        };
        let entry = InFlight { partition: self.partition, group: group.to_owned(), write, answer_by_ns };
        self.journal.in_flight.insert(token, entry);
        self.out.push(CoordinatorEffect::Append { partition: self.partition, records, producer, token });
    }
}
