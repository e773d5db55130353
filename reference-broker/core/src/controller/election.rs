//! Who leads a partition, given who is alive.
//!
//! In:  a partition as it is, and who may lead. Out: the state it should have, if that is another one.
//! Rules: the first in-sync replica, in the order of the replicas, that may lead; if there is none, the first eligible one
//!        (KIP-966); if there is none either and unclean election is on, the first replica that may; else nobody. A replica that
//!        may not lead leaves the in-sync set (KIP-841), unless nobody would be left: the last in-sync set is the memory of
//!        who has all that was acknowledged.

use kafka_protocol::ResponseError;

use super::eligible::{eligible, without};
use super::image::{PartitionImage, TopicImage};
use super::record::PartitionState;
use super::topics::Refusal;
use crate::defects::{Defect, Defects};
use crate::ids::{LeaderEpoch, NodeId};
use crate::node::FlushPolicy;

/// Who is to lead, the in-sync set that goes with it, and who stays eligible.
type Elected = (NodeId, Vec<NodeId>, Vec<NodeId>);

/// The rules of a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Election {
    /// `unclean.leader.election.enable`, for topics that say nothing.
    pub(super) unclean: bool,
    /// `min.insync.replicas`, for topics that say nothing.
    pub(super) min_insync_replicas: i32,
    /// When brokers flush, for topics that say nothing.
    pub(super) flush: FlushPolicy,
    /// Planted bugs.
    pub(super) defects: Defects,
}

impl Election {
    /// The state that the partition should have, or `None` if it is as it should be. The broker `crashed` has just come back from a
    /// stop that was not orderly.
    pub(super) fn settle(
        self,
        topic: &TopicImage,
        partition: &PartitionImage,
        may_lead: impl Fn(NodeId) -> bool,
        crashed: Option<NodeId>,
    ) -> Option<PartitionState> {
        let before = &partition.state;
        // What was flushed before it counted is not lost by a crash.
        let crashed = crashed.filter(|_| topic.flush_policy(self.flush) != FlushPolicy::BeforeAck);
        let state = crashed.map_or_else(|| before.clone(), |crashed| without(before, crashed));
        let live: Vec<NodeId> = state.isr.iter().copied().filter(|node| may_lead(*node)).collect();
        let (leader, isr, elr) = if live.contains(&state.leader) {
            let elr = self.eligible(topic, partition, &state, &live);
            (state.leader, live, elr)
        } else {
            self.elect(topic, partition, &state, live, may_lead)
        };
        if leader == before.leader && isr == before.isr && elr == before.elr {
            return None;
        }
        let new_leader = i32::from(leader != before.leader);
        Some(PartitionState {
            isr,
            elr,
            leader,
            leader_epoch: LeaderEpoch(before.leader_epoch.0 + new_leader),
            partition_epoch: before.partition_epoch + 1,
        })
    }

    /// How many in-sync replicas an acknowledgement takes.
    pub(super) fn min_insync_replicas(self, topic: &TopicImage) -> usize {
        topic.min_insync_replicas(self.min_insync_replicas).max(1) as usize
    }

    /// The partition held by these replicas alone. It is led by whom it was led by, or else by the first in-sync one that may. Whoever
    /// has led it or followed it and does so no more is told by a new leader epoch.
    pub(super) fn hold_by(
        self,
        topic: &TopicImage,
        partition: &PartitionImage,
        replicas: Vec<NodeId>,
        may_lead: impl Fn(NodeId) -> bool,
    ) -> Result<PartitionImage, Refusal> {
        let before = &partition.state;
        let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| before.isr.contains(node)).collect();
        if isr.is_empty() {
            let message = format!("none of {replicas:?} is in sync");
            return Err((ResponseError::InvalidReplicaAssignment, message));
        }
        let able = isr.iter().copied().find(|node| may_lead(*node));
        let leader = if isr.contains(&before.leader) { before.leader } else { able.unwrap_or(NodeId::NONE) };
        let left = partition.replicas.iter().any(|node| !replicas.contains(node));
        let new_epoch = i32::from(left || leader != before.leader);
        let min = self.min_insync_replicas(topic);
        let state = PartitionState {
            elr: eligible(before, &isr, &replicas, min),
            isr,
            leader,
            leader_epoch: LeaderEpoch(before.leader_epoch.0 + new_epoch),
            partition_epoch: before.partition_epoch + 1,
        };
        Ok(PartitionImage { replicas, adding: Vec::new(), removing: Vec::new(), state })
    }

    /// The partition led by its preferred replica, if that may lead and does not yet.
    pub(super) fn prefer(
        partition: &PartitionImage,
        may_lead: impl Fn(NodeId) -> bool,
    ) -> Option<PartitionState> {
        let (before, preferred) = (&partition.state, *partition.replicas.first()?);
        let able = before.leader != preferred && before.isr.contains(&preferred) && may_lead(preferred);
        able.then(|| PartitionState {
            leader: preferred,
            leader_epoch: LeaderEpoch(before.leader_epoch.0 + 1),
            partition_epoch: before.partition_epoch + 1,
            ..before.clone()
        })
    }

    /// The partition that nobody leads, led by any replica that may, whatever that one lacks.
    pub(super) fn force(
        partition: &PartitionImage,
        may_lead: impl Fn(NodeId) -> bool,
    ) -> Option<PartitionState> {
        let before = &partition.state;
        let leader = partition.replicas.iter().copied().find(|node| may_lead(*node))?;
        Some(PartitionState {
            isr: vec![leader],
            elr: Vec::new(),
            leader,
            leader_epoch: LeaderEpoch(before.leader_epoch.0 + 1),
            partition_epoch: before.partition_epoch + 1,
        })
    }

    fn elect(
        self,
        topic: &TopicImage,
        partition: &PartitionImage,
        state: &PartitionState,
        live: Vec<NodeId>,
        may_lead: impl Fn(NodeId) -> bool,
    ) -> Elected {
        let replicas = || partition.replicas.iter().copied();
        let outsider = || replicas().find(|node| may_lead(*node) && !live.contains(node));
        if self.defects.has(Defect::ElectOutsideIsr)
            && let Some(leader) = outsider()
        {
            return (leader, vec![leader], Vec::new());
        }
        if let Some(leader) = replicas().find(|node| live.contains(node)) {
            let elr = self.eligible(topic, partition, state, &live);
            return (leader, live, elr);
        }
        if let Some(leader) = replicas().find(|node| state.elr.contains(node) && may_lead(*node)) {
            let elr = self.eligible(topic, partition, state, &[leader]);
            return (leader, vec![leader], elr);
        }
        if topic.unclean_leader_election(self.unclean)
            && let Some(leader) = outsider()
        {
            return (leader, vec![leader], Vec::new());
        }
        (NodeId::NONE, state.isr.clone(), state.elr.clone())
    }

    fn eligible(
        self,
        topic: &TopicImage,
        partition: &PartitionImage,
        state: &PartitionState,
        isr: &[NodeId],
    ) -> Vec<NodeId> {
        eligible(state, isr, &partition.replicas, self.min_insync_replicas(topic))
    }
}
