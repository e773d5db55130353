//! The active controller.
//!
//! A request is decided on the image at once; the records of the decision are appended to the metadata log and
//! applied to the image; the answer goes out when the log's high watermark has passed them. A voter that does not lead,
//! or has just been elected, follows the high watermark with its image; it decides once it knows that all that was
//! decided before it is committed.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_protocol::messages::FetchRequest;

use super::alter_partition::alter_partition;
use super::api::{ControllerRequest, ControllerResponse};
use super::audit::{MetadataAudit, MetadataViolation};
use super::describe_quorum::describe_quorum;
use super::effect::{ControllerEffect, ReplyId};
use super::elect_leaders::{elect_leaders, rebalance};
use super::election::Election;
use super::image::{ImageDelta, MetadataImage};
use super::metadata_fetch::{self, ParkedFetch};
use super::producer_ids::allocate_producer_ids;
use super::record::MetadataRecord;
use super::refusal;
use super::session::Sessions;
use super::{configs, reassignment, replay, snapshot, topics};
use crate::defects::Defect;
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::{BootError, NodeConfig, Now};
use crate::quorum::{Quorum, QuorumError, QuorumView};

/// What a request leads to: records to append in one batch, and the answer once they are committed.
pub(super) type Decision = (Vec<MetadataRecord>, ControllerResponse);

/// The time for which this voter leads the metadata log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Term {
    epoch: LeaderEpoch,
    /// Whether all that earlier leaders decided is committed and known, so that this one may decide.
    active: bool,
}

/// The state machine of a [`Role::Controller`](crate::Role::Controller) node.
pub struct Controller {
    pub(super) config: NodeConfig,
    pub(super) quorum: Quorum,
    pub(super) image: MetadataImage,
    /// Bytes of the log in the image that no snapshot stands for.
    unsnapshotted: u64,
    /// When leaderships are next given back to preferred replicas.
    next_rebalance_ns: u64,
    pub(super) sessions: Sessions,
    /// Answers that wait for the high watermark to reach an offset (exclusive), in the order of the offsets.
    uncommitted: VecDeque<(Offset, ReplyId, ControllerResponse)>,
    parked: Vec<ParkedFetch>,
    term: Option<Term>,
    pub(super) failed: bool,
}

impl Controller {
    /// Recovers the metadata log. A lone voter leads at once; other voters are to be dialled at the first
    /// [`tick`](Self::tick).
    pub fn boot(config: &NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let quorum = Quorum::boot(config, now, disk)?;
        let image =
            replay::newest_snapshot(&quorum, disk).map_err(|error| BootError::BadData(error.to_string()))?;
        let mut controller = Self {
            config: config.clone(),
            sessions: Sessions::new(config.broker_session_timeout_ms, now, &image),
            quorum,
            image,
            unsnapshotted: 0,
            next_rebalance_ns: u64::MAX,
            uncommitted: VecDeque::new(),
            parked: Vec::new(),
            term: None,
            failed: false,
        };
        let settled = controller.follow_quorum(now, disk, &mut Vec::new());
        settled.map_err(|error| BootError::BadData(error.to_string()))?;
        Ok(controller)
    }

    /// Takes one request; its answer comes as an effect, at once or later.
    pub fn handle(
        &mut self,
        now: Now,
        request: ControllerRequest,
        reply: ReplyId,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        if self.failed {
            return;
        }
        let of_the_log = matches!(request, ControllerRequest::Fetch(_) | ControllerRequest::FetchSnapshot(_));
        if !self.is_active() && !of_the_log {
            let refusal = refusal::not_controller(&request, self.quorum.leader(), self.quorum.epoch());
            return out.push(ControllerEffect::reply(reply, refusal));
        }
        let decision = match request {
            ControllerRequest::BrokerRegistration(request) => self.register(now, &request),
            ControllerRequest::BrokerHeartbeat(request) => self.heartbeat(now, &request),
            ControllerRequest::AlterPartition(request) => {
                alter_partition(self.election(), &self.image, &request)
            }
            ControllerRequest::CreateTopics(request) => topics::create(&self.config, &self.image, &request),
            ControllerRequest::DeleteTopics(request) => topics::delete(&self.image, &request),
            ControllerRequest::CreatePartitions(request) => topics::grow(&self.image, &request),
            ControllerRequest::AlterConfigs(request) => configs::alter(&self.image, &request),
            ControllerRequest::IncrementalAlterConfigs(request) => {
                configs::alter_incrementally(&self.image, &request)
            }
            ControllerRequest::AllocateProducerIds(request) => allocate_producer_ids(&self.image, &request),
            ControllerRequest::DescribeQuorum(request) => {
                (Vec::new(), describe_quorum(&self.quorum, &self.config, now, &request).into())
            }
            ControllerRequest::UnregisterBroker(request) => self.unregister(&request),
            ControllerRequest::AlterPartitionReassignments(request) => {
                reassignment::alter(self.election(), &self.image, &request)
            }
            ControllerRequest::ListPartitionReassignments(request) => {
                (Vec::new(), reassignment::list(&self.image, &request).into())
            }
            ControllerRequest::ElectLeaders(request) => elect_leaders(self.election(), &self.image, &request),
            ControllerRequest::Fetch(request) => return self.fetch(now, &request, reply, disk, out),
            ControllerRequest::FetchSnapshot(request) => {
                return match self.quorum.fetch_snapshot(now, &request, disk) {
                    Ok(response) => out.push(ControllerEffect::reply(reply, response)),
                    Err(error) => self.fail(&error, out),
                };
            }
        };
        self.carry_out(now, decision, reply, disk, out);
    }

