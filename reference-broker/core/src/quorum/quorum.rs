//! One voter: its log, and its part in the election.

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::effect::QuorumEffect;
use super::links::Links;
use super::receiver::Receiver;
use super::role::Role;
use super::snapshot::SnapshotError;
use super::snapshots::Snapshots;
use super::vote::Vote;
use crate::controller::ReplayError;
use crate::defects::Defects;
use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::log::{AppendError, LogError, PartitionLog};
use crate::node::{NodeConfig, Now};
use crate::record::BatchBuilder;

/// Why the metadata log cannot be trusted any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// An append failed.
    #[error("cannot append to the metadata log: {0}")]
    Append(#[from] AppendError),
    /// What is committed makes no sense.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A read or a cut failed.
    #[error("cannot use the metadata log: {0}")]
    Log(#[from] LogError),
    /// A snapshot that was found whole is so no more.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A flush failed, or the vote or a snapshot could not be stored.
    #[error("cannot flush the metadata log, the vote or a snapshot: {0}")]
    Flush(#[from] DiskError),
    /// The leader's log lacks what was committed: some voter has lost its disk, or there is a bug (KAFKA-12460).
    #[error(
        "the leader's metadata log parts from this one at {cut}, below the high watermark {high_watermark}"
    )]
    CommittedDiverges {
        /// Where they part.
        cut: Offset,
        /// What is committed here.
        high_watermark: Offset,
    },
}

/// How long a voter waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) election_ns: u64,
    pub(super) fetch_ns: u64,
}

impl Timeouts {
    pub(super) fn of(config: &NodeConfig) -> Self {
        Self {
            election_ns: config.quorum_election_timeout_ms * 1_000_000,
            fetch_ns: config.quorum_fetch_timeout_ms * 1_000_000,
        }
    }
}

/// The voters of the metadata log, seen from one of them.
pub struct Quorum {
    pub(super) me: NodeId,
    pub(super) cluster_id: String,
    pub(super) timeouts: Timeouts,
    pub(super) defects: Defects,
    pub(super) random: ChaCha8Rng,
    /// As stored.
    pub(super) vote: Vote,
    pub(super) role: Role,
    /// Counts the polls.
    pub(super) rounds: u64,
    pub(super) high_watermark: Offset,
    pub(super) log: PartitionLog,
    pub(super) snapshots: Snapshots,
    /// When what the snapshots stand for is deleted; `u64::MAX` if there is nothing to delete.
    pub(super) prune_ns: u64,
    /// The snapshot that is being fetched.
    pub(super) receiver: Option<Receiver>,
    /// How much of a snapshot is asked for at a time.
    pub(super) chunk_bytes: i32,
    pub(super) links: Links,
}

impl Quorum {
    /// The active controller, as far as this voter knows.
    pub fn leader(&self) -> Option<NodeId> {
        match self.role {
            Role::Leader(_) => Some(self.me),
            Role::Follower { leader, .. } => Some(leader),
            Role::Unattached { .. }
            | Role::Prospective { .. }
            | Role::Candidate(_)
            | Role::Resigned { .. } => None,
        }
    }

    /// Whether this voter is the active controller.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Counts the leaders of the metadata log.
    pub fn epoch(&self) -> LeaderEpoch {
        self.vote.epoch
    }

    /// All below is on the disks of a majority, and is never lost again. A voter that has just started knows of nothing
    /// committed until a leader tells it.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The offset that the next record gets.
    pub fn end_offset(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// Whether this is another voter.
    pub fn is_peer(&self, node: NodeId) -> bool {
        self.links.peers().any(|peer| peer == node)
    }

    /// Appends the values as one batch; only the leader may. They count once [`high_watermark`](Self::high_watermark)
    /// has passed them. Returns the offset of the first.
    pub fn append(&mut self, now: Now, values: &[Bytes], disk: &mut dyn Disk) -> Result<Offset, QuorumError> {
        assert!(self.is_leader(), "node {} appends to the metadata log led by {:?}", self.me, self.leader());
        let mut batch = BatchBuilder::new(now.wall_ms);
        for value in values {
            batch.push(now.wall_ms, None, Some(value), &[]);
        }
        let appended = self.log.append_as_leader(batch.build(), self.epoch(), now.wall_ms, disk)?;
        self.flush(disk)?;
        self.commit();
        Ok(appended.first_offset)
    }

    /// Whole committed batches from the one that holds `from`, which is not before [`log_start`](Self::log_start), at most `max_bytes` but at least one if there is any.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, QuorumError> {
        self.read_below(self.high_watermark, from, max_bytes, disk)
    }

