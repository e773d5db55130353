//! How a group goes from one generation to the next.
//!
//! ```text
//! Empty ─join─► PreparingRebalance ─all joined, or time is up─► CompletingRebalance ─assignment stored─► Stable
//!   ▲                │     ▲                                        │                                     │
//!   └──nobody left───┘     └────────── a member joins, leaves or dies ────────────────────────────────────┘
//! ```

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::JoinGroupResponse;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;

use super::group::{Group, GroupState, InitialDelay, JoinPhase};
use super::journal::Turn;
use super::member::{Member, ParkedJoin, millis};
use super::message::{GroupResponse, ReplyId};
use super::response::{self, text};

/// Keeps a timeout of 0 from ending a phase, and starting it anew, at the same instant.
const REBALANCE_TIMEOUT_MIN_NS: u64 = 1_000_000;

impl Group {
    /// Asks all members to join again, unless that is under way.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        let initial = match self.state {
            GroupState::Empty => true,
            GroupState::CompletingRebalance | GroupState::Stable => false,
            GroupState::PreparingRebalance | GroupState::Dead => return,
        };
        self.refuse_syncs(ResponseError::RebalanceInProgress, turn);
        self.assigning = None;
        self.sync_deadline_ns = None;
        self.state = GroupState::PreparingRebalance;
        let timeout_ns = self.rebalance_timeout_ns();
        let delay_ns = turn.config.initial_rebalance_delay_ms * 1_000_000;
        self.join_phase = Some(if initial {
            JoinPhase {
                deadline_ns: turn.now_ns() + delay_ns,
                initial: Some(InitialDelay {
                    remaining_ns: timeout_ns.saturating_sub(delay_ns),
                    joined: false,
                }),
            }
        } else {
            JoinPhase { deadline_ns: turn.now_ns() + timeout_ns, initial: None }
        });
    }

    /// Ends the join phase if everybody is there, or its time is up.
    pub(super) fn try_complete_join(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now_ns();
        let Some(phase) = &mut self.join_phase else { return };
        let late = phase.deadline_ns <= now_ns;
        match &mut phase.initial {
            Some(_) if !late => return,
            Some(initial) if initial.joined && initial.remaining_ns > 0 => {
                let delay_ns = (turn.config.initial_rebalance_delay_ms * 1_000_000).min(initial.remaining_ns);
                initial.remaining_ns -= delay_ns;
                initial.joined = false;
                phase.deadline_ns = now_ns + delay_ns;
                if delay_ns > 0 {
                    return;
                }
            }
            Some(_) => {}
            None => {
                let joined = self.members.values().all(|member| member.join.is_some());
                let all_joined = joined && self.pending_members.is_empty();
                if !late && !all_joined {
                    return;
                }
            }
        }
        self.complete_join(turn);
    }

    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        // A static member may stay away until its session ends (KIP-345).
        let absent = |member: &Member| member.join.is_none() && member.instance_id.is_none();
        for member_id in self.ids_where(absent) {
            self.remove_member(&member_id, turn);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            let deadline_ns = turn.now_ns() + self.rebalance_timeout_ns();
            self.join_phase = Some(JoinPhase { deadline_ns, initial: None });
            return;
        }
        self.join_phase = None;
        self.generation += 1;
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.protocol = None;
            self.leader = None;
            self.store_empty(turn);
            return;
        }
        self.state = GroupState::CompletingRebalance;
        self.protocol = self.select_protocol();
        self.sync_deadline_ns = Some(turn.now_ns() + self.rebalance_timeout_ns());
        let joined: Vec<(String, ParkedJoin)> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| {
                member.synced = false;
                member.join.take().map(|join| (id.clone(), join))
            })
            .collect();
        for (member_id, join) in joined {
            self.touch(&member_id, turn);
            let response = self.joined(&member_id, join.version);
            turn.reply(join.reply, GroupResponse::Join(response));
        }
    }

    /// The answer to a member that is in this generation; the leader is told who the others are.
    pub(super) fn joined(&self, member_id: &str, version: i16) -> JoinGroupResponse {
        let is_leader = self.leader.as_deref() == Some(member_id);
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(response::protocol_name(self.protocol.as_deref(), version))
            .with_leader(text(self.leader.as_deref().unwrap_or_default()))
            .with_member_id(text(member_id))
            .with_members(if is_leader { self.roster() } else { Vec::new() })
    }

    /// All members with what they said for the chosen protocol.
    pub(super) fn roster(&self) -> Vec<JoinGroupResponseMember> {
        let members = self.members.iter().map(|(member_id, member)| {
            JoinGroupResponseMember::default()
                .with_member_id(text(member_id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_metadata(member.subscription(self.protocol.as_deref()))
        });
        members.collect()
    }

    /// Keeps the leader if it has joined, else takes the first member that has.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.join.is_some());
        if !self.leader.as_ref().is_some_and(has_joined) {
            let Some(first) = self.members.keys().find(|id| has_joined(id)) else { return false };
            self.leader = Some(first.clone());
        }
        true
    }

    /// The protocol that most members want first, of those that all speak.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common = |name: &str| self.members.values().all(|other| other.supports(name));
            let favourite = member.profile.protocols.iter().find(|(name, _)| common(name));
            if let Some((name, _)) = favourite {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    /// The longest that any member wants to be waited for.
    fn rebalance_timeout_ns(&self) -> u64 {
        let timeouts = self.members.values().map(|member| millis(member.profile.rebalance_timeout_ms));
        timeouts.max().unwrap_or(0).max(REBALANCE_TIMEOUT_MIN_NS)
    }

    pub(super) fn ids_where(&self, test: impl Fn(&Member) -> bool) -> Vec<String> {
        self.members.iter().filter(|(_, member)| test(member)).map(|(id, _)| id.clone()).collect()
    }

    /// Removes members, and rebalances if there were any.
    pub(super) fn remove_where(&mut self, test: impl Fn(&Member) -> bool, turn: &mut Turn<'_>) {
        let gone = self.ids_where(test);
        for member_id in &gone {
            self.remove_member(member_id, turn);
        }
        if !gone.is_empty() {
            self.prepare_rebalance(turn);
            self.try_complete_join(turn);
        }
    }

    /// Forgets a member, and refuses what it waits for.
    pub(super) fn remove_member(&mut self, member_id: &str, turn: &mut Turn<'_>) {
        let Some(mut member) = self.members.remove(member_id) else { return };
        refuse_parked(&mut member, member_id, ResponseError::UnknownMemberId, turn);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Refuses all that members wait for.
    pub(super) fn refuse_all(&mut self, error: ResponseError, turn: &mut Turn<'_>) {
        for (member_id, member) in &mut self.members {
            refuse_parked(member, member_id, error, turn);
        }
        self.refuse_waiting(error, turn);
    }

    /// Refuses the SyncGroup requests that wait.
    pub(super) fn refuse_syncs(&mut self, error: ResponseError, turn: &mut Turn<'_>) {
        for member in self.members.values_mut() {
            if let Some(reply) = member.sync.take() {
                member.touch(turn.now_ns());
                turn.reply(reply, GroupResponse::Sync(response::sync_refused(error)));
            }
        }
    }

    /// Gives their assignment to all members that wait for it.
    pub(super) fn answer_syncs(&mut self, turn: &mut Turn<'_>) {
        let waiting =
            self.members.iter_mut().filter_map(|(id, member)| Some((id.clone(), member.sync.take()?)));
        let waiting: Vec<(String, ReplyId)> = waiting.collect();
        for (member_id, reply) in waiting {
            self.touch(&member_id, turn);
            let response = self.assigned(&member_id);
            turn.reply(reply, GroupResponse::Sync(response));
        }
    }

    pub(super) fn touch(&mut self, member_id: &str, turn: &Turn<'_>) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.touch(turn.now_ns());
        }
    }
}

/// Refuses what a member waits for.
pub(super) fn refuse_parked(member: &mut Member, member_id: &str, error: ResponseError, turn: &mut Turn<'_>) {
    if let Some(join) = member.join.take() {
        let response = response::join_refused(error, member_id, join.version);
        turn.reply(join.reply, GroupResponse::Join(response));
    }
    if let Some(reply) = member.sync.take() {
        turn.reply(reply, GroupResponse::Sync(response::sync_refused(error)));
    }
}
