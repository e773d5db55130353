//! One replica of one partition: its role, its in-sync set, its high watermark.
//!
//! In:  the controller's word on leader and in-sync set, appends, the progress of followers and flushes.
//! Out: the high watermark, and the in-sync sets to ask the controller for.
//! Owns: the log. Never: sends anything, or waits.

use std::collections::BTreeSet;

use crate::controller::{PartitionImage, PartitionState, TopicPartitionId};
use crate::defects::{Defect, Defects};
use crate::disk::Disk;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};
use crate::log::{LogError, PartitionLog};
use crate::node::FlushPolicy;

use super::leading::{FollowerProgress, Leading};

/// The settings of a partition that follow from its topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionSettings {
    /// `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// When appends are flushed.
    pub flush: FlushPolicy,
    /// Planted bugs; none in the broker's own topics.
    pub defects: Defects,
}

/// What the controller's word has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transition {
    /// Nothing, or it was old news.
    None,
    /// The in-sync set only.
    InSyncSet,
    /// This replica leads, in a new epoch.
    Leader,
    /// Another replica leads, or none, in a new epoch.
    Follower,
}

/// One replica of one partition.
#[derive(Debug)]
pub struct Partition {
    id: TopicPartitionId,
    topic: String,
    me: NodeId,
    /// What is stored.
    pub log: PartitionLog,
    replicas: Vec<NodeId>,
    state: PartitionState,
    settings: PartitionSettings,
    high_watermark: Offset,
    /// A high watermark that was raised beyond what the in-sync set has, and how far that was.
    overtaken: Option<(Offset, Option<Offset>)>,
    leading: Option<Leading>,
}

impl Partition {
    /// A replica whose role is not known yet. `checkpoint` is the high watermark noted down last.
    pub fn new(
        id: TopicPartitionId,
        topic: String,
        me: NodeId,
        log: PartitionLog,
        settings: PartitionSettings,
        checkpoint: Offset,
    ) -> Self {
        let mut partition = Self {
            id,
            topic,
            me,
            log,
            replicas: Vec::new(),
            state: no_state(),
            settings,
            high_watermark: checkpoint,
            overtaken: None,
            leading: None,
        };
        // The checkpoint may be ahead of a log that lost what was not flushed.
        let (start, end) = (partition.log.log_start_offset(), partition.stored_end());
        partition.high_watermark = checkpoint.clamp(start, end.max(start));
        partition
    }

    /// Which one.
    pub fn id(&self) -> TopicPartitionId {
        self.id
    }

    /// The name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Leader, in-sync set and epochs, as the controller confirmed them last.
    pub fn state(&self) -> &PartitionState {
        &self.state
    }

