//! A group of the consumer protocol, as its committed records make it.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use super::member::{ConsumerMember, MemberState};
use super::partitions::Partitions;
use super::records::ConsumerRecord;
use crate::controller::TopicId;
use crate::ids::PartitionId;

/// The stored state of a group of the consumer protocol.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsumerGroup {
    /// Counts the changes of members, subscriptions and topics.
    pub epoch: i32,
    /// Of the topics that members subscribe to; another one means that they have changed (KIP-1101).
    pub metadata_hash: i64,
    /// By member id.
    pub members: BTreeMap<String, ConsumerMember>,
    /// The group epoch that the targets were made for.
    pub assignment_epoch: i32,
    /// What each member is to have in the end.
    pub targets: BTreeMap<String, Partitions>,
}

impl ConsumerGroup {
    /// Takes over what a record says.
    pub(in crate::coordinator) fn apply(&mut self, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Group(value) => (self.epoch, self.metadata_hash) = value.unwrap_or_default(),
            ConsumerRecord::Member { member_id, value: Some(subscription) } => {
                self.members.entry(member_id).or_default().subscription = subscription;
            }
            ConsumerRecord::Member { member_id, value: None } => {
                self.members.remove(&member_id);
            }
            ConsumerRecord::TargetEpoch(epoch) => self.assignment_epoch = epoch.unwrap_or_default(),
            ConsumerRecord::Target { member_id, value: Some(partitions) } => {
                self.targets.insert(member_id, partitions);
            }
            ConsumerRecord::Target { member_id, value: None } => {
                self.targets.remove(&member_id);
            }
            ConsumerRecord::Current { member_id, value: Some(current) } => {
                self.members.entry(member_id).or_default().current = current;
            }
            ConsumerRecord::Current { member_id, value: None } => {
                if let Some(member) = self.members.get_mut(&member_id) {
                    member.current = <_>::default();
                }
            }
        }
    }

    /// Whether nothing of it is stored.
    pub(in crate::coordinator) fn is_blank(&self) -> bool {
        *self == Self::default()
    }

    /// As told to clients.
    pub fn state_name(&self) -> &'static str {
        let reached = |member: &ConsumerMember| {
            member.current.state == MemberState::Stable && member.current.epoch == self.assignment_epoch
        };
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(reached) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// The member that an instance id stands for.
    pub(super) fn static_member(&self, instance_id: &str) -> Option<(&String, &ConsumerMember)> {
        self.members
            .iter()
            .find(|(_, member)| member.subscription.instance_id.as_deref() == Some(instance_id))
    }

    /// What a member is to have.
    pub(super) fn target(&self, member_id: &str) -> Partitions {
        self.targets.get(member_id).cloned().unwrap_or_default()
    }

    /// Whether a member speaks in the epoch that it is in.
    pub(super) fn check_member_epoch(&self, member_id: &str, epoch: i32) -> Result<(), ResponseError> {
        let member = self.members.get(member_id).ok_or(ResponseError::UnknownMemberId)?;
        if member.current.epoch == epoch { Ok(()) } else { Err(ResponseError::StaleMemberEpoch) }
    }

    /// A partition that two members may read from, and who they are. There must never be one.
    pub fn shared_partition(&self) -> Option<((TopicId, PartitionId), [&str; 2])> {
        let mut owners: BTreeMap<_, &str> = BTreeMap::new();
        for (member_id, member) in &self.members {
            for partition in member.current.assigned.iter().chain(&member.current.revoking) {
                match owners.insert(*partition, member_id) {
                    Some(other) if other != member_id => return Some((*partition, [other, member_id])),
                    _ => {}
                }
            }
        }
        None
    }
}
