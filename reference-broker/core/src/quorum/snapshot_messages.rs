//! What is said about snapshots: FetchSnapshot in Kafka's own schema (KIP-630).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_snapshot_request::{
    PartitionSnapshot as Asked, SnapshotId as AskedId, TopicSnapshot as AskedTopic,
};
use kafka_protocol::messages::fetch_snapshot_response::{
    LeaderIdAndEpoch, PartitionSnapshot, SnapshotId as WireId, TopicSnapshot,
};
use kafka_protocol::messages::{BrokerId, FetchSnapshotRequest, FetchSnapshotResponse};
use kafka_protocol::protocol::StrBytes;

use super::messages::topic;
use super::snapshot::SnapshotId;
use crate::ids::{LeaderEpoch, NodeId, Offset};

/// What is asked for: a part of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChunkAsked {
    pub(crate) replica: NodeId,
    /// [`LeaderEpoch::NONE`] if the asker does not mean a certain one.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) id: SnapshotId,
    pub(crate) position: u64,
    pub(crate) max_bytes: i32,
}

pub(crate) fn chunk_request(cluster_id: &str, asked: ChunkAsked) -> FetchSnapshotRequest {
    let id = AskedId::default().with_end_offset(asked.id.end.0).with_epoch(asked.id.epoch.0);
    let partition = Asked::default()
        .with_current_leader_epoch(asked.epoch.0)
        .with_snapshot_id(id)
        .with_position(asked.position as i64);
    FetchSnapshotRequest::default()
        .with_cluster_id(Some(StrBytes::from_string(cluster_id.to_owned())))
        .with_replica_id(BrokerId(asked.replica.0))
        .with_max_bytes(asked.max_bytes)
        .with_topics(vec![AskedTopic::default().with_name(topic()).with_partitions(vec![partition])])
}

/// `None` if it does not ask for the metadata log.
pub(super) fn chunk_asked(request: &FetchSnapshotRequest) -> Option<ChunkAsked> {
    let named = request.topics.iter().find(|it| it.name == topic())?;
    let partition = named.partitions.iter().find(|it| it.partition == 0)?;
    let id = &partition.snapshot_id;
    Some(ChunkAsked {
        replica: NodeId(request.replica_id.0),
        epoch: LeaderEpoch(partition.current_leader_epoch),
        id: SnapshotId { end: Offset(id.end_offset), epoch: LeaderEpoch(id.epoch) },
        position: u64::try_from(partition.position).unwrap_or(u64::MAX),
        max_bytes: request.max_bytes,
    })
}

/// An answer about a snapshot that names the leader; the caller fills in the chunk, or why there is none.
pub(crate) fn chunk_response(
    leader: Option<NodeId>,
    epoch: LeaderEpoch,
    fill_in: impl FnOnce(PartitionSnapshot) -> PartitionSnapshot,
) -> FetchSnapshotResponse {
    let leader = LeaderIdAndEpoch::default()
        .with_leader_id(BrokerId(leader.unwrap_or(NodeId::NONE).0))
        .with_leader_epoch(epoch.0);
    let partition = fill_in(PartitionSnapshot::default().with_current_leader(leader));
    let topic = TopicSnapshot::default().with_name(topic()).with_partitions(vec![partition]);
    FetchSnapshotResponse::default().with_topics(vec![topic])
}

/// A chunk of this snapshot.
pub(super) fn with_id(partition: PartitionSnapshot, id: SnapshotId) -> PartitionSnapshot {
    partition.with_snapshot_id(WireId::default().with_end_offset(id.end.0).with_epoch(id.epoch.0))
}

pub(super) fn chunk_refusal(error: ResponseError) -> FetchSnapshotResponse {
    FetchSnapshotResponse::default().with_error_code(error.code())
}

/// The one answer in a response; `None` if the request was refused as a whole.
pub(crate) fn chunk_of(response: &FetchSnapshotResponse) -> Option<&PartitionSnapshot> {
    response.topics.first()?.partitions.first().filter(|_| response.error_code == 0)
}
