//! Brokers tail the metadata log by Fetch (KIP-595), waiting for news at its end.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData,
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
    /// From where, and the epoch of the record before; `None` if it does not ask for the metadata log.
    from: Option<(Offset, LeaderEpoch)>,
    max_bytes: usize,
}

impl ParkedFetch {
    pub(super) fn new(now: Now, reply: ReplyId, request: &FetchRequest) -> Self {
        let topic = request.topics.iter().find(|topic| TopicId(topic.topic_id) == TopicId::METADATA);
        let partition = topic.and_then(|topic| topic.partitions.iter().find(|it| it.partition == 0));
        Self {
            reply,
            deadline_ns: now.mono_ns + u64::try_from(request.max_wait_ms).unwrap_or(0) * 1_000_000,
            cluster_id: request.cluster_id.as_ref().map(ToString::to_string),
            from: partition.map(|it| (Offset(it.fetch_offset), LeaderEpoch(it.last_fetched_epoch))),
            max_bytes: usize::try_from(request.max_bytes).unwrap_or(0),
        }
    }
}

/// The answer, or `None` if the Fetch should wait.
pub(super) fn answer(
    quorum: &Quorum,
    cluster_id: &str,
    fetch: &ParkedFetch,
    now: Now,
    disk: &mut dyn Disk,
) -> Result<Option<FetchResponse>, QuorumError> {
    let refuse = |error: ResponseError| Ok(Some(FetchResponse::default().with_error_code(error.code())));
    if fetch.cluster_id.as_deref().is_some_and(|id| id != cluster_id) {
        return refuse(ResponseError::InconsistentClusterId);
    }
    let Some((from, last_epoch)) = fetch.from.filter(|(from, _)| from.0 >= 0) else {
        return refuse(ResponseError::UnknownTopicId);
    };
    let mut partition = of_leader(quorum.leader(), quorum.epoch())
        .with_high_watermark(quorum.high_watermark().0)
        .with_log_start_offset(0);
    if let Some((epoch, end)) = quorum.diverging(from, last_epoch) {
        partition.diverging_epoch = EpochEndOffset::default().with_epoch(epoch.0).with_end_offset(end.0);
        return Ok(Some(with_partition(partition)));
    }
    let records = join(quorum.read(from, fetch.max_bytes, disk)?);
    if records.is_empty() && now.mono_ns < fetch.deadline_ns {
        return Ok(None);
    }
    Ok(Some(with_partition(partition.with_records(Some(records)))))
}

/// The answer of a voter that does not lead, and names who does.
pub(super) fn not_leader(leader: Option<NodeId>, epoch: LeaderEpoch) -> FetchResponse {
    with_partition(of_leader(leader, epoch).with_error_code(ResponseError::NotLeaderOrFollower.code()))
}

/// If the answer says that another voter leads: which one, or [`NodeId::NONE`] if it does not know.
pub(super) fn leader_elsewhere(response: &FetchResponse) -> Option<NodeId> {
    let partition = response.responses.first()?.partitions.first()?;
    let elsewhere = partition.error_code == ResponseError::NotLeaderOrFollower.code();
    elsewhere.then_some(NodeId(partition.current_leader.leader_id.0))
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
