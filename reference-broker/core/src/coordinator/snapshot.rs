//! The state of a coordinator in a form that can be compared.
//!
//! The property (Kafka's and Redpanda's coordinators have broken it): what runs is what a reload of the committed
//! records would make. Offsets must agree at every moment; a membership only between rebalances, and with no append
//! under way, because a generation is stored after its members have joined.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::consumer::ConsumerGroup;
use super::group::{GroupState, TopicPartition};
use super::records::CommittedOffset;
use crate::ids::ProducerId;

/// All groups of a coordinator, by id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CoordinatorSnapshot {
    /// Groups that exist.
    pub groups: BTreeMap<String, GroupSnapshot>,
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupSnapshot {
    /// `None` during a rebalance, or while something of it is being stored.
    pub membership: Option<Membership>,
    /// What speaks the consumer protocol; its state is what is committed, at every moment.
    pub consumer: Option<ConsumerGroup>,
    /// Committed offsets by topic and partition.
    pub offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// Offsets in open transactions, by producer.
    pub undecided: BTreeMap<ProducerId, BTreeMap<TopicPartition, CommittedOffset>>,
}

/// One generation of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Empty or Stable.
    pub state: GroupState,
    /// Its number.
    pub generation: i32,
    /// For consumers `consumer`.
    pub protocol_type: Option<String>,
    /// The assignor that was chosen.
    pub protocol: Option<String>,
    /// The member that makes the assignment.
    pub leader: Option<String>,
    /// By member id.
    pub members: BTreeMap<String, MemberSnapshot>,
}

/// One member of a generation.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named as in JoinGroup and SyncGroup")]
pub struct MemberSnapshot {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

impl Default for GroupSnapshot {
    /// A group that does not exist.
    fn default() -> Self {
        let membership = Some(Membership::default());
        Self { membership, consumer: None, offsets: BTreeMap::new(), undecided: BTreeMap::new() }
    }
}

impl CoordinatorSnapshot {
    /// The first group, by id, in which this live coordinator differs from one that was loaded from the committed
    /// records.
    pub fn diverges_from(&self, reloaded: &Self) -> Option<String> {
        let absent = GroupSnapshot::default();
        let groups: BTreeSet<&String> = self.groups.keys().chain(reloaded.groups.keys()).collect();
        let differs = |group: &&String| {
            let live = self.groups.get(*group).unwrap_or(&absent);
            let reloaded = reloaded.groups.get(*group).unwrap_or(&absent);
            live.offsets != reloaded.offsets
                || live.consumer != reloaded.consumer
                || live.undecided != reloaded.undecided
                || (live.membership.is_some() && live.membership != reloaded.membership)
        };
        groups.into_iter().find(differs).cloned()
    }
}