    /// All brokers that hold it.
    pub fn replicas(&self) -> &[NodeId] {
        &self.replicas
    }

    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        self.leading.is_some()
    }

    /// All below is committed, as far as this replica knows.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The end of what a reader of committed records may see: no transaction below it is undecided.
    pub fn last_stable_offset(&self) -> Offset {
        if self.settings.defects.has(Defect::LsoIgnored) {
            return self.high_watermark;
        }
        self.log.last_stable_offset(self.high_watermark)
    }

    /// Where the log ended when this leader's epoch began.
    pub fn epoch_start(&self) -> Option<Offset> {
        self.leading.as_ref().map(|leading| leading.epoch_start)
    }

    /// The settings in force.
    pub fn settings(&self) -> PartitionSettings {
        self.settings
    }

    /// `min.insync.replicas`, as far as the partition has replicas at all.
    pub fn effective_min_isr(&self) -> usize {
        self.settings.min_insync_replicas.min(self.replicas.len())
    }

    /// Whether `acks=all` must be refused.
    pub fn is_under_min_isr(&self) -> bool {
        self.state.isr.len() < self.effective_min_isr()
    }

    /// The end of what this replica counts as stored: of what is durable, if nothing else counts.
    pub fn stored_end(&self) -> Offset {
        match self.settings.flush {
            FlushPolicy::BeforeAck => self.log.flushed_end_offset(),
            FlushPolicy::PageCache | FlushPolicy::IntervalMs(_) => self.log.log_end_offset(),
        }
    }

    /// Takes the controller's word. Older news than the last is ignored.
    pub fn apply(&mut self, image: &PartitionImage, now_ns: u64) -> Transition {
        let new = &image.state;
        let known = (self.state.leader_epoch, self.state.partition_epoch);
        if (new.leader_epoch, new.partition_epoch) <= known {
            return Transition::None;
        }
        let new_epoch = new.leader_epoch > self.state.leader_epoch;
        self.replicas.clone_from(&image.replicas);
        self.state = new.clone();
        if !new_epoch {
            if let Some(leading) = &mut self.leading {
                leading.proposal = None;
                leading.set_followers(self.replicas.iter().copied().filter(|node| *node != self.me), now_ns);
            }
            self.advance_high_watermark();
            return Transition::InSyncSet;
        }
        if new.leader == self.me {
            self.lead(now_ns);
            Transition::Leader
        } else {
            self.leading = None;
            Transition::Follower
        }
    }

    fn lead(&mut self, now_ns: u64) {
        let followers = self.replicas.iter().filter(|node| **node != self.me);
        let followers = followers
            .map(|node| (*node, FollowerProgress::unknown(self.state.isr.contains(node), now_ns)))
            .collect();
        let epoch_start = self.log.log_end_offset();
        self.log.start_epoch(self.state.leader_epoch);
        self.leading = Some(Leading { epoch_start, followers, proposal: None });
        self.advance_high_watermark();
    }

    /// What the controllers said so far is void: the replica has no role until they speak again.
    pub fn forget_role(&mut self) {
        self.leading = None;
        self.state = no_state();
    }

    /// Topic settings have changed, or were read for the first time.
    pub fn set_settings(&mut self, settings: PartitionSettings) {
        self.settings = settings;
    }

    /// A follower whose log begins at `start` has fetched from `offset`. False if this replica does not lead or it is no replica.
    pub fn follower_fetched(
        &mut self,
        node: NodeId,
        epoch: BrokerEpoch,
        (start, offset): (Offset, Offset),
        now_ns: u64,
    ) -> bool {
        let end = self.log.log_end_offset();
        let Some(leading) = &mut self.leading else { return false };
        let Some(follower) = leading.followers.get_mut(&node) else { return false };
        follower.fetched((start, offset), epoch, end, now_ns);
        true
    }

    /// A follower's process has restarted.
    pub fn follower_restarted(&mut self, node: NodeId, epoch: BrokerEpoch) {
        let follower = self.leading.as_mut().and_then(|leading| leading.followers.get_mut(&node));
        if let Some(follower) = follower
            && follower.broker_epoch < epoch
        {
            follower.forget();
        }
    }

    /// Raises the high watermark as far as the in-sync set allows; says whether it moved.
    ///
    /// The set is the maximal one, so that a member that the controller is about to confirm has every committed
    /// record (KIP-497); below `min.insync.replicas` nothing is committed (KIP-966).
    pub fn advance_high_watermark(&mut self) -> bool {
        if self.leading.is_none() {
            return false;
        }
        let new = if self.settings.defects.has(Defect::HwAheadOfIsr) {
            Some(self.log.log_end_offset())
        } else if self.is_under_min_isr() {
            None
        } else {
            self.in_sync_end()
        };
        match new {
            Some(new) if new > self.high_watermark => {
                self.high_watermark = new;
                self.log.decided_up_to(new);
                let in_sync_end = self.in_sync_end();
                if self.is_under_min_isr() || in_sync_end.is_none_or(|end| end < new) {
                    self.overtaken = Some((new, in_sync_end));
                }
                true
            }
            _ => false,
        }
    }

    /// A high watermark that was raised beyond what the in-sync set had, and how far that was; once. A member may fall back
    /// later without harm: when its process restarts and has lost what was not flushed.
    pub fn take_overtaken(&mut self) -> Option<(Offset, Option<Offset>)> {
        self.overtaken.take()
    }

    /// The lowest end in the maximal in-sync set; `None` while a member has not been heard.
    pub fn in_sync_end(&self) -> Option<Offset> {
        let leading = self.leading.as_ref()?;
        self.maximal_isr().iter().try_fold(self.stored_end(), |lowest, node| {
            if *node == self.me {
                return Some(lowest);
            }
            leading.followers.get(node).and_then(|follower| follower.end).map(|end| lowest.min(end))
        })
    }

    /// The in-sync followers whose logs have `offset` or end there, and their ends; none if this replica does not lead.
    pub fn followers_with(&self, offset: Offset) -> impl Iterator<Item = (NodeId, Offset)> {
        let followers = self.leading.iter().flat_map(|leading| &leading.followers);
        let in_sync = followers.filter(|(node, _)| self.state.isr.contains(node));
        in_sync.filter_map(move |(node, follower)| {
            let (start, end) = (follower.start?, follower.end?);
            (start <= offset && offset <= end).then_some((*node, end))
        })
    }

    /// Whether this replica follows and is in sync, as far as it knows: only then does it answer consumers (KIP-392), since one
    /// that has fallen behind would keep them from what its leader has.
    pub fn follows_in_sync(&self) -> bool {
        self.leading.is_none() && self.state.isr.contains(&self.me)
    }

    /// The confirmed in-sync set and the proposed one together.
    pub fn maximal_isr(&self) -> BTreeSet<NodeId> {
        let proposed = self.leading.iter().filter_map(|leading| leading.proposal.as_ref()).flatten();
        self.state.isr.iter().copied().chain(proposed.map(|(node, _)| *node)).collect()
    }

    /// A follower takes over the leader's high watermark; it never falls but by truncation.
    pub fn follow_high_watermark(&mut self, leaders: Offset) {
        self.high_watermark = self.high_watermark.max(leaders.min(self.stored_end()));
        self.log.decided_up_to(self.high_watermark);
    }

    /// Below it no replica that lives has anything left; `None` if this replica does not lead or one of them was not heard.
    /// A deletion of records is complete when it has reached them (KIP-107).
    pub fn low_watermark(&self, lives: impl Fn(NodeId) -> bool) -> Option<Offset> {
        let leading = self.leading.as_ref()?;
        let followers = leading.followers.iter().filter(|(node, _)| lives(**node));
        followers
            .map(|(_, follower)| follower.start)
            .try_fold(self.log.log_start_offset(), |lowest, start| Some(lowest.min(start?)))
    }

    /// Deletes all below `offset`, as far as it is committed.
    pub fn raise_start(&mut self, offset: Offset, disk: &mut dyn Disk) -> Result<bool, LogError> {
        self.log.raise_start(offset.min(self.high_watermark), disk)
    }

    /// Forgets all records: the leader has deleted all that this follower has, and more.
    pub fn start_again_at(&mut self, start: Offset, disk: &mut dyn Disk) -> Result<(), LogError> {
        let done = self.log.start_again_at(start, LeaderEpoch::NONE, disk);
        // The log has forgotten them, even if its disk failed in the middle.
        self.high_watermark = start;
        done
    }

    /// To be called after the log was cut.
    pub fn truncated(&mut self) {
        self.high_watermark = self.high_watermark.min(self.log.log_end_offset());
    }

    /// Proposes the in-sync set without the followers that were not caught up for `lag_max_ns`, if there are such and
    /// no other proposal is on its way.
    pub fn propose_shrink(&mut self, now_ns: u64, lag_max_ns: u64, my_epoch: BrokerEpoch) {
        let end = self.log.log_end_offset();
        let Some(leading) = &mut self.leading else { return };
        if leading.proposal.is_some() {
            return;
        }
        let lags = |node: &NodeId| {
            leading.followers.get(node).is_some_and(|follower| {
                follower.end != Some(end) && now_ns.saturating_sub(follower.caught_up_ns) > lag_max_ns
            })
        };
        let kept: Vec<_> = self.state.isr.iter().copied().filter(|node| !lags(node)).collect();
        if kept.len() < self.state.isr.len() {
            leading.proposal = Some(with_epochs(&kept, leading, self.me, my_epoch));
        }
    }

    /// Proposes the in-sync set with a follower that has caught up: with the high watermark and with the start of this leader's
    /// epoch. The follower's registration is that of the fetch which showed it (KAFKA-15221).
    pub fn propose_expand(&mut self, node: NodeId, my_epoch: BrokerEpoch) -> bool {
        let high_watermark = self.high_watermark;
        let Some(leading) = &mut self.leading else { return false };
        let Some(end) = leading.followers.get(&node).and_then(|follower| follower.end) else { return false };
        let caught_up = end >= high_watermark && end >= leading.epoch_start;
        if leading.proposal.is_some() || self.state.isr.contains(&node) || !caught_up {
            return false;
        }
        let mut isr = self.state.isr.clone();
        isr.push(node);
        leading.proposal = Some(with_epochs(&isr, leading, self.me, my_epoch));
        true
    }

    /// The in-sync set that the controller is to be asked for.
    pub fn proposal(&self) -> Option<&[(NodeId, BrokerEpoch)]> {
        self.leading.as_ref()?.proposal.as_deref()
    }

    /// The controller has surely not carried the proposal out.
    pub fn withdraw_proposal(&mut self) {
        if let Some(leading) = &mut self.leading {
            leading.proposal = None;
        }
    }
}

/// Before the controller's first word.
fn no_state() -> PartitionState {
    PartitionState {
        isr: Vec::new(),
        elr: Vec::new(),
        leader: NodeId::NONE,
        leader_epoch: LeaderEpoch::NONE,
        partition_epoch: -1,
    }
}

/// −1 leaves the check of the registration to the controller: for members that were not heard in this epoch.
fn with_epochs(
    isr: &[NodeId],
    leading: &Leading,
    me: NodeId,
    my_epoch: BrokerEpoch,
) -> Vec<(NodeId, BrokerEpoch)> {
    isr.iter()
        .map(|node| {
            let epoch = leading.followers.get(node).map_or(BrokerEpoch(-1), |follower| follower.broker_epoch);
            (*node, if *node == me { my_epoch } else { epoch })
        })
        .collect()
}

#[cfg(test)]
mod tests;
