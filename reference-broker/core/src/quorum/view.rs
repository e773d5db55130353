//! What the simulator may see of a voter.

use crate::ids::{LeaderEpoch, NodeId, Offset};

use super::Quorum;
use super::snapshot::SnapshotId;

/// A voter, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuorumView {
    /// The newest epoch that it has heard of.
    pub epoch: LeaderEpoch,
    /// Whom it has voted for in that epoch.
    pub voted: Option<NodeId>,
    /// The leader that it knows.
    pub leader: Option<NodeId>,
    /// Whether it leads itself.
    pub is_leader: bool,
    /// All below is committed, as far as it knows.
    pub high_watermark: Offset,
    /// Where its log begins: all before is in a snapshot only.
    pub log_start: Offset,
    /// Where its log ends.
    pub log_end: Offset,
    /// Its newest snapshot.
    pub snapshot: Option<SnapshotId>,
    /// Whether what that stands for is still to be deleted.
    pub prunes: bool,
    /// The snapshot that it is fetching.
    pub receives: Option<ReceiverView>,
}

/// A snapshot on its way to a voter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceiverView {
    /// Which one.
    pub id: SnapshotId,
    /// How many bytes have come.
    pub position: u64,
    /// How often it went on after its connection or its leader was lost.
    pub resumed: u32,
}

impl Quorum {
    /// What the simulator may see.
    pub fn view(&self) -> QuorumView {
        QuorumView {
            epoch: self.epoch(),
            voted: self.vote.voted,
            leader: self.leader(),
            is_leader: self.is_leader(),
            high_watermark: self.high_watermark(),
            log_start: self.log_start(),
            log_end: self.end_offset(),
            snapshot: self.newest_snapshot(),
            prunes: self.prune_ns != u64::MAX,
            receives: self.receiver.as_ref().map(|receiver| ReceiverView {
                id: receiver.id(),
                position: receiver.position(),
                resumed: receiver.resumed(),
            }),
        }
    }
}