    /// Fences brokers whose session has ended, and answers Fetches that have waited long enough.
    pub fn tick(&mut self, now: Now, disk: &mut dyn Disk, out: &mut Vec<ControllerEffect>) {
        if self.failed {
            return;
        }
        let mut asked = Vec::new();
        if let Err(error) = self.quorum.tick(now, disk, &mut asked) {
            return self.fail(&error, out);
        }
        out.extend(asked.into_iter().map(ControllerEffect::Voter));
        if self.is_active() {
            let expired = self.sessions.expire(now);
            let records = if expired.is_empty() { Vec::new() } else { self.fence(&expired) };
            if let Err(error) = self.append(now, &records, disk) {
                return self.fail(&error, out);
            }
            let records = self.rebalance_when_due(now);
            if let Err(error) = self.append(now, &records, disk) {
                return self.fail(&error, out);
            }
        }
        self.advance(now, disk, out);
    }

    /// Gives leadership back to preferred replicas from time to time.
    fn rebalance_when_due(&mut self, now: Now) -> Vec<MetadataRecord> {
        if now.mono_ns < self.next_rebalance_ns {
            return Vec::new();
        }
        self.put_off_rebalance(now);
        rebalance(&self.image)
    }

    fn put_off_rebalance(&mut self, now: Now) {
        let every_ms = self.config.leader_imbalance_check_interval_ms;
        self.next_rebalance_ns =
            if self.config.auto_leader_rebalance { now.mono_ns + every_ms * 1_000_000 } else { u64::MAX };
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock.
    pub fn next_tick_ns(&self) -> u64 {
        if self.failed {
            return u64::MAX;
        }
        let fetches = self.parked.iter().map(|fetch| fetch.deadline_ns).min().unwrap_or(u64::MAX);
        let sessions = self.sessions.next_expiry_ns().filter(|_| self.is_active()).unwrap_or(u64::MAX);
        let rebalance = if self.is_active() { self.next_rebalance_ns } else { u64::MAX };
        fetches.min(sessions).min(rebalance).min(self.quorum.next_tick_ns())
    }

    /// The state of the cluster: all that was decided so far if this voter decides, else all that it knows to be committed.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The active controller, as far as this voter knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.quorum.leader()
    }

    /// The metadata log as this voter sees it.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// What the simulator may see of the election.
    pub fn quorum_view(&self) -> QuorumView {
        self.quorum.view()
    }

