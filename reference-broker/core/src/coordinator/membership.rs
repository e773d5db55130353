//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup, on one group.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};

use super::group::{Group, GroupState};
use super::journal::{Turn, Write};
use super::member::{Member, ParkedJoin, Profile, millis};
use super::message::{GroupResponse, ReplyId, RequestContext};
use super::rebalance::refuse_parked;
use super::response::{self, text};

/// The first version of JoinGroup whose clients come back with the id they were given (KIP-394).
const MEMBER_ID_REQUIRED_SINCE: i16 = 4;
/// The first version of JoinGroup whose leader can be told to leave the assignment as it is (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

impl Group {
    /// Takes a JoinGroup: parks it, or answers it.
    pub(super) fn join(
        &mut self,
        request: &JoinGroupRequest,
        reply: ReplyId,
        context: &RequestContext<'_>,
        turn: &mut Turn<'_>,
    ) {
        if let Err(error) = self.make_classic(turn) {
            let response = response::join_refused(error, &request.member_id, context.version);
            return turn.reply(reply, GroupResponse::Join(response));
        }
        let parked = ParkedJoin { reply, version: context.version };
        let outcome = if request.member_id.is_empty() {
            self.join_new(request, parked, context, turn)
        } else {
            self.join_known(request, parked, context, turn)
        };
        match outcome {
            Ok(Some(response)) => turn.reply(reply, GroupResponse::Join(response)),
            Ok(None) => {}
            Err(refused) => {
                let response = response::join_refused(refused.error, &refused.member_id, context.version);
                turn.reply(reply, GroupResponse::Join(response));
            }
        }
        self.try_complete_join(turn);
    }

    /// A group of the consumer protocol is given up for a classic member, if it is empty; the member tries again then.
    fn make_classic(&mut self, turn: &mut Turn<'_>) -> Result<(), ResponseError> {
        if self.consumer.is_none() && !self.timers.stepping {
            return Ok(());
        }
        if self.consumer.as_ref().is_some_and(|consumer| !consumer.members.is_empty()) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        self.clear_consumer(turn);
        Err(ResponseError::CoordinatorLoadInProgress)
    }

