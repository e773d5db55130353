//! What voters tell each other, in Kafka's own schemas.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, BrokerId, EndQuorumEpochRequest,
    EndQuorumEpochResponse, FetchRequest, FetchResponse, TopicName, VoteRequest, VoteResponse,
    begin_quorum_epoch_request as begin_request, begin_quorum_epoch_response as begin_answer,
    end_quorum_epoch_request as end_request, end_quorum_epoch_response as end_answer, vote_request,
    vote_response as vote_answer,
};
use kafka_protocol::protocol::StrBytes;

use super::snapshot::SnapshotId;
use crate::controller::TopicId;
use crate::ids::{LeaderEpoch, NodeId, Offset};

/// The versions in which voters ask.
pub(super) const VOTE: i16 = 2;
pub(super) const BEGIN: i16 = 1;
pub(super) const END: i16 = 1;
pub(super) const FETCH: i16 = 15;
pub(super) const FETCH_SNAPSHOT: i16 = 0;

const FETCH_BYTES_MAX: i32 = 8 << 20;

pub(super) fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("__cluster_metadata"))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// What every answer but that to a Fetch says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) error: i16,
    /// [`NodeId::NONE`] if the voter knows none.
    pub(super) leader: NodeId,
    pub(super) epoch: LeaderEpoch,
}

/// A candidate and its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct VoteAsked {
    pub(super) candidate: NodeId,
    pub(super) epoch: LeaderEpoch,
    pub(super) last_epoch: LeaderEpoch,
    pub(super) end: Offset,
    /// Only whether it would be elected (KIP-996).
    pub(super) pre_vote: bool,
}

pub(super) fn vote_request(cluster_id: &str, voter: NodeId, asked: VoteAsked) -> VoteRequest {
    let partition = vote_request::PartitionData::default()
        .with_replica_epoch(asked.epoch.0)
        .with_replica_id(BrokerId(asked.candidate.0))
        .with_last_offset_epoch(asked.last_epoch.0)
        .with_last_offset(asked.end.0)
        .with_pre_vote(asked.pre_vote);
    let topic = vote_request::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    VoteRequest::default()
        .with_cluster_id(Some(text(cluster_id)))
        .with_voter_id(BrokerId(voter.0))
        .with_topics(vec![topic])
}

pub(super) fn vote_asked(request: &VoteRequest) -> Option<VoteAsked> {
    let partition = request.topics.first()?.partitions.first()?;
    Some(VoteAsked {
        candidate: NodeId(partition.replica_id.0),
        epoch: LeaderEpoch(partition.replica_epoch),
        last_epoch: LeaderEpoch(partition.last_offset_epoch),
        end: Offset(partition.last_offset),
        pre_vote: partition.pre_vote,
    })
}

pub(super) fn vote_response(answer: Answer, granted: bool) -> VoteResponse {
    let partition = vote_answer::PartitionData::default()
        .with_error_code(answer.error)
        .with_leader_id(BrokerId(answer.leader.0))
        .with_leader_epoch(answer.epoch.0)
        .with_vote_granted(granted);
    let topic = vote_answer::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    VoteResponse::default().with_topics(vec![topic])
}

pub(super) fn vote_refusal(error: ResponseError) -> VoteResponse {
    VoteResponse::default().with_error_code(error.code())
}

/// `None` if the request was refused as a whole.
pub(super) fn voted(response: &VoteResponse) -> Option<(Answer, bool)> {
    let partition = response.topics.first()?.partitions.first()?;
    let answer = Answer {
        error: partition.error_code,
        leader: NodeId(partition.leader_id.0),
        epoch: LeaderEpoch(partition.leader_epoch),
    };
    Some((answer, partition.vote_granted))
}

pub(super) fn begin_request(
    cluster_id: &str,
    voter: NodeId,
    leader: NodeId,
    epoch: LeaderEpoch,
) -> BeginQuorumEpochRequest {
    let partition =
        begin_request::PartitionData::default().with_leader_id(BrokerId(leader.0)).with_leader_epoch(epoch.0);
    let topic = begin_request::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    BeginQuorumEpochRequest::default()
        .with_cluster_id(Some(text(cluster_id)))
        .with_voter_id(BrokerId(voter.0))
        .with_topics(vec![topic])
}

pub(super) fn begins(request: &BeginQuorumEpochRequest) -> Option<(NodeId, LeaderEpoch)> {
    let partition = request.topics.first()?.partitions.first()?;
    Some((NodeId(partition.leader_id.0), LeaderEpoch(partition.leader_epoch)))
}

pub(super) fn begin_response(answer: Answer) -> BeginQuorumEpochResponse {
    let partition = begin_answer::PartitionData::default()
        .with_error_code(answer.error)
        .with_leader_id(BrokerId(answer.leader.0))
        .with_leader_epoch(answer.epoch.0);
    let topic = begin_answer::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    BeginQuorumEpochResponse::default().with_topics(vec![topic])
}