    /// Shows the audit what was committed since it last looked. An error means that it cannot be read.
    pub fn audit(
        &self,
        audit: &mut MetadataAudit,
        disk: &mut dyn Disk,
    ) -> Result<Vec<MetadataViolation>, QuorumError> {
        let mut found = Vec::new();
        while audit.next_offset() < self.quorum.high_watermark() {
            let before = audit.next_offset();
            for bytes in self.quorum.read(before, replay::CHUNK_BYTES, disk)? {
                found.extend(audit.observe_batches(bytes));
            }
            if audit.next_offset() == before {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn election(&self) -> Election {
        Election {
            unclean: self.config.unclean_leader_election,
            min_insync_replicas: self.config.min_insync_replicas,
            flush: self.config.flush,
            defects: self.config.defects,
        }
    }

    fn carry_out(
        &mut self,
        now: Now,
        (records, response): Decision,
        reply: ReplyId,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        if let Err(error) = self.append(now, &records, disk) {
            return self.fail(&error, out);
        }
        // An answer without records of its own still rests on what was decided before it.
        self.uncommitted.push_back((self.quorum.end_offset(), reply, response));
        self.advance(now, disk, out);
    }

    fn append(
        &mut self,
        now: Now,
        records: &[MetadataRecord],
        disk: &mut dyn Disk,
    ) -> Result<(), QuorumError> {
        if records.is_empty() {
            return Ok(());
        }
        let values: Vec<Bytes> = records.iter().map(MetadataRecord::encode).collect();
        self.unsnapshotted += values.iter().map(|value| value.len() as u64).sum::<u64>();
        let mut offset = self.quorum.append(now, &values, disk)?;
        let mut delta = ImageDelta::default();
        for record in records {
            tracing::debug!(%offset, ?record, "metadata");
            self.image.apply(offset, record, &mut delta).expect("the controller decides on its own image");
            offset = offset.next();
        }
        Ok(())
    }

    /// Whether it decides.
    pub(super) fn is_active(&self) -> bool {
        self.quorum.is_leader() && self.term == Some(Term { epoch: self.quorum.epoch(), active: true })
    }

    fn fetch(
        &mut self,
        now: Now,
        request: &FetchRequest,
        reply: ReplyId,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) {
        let fetch = ParkedFetch::new(now, reply, request, &self.quorum);
        if let Some((observer, from)) = fetch.observer.zip(fetch.from) {
            self.quorum.observer_fetched(now, observer, from.offset);
        }
        if let Some((voter, from)) = fetch.voter.zip(fetch.from) {
            self.quorum.follower_fetched(now, voter, from.leader_epoch, from.offset, from.last_epoch);
        }
        self.parked.push(fetch);
        self.advance(now, disk, out);
    }

    /// Makes of the quorum's news what follows: begins and ends terms, and takes over what was committed.
    fn follow_quorum(
        &mut self,
        now: Now,
        disk: &mut dyn Disk,
        out: &mut Vec<ControllerEffect>,
    ) -> Result<(), QuorumError> {
        let leads = self.quorum.is_leader().then(|| self.quorum.epoch());
        if self.term.is_some_and(|term| Some(term.epoch) != leads) {
            self.step_down(out);
        }
        if let (None, Some(epoch)) = (self.term, leads) {
            let record = MetadataRecord::LeaderChange { leader: self.config.node_id, epoch };
            self.quorum.append(now, &[record.encode()], disk)?;
            self.term = Some(Term { epoch, active: false });
        }
        if self.is_active() {
            return Ok(());
        }
        self.unsnapshotted += replay::catch_up(&mut self.image, &self.quorum, disk)?;
        if let Some(term) = &mut self.term
            && self.image.next_offset() == self.quorum.end_offset()
        {
            tracing::info!(epoch = %term.epoch, "decides as the active controller");
            term.active = true;
            // All brokers get one session time-out to be heard.
            self.sessions = Sessions::new(self.config.broker_session_timeout_ms, now, &self.image);
            self.put_off_rebalance(now);
        }
        Ok(())
    }

    /// Another voter decides from now on, perhaps with another end of the log. What was decided here and is not known to be
    /// committed may or may not be: those who asked must ask again.
    fn step_down(&mut self, out: &mut Vec<ControllerEffect>) {
        self.term = None;
        let unknown = self.uncommitted.drain(..).map(|(_, reply, _)| ControllerEffect::Abandon { reply });
        out.extend(unknown);
        if self.image.next_offset() > self.quorum.high_watermark() {
            self.image = MetadataImage::default();
        }
    }

    /// Writes a snapshot of what is committed when there is enough that the last one does not know.
    fn snapshot_when_due(&mut self, now: Now, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        let committed = self.quorum.high_watermark();
        if self.unsnapshotted < self.config.metadata_snapshot_bytes
            || self.quorum.newest_snapshot().is_some_and(|newest| newest.end >= committed)
        {
            return Ok(());
        }
        let hasty = self.config.defects.has(Defect::SnapshotUndecided);
        let values = if self.image.next_offset() == committed || hasty {
            snapshot::values(&self.image)
        } else {
            // What was decided and is not committed may still come to nothing.
            snapshot::values(&replay::committed(&self.quorum, disk)?)
        };
        self.quorum.write_snapshot(now, committed, &values, disk)?;
        self.unsnapshotted = 0;
        Ok(())
    }

    /// Answers what the high watermark, the end of the log or the time allows.
    pub(super) fn advance(&mut self, now: Now, disk: &mut dyn Disk, out: &mut Vec<ControllerEffect>) {
        if let Err(error) = self.follow_quorum(now, disk, out) {
            return self.fail(&error, out);
        }
        let committed = self.quorum.high_watermark();
        while let Some((_, reply, response)) = self.uncommitted.pop_front_if(|(end, ..)| *end <= committed) {
            out.push(ControllerEffect::reply(reply, response));
        }
        for fetch in std::mem::take(&mut self.parked) {
            match metadata_fetch::answer(&mut self.quorum, &self.config.cluster_id, &fetch, now, disk) {
                Ok(Some(response)) => out.push(ControllerEffect::reply(fetch.reply, response)),
                Ok(None) => self.parked.push(fetch),
                Err(error) => return self.fail(&error, out),
            }
        }
        if let Err(error) = self.snapshot_when_due(now, disk) {
            self.fail(&error, out);
        }
    }

    pub(super) fn fail(&mut self, error: &QuorumError, out: &mut Vec<ControllerEffect>) {
        self.failed = true;
        out.push(ControllerEffect::Failed { reason: error.to_string() });
    }
}
