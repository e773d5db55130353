//! Snapshots of the log: written, handed out, taken over, and the log behind them deleted (KIP-630).
//!
//! The last two snapshots are kept, and the log from the older one on: a reader in the middle of a snapshot is not left without it
//! by the next one, and if the newest is damaged the other one and the log still tell everything.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FetchSnapshotRequest, FetchSnapshotResponse};

use super::quorum::{Quorum, QuorumError};
use super::receiver::{Received, Receiver};
use super::role::Role;
use super::snapshot::{self, SnapshotId};
use super::snapshot_messages::{chunk_asked, chunk_of, chunk_refusal, chunk_response, with_id};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::Now;
use crate::record::BatchHeader;

/// How long after a snapshot what it stands for is deleted.
const PRUNE_DELAY_NS: u64 = 50_000_000;

impl Quorum {
    /// The first offset that the log still has.
    pub fn log_start(&self) -> Offset {
        self.log.log_start_offset()
    }

    /// The newest snapshot.
    pub fn newest_snapshot(&self) -> Option<SnapshotId> {
        self.snapshots.newest()
    }

    /// The newest snapshot, as bytes.
    pub fn read_snapshot(&self, disk: &mut dyn Disk) -> Result<Option<(SnapshotId, Bytes)>, QuorumError> {
        let Some(id) = self.snapshots.newest() else { return Ok(None) };
        Ok(Some((id, self.snapshots.read(id, disk)?)))
    }

    /// Writes a snapshot: the records stand for all of the log below `end`, which is committed and the end of a batch. What it makes
    /// superfluous is deleted a little later.
    pub fn write_snapshot(
        &mut self,
        now: Now,
        end: Offset,
        values: &[Bytes],
        disk: &mut dyn Disk,
    ) -> Result<(), QuorumError> {
        assert!(end <= self.high_watermark, "a snapshot up to {end}, committed is {}", self.high_watermark);
        let last = Offset(end.0 - 1);
        let id = SnapshotId { end, epoch: self.log.epoch_at(last) };
        if self.snapshots.newest() >= Some(id) {
            return Ok(());
        }
        let batch = self.log.read(last, end, 1, true, disk)?;
        let header = batch.first().map(|batch| BatchHeader::parse(batch));
        let timestamp = header.and_then(Result::ok).map_or(0, |header| header.max_timestamp);
        self.snapshots.store(id, &snapshot::encode(id, timestamp, values), disk)?;
        tracing::info!(%id, "snapshot of the metadata");
        self.prune_ns = now.mono_ns + PRUNE_DELAY_NS;
        Ok(())
    }

    /// Deletes what the snapshots make superfluous, if that is due.
    pub(super) fn prune_when_due(&mut self, now: Now, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        if now.mono_ns < self.prune_ns {
            return Ok(());
        }
        self.prune_ns = u64::MAX;
        if let Some(oldest) = self.snapshots.last_but_one() {
            self.snapshots.remove_below(oldest, disk)?;
            self.log.delete_segments_below(oldest.end, disk)?;
        }
        Ok(())
    }

    /// Whether the log goes on from this snapshot, or has it in itself: the same offset and epoch stand for the same history.
    pub(super) fn holds(&self, id: SnapshotId) -> bool {
        let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
        // A log begins at a snapshot for no other reason than that it goes on from there.
        let begins_there = start == id.end;
        begins_there || start < id.end && id.end <= end && self.log.epoch_at(Offset(id.end.0 - 1)) == id.epoch
    }

    /// The snapshot that a reader must take first: where it stands, or where its log parts from this one, is in this log no more.
    /// `from` and `last_epoch` are as for [`diverging`](Self::diverging).
    pub fn snapshot_for(&self, from: Offset, last_epoch: LeaderEpoch) -> Option<SnapshotId> {
        let (newest, start) = (self.snapshots.newest()?, self.log_start());
        let agrees_to = self.diverging(from, last_epoch).map_or(from, |(_, end)| end.min(from));
        let before = Offset(start.0 - 1);
        let parts_before = from == start && start > Offset(0) && self.log.epoch_at(before) != last_epoch;
        (agrees_to < start || parts_before).then_some(newest)
    }

