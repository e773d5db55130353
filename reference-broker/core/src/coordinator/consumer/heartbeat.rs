//! ConsumerGroupHeartbeat: a member joins, says what it wants and has, goes; and is told what to have.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::assignor::{Assignor, Reader};
use super::member::{AWAY, ConsumerMember, Subscription};
use super::partitions::{Partitions, assignment, owned};
use super::reconcile::Reconcile;
use super::records::ConsumerRecord;
use super::step::{Step, Stored};
use super::subscription::{Topics, check_regex};
use crate::coordinator::group::{Group, GroupState};
use crate::coordinator::journal::{Turn, Write};
use crate::coordinator::message::{GroupResponse, ReplyId};
use crate::coordinator::response::text;
use crate::defects::Defect;

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of a member that goes.
const LEAVES: i32 = -1;

/// A heartbeat with what came beside it.
#[derive(Clone, Debug)]
pub(in crate::coordinator) struct Beat {
    pub(in crate::coordinator) request: ConsumerGroupHeartbeatRequest,
    pub(in crate::coordinator) reply: ReplyId,
    pub(in crate::coordinator) client_id: String,
    pub(in crate::coordinator) client_host: String,
}

impl Beat {
    /// Whether it would bring a member into the group.
    pub(in crate::coordinator) fn joins(&self) -> bool {
        self.request.member_epoch == JOINS
    }

    /// What a request must say at least, as Kafka checks it.
    pub(in crate::coordinator) fn check(&self, version: i16) -> Result<(), ResponseError> {
        let request = &self.request;
        let is_empty = |text: &Option<_>| {
            text.as_ref().is_some_and(|text: &kafka_protocol::protocol::StrBytes| text.is_empty())
        };
        // The coordinator draws the id of a new member of version 0 (KIP-1082).
        let unnamed = request.member_id.is_empty() && (version > 0 || !self.joins());
        let wants_nothing =
            request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none();
        let bad_join = self.joins()
            && (wants_nothing
                || request.rebalance_timeout_ms <= 0
                || request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()));
        let bad_epoch =
            request.member_epoch < AWAY || (request.member_epoch == AWAY && request.instance_id.is_none());
        if unnamed || bad_join || bad_epoch || is_empty(&request.instance_id) || is_empty(&request.rack_id) {
            return Err(ResponseError::InvalidRequest);
        }
        if let Some(name) = &request.server_assignor
            && Assignor::named(name).is_none()
        {
            return Err(ResponseError::UnsupportedAssignor);
        }
        request.subscribed_topic_regex.as_deref().map_or(Ok(()), check_regex)
    }

    /// Whether it says all that a member can say: then it is told all, too.
    fn is_full(&self) -> bool {
        let request = &self.request;
        let wants = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
        request.rebalance_timeout_ms != -1 && wants && request.topic_partitions.is_some()
    }

    /// What the member wants from now on. Fields that are not given stay as they were.
    fn update(&self, known: &Subscription) -> Subscription {
        let request = &self.request;
        let or_known = |told: &Option<kafka_protocol::protocol::StrBytes>, known: &Option<String>| {
            told.as_ref()
                .map_or_else(|| known.clone(), |told| Some(told.to_string()).filter(|told| !told.is_empty()))
        };
        let topics = request.subscribed_topic_names.as_ref();
        Subscription {
            instance_id: or_known(&request.instance_id, &known.instance_id),
            rack_id: or_known(&request.rack_id, &known.rack_id),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            topics: topics.map_or_else(
                || known.topics.clone(),
                |topics| topics.iter().map(|topic| topic.to_string()).collect(),
            ),
            regex: or_known(&request.subscribed_topic_regex, &known.regex),
            rebalance_timeout_ms: match request.rebalance_timeout_ms {
                -1 => known.rebalance_timeout_ms,
                timeout_ms => timeout_ms,
            },
            assignor: or_known(&request.server_assignor, &known.assignor),
        }
    }
}

