//! Who leads a partition, given who is alive.
//!
//! In:  a partition as it is, and who may lead. Out: the state it should have, if that is another one.
//! Rules: the first in-sync replica, in the order of the replicas, that may lead; if there is none and unclean election is
//!        on, the first replica that may; else nobody. A replica that may not lead leaves the in-sync set (KIP-841),
//!        unless nobody would be left: the last in-sync set is the memory of who has all that was acknowledged.

use super::image::{PartitionImage, TopicImage};
use super::record::PartitionState;
use crate::defects::{Defect, Defects};
use crate::ids::{LeaderEpoch, NodeId};

/// The rules of a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Election {
    /// `unclean.leader.election.enable`, for topics that say nothing.
    pub(super) unclean: bool,
    /// Planted bugs.
    pub(super) defects: Defects,
}

impl Election {
    /// The state that the partition should have, or `None` if it is as it should be.
    pub(super) fn settle(
        self,
        topic: &TopicImage,
        partition: &PartitionImage,
        may_lead: impl Fn(NodeId) -> bool,
    ) -> Option<PartitionState> {
        let state = &partition.state;
        let live: Vec<NodeId> = state.isr.iter().copied().filter(|node| may_lead(*node)).collect();
        let (leader, isr) = if live.contains(&state.leader) {
            (state.leader, live)
        } else {
            self.elect(topic, partition, live, may_lead)
        };
        if leader == state.leader && isr == state.isr {
            return None;
        }
        let new_leader = i32::from(leader != state.leader);
        Some(PartitionState {
            isr,
            leader,
            leader_epoch: LeaderEpoch(state.leader_epoch.0 + new_leader),
            partition_epoch: state.partition_epoch + 1,
        })
    }

    fn elect(
        self,
        topic: &TopicImage,
        partition: &PartitionImage,
        live: Vec<NodeId>,
        may_lead: impl Fn(NodeId) -> bool,
    ) -> (NodeId, Vec<NodeId>) {
        let outsider =
            || partition.replicas.iter().copied().find(|node| may_lead(*node) && !live.contains(node));
        if self.defects.has(Defect::ElectOutsideIsr)
            && let Some(leader) = outsider()
        {
            return (leader, vec![leader]);
        }
        if let Some(leader) = partition.replicas.iter().copied().find(|node| live.contains(node)) {
            return (leader, live);
        }
        if topic.unclean_leader_election(self.unclean)
            && let Some(leader) = outsider()
        {
            return (leader, vec![leader]);
        }
        (NodeId::NONE, partition.state.isr.clone())
    }
}