    fn join_new(
        &mut self,
        request: &JoinGroupRequest,
        parked: ParkedJoin,
        context: &RequestContext<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<JoinGroupResponse>, Refused> {
        self.check_joinable(request).map_err(|error| Refused { error, member_id: String::new() })?;
        let instance_id = request.group_instance_id.as_deref();
        let member_id = turn.ids.draw(instance_id.unwrap_or(context.client_id), turn.leader_epoch);
        let profile = profile(request, context);
        if let Some(old_id) =
            instance_id.and_then(|instance_id| self.static_members.get(instance_id)).cloned()
        {
            return Ok(self.rejoin_static(&old_id, &member_id, profile, parked, turn));
        }
        if instance_id.is_none() && context.version >= MEMBER_ID_REQUIRED_SINCE {
            let deadline_ns = turn.now_ns() + millis(request.session_timeout_ms);
            self.pending_members.insert(member_id.clone(), deadline_ns);
            return Err(Refused { error: ResponseError::MemberIdRequired, member_id });
        }
        self.add_member(member_id, instance_id, profile, request, parked, turn);
        Ok(None)
    }

    fn join_known(
        &mut self,
        request: &JoinGroupRequest,
        parked: ParkedJoin,
        context: &RequestContext<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<JoinGroupResponse>, Refused> {
        let member_id = request.member_id.as_str();
        let instance_id = request.group_instance_id.as_deref();
        let refused = |error| Refused { error, member_id: member_id.to_owned() };
        self.check_joinable(request).map_err(refused)?;
        let profile = profile(request, context);
        if instance_id.is_none() && self.pending_members.remove(member_id).is_some() {
            self.add_member(member_id.to_owned(), None, profile, request, parked, turn);
            return Ok(None);
        }
        self.check_member(member_id, instance_id).map_err(refused)?;
        let unchanged = self.members[member_id].profile.protocols == profile.protocols;
        let is_leader = self.leader.as_deref() == Some(member_id);
        match self.state {
            // The member has not seen the answer to its last JoinGroup, or is told by a retry that nothing changed.
            GroupState::CompletingRebalance if unchanged => {
                self.touch(member_id, turn);
                Ok(Some(self.joined(member_id, parked.version)))
            }
            GroupState::Stable if unchanged && !is_leader => {
                self.touch(member_id, turn);
                Ok(Some(self.joined(member_id, parked.version)))
            }
            GroupState::Empty | GroupState::Dead => Err(refused(ResponseError::UnknownMemberId)),
            _ => {
                self.park_join(member_id, profile, parked, turn);
                self.prepare_rebalance(turn);
                Ok(None)
            }
        }
    }

    fn check_joinable(&self, request: &JoinGroupRequest) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        let common = |name: &str| self.members.values().all(|member| member.supports(name));
        let same_type =
            self.members.is_empty() || self.protocol_type.as_deref() == Some(&*request.protocol_type);
        let fits = same_type
            && !request.protocol_type.is_empty()
            && request.protocols.iter().any(|protocol| common(&protocol.name));
        if fits { Ok(()) } else { Err(ResponseError::InconsistentGroupProtocol) }
    }

    fn add_member(
        &mut self,
        member_id: String,
        instance_id: Option<&str>,
        profile: Profile,
        request: &JoinGroupRequest,
        parked: ParkedJoin,
        turn: &mut Turn<'_>,
    ) {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.to_string());
        }
        if let Some(initial) = self.join_phase.as_mut().and_then(|phase| phase.initial.as_mut()) {
            initial.joined = true;
        }
        if let Some(instance_id) = instance_id {
            self.static_members.insert(instance_id.to_owned(), member_id.clone());
        }
        let mut member = Member::new(instance_id.map(str::to_owned), profile);
        member.join = Some(parked);
        self.leader.get_or_insert_with(|| member_id.clone());
        self.members.insert(member_id, member);
        self.prepare_rebalance(turn);
    }

    fn park_join(&mut self, member_id: &str, profile: Profile, parked: ParkedJoin, turn: &mut Turn<'_>) {
        let member = self.members.get_mut(member_id).expect("the member was checked");
        // An older request of the same member is given up; its client has sent a new one.
        refuse_parked(member, member_id, ResponseError::RebalanceInProgress, turn);
        member.profile = profile;
        member.join = Some(parked);
    }

    /// A static member came back without its member id: it takes the place of its former self (KIP-345).
    fn rejoin_static(
        &mut self,
        old_id: &str,
        new_id: &str,
        profile: Profile,
        parked: ParkedJoin,
        turn: &mut Turn<'_>,
    ) -> Option<JoinGroupResponse> {
        let mut member = self.members.remove(old_id).expect("static members are members");
        refuse_parked(&mut member, old_id, ResponseError::FencedInstanceId, turn);
        member.profile = profile;
        member.touch(turn.now_ns());
        let instance_id = member.instance_id.clone().unwrap_or_default();
        self.static_members.insert(instance_id, new_id.to_owned());
        self.members.insert(new_id.to_owned(), member);
        let old_leader = self.leader.clone();
        if old_leader.as_deref() == Some(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        if self.state != GroupState::Stable || self.select_protocol() != self.protocol {
            self.members.get_mut(new_id)?.join = Some(parked);
            self.prepare_rebalance(turn);
            return None;
        }
        let mut response = self.joined(new_id, parked.version);
        if self.leader.as_deref() == Some(new_id) {
            // It must not make a new assignment: it is told so, or that somebody else leads.
            if parked.version >= SKIP_ASSIGNMENT_SINCE {
                response.skip_assignment = true;
            } else {
                response.leader = text(old_leader.as_deref().unwrap_or_default());
                response.members.clear();
            }
        }
        let write = Write::StaticRejoin { reply: parked.reply, version: parked.version, response };
        self.store(None, write, turn);
        None
    }

    /// Takes a SyncGroup: parks it, or answers it.
    pub(super) fn sync(&mut self, request: &SyncGroupRequest, reply: ReplyId, turn: &mut Turn<'_>) {
        let response = match self.try_sync(request, reply, turn) {
            Ok(Some(response)) => response,
            Ok(None) => return,
            Err(error) => response::sync_refused(error),
        };
        turn.reply(reply, GroupResponse::Sync(response));
    }

    fn try_sync(
        &mut self,
        request: &SyncGroupRequest,
        reply: ReplyId,
        turn: &mut Turn<'_>,
    ) -> Result<Option<SyncGroupResponse>, ResponseError> {
        let member_id = request.member_id.as_str();
        self.check_member(member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |told: Option<&str>, is: &Option<String>| told.is_some() && told != is.as_deref();
        if differs(request.protocol_type.as_deref(), &self.protocol_type)
            || differs(request.protocol_name.as_deref(), &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let now_ns = turn.now_ns();
        let member = self.members.get_mut(member_id).expect("the member was checked");
        match self.state {
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                refuse_parked(member, member_id, ResponseError::RebalanceInProgress, turn);
                member.synced = true;
                member.sync = Some(reply);
                if self.leader.as_deref() == Some(member_id) && self.assigning.is_none() {
                    self.store_assignment(request, turn);
                }
                Ok(None)
            }
            GroupState::Stable => {
                member.synced = true;
                member.touch(now_ns);
                Ok(Some(self.assigned(member_id)))
            }
        }
    }

    fn store_assignment(&mut self, request: &SyncGroupRequest, turn: &mut Turn<'_>) {
        let assignments: BTreeMap<String, Bytes> = request
            .assignments
            .iter()
            .map(|assignment| (assignment.member_id.to_string(), assignment.assignment.clone()))
            .collect();
        self.assigning = Some(self.generation);
        let write = Write::Assignment { generation: self.generation, assignments: assignments.clone() };
        self.store(Some(&assignments), write, turn);
    }

    /// The answer that gives a member its assignment.
    pub(super) fn assigned(&self, member_id: &str) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(self.protocol.as_deref().map(text))
            .with_assignment(self.members[member_id].assignment.clone())
    }

    /// Keeps a session alive, and says whether the member must join again.
    pub(super) fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        turn: &Turn<'_>,
    ) -> Result<(), ResponseError> {
        let member_id = request.member_id.as_str();
        self.check_member(member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.touch(member_id, turn);
        match self.state {
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::Empty | GroupState::Dead => Err(ResponseError::UnknownMemberId),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// Lets members go: one before version 3, any number since (KIP-345).
    pub(super) fn leave(
        &mut self,
        request: &LeaveGroupRequest,
        version: i16,
        turn: &mut Turn<'_>,
    ) -> LeaveGroupResponse {
        if version < 3 {
            let result = self.leave_one(&request.member_id, None, turn);
            return LeaveGroupResponse::default().with_error_code(response::code(result));
        }
        let members = request.members.iter().map(|member| {
            let result = self.leave_one(&member.member_id, member.group_instance_id.as_deref(), turn);
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(response::code(result))
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }

    fn leave_one(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        turn: &mut Turn<'_>,
    ) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if instance_id.is_none() && self.pending_members.remove(member_id).is_some() {
            self.try_complete_join(turn);
            return Ok(());
        }
        // An admin removes a static member by its instance id alone.
        let member_id = match instance_id {
            Some(instance_id) if member_id.is_empty() => {
                self.static_members.get(instance_id).ok_or(ResponseError::UnknownMemberId)?.clone()
            }
            _ => member_id.to_owned(),
        };
        self.check_member(&member_id, instance_id)?;
        self.remove_member(&member_id, turn);
        self.prepare_rebalance(turn);
        self.try_complete_join(turn);
        Ok(())
    }

    /// Whether the group has this member, and it is still the one that its instance id stands for.
    pub(super) fn check_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(current) if current != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }
}

/// Why a JoinGroup was refused, and the member id to answer with.
struct Refused {
    error: ResponseError,
    member_id: String,
}

fn profile(request: &JoinGroupRequest, context: &RequestContext<'_>) -> Profile {
    // Version 0 has no rebalance timeout of its own.
    let rebalance_timeout_ms =
        if context.version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    Profile {
        client_id: context.client_id.to_owned(),
        client_host: context.client_host.to_owned(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocols: request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata.clone()))
            .collect(),
    }
}