impl Group {
    /// Takes a heartbeat: answers it at once, or when the step that it makes is stored. While another step is under way,
    /// it waits.
    pub(in crate::coordinator) fn consumer_heartbeat(&mut self, beat: Beat, turn: &mut Turn<'_>) {
        if self.timers.stepping {
            self.waiting.push_back(beat);
        } else if let Err(error) = self.take_beat(&beat, turn) {
            turn.reply(beat.reply, refused(error));
        }
    }

    /// Takes the heartbeats that have waited, until one of them makes another step.
    fn take_waiting(&mut self, turn: &mut Turn<'_>) {
        while !self.timers.stepping
            && let Some(beat) = self.waiting.pop_front()
        {
            self.consumer_heartbeat(beat, turn);
        }
    }

    fn take_beat(&mut self, beat: &Beat, turn: &mut Turn<'_>) -> Result<(), ResponseError> {
        let upgrade = self.check_upgrade(beat)?;
        let group = self.consumer.clone().unwrap_or_default();
        let mut step = Step::new(group, turn.topics, turn.config.defects);
        let mut response = ConsumerGroupHeartbeatResponse::default();
        if beat.request.member_epoch < JOINS {
            leave(&mut step, beat)?;
            response.member_id = Some(beat.request.member_id.clone());
            response.member_epoch = beat.request.member_epoch;
        } else {
            let member_id = match beat.request.member_id.as_str() {
                "" => turn.ids.draw(&beat.client_id, turn.leader_epoch),
                member_id => member_id.to_owned(),
            };
            response = advance(&mut step, beat, &member_id)?;
            response.heartbeat_interval_ms = turn.config.consumer_heartbeat_interval_ms;
            self.timers.touch(&member_id, turn);
        }
        let answer = Some((beat.reply, GroupResponse::ConsumerHeartbeat(response)));
        self.take_step(step.records, answer, upgrade, turn);
        Ok(())
    }

    /// Stores a step, or answers at once if nothing changes.
    fn take_step(
        &mut self,
        records: Vec<ConsumerRecord>,
        answer: Option<(ReplyId, GroupResponse)>,
        upgrade: bool,
        turn: &mut Turn<'_>,
    ) {
        if records.is_empty() {
            if let Some((reply, response)) = answer {
                turn.reply(reply, response);
            }
            return;
        }
        let classic = upgrade.then(|| (crate::coordinator::records::group_key(&self.id), None));
        let forget_leaves = turn.config.defects.has(Defect::UnstoredLeave);
        let stored = records
            .iter()
            .filter(|record| !(forget_leaves && matches!(record, ConsumerRecord::Member { value: None, .. })))
            .map(|record| record.encode(&self.id));
        let batch = classic.into_iter().chain(stored).collect();
        self.timers.stepping = true;
        self.append(batch, Write::Consumer(Stored { records, answer, upgrade }), turn);
    }

    /// Whether the classic generation has to be given up for this heartbeat; only an empty one can be.
    fn check_upgrade(&self, beat: &Beat) -> Result<bool, ResponseError> {
        if self.state == GroupState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if self.consumer.is_some() {
            return Ok(false);
        }
        if !beat.joins() {
            return Err(ResponseError::UnknownMemberId);
        }
        if self.state != GroupState::Empty || !self.pending_members.is_empty() {
            return Err(ResponseError::GroupIdNotFound);
        }
        let stored = self.generation > 0;
        // The tombstone of the classic generation would take what is undecided with it.
        if stored && (self.is_writing() || !self.undecided.is_empty()) {
            return Err(ResponseError::CoordinatorLoadInProgress);
        }
        Ok(stored)
    }

    /// A step is stored, or never will be.
    pub(in crate::coordinator) fn settle_step(
        &mut self,
        stored: &Stored,
        stored_ok: bool,
        turn: &mut Turn<'_>,
    ) {
        self.timers.stepping = false;
        if stored_ok {
            if stored.upgrade {
                self.forget_classic();
            }
            for record in stored.records.clone() {
                self.replay_consumer(record);
            }
        } else {
            self.timers.pause(turn.now_ns());
        }
        self.timers.follow(self.consumer.as_ref(), turn.config, turn.now_ns());
        self.take_waiting(turn);
    }

