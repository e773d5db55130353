//! One step of a group: what it would become, and the records that make it so.

use super::member::{AWAY, ConsumerMember, Current};
use super::partitions::Partitions;
use super::records::ConsumerRecord;
use super::state::ConsumerGroup;
use super::subscription::Topics;
use crate::coordinator::message::{GroupResponse, ReplyId, TopicView};
use crate::defects::Defects;

/// What becomes the state of a group when its batch is committed.
#[derive(Debug)]
pub(in crate::coordinator) struct Stored {
    pub(in crate::coordinator) records: Vec<ConsumerRecord>,
    /// Who is told, and what.
    pub(in crate::coordinator) answer: Option<(ReplyId, GroupResponse)>,
    /// Whether the group was one of the classic protocol before.
    pub(in crate::coordinator) upgrade: bool,
}

/// A step that is being computed.
pub(super) struct Step<'a> {
    /// As it would be after the step.
    pub(super) group: ConsumerGroup,
    pub(super) records: Vec<ConsumerRecord>,
    pub(super) view: &'a dyn TopicView,
    pub(super) defects: Defects,
}

impl<'a> Step<'a> {
    pub(super) fn new(group: ConsumerGroup, view: &'a dyn TopicView, defects: Defects) -> Self {
        Self { group, records: Vec::new(), view, defects }
    }

    pub(super) fn push(&mut self, record: ConsumerRecord) {
        self.group.apply(record.clone());
        self.records.push(record);
    }

    /// Takes a member out: its partitions are free at once.
    pub(super) fn remove(&mut self, member_id: &str) {
        let member_id = || member_id.to_owned();
        self.push(ConsumerRecord::Current { member_id: member_id(), value: None });
        self.push(ConsumerRecord::Target { member_id: member_id(), value: None });
        self.push(ConsumerRecord::Member { member_id: member_id(), value: None });
    }

    /// Takes members out and counts the change.
    pub(super) fn fence(&mut self, member_ids: &[String]) {
        for member_id in member_ids {
            self.remove(member_id);
        }
        let hash = Topics::of(&self.group, self.view).hash();
        self.push(ConsumerRecord::Group(Some((self.group.epoch + 1, hash))));
    }

    /// A static member goes and will be back: its partitions stay its own until its session ends (KIP-848).
    pub(super) fn send_away(&mut self, member_id: &str) {
        let Some(member) = self.group.members.get(member_id) else { return };
        let away = Current { epoch: AWAY, revoking: Partitions::new(), ..member.current.clone() };
        self.push(ConsumerRecord::Current { member_id: member_id.to_owned(), value: Some(away) });
    }

    /// The successor of a static member takes its place.
    pub(super) fn replace(&mut self, old_id: &str, new_id: &str) {
        let ConsumerMember { subscription, current } = self.group.members[old_id].clone();
        let target = self.group.target(old_id);
        self.remove(old_id);
        let current = Current { epoch: 0, previous_epoch: 0, ..current };
        let member_id = || new_id.to_owned();
        self.push(ConsumerRecord::Member { member_id: member_id(), value: Some(subscription) });
        self.push(ConsumerRecord::Target { member_id: member_id(), value: Some(target) });
        self.push(ConsumerRecord::Current { member_id: member_id(), value: Some(current) });
    }
}