    /// As [`read`](Self::read), and what is not committed yet: for other voters.
    pub fn read_all(
        &self,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, QuorumError> {
        self.read_below(self.end_offset(), from, max_bytes, disk)
    }

    fn read_below(
        &self,
        end: Offset,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, QuorumError> {
        if from >= end {
            return Ok(Vec::new());
        }
        Ok(self.log.read(from, end, max_bytes, true, disk)?)
    }

    /// Where a reader's log parts from this one, if it does: a reader that has read up to `from` (exclusive), the last
    /// record of `last_epoch`, must forget all from the returned offset on (KIP-595).
    pub fn diverging(&self, from: Offset, last_epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let end = self.end_offset();
        if from > end {
            return Some((self.epoch(), end));
        }
        if last_epoch == LeaderEpoch::NONE {
            return None;
        }
        match self.log.end_offset_for_epoch(last_epoch) {
            (epoch, end) if epoch == last_epoch && from <= end => None,
            (LeaderEpoch::NONE, _) => Some((self.epoch(), end)),
            diverging => Some(diverging),
        }
    }

    /// Campaigns, steps down, dials and sends as far as that is due.
    pub fn tick(
        &mut self,
        now: Now,
        disk: &mut dyn Disk,
        out: &mut Vec<QuorumEffect>,
    ) -> Result<(), QuorumError> {
        if now.mono_ns >= self.role_due_ns() {
            if self.is_leader() {
                tracing::warn!(epoch = %self.epoch(), "resigns: no majority of the voters fetches any more");
                self.resign(now);
            } else {
                self.campaign(now, disk)?;
            }
        }
        self.prune_when_due(now, disk)?;
        self.drive(now, out);
        Ok(())
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock.
    pub fn next_tick_ns(&self) -> u64 {
        self.role_due_ns().min(self.links_due_ns()).min(self.prune_ns)
    }

    fn role_due_ns(&self) -> u64 {
        match &self.role {
            Role::Unattached { campaign_ns }
            | Role::Follower { campaign_ns, .. }
            | Role::Resigned { campaign_ns, .. } => *campaign_ns,
            Role::Prospective { poll, .. } | Role::Candidate(poll) => poll.until_ns,
            Role::Leader(_) => self.quorum_lost_ns(),
        }
    }

    /// The epoch of the last record, and where the log ends: what makes one log newer than another.
    pub(super) fn log_position(&self) -> (LeaderEpoch, Offset) {
        let end = self.end_offset();
        let epoch = if end > Offset(0) { self.log.epoch_at(Offset(end.0 - 1)) } else { LeaderEpoch::NONE };
        (epoch, end)
    }

    /// A moment between one and two election time-outs from now, so that voters do not campaign all at once.
    pub(super) fn election_timeout_ns(&mut self, now: Now) -> u64 {
        let election_ns = self.timeouts.election_ns;
        now.mono_ns + election_ns + self.random.next_u64() % election_ns.max(1)
    }

    /// Makes the log durable.
    pub(super) fn flush(&mut self, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        let (files, ticket) = self.log.begin_flush();
        for file in files {
            if let Err(error) = disk.sync(file) {
                self.log.fence();
                return Err(error.into());
            }
        }
        Ok(self.log.complete_flush(ticket, disk)?)
    }
}

#[cfg(test)]
impl Quorum {
    /// As a voter sees it that lost an election.
    pub(crate) fn depose(&mut self, leader: NodeId) {
        self.role = Role::Follower { leader, campaign_ns: u64::MAX };
    }
}
