//! What a voter is, in its epoch.

use std::collections::BTreeSet;

use super::leading::Leading;
use crate::ids::NodeId;

/// What a voter is, in its epoch.
#[derive(Debug)]
pub(super) enum Role {
    /// Knows of no leader.
    Unattached { campaign_ns: u64 },
    /// Fetches from the leader; campaigns if that fails for too long.
    Follower { leader: NodeId, campaign_ns: u64 },
    /// Asks whether it would be elected, before it disturbs anybody with a new epoch (KIP-996). It may know of a leader
    /// in this epoch whom it could not fetch from.
    Prospective { poll: Poll, missed: Option<NodeId> },
    /// Has voted for itself in a new epoch, and asks the others to.
    Candidate(Poll),
    /// Was elected.
    Leader(Leading),
    /// Was elected, and leads no more; those in `told` know. The first of the successors should be elected next.
    Resigned { campaign_ns: u64, successors: Vec<NodeId>, told: BTreeSet<NodeId> },
}

/// Who has answered so far.
#[derive(Debug)]
pub(super) struct Poll {
    /// Tells answers to this poll from those to an earlier one.
    pub(super) round: u64,
    pub(super) granted: BTreeSet<NodeId>,
    pub(super) refused: BTreeSet<NodeId>,
    pub(super) until_ns: u64,
}

impl Poll {
    pub(super) fn lacks(&self, voter: NodeId) -> bool {
        !self.granted.contains(&voter) && !self.refused.contains(&voter)
    }
}
