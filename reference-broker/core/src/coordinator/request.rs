//! Leads each request to its group.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest, TxnOffsetCommitRequest,
};

use super::consumer::{Beat, refused};
use super::group::Group;
use super::group_coordinator::GroupCoordinator;
use super::journal::Turn;
use super::message::{CoordinatorEffect, GroupRequest, GroupResponse, ReplyId, RequestContext};
use super::offsets::commit_refused;
use super::response;
use super::transactional::txn_commit_refused;
use crate::node::Now;

/// The longest string that fits into a record.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

impl GroupCoordinator {
    /// Takes a request. The reply may come at once or with any later call.
    pub fn handle(
        &mut self,
        now: Now,
        request: GroupRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let answer = match request {
            GroupRequest::Join(request) => self.join(now, &request, reply, context, out),
            GroupRequest::Sync(request) => self.sync(now, &request, reply, context, out),
            GroupRequest::Heartbeat(request) => {
                let result = self.enter_member(now, &request.group_id, context, out, |group, turn| {
                    group.heartbeat(&request, turn)
                });
                Some(GroupResponse::Heartbeat(response::heartbeat(result.flatten())))
            }
            GroupRequest::Leave(request) => Some(self.leave(now, &request, context, out)),
            GroupRequest::OffsetCommit(request) => self.commit(now, &request, reply, context, out),
            GroupRequest::OffsetFetch(request) => Some(self.fetch(&request, context)),
            GroupRequest::Describe(request) => Some(self.describe(&request, context.version)),
            GroupRequest::List(request) => Some(self.list(&request)),
            GroupRequest::Delete(request) => {
                self.delete(now, &request, reply, context, out);
                None
            }
            GroupRequest::OffsetDelete(request) => self.delete_offsets(now, &request, reply, context, out),
            GroupRequest::ConsumerHeartbeat(request) => self.beat(now, request, reply, context, out),
            GroupRequest::ConsumerDescribe(request) => Some(self.describe_consumer(&request, context)),
            GroupRequest::TxnOffsetCommit(request) => {
                self.commit_in_transaction(now, &request, reply, context, out)
            }
        };
        if let Some(response) = answer {
            out.push(CoordinatorEffect::Reply { reply, response });
        }
    }

