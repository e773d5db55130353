//! DescribeGroups, ConsumerGroupDescribe, ListGroups and DeleteGroups.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
    consumer_group_describe_response as consumer_describe_response,
};
use kafka_protocol::protocol::StrBytes;

use super::consumer::ConsumerGroup;
use super::group::{Group, GroupState};
use super::group_coordinator::{GroupCoordinator, Shard};
use super::journal::Write;
use super::message::{CoordinatorEffect, GroupResponse, ReplyId, RequestContext};
use super::response::{code, text};
use crate::node::Now;

/// The first version of DescribeGroups that says that a group does not exist; before, it is `Dead` (KIP-1043).
const NOT_FOUND_SINCE: i16 = 6;

impl GroupCoordinator {
    pub(super) fn describe(&self, request: &DescribeGroupsRequest, version: i16) -> GroupResponse {
        let groups = request.groups.iter().map(|group_id| {
            let described = match self.find(group_id) {
                Ok(Some(group)) if group.consumer.is_none() => group.describe(),
                Ok(_) if version >= NOT_FOUND_SINCE => {
                    dead().with_error_code(ResponseError::GroupIdNotFound.code())
                }
                Ok(_) => dead(),
                Err(error) => DescribedGroup::default().with_error_code(error.code()),
            };
            described.with_group_id(group_id.clone())
        });
        GroupResponse::Describe(DescribeGroupsResponse::default().with_groups(groups.collect()))
    }

    pub(super) fn describe_consumer(
        &self,
        request: &ConsumerGroupDescribeRequest,
        context: &RequestContext<'_>,
    ) -> GroupResponse {
        let groups = request.group_ids.iter().map(|group_id| {
            let found = self.find(group_id).and_then(|group| {
                group.and_then(|group| group.consumer.as_ref()).ok_or(ResponseError::GroupIdNotFound)
            });
            let described = match found {
                Ok(group) => group.describe(context.topics, context.version),
                Err(error) => {
                    consumer_describe_response::DescribedGroup::default().with_error_code(error.code())
                }
            };
            described.with_group_id(group_id.clone())
        });
        GroupResponse::ConsumerDescribe(
            ConsumerGroupDescribeResponse::default().with_groups(groups.collect()),
        )
    }

    pub(super) fn list(&self, request: &ListGroupsRequest) -> GroupResponse {
        let mut response = ListGroupsResponse::default();
        let wanted = |filter: &[StrBytes], name: &str| {
            filter.is_empty()
                || filter
                    .iter()
                    .any(|wanted: &kafka_protocol::protocol::StrBytes| wanted.eq_ignore_ascii_case(name))
        };
        for shard in self.shards() {
            match shard {
                Shard::Loading { .. } => {
                    response.error_code = ResponseError::CoordinatorLoadInProgress.code();
                }
                Shard::Active { groups, .. } => {
                    let groups = groups.values().filter(|group| {
                        wanted(&request.states_filter, group.state_name())
                            && wanted(&request.types_filter, group.type_name())
                    });
                    response.groups.extend(groups.map(Group::listed));
                }
            }
        }
        GroupResponse::List(response)
    }

    /// Deletes groups without members; the answer waits until the last tombstone is committed.
    pub(super) fn delete(
        &mut self,
        now: Now,
        request: &DeleteGroupsRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let mut results = Vec::with_capacity(request.groups_names.len());
        let mut waiting = 0;
        for (index, group_id) in request.groups_names.iter().enumerate() {
            let outcome =
                self.enter(now, group_id, false, context.topics, out, |group, turn| match group.state {
                    GroupState::Empty if group.holds_no_consumer() => {
                        group.state = GroupState::Dead;
                        group.pending_members.clear();
                        group.append(group.tombstones(), Write::DeleteGroup { reply, index }, turn);
                        Ok(())
                    }
                    GroupState::Dead => Err(ResponseError::GroupIdNotFound),
                    _ => Err(ResponseError::NonEmptyGroup),
                });
            let outcome = outcome.and_then(|found| found.unwrap_or(Err(ResponseError::GroupIdNotFound)));
            waiting += usize::from(outcome.is_ok());
            let error_code = code(outcome);
            results.push(
                DeletableGroupResult::default().with_group_id(group_id.clone()).with_error_code(error_code),
            );
        }
        if waiting > 0 {
            self.open_deletion(reply, results, waiting);
        } else {
            let response = GroupResponse::Delete(DeleteGroupsResponse::default().with_results(results));
            out.push(CoordinatorEffect::Reply { reply, response });
        }
    }
}

impl Group {
    fn holds_no_consumer(&self) -> bool {
        !self.timers.stepping && self.consumer.as_ref().is_none_or(|consumer| consumer.members.is_empty())
    }

    fn state_name(&self) -> &'static str {
        self.consumer.as_ref().map_or_else(|| self.state.name(), ConsumerGroup::state_name)
    }

    fn type_name(&self) -> &'static str {
        if self.consumer.is_some() { "consumer" } else { "classic" }
    }

    fn describe(&self) -> DescribedGroup {
        let stable = self.state == GroupState::Stable;
        let members = self.members.iter().map(|(member_id, member)| {
            let described = DescribedGroupMember::default()
                .with_member_id(text(member_id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_client_id(text(&member.profile.client_id))
                .with_client_host(text(&member.profile.client_host));
            if !stable {
                return described;
            }
            described
                .with_member_metadata(member.subscription(self.protocol.as_deref()))
                .with_member_assignment(member.assignment.clone())
        });
        let protocol = self.protocol.as_deref().filter(|_| stable);
        DescribedGroup::default()
            .with_group_state(text(self.state.name()))
            .with_protocol_type(text(self.protocol_type.as_deref().unwrap_or_default()))
            .with_protocol_data(text(protocol.unwrap_or_default()))
            .with_members(members.collect())
    }

    fn listed(&self) -> ListedGroup {
        let protocol_type = self.consumer.as_ref().map(|_| "consumer").or(self.protocol_type.as_deref());
        ListedGroup::default()
            .with_group_id(GroupId(text(&self.id)))
            .with_protocol_type(text(protocol_type.unwrap_or_default()))
            .with_group_state(text(self.state_name()))
            .with_group_type(text(self.type_name()))
    }
}

fn dead() -> DescribedGroup {
    DescribedGroup::default().with_group_state(text(GroupState::Dead.name()))
}
