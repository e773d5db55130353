//! Votes, given and asked for, and who leads after them.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse,
    VoteRequest, VoteResponse,
};

use super::leading::Leading;
use super::messages::{self, Answer};
use super::quorum::{Quorum, QuorumError};
use super::role::{Poll, Role};
use super::vote::Vote;
use crate::defects::Defect;
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId};
use crate::node::Now;

impl Quorum {
    /// Another voter asks for this one's vote, or whether it would get it.
    pub fn vote(
        &mut self,
        now: Now,
        request: &VoteRequest,
        disk: &mut dyn Disk,
    ) -> Result<VoteResponse, QuorumError> {
        let Some(asked) = messages::vote_asked(request) else {
            return Ok(messages::vote_refusal(ResponseError::InvalidRequest));
        };
        if !self.is_of_this_cluster(request.cluster_id.as_deref()) {
            return Ok(messages::vote_refusal(ResponseError::InconsistentClusterId));
        }
        if !self.is_peer(asked.candidate) {
            return Ok(messages::vote_refusal(ResponseError::InconsistentVoterSet));
        }
        if asked.epoch > self.epoch() {
            self.detach(asked.epoch, now, disk)?;
        }
        let granted = asked.epoch == self.epoch()
            && ((asked.last_epoch, asked.end) >= self.log_position()
                || self.defects.has(Defect::VoteForOlderLog))
            && if asked.pre_vote { self.would_vote() } else { self.may_vote_for(asked.candidate) };
        if granted && !asked.pre_vote {
            self.store(Vote { epoch: asked.epoch, voted: Some(asked.candidate) }, disk)?;
            self.role = Role::Unattached { campaign_ns: self.election_timeout_ns(now) };
        }
        tracing::debug!(candidate = %asked.candidate, epoch = %asked.epoch, pre = asked.pre_vote, granted, "vote");
        let error = if asked.epoch < self.epoch() { ResponseError::FencedLeaderEpoch.code() } else { 0 };
        Ok(messages::vote_response(self.answer(error), granted))
    }

    /// A follower that hears its leader sees no need for an election (KIP-996).
    fn would_vote(&self) -> bool {
        !matches!(self.role, Role::Leader(_) | Role::Follower { .. })
    }

    fn may_vote_for(&self, candidate: NodeId) -> bool {
        let free = matches!(self.role, Role::Unattached { .. } | Role::Prospective { .. });
        free && self.vote.voted.is_none_or(|voted| voted == candidate)
    }

    /// Another voter says that it leads.
    pub fn begin_epoch(
        &mut self,
        now: Now,
        request: &BeginQuorumEpochRequest,
        disk: &mut dyn Disk,
    ) -> Result<BeginQuorumEpochResponse, QuorumError> {
        let Some((leader, epoch)) = messages::begins(request) else {
            return Ok(messages::begin_refusal(ResponseError::InvalidRequest));
        };
        if !self.is_of_this_cluster(request.cluster_id.as_deref()) {
            return Ok(messages::begin_refusal(ResponseError::InconsistentClusterId));
        }
        if !self.is_peer(leader) {
            return Ok(messages::begin_refusal(ResponseError::InconsistentVoterSet));
        }
        self.learn(epoch, Some(leader), leader, now, disk)?;
        let error = if epoch < self.epoch() { ResponseError::FencedLeaderEpoch.code() } else { 0 };
        Ok(messages::begin_response(self.answer(error)))
    }

    /// The leader says that it leads no more. Who comes first among its successors campaigns at once.
    pub fn end_epoch(
        &mut self,
        now: Now,
        request: &EndQuorumEpochRequest,
        disk: &mut dyn Disk,
    ) -> Result<EndQuorumEpochResponse, QuorumError> {
        let Some((leader, epoch, successors)) = messages::ends(request) else {
            return Ok(messages::end_refusal(ResponseError::InvalidRequest));
        };
        if !self.is_of_this_cluster(request.cluster_id.as_deref()) {
            return Ok(messages::end_refusal(ResponseError::InconsistentClusterId));
        }
        if !self.is_peer(leader) {
            return Ok(messages::end_refusal(ResponseError::InconsistentVoterSet));
        }
        if epoch > self.epoch() {
            self.detach(epoch, now, disk)?;
        }
        let over = match self.role {
            Role::Follower { leader: known, .. } => known == leader,
            Role::Unattached { .. } => true,
            _ => false,
        };
        if over && epoch == self.epoch() {
            let place = successors.iter().position(|node| *node == self.me).unwrap_or(successors.len());
            let campaign_ns = now.mono_ns + self.timeouts.election_ns / 2 * place as u64;
            self.role = Role::Unattached { campaign_ns };
        }
        let error = if epoch < self.epoch() { ResponseError::FencedLeaderEpoch.code() } else { 0 };
        Ok(messages::end_response(self.answer(error)))
    }

