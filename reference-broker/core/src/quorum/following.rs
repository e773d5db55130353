//! A follower takes over the leader's log.

use kafka_protocol::messages::FetchResponse;

use super::messages;
use super::quorum::{Quorum, QuorumError};
use super::role::Role;
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::Now;
use rand_chacha::rand_core::Rng;

impl Quorum {
    /// The leader has answered a fetch that was sent in this epoch.
    pub(super) fn fetched(
        &mut self,
        now: Now,
        from: NodeId,
        response: &FetchResponse,
        disk: &mut dyn Disk,
    ) -> Result<(), QuorumError> {
        let Some(answer) = messages::fetched(response) else {
            tracing::warn!(error = response.error_code, leader = %from, "a fetch of the metadata log is refused");
            return Ok(());
        };
        let leader = (answer.leader != NodeId::NONE).then_some(answer.leader);
        self.learn(answer.epoch, leader, from, now, disk)?;
        let follows = matches!(self.role, Role::Follower { leader, .. } if leader == from);
        if !follows || answer.epoch != self.epoch() || answer.error != 0 {
            return Ok(());
        }
        self.snapshot_offered(answer.snapshot);
        if answer.snapshot.is_some() {
            // The log comes after it.
        } else if let Some((epoch, end)) = answer.diverging {
            // The high watermark in an answer that says "cut first" is not for the log as it is (KAFKA-14704).
            self.cut(epoch, end, disk)?;
        } else {
            if !answer.records.is_empty() {
                self.log.append_as_follower(answer.records, disk)?;
                // The next fetch says that all of this is on the disk.
                self.flush(disk)?;
            }
            self.high_watermark = self.high_watermark.max(answer.high_watermark.min(self.end_offset()));
        }
        let campaign_ns = self.fetch_timeout_ns(now);
        self.role = Role::Follower { leader: from, campaign_ns };
        Ok(())
    }

    /// The leader's log ends `epoch` at `end`: all that goes beyond, here, goes.
    fn cut(&mut self, epoch: LeaderEpoch, end: Offset, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        let cut = match self.log.end_offset_for_epoch(epoch) {
            (LeaderEpoch::NONE, _) => end,
            (_, own) => own.min(end),
        };
        if cut < self.high_watermark {
            return Err(QuorumError::CommittedDiverges { cut, high_watermark: self.high_watermark });
        }
        tracing::info!(%cut, end = %self.end_offset(), "the metadata log is cut: its leader has another one");
        Ok(self.log.truncate_to(cut, disk)?)
    }

    /// When a leader that cannot be fetched from any more counts as gone; not at the same moment for all who follow it.
    pub(super) fn fetch_timeout_ns(&mut self, now: Now) -> u64 {
        let fetch_ns = self.timeouts.fetch_ns;
        now.mono_ns + fetch_ns + self.random.next_u64() % (fetch_ns / 4).max(1)
    }
}