    fn join(
        &mut self,
        now: Now,
        request: &JoinGroupRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Option<GroupResponse> {
        let new = request.member_id.is_empty();
        let result = self.check_join(request, context.client_id).and_then(|()| {
            let found = self.enter(now, &request.group_id, new, context.topics, out, |group, turn| {
                group.join(request, reply, context, turn);
            })?;
            found.ok_or(ResponseError::UnknownMemberId)
        });
        let error = result.err()?;
        Some(GroupResponse::Join(response::join_refused(error, &request.member_id, context.version)))
    }

    fn check_join(&self, request: &JoinGroupRequest, client_id: &str) -> Result<(), ResponseError> {
        check_group_id(&request.group_id)?;
        let config = self.config();
        if !(config.min_session_timeout_ms..=config.max_session_timeout_ms)
            .contains(&request.session_timeout_ms)
        {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        let instance_id = request.group_instance_id.as_deref().unwrap_or_default();
        let names = request.protocols.iter().map(|protocol| protocol.name.len());
        let member_id = client_id.len().max(instance_id.len()) + MEMBER_ID_SUFFIX_BYTES;
        let lengths = names.chain([request.protocol_type.len(), member_id]);
        if lengths.max().is_some_and(|longest| longest > STRING_BYTES_MAX) {
            return Err(ResponseError::InvalidRequest);
        }
        Ok(())
    }

    fn sync(
        &mut self,
        now: Now,
        request: &SyncGroupRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Option<GroupResponse> {
        let result = self.enter_member(now, &request.group_id, context, out, |group, turn| {
            group.sync(request, reply, turn);
        });
        result.err().map(|error| GroupResponse::Sync(response::sync_refused(error)))
    }

    fn leave(
        &mut self,
        now: Now,
        request: &LeaveGroupRequest,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> GroupResponse {
        let version = context.version;
        let found = self.enter_member(now, &request.group_id, context, out, |group, turn| {
            group.leave(request, version, turn)
        });
        GroupResponse::Leave(match found {
            Ok(response) => response,
            // A group that is gone has no such members; that is said of each of them since version 3.
            Err(ResponseError::UnknownMemberId) if version >= 3 => {
                let members = request.members.iter().map(|member| {
                    MemberResponse::default()
                        .with_member_id(member.member_id.clone())
                        .with_group_instance_id(member.group_instance_id.clone())
                        .with_error_code(ResponseError::UnknownMemberId.code())
                });
                LeaveGroupResponse::default().with_members(members.collect())
            }
            Err(error) => response::leave_refused(error),
        })
    }

    fn commit(
        &mut self,
        now: Now,
        request: &OffsetCommitRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Option<GroupResponse> {
        // Without a generation, somebody keeps offsets here and assigns partitions by other means.
        let simple = request.generation_id_or_member_epoch < 0;
        let result = check_length(&request.group_id).and_then(|()| {
            let found = self.enter(now, &request.group_id, simple, context.topics, out, |group, turn| {
                group.commit(request, reply, context, turn);
            })?;
            found.ok_or(ResponseError::IllegalGeneration)
        });
        result.err().map(|error| GroupResponse::OffsetCommit(commit_refused(request, error)))
    }

    fn commit_in_transaction(
        &mut self,
        now: Now,
        request: &TxnOffsetCommitRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Option<GroupResponse> {
        let result = check_group_id(&request.group_id).and_then(|()| {
            let create = request.generation_id < 0;
            let found = self.enter(now, &request.group_id, create, context.topics, out, |group, turn| {
                group.commit_in_transaction(request, reply, context, turn);
            })?;
            found.ok_or(ResponseError::IllegalGeneration)
        });
        result.err().map(|error| GroupResponse::TxnOffsetCommit(txn_commit_refused(request, error)))
    }

    fn delete_offsets(
        &mut self,
        now: Now,
        request: &OffsetDeleteRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Option<GroupResponse> {
        let result = check_group_id(&request.group_id).and_then(|()| {
            let found = self.enter(now, &request.group_id, false, context.topics, out, |group, turn| {
                group.delete_offsets(request, reply, turn);
            })?;
            found.ok_or(ResponseError::GroupIdNotFound)
        });
        let error = result.err()?;
        Some(GroupResponse::OffsetDelete(OffsetDeleteResponse::default().with_error_code(error.code())))
    }

    fn beat(
        &mut self,
        now: Now,
        request: ConsumerGroupHeartbeatRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) -> Option<GroupResponse> {
        let group_id = request.group_id.clone();
        let (client_id, client_host) = (context.client_id.to_owned(), context.client_host.to_owned());
        let beat = Beat { request, reply, client_id, client_host };
        let result = check_group_id(&group_id).and_then(|()| beat.check(context.version)).and_then(|()| {
            let joins = beat.joins();
            let found = self.enter(now, &group_id, joins, context.topics, out, |group, turn| {
                group.consumer_heartbeat(beat, turn);
            })?;
            found.ok_or(ResponseError::UnknownMemberId)
        });
        result.err().map(refused)
    }

    /// Like [`enter`](Self::enter), for a request that only a member sends.
    fn enter_member<R>(
        &mut self,
        now: Now,
        group_id: &str,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
        step: impl FnOnce(&mut Group, &mut Turn<'_>) -> R,
    ) -> Result<R, ResponseError> {
        check_group_id(group_id)?;
        self.enter(now, group_id, false, context.topics, out, step)?.ok_or(ResponseError::UnknownMemberId)
    }
}

/// Room for what [`MemberIds`](super::member::MemberIds) adds to a client id or an instance id.
const MEMBER_ID_SUFFIX_BYTES: usize = 64;

fn check_group_id(group_id: &str) -> Result<(), ResponseError> {
    if group_id.is_empty() { Err(ResponseError::InvalidGroupId) } else { check_length(group_id) }
}

fn check_length(group_id: &str) -> Result<(), ResponseError> {
    if group_id.len() > STRING_BYTES_MAX { Err(ResponseError::InvalidGroupId) } else { Ok(()) }
}
