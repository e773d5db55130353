//! Brokers and other voters tail the metadata log by Fetch (KIP-595), waiting for news at its end. Brokers see what is
//! committed, voters all there is.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData, SnapshotId,
};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};

use super::effect::ReplyId;
use super::topic_id::TopicId;
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::Now;
use crate::quorum::{Quorum, QuorumError};

/// A Fetch that has not been answered yet.
#[derive(Debug)]
pub(super) struct ParkedFetch {
    pub(super) reply: ReplyId,
    pub(super) deadline_ns: u64,
    cluster_id: Option<String>,
    /// The voter that asks, if it is one.
    pub(super) voter: Option<NodeId>,
    /// The broker that asks, if it is one.
    pub(super) observer: Option<NodeId>,
    /// `None` if it does not ask for the metadata log.
    pub(super) from: Option<FetchFrom>,
    max_bytes: usize,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchFrom {
    /// The epoch of the leader that it means to ask; brokers do not say.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) offset: Offset,
    /// The epoch of the record before.
    pub(super) last_epoch: LeaderEpoch,
}

impl ParkedFetch {
    pub(super) fn new(now: Now, reply: ReplyId, request: &FetchRequest, quorum: &Quorum) -> Self {
        let topic = request.topics.iter().find(|topic| TopicId(topic.topic_id) == TopicId::METADATA);
        let partition = topic.and_then(|topic| topic.partitions.iter().find(|it| it.partition == 0));
        let reader = NodeId(request.replica_state.replica_id.0);
        let votes = quorum.is_peer(reader);
        Self {
            reply,
            deadline_ns: now.mono_ns + u64::try_from(request.max_wait_ms).unwrap_or(0) * 1_000_000,
            cluster_id: request.cluster_id.as_ref().map(ToString::to_string),
            voter: Some(reader).filter(|_| votes),
            observer: Some(reader).filter(|node| !votes && node.0 >= 0),
            from: partition.map(|it| FetchFrom {
                leader_epoch: LeaderEpoch(it.current_leader_epoch),
                offset: Offset(it.fetch_offset),
                last_epoch: LeaderEpoch(it.last_fetched_epoch),
            }),
            max_bytes: usize::try_from(request.max_bytes).unwrap_or(0),
        }
    }
}

/// The answer, or `None` if the Fetch should wait.
pub(super) fn answer(
    quorum: &mut Quorum,
    cluster_id: &str,
    fetch: &ParkedFetch,
    now: Now,
    disk: &mut dyn Disk,
) -> Result<Option<FetchResponse>, QuorumError> {
    let refuse = |error: ResponseError| Ok(Some(FetchResponse::default().with_error_code(error.code())));
    if fetch.cluster_id.as_deref().is_some_and(|id| id != cluster_id) {
        return refuse(ResponseError::InconsistentClusterId);
    }
    let Some(from) = fetch.from.filter(|from| from.offset.0 >= 0) else {
        return refuse(ResponseError::UnknownTopicId);
    };
    if !quorum.is_leader() {
        return Ok(Some(not_leader(quorum.leader(), quorum.epoch())));
    }
    if fetch.voter.is_some() && from.leader_epoch != quorum.epoch() {
        let older = from.leader_epoch < quorum.epoch();
        let error =
            if older { ResponseError::FencedLeaderEpoch } else { ResponseError::UnknownLeaderEpoch }.code();
        let partition = of_leader(quorum.leader(), quorum.epoch()).with_error_code(error);
        return Ok(Some(with_partition(partition)));
    }
    let mut partition = of_leader(quorum.leader(), quorum.epoch())
        .with_high_watermark(quorum.high_watermark().0)
        .with_log_start_offset(quorum.log_start().0);
    if let Some(id) = quorum.snapshot_for(from.offset, from.last_epoch) {
        partition.snapshot_id = SnapshotId::default().with_end_offset(id.end.0).with_epoch(id.epoch.0);
        return Ok(Some(with_partition(partition)));
    }
    if let Some((epoch, end)) = quorum.diverging(from.offset, from.last_epoch) {
        partition.diverging_epoch = EpochEndOffset::default().with_epoch(epoch.0).with_end_offset(end.0);
        return Ok(Some(with_partition(partition)));
    }
    let (records, owed) = match fetch.voter {
        Some(voter) => {
            let records = quorum.read_all(from.offset, fetch.max_bytes, disk)?;
            (join(records), quorum.owes_high_watermark(voter))
        }
        None => (join(quorum.read(from.offset, fetch.max_bytes, disk)?), false),
    };
    if records.is_empty() && !owed && now.mono_ns < fetch.deadline_ns {
        return Ok(None);
    }
    if let Some(voter) = fetch.voter {
        quorum.told_high_watermark(voter);
    }
    Ok(Some(with_partition(partition.with_records(Some(records)))))
}

/// The answer of a voter that does not lead, and names who does.
pub(super) fn not_leader(leader: Option<NodeId>, epoch: LeaderEpoch) -> FetchResponse {
    with_partition(of_leader(leader, epoch).with_error_code(ResponseError::NotLeaderOrFollower.code()))
}

fn of_leader(leader: Option<NodeId>, epoch: LeaderEpoch) -> PartitionData {
    let leader = BrokerId(leader.unwrap_or(NodeId::NONE).0);
    PartitionData::default()
        .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(leader).with_leader_epoch(epoch.0))
}

fn with_partition(partition: PartitionData) -> FetchResponse {
    let topic =
        FetchableTopicResponse::default().with_topic_id(TopicId::METADATA.0).with_partitions(vec![partition]);
    FetchResponse::default().with_responses(vec![topic])
}

fn join(mut parts: Vec<Bytes>) -> Bytes {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut joined = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in &parts {
        joined.extend_from_slice(part);
    }
    joined.freeze()
}