    /// Another voter, or a broker, asks for a part of a snapshot.
    pub fn fetch_snapshot(
        &mut self,
        now: Now,
        request: &FetchSnapshotRequest,
        disk: &mut dyn Disk,
    ) -> Result<FetchSnapshotResponse, QuorumError> {
        if !self.is_of_this_cluster(request.cluster_id.as_deref()) {
            return Ok(chunk_refusal(ResponseError::InconsistentClusterId));
        }
        let Some(asked) = chunk_asked(request) else {
            return Ok(chunk_refusal(ResponseError::UnknownTopicOrPartition));
        };
        let answer = |fill_in: &dyn Fn(_) -> _| chunk_response(self.leader(), self.epoch(), fill_in);
        let refuse =
            |error: ResponseError| Ok(answer(&|it| with_id(it, asked.id).with_error_code(error.code())));
        if !self.is_leader() {
            return refuse(ResponseError::NotLeaderOrFollower);
        }
        if asked.epoch != LeaderEpoch::NONE && asked.epoch != self.epoch() {
            let older = asked.epoch < self.epoch();
            return refuse(if older {
                ResponseError::FencedLeaderEpoch
            } else {
                ResponseError::UnknownLeaderEpoch
            });
        }
        if !self.snapshots.has(asked.id) {
            return refuse(ResponseError::SnapshotNotFound);
        }
        let max_bytes = usize::try_from(asked.max_bytes).unwrap_or(0).max(1);
        let (size, bytes) = self.snapshots.chunk(asked.id, asked.position, max_bytes, disk)?;
        if bytes.is_empty() {
            return refuse(ResponseError::PositionOutOfRange);
        }
        let response = answer(&|it| {
            with_id(it, asked.id)
                .with_size(size as i64)
                .with_position(asked.position as i64)
                .with_unaligned_records(bytes.clone())
        });
        // Who fetches a snapshot hears its leader as well as who fetches the log.
        self.follower_heard(now, asked.replica);
        Ok(response)
    }

    /// The leader offers a snapshot, or none.
    pub(super) fn snapshot_offered(&mut self, id: Option<SnapshotId>) {
        let before = self.receiver.take();
        self.receiver = id.map(|id| Receiver::of(id, before));
    }

    /// The leader has answered a request for a part of a snapshot, which was sent in this epoch.
    pub(super) fn chunk_fetched(
        &mut self,
        now: Now,
        from: NodeId,
        response: &FetchSnapshotResponse,
        disk: &mut dyn Disk,
    ) -> Result<bool, QuorumError> {
        let Some(chunk) = chunk_of(response) else { return Ok(false) };
        let leader = NodeId(chunk.current_leader.leader_id.0);
        let leader = (leader != NodeId::NONE).then_some(leader);
        let epoch = LeaderEpoch(chunk.current_leader.leader_epoch);
        self.learn(epoch, leader, from, now, disk)?;
        let follows = matches!(self.role, Role::Follower { leader, .. } if leader == from);
        if !follows || epoch != self.epoch() {
            return Ok(false);
        }
        if chunk.error_code != 0 {
            // The next fetch tells whether there is another one.
            self.receiver = None;
            return Ok(chunk.error_code == ResponseError::SnapshotNotFound.code());
        }
        let Some(receiver) = &mut self.receiver else { return Ok(true) };
        let id = receiver.id();
        match receiver.take(chunk) {
            Received::Part => {}
            Received::Mismatch => self.receiver = None,
            Received::Whole(bytes) => {
                self.receiver = None;
                match snapshot::decode(id, bytes.clone()) {
                    Ok(_) => self.install(id, &bytes, disk)?,
                    Err(error) => tracing::warn!(%id, %error, "a snapshot came damaged"),
                }
            }
        }
        let campaign_ns = self.fetch_timeout_ns(now);
        self.role = Role::Follower { leader: from, campaign_ns };
        Ok(true)
    }

    /// Takes over a snapshot of the leader. All in it is committed.
    fn install(&mut self, id: SnapshotId, bytes: &[u8], disk: &mut dyn Disk) -> Result<(), QuorumError> {
        if id.end < self.high_watermark && !self.holds(id) {
            return Err(QuorumError::CommittedDiverges { cut: id.end, high_watermark: self.high_watermark });
        }
        tracing::info!(%id, end = %self.end_offset(), "takes over a snapshot of the metadata");
        self.snapshots.store(id, bytes, disk)?;
        if !self.holds(id) {
            self.log.start_again_at(id.end, id.epoch, disk)?;
            self.snapshots.remove_below(id, disk)?;
        }
        self.high_watermark = self.high_watermark.max(id.end);
        Ok(())
    }
}
