//! The active controller.
//!
//! A request is decided on the image at once; the records of the decision are appended to the metadata log and
//! applied to the image; the answer goes out when the log's high watermark has passed them.

use std::collections::VecDeque;

use bytes::Bytes;

use super::alter_partition::alter_partition;
use super::api::{ControllerRequest, ControllerResponse};
use super::audit::{MetadataAudit, MetadataViolation};
use super::effect::{ControllerEffect, ReplyId};
use super::election::Election;
use super::image::{ImageDelta, MetadataImage};
use super::metadata_fetch::{self, ParkedFetch};
use super::producer_ids::allocate_producer_ids;
use super::record::MetadataRecord;
use super::refusal;
use super::session::Sessions;
use super::{replay, topics};
use crate::disk::Disk;
use crate::ids::{NodeId, Offset};
use crate::node::{BootError, NodeConfig, Now};
use crate::quorum::{Quorum, QuorumError};

/// What a request leads to: records to append in one batch, and the answer once they are committed.
pub(super) type Decision = (Vec<MetadataRecord>, ControllerResponse);

/// The state machine of a [`Role::Controller`](crate::Role::Controller) node.
pub struct Controller {
    pub(super) config: NodeConfig,
    pub(super) quorum: Quorum,
    pub(super) image: MetadataImage,
    pub(super) sessions: Sessions,
    /// Answers that wait for the high watermark to reach an offset (exclusive), in the order of the offsets.
    uncommitted: VecDeque<(Offset, ReplyId, ControllerResponse)>,
    parked: Vec<ParkedFetch>,
    failed: bool,
}

impl Controller {
    /// Recovers the metadata log. All brokers get one session time-out to be heard again.
    pub fn boot(config: &NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let quorum = Quorum::boot(config, disk)?;
        let image = replay::replay(&quorum, disk)?;
        let mut controller = Self {
            config: config.clone(),
            sessions: Sessions::new(config.broker_session_timeout_ms, now, &image),
            quorum,
            image,
            uncommitted: VecDeque::new(),
            parked: Vec::new(),
            failed: false,
        };
        if controller.quorum.is_leader() {
            let epoch = controller.quorum.epoch();
            let record = MetadataRecord::LeaderChange { leader: config.node_id, epoch };
            controller.append(now, &[record], disk).map_err(|error| BootError::BadData(error.to_string()))?;
        }
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
        if !self.quorum.is_leader() {
            let refusal = refusal::not_controller(&request, self.quorum.leader(), self.quorum.epoch());
            return out.push(ControllerEffect::reply(reply, refusal));
        }
        let decision = match request {
            ControllerRequest::BrokerRegistration(request) => self.register(now, &request),
            ControllerRequest::BrokerHeartbeat(request) => self.heartbeat(now, &request),
            ControllerRequest::AlterPartition(request) => alter_partition(&self.image, &request),
            ControllerRequest::CreateTopics(request) => topics::create(&self.config, &self.image, &request),
            ControllerRequest::DeleteTopics(request) => topics::delete(&self.image, &request),
            ControllerRequest::CreatePartitions(request) => topics::grow(&self.image, &request),
            ControllerRequest::AllocateProducerIds(request) => allocate_producer_ids(&self.image, &request),
            ControllerRequest::Fetch(request) => {
                self.parked.push(ParkedFetch::new(now, reply, &request));
                return self.advance(now, disk, out);
            }
        };
        self.carry_out(now, decision, reply, disk, out);
    }

    /// Fences brokers whose session has ended, and answers Fetches that have waited long enough.
    pub fn tick(&mut self, now: Now, disk: &mut dyn Disk, out: &mut Vec<ControllerEffect>) {
        if self.failed {
            return;
        }
        let expired = self.sessions.expire(now);
        if self.quorum.is_leader() && !expired.is_empty() {
            let records = self.fence(&expired);
            if let Err(error) = self.append(now, &records, disk) {
                return self.fail(&error, out);
            }
        }
        self.advance(now, disk, out);
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock.
    pub fn next_tick_ns(&self) -> u64 {
        if self.failed {
            return u64::MAX;
        }
        let fetches = self.parked.iter().map(|fetch| fetch.deadline_ns);
        fetches.chain(self.sessions.next_expiry_ns()).min().unwrap_or(u64::MAX)
    }

    /// The state of the cluster, with all that was decided so far.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The active controller, as far as this voter knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.quorum.leader()
    }

    /// The voters' view of the metadata log.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
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
        Election { unclean: self.config.unclean_leader_election, defects: self.config.defects }
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
        let mut offset = self.quorum.append(now, &values, disk)?;
        let mut delta = ImageDelta::default();
        for record in records {
            tracing::debug!(%offset, ?record, "metadata");
            self.image.apply(offset, record, &mut delta).expect("the controller decides on its own image");
            offset = offset.next();
        }
        Ok(())
    }

    /// Answers what the high watermark, the end of the log or the time allows.
    fn advance(&mut self, now: Now, disk: &mut dyn Disk, out: &mut Vec<ControllerEffect>) {
        let committed = self.quorum.high_watermark();
        while let Some((_, reply, response)) = self.uncommitted.pop_front_if(|(end, ..)| *end <= committed) {
            out.push(ControllerEffect::reply(reply, response));
        }
        for fetch in std::mem::take(&mut self.parked) {
            match metadata_fetch::answer(&self.quorum, &self.config.cluster_id, &fetch, now, disk) {
                Ok(Some(response)) => out.push(ControllerEffect::reply(fetch.reply, response)),
                Ok(None) => self.parked.push(fetch),
                Err(error) => return self.fail(&error, out),
            }
        }
    }

    fn fail(&mut self, error: &QuorumError, out: &mut Vec<ControllerEffect>) {
        self.failed = true;
        out.push(ControllerEffect::Failed { reason: error.to_string() });
    }
}