    /// Asks whether it would be elected.
    pub(super) fn campaign(&mut self, now: Now, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        tracing::debug!(epoch = %self.epoch(), "would be elected?");
        let missed = match self.role {
            Role::Follower { leader, .. } => Some(leader),
            Role::Prospective { missed, .. } => missed,
            _ => None,
        };
        self.role = Role::Prospective { poll: self.poll(now), missed };
        self.count(now, disk)
    }

    fn poll(&mut self, now: Now) -> Poll {
        self.rounds += 1;
        Poll {
            round: self.rounds,
            granted: BTreeSet::from([self.me]),
            refused: BTreeSet::new(),
            until_ns: self.election_timeout_ns(now),
        }
    }

    /// Another voter has answered a poll.
    pub(super) fn polled(
        &mut self,
        now: Now,
        voter: NodeId,
        round: u64,
        granted: bool,
        disk: &mut dyn Disk,
    ) -> Result<(), QuorumError> {
        let (Role::Prospective { poll, .. } | Role::Candidate(poll)) = &mut self.role else { return Ok(()) };
        if poll.round == round {
            let side = if granted { &mut poll.granted } else { &mut poll.refused };
            side.insert(voter);
            self.count(now, disk)?;
        }
        Ok(())
    }

    fn count(&mut self, now: Now, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        let majority = |poll: &Poll| poll.granted.len() > self.links.len().div_ceil(2);
        match &self.role {
            Role::Prospective { poll, .. } if majority(poll) => {
                let epoch = LeaderEpoch(self.epoch().0 + 1);
                self.store(Vote { epoch, voted: Some(self.me) }, disk)?;
                self.role = Role::Candidate(self.poll(now));
                self.count(now, disk)
            }
            Role::Candidate(poll) if majority(poll) => {
                tracing::info!(epoch = %self.epoch(), "leads the metadata log");
                self.log.start_epoch(self.vote.epoch);
                self.role = Role::Leader(Leading::new(self.end_offset(), self.links.peers(), now));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A message of voter `by` names an epoch, and perhaps its leader.
    ///
    /// Whoever missed its leader does not go back to it on hearsay: two voters that have lost the same leader would tell
    /// each other of it for ever, each while the other campaigns. The leader itself is believed.
    pub(super) fn learn(
        &mut self,
        epoch: LeaderEpoch,
        leader: Option<NodeId>,
        by: NodeId,
        now: Now,
        disk: &mut dyn Disk,
    ) -> Result<(), QuorumError> {
        if epoch > self.epoch() {
            self.detach(epoch, now, disk)?;
        }
        let Some(leader) = leader.filter(|leader| epoch == self.epoch() && self.is_peer(*leader)) else {
            return Ok(());
        };
        let searching = match self.role {
            Role::Unattached { .. } | Role::Candidate(_) => true,
            Role::Prospective { missed, .. } => by == leader || missed != Some(leader),
            Role::Follower { .. } | Role::Leader(_) | Role::Resigned { .. } => false,
        };
        if searching {
            tracing::info!(%epoch, %leader, "follows in the metadata log");
            if let Some(receiver) = &mut self.receiver {
                receiver.wait();
            }
            self.role = Role::Follower { leader, campaign_ns: self.fetch_timeout_ns(now) };
        }
        Ok(())
    }

    /// A higher epoch was heard of: nothing of the old one counts any more.
    fn detach(&mut self, epoch: LeaderEpoch, now: Now, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        self.store(Vote { epoch, voted: None }, disk)?;
        self.role = Role::Unattached { campaign_ns: self.election_timeout_ns(now) };
        Ok(())
    }

    /// The leader gives up its office, so that others need not wait until they miss it.
    pub fn resign(&mut self, now: Now) {
        if self.is_leader() && !self.links.is_empty() {
            let campaign_ns = self.election_timeout_ns(now) + self.timeouts.fetch_ns;
            let Role::Leader(leading) = &self.role else { return };
            let successors = leading.by_progress();
            self.role = Role::Resigned { campaign_ns, successors, told: BTreeSet::new() };
        }
    }

    fn store(&mut self, vote: Vote, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        if vote != self.vote {
            let stored =
                if self.defects.has(Defect::ForgetVote) { Vote { voted: None, ..vote } } else { vote };
            stored.store(disk)?;
            self.vote = vote;
        }
        Ok(())
    }

    pub(super) fn is_of_this_cluster(&self, cluster_id: Option<&str>) -> bool {
        cluster_id.is_none_or(|id| id == self.cluster_id)
    }

    fn answer(&self, error: i16) -> Answer {
        Answer { error, leader: self.leader().unwrap_or(NodeId::NONE), epoch: self.epoch() }
    }
}