    /// Gives up a group without members, for one of the classic protocol.
    pub(in crate::coordinator) fn clear_consumer(&mut self, turn: &mut Turn<'_>) {
        if !self.timers.stepping {
            let records = vec![ConsumerRecord::TargetEpoch(None), ConsumerRecord::Group(None)];
            self.take_step(records, None, false, turn);
        }
    }

    /// Takes over what a committed record says.
    pub(in crate::coordinator) fn replay_consumer(&mut self, record: ConsumerRecord) {
        let group = self.consumer.get_or_insert_default();
        group.apply(record);
        if group.is_blank() {
            self.consumer = None;
        }
    }

    /// Takes members out whose time is over.
    pub(in crate::coordinator) fn tick_consumer(&mut self, turn: &mut Turn<'_>) {
        if self.timers.stepping || self.timers.next_ns() > turn.now_ns() {
            return;
        }
        let late = self.timers.late(turn.now_ns());
        let Some(group) = &self.consumer else { return };
        let late: Vec<String> = late.into_iter().filter(|id| group.members.contains_key(id)).collect();
        if late.is_empty() {
            return;
        }
        let mut step = Step::new(group.clone(), turn.topics, turn.config.defects);
        step.fence(&late);
        self.take_step(step.records, None, false, turn);
    }

    /// Refuses the heartbeats that wait.
    pub(in crate::coordinator) fn refuse_waiting(&mut self, error: ResponseError, turn: &mut Turn<'_>) {
        for beat in std::mem::take(&mut self.waiting) {
            turn.reply(beat.reply, refused(error));
        }
    }
}

/// The answer to a heartbeat that is refused.
pub(in crate::coordinator) fn refused(error: ResponseError) -> GroupResponse {
    GroupResponse::ConsumerHeartbeat(ConsumerGroupHeartbeatResponse::default().with_error_code(error.code()))
}

/// A member goes for good, or for a while.
fn leave(step: &mut Step<'_>, beat: &Beat) -> Result<(), ResponseError> {
    let request = &beat.request;
    let member_id = request.member_id.as_str();
    match &request.instance_id {
        Some(instance_id) => {
            let (current, _) = step.group.static_member(instance_id).ok_or(ResponseError::UnknownMemberId)?;
            if current != member_id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        None if !step.group.members.contains_key(member_id) => return Err(ResponseError::UnknownMemberId),
        None => {}
    }
    if request.member_epoch == LEAVES {
        step.fence(&[member_id.to_owned()]);
    } else {
        step.send_away(member_id);
    }
    Ok(())
}

/// A member joins or lives on: the group takes over what it wants, and it goes on towards its target.
fn advance(
    step: &mut Step<'_>,
    beat: &Beat,
    member_id: &str,
) -> Result<ConsumerGroupHeartbeatResponse, ResponseError> {
    let owned = beat.request.topic_partitions.as_deref().map(owned);
    enter(step, beat, member_id, owned.as_ref())?;
    let before = step.group.members.get(member_id).cloned();
    subscribe(step, beat, member_id, before.as_ref());
    retarget(step);
    let member = step.group.members[member_id].clone();
    let topics = Topics::of(&step.group, step.view).ids(&member.subscription);
    let mut target = step.group.target(member_id);
    target.retain(|(topic, _)| topics.contains(topic));
    let held_by_others = held_by_others(step, member_id);
    let next = Reconcile {
        current: &member.current,
        epoch: step.group.assignment_epoch,
        target: &target,
        owned: owned.as_ref(),
        held_by_others: &held_by_others,
    }
    .next();
    let told_anew = beat.joins() || beat.is_full() || next.assigned != member.current.assigned;
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(member_id)))
        .with_member_epoch(next.epoch)
        .with_assignment(told_anew.then(|| assignment(&next.assigned)));
    if next != member.current {
        step.push(ConsumerRecord::Current { member_id: member_id.to_owned(), value: Some(next) });
    }
    Ok(response)
}