pub(super) fn begin_refusal(error: ResponseError) -> BeginQuorumEpochResponse {
    BeginQuorumEpochResponse::default().with_error_code(error.code())
}

pub(super) fn begun(response: &BeginQuorumEpochResponse) -> Option<Answer> {
    let partition = response.topics.first()?.partitions.first()?;
    Some(Answer {
        error: partition.error_code,
        leader: NodeId(partition.leader_id.0),
        epoch: LeaderEpoch(partition.leader_epoch),
    })
}

pub(super) fn end_request(
    cluster_id: &str,
    leader: NodeId,
    epoch: LeaderEpoch,
    successors: &[NodeId],
) -> EndQuorumEpochRequest {
    let candidate = |node: &NodeId| end_request::ReplicaInfo::default().with_candidate_id(BrokerId(node.0));
    let partition = end_request::PartitionData::default()
        .with_leader_id(BrokerId(leader.0))
        .with_leader_epoch(epoch.0)
        .with_preferred_candidates(successors.iter().map(candidate).collect());
    let topic = end_request::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    EndQuorumEpochRequest::default().with_cluster_id(Some(text(cluster_id))).with_topics(vec![topic])
}

pub(super) fn ends(request: &EndQuorumEpochRequest) -> Option<(NodeId, LeaderEpoch, Vec<NodeId>)> {
    let partition = request.topics.first()?.partitions.first()?;
    let successors = partition.preferred_candidates.iter().map(|it| NodeId(it.candidate_id.0)).collect();
    Some((NodeId(partition.leader_id.0), LeaderEpoch(partition.leader_epoch), successors))
}

pub(super) fn end_response(answer: Answer) -> EndQuorumEpochResponse {
    let partition = end_answer::PartitionData::default()
        .with_error_code(answer.error)
        .with_leader_id(BrokerId(answer.leader.0))
        .with_leader_epoch(answer.epoch.0);
    let topic = end_answer::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    EndQuorumEpochResponse::default().with_topics(vec![topic])
}

pub(super) fn end_refusal(error: ResponseError) -> EndQuorumEpochResponse {
    EndQuorumEpochResponse::default().with_error_code(error.code())
}

/// Where a follower is, and how long it waits for news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FetchFrom {
    pub(super) follower: NodeId,
    pub(super) epoch: LeaderEpoch,
    pub(super) last_epoch: LeaderEpoch,
    pub(super) end: Offset,
    pub(super) wait_ms: i32,
}

pub(super) fn fetch_request(cluster_id: &str, from: FetchFrom) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(from.epoch.0)
        .with_fetch_offset(from.end.0)
        .with_last_fetched_epoch(from.last_epoch.0)
        .with_partition_max_bytes(FETCH_BYTES_MAX);
    let topic = FetchTopic::default().with_topic_id(TopicId::METADATA.0).with_partitions(vec![partition]);
    let replica = ReplicaState::default().with_replica_id(BrokerId(from.follower.0)).with_replica_epoch(-1);
    FetchRequest::default()
        .with_cluster_id(Some(text(cluster_id)))
        .with_replica_state(replica)
        .with_max_wait_ms(from.wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(FETCH_BYTES_MAX)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// The answer to a follower's Fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fetched {
    pub(super) error: i16,
    pub(super) leader: NodeId,
    pub(super) epoch: LeaderEpoch,
    pub(super) high_watermark: Offset,
    /// The epoch and its end from which on the leader has another log.
    pub(super) diverging: Option<(LeaderEpoch, Offset)>,
    /// What to fetch before the log.
    pub(super) snapshot: Option<SnapshotId>,
    pub(super) records: Bytes,
}

/// `None` if the request was refused as a whole.
pub(super) fn fetched(response: &FetchResponse) -> Option<Fetched> {
    let partition = response.responses.first()?.partitions.first()?;
    let (diverging, snapshot) = (&partition.diverging_epoch, &partition.snapshot_id);
    let snapshot = SnapshotId { end: Offset(snapshot.end_offset), epoch: LeaderEpoch(snapshot.epoch) };
    Some(Fetched {
        error: partition.error_code,
        leader: NodeId(partition.current_leader.leader_id.0),
        epoch: LeaderEpoch(partition.current_leader.leader_epoch),
        high_watermark: Offset(partition.high_watermark),
        diverging: (diverging.end_offset != -1)
            .then_some((LeaderEpoch(diverging.epoch), Offset(diverging.end_offset))),
        snapshot: (snapshot.end.0 != -1).then_some(snapshot),
        records: partition.records.clone().unwrap_or_default(),
    })
}