/// Who may speak as this member; the successor of a static member takes its place here.
fn enter(
    step: &mut Step<'_>,
    beat: &Beat,
    member_id: &str,
    owned: Option<&Partitions>,
) -> Result<(), ResponseError> {
    let epoch = beat.request.member_epoch;
    let Some(instance_id) = &beat.request.instance_id else {
        return match step.group.members.get(member_id) {
            None if beat.joins() => Ok(()),
            None => Err(ResponseError::UnknownMemberId),
            Some(_) if beat.joins() => Ok(()),
            Some(member) => check_epoch(member, epoch, owned),
        };
    };
    match step.group.static_member(instance_id) {
        None if beat.joins() => Ok(()),
        None => Err(ResponseError::UnknownMemberId),
        Some((current, _)) if current == member_id && beat.joins() => Ok(()),
        Some((current, member)) if beat.joins() => {
            if member.current.epoch != AWAY {
                return Err(ResponseError::UnreleasedInstanceId);
            }
            let current = current.clone();
            step.replace(&current, member_id);
            Ok(())
        }
        Some((current, _)) if current != member_id => Err(ResponseError::FencedInstanceId),
        Some((_, member)) => check_epoch(member, epoch, owned),
    }
}

/// A member may be one epoch behind if it owns nothing else: the answer that told it the new epoch was lost.
fn check_epoch(member: &ConsumerMember, epoch: i32, owned: Option<&Partitions>) -> Result<(), ResponseError> {
    let current = &member.current;
    let behind =
        epoch == current.previous_epoch && owned.is_some_and(|owned| owned.is_subset(&current.assigned));
    if epoch == current.epoch || (epoch < current.epoch && behind) {
        Ok(())
    } else {
        Err(ResponseError::FencedMemberEpoch)
    }
}

/// Takes over what a member wants, and counts a change of who wants what, or of the topics themselves.
fn subscribe(step: &mut Step<'_>, beat: &Beat, member_id: &str, before: Option<&ConsumerMember>) {
    let known = before.map(|member| member.subscription.clone());
    let wanted = beat.update(&known.clone().unwrap_or_default());
    let changed =
        known.as_ref().is_none_or(|known| known.topics != wanted.topics || known.regex != wanted.regex);
    if known.as_ref() != Some(&wanted) {
        step.push(ConsumerRecord::Member { member_id: member_id.to_owned(), value: Some(wanted) });
    }
    let hash = Topics::of(&step.group, step.view).hash();
    if changed || hash != step.group.metadata_hash {
        step.push(ConsumerRecord::Group(Some((step.group.epoch + 1, hash))));
    }
}

/// Makes the target assignment of a new group epoch.
fn retarget(step: &mut Step<'_>) {
    if step.group.epoch <= step.group.assignment_epoch {
        return;
    }
    let topics = Topics::of(&step.group, step.view);
    let group = &step.group;
    let readers: BTreeMap<String, Reader> = group
        .members
        .iter()
        .map(|(id, member)| {
            let instance_id = member.subscription.instance_id.clone();
            let topics = topics.ids(&member.subscription);
            (id.clone(), Reader { instance_id, topics, target: group.target(id) })
        })
        .collect();
    let votes = group.members.values().filter_map(|member| member.subscription.assignor.as_deref());
    let targets = Assignor::preferred(votes).assign(&readers, &topics.counts());
    let epoch = group.epoch;
    for (member_id, target) in targets {
        if step.group.target(&member_id) != target {
            step.push(ConsumerRecord::Target { member_id, value: Some(target) });
        }
    }
    step.push(ConsumerRecord::TargetEpoch(Some(epoch)));
}

/// What other members may still read from.
fn held_by_others(step: &Step<'_>, member_id: &str) -> Partitions {
    let others = step.group.members.iter().filter(|(id, _)| *id != member_id);
    let held = others.flat_map(|(_, member)| {
        let revoking = (!step.defects.has(Defect::AssignBeforeRevoke)).then_some(&member.current.revoking);
        member.current.assigned.iter().chain(revoking.into_iter().flatten())
    });
    held.copied().collect()
}
