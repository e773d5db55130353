//! What the coordinator is asked, and what it asks for.

use bytes::Bytes;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use crate::controller::TopicId;
use crate::ids::{Offset, PartitionId, ProducerEpoch, ProducerId};

/// Ties a request to its [`CoordinatorEffect::Reply`]; chosen by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyId(pub u64);

/// Ties a [`CoordinatorEffect::Append`] to its [`GroupCoordinator::appended`](super::GroupCoordinator::appended).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AppendToken(pub u64);

/// A request that the coordinator of a group answers; `ListGroups` goes to every broker.
#[derive(Clone, PartialEq, Debug)]
pub enum GroupRequest {
    /// Versions 0 to 9.
    Join(JoinGroupRequest),
    /// Versions 0 to 5.
    Sync(SyncGroupRequest),
    /// Versions 0 to 4.
    Heartbeat(HeartbeatRequest),
    /// Versions 0 to 5.
    Leave(LeaveGroupRequest),
    /// Versions 2 to 9.
    OffsetCommit(OffsetCommitRequest),
    /// Versions 1 to 9.
    OffsetFetch(OffsetFetchRequest),
    /// Versions 0 to 6.
    Describe(DescribeGroupsRequest),
    /// Versions 0 to 5.
    List(ListGroupsRequest),
    /// Versions 0 to 2.
    Delete(DeleteGroupsRequest),
    /// Version 0.
    OffsetDelete(OffsetDeleteRequest),
    /// Versions 0 to 1 (KIP-848).
    ConsumerHeartbeat(ConsumerGroupHeartbeatRequest),
    /// Versions 0 to 1 (KIP-848).
    ConsumerDescribe(ConsumerGroupDescribeRequest),
    /// Versions 0 to 3; the transaction coordinator was asked about the partition that stores the group.
    TxnOffsetCommit(TxnOffsetCommitRequest),
}

/// The answer to the [`GroupRequest`] of the same name.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "each variant answers the request of the same name")]
pub enum GroupResponse {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponse),
    Describe(DescribeGroupsResponse),
    List(ListGroupsResponse),
    Delete(DeleteGroupsResponse),
    OffsetDelete(OffsetDeleteResponse),
    ConsumerHeartbeat(ConsumerGroupHeartbeatResponse),
    ConsumerDescribe(ConsumerGroupDescribeResponse),
    TxnOffsetCommit(TxnOffsetCommitResponse),
}

/// What the coordinator wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum CoordinatorEffect {
    /// Answer a request; once per request.
    Reply {
        /// As given with the request.
        reply: ReplyId,
        /// To be encoded with the version of the request.
        response: GroupResponse,
    },
    /// Append these records to a partition of `__consumer_offsets` in one batch, with `acks=all`, and report by
    /// [`GroupCoordinator::appended`](super::GroupCoordinator::appended).
    Append {
        /// The partition, which this broker leads.
        partition: PartitionId,
        /// Key and value; a value of `None` is a tombstone.
        records: Vec<(Bytes, Option<Bytes>)>,
        /// The producer in whose transaction they are, without a sequence.
        producer: Option<(ProducerId, ProducerEpoch)>,
        /// For the report.
        token: AppendToken,
    },
}

/// What a committed log of a partition of `__consumer_offsets` holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoredRecord {
    /// Key and value; a value of `None` is a tombstone.
    Record {
        /// The producer in whose transaction it is.
        producer: Option<ProducerId>,
        /// What it is about.
        key: Bytes,
        /// What it says.
        value: Option<Bytes>,
    },
    /// The end of a transaction.
    Marker {
        /// Of this producer.
        producer: ProducerId,
        /// Committed, or aborted.
        commit: bool,
    },
}

/// What the coordinator may know of the topics that groups read.
pub trait TopicView {
    /// Whether the cluster has this partition.
    fn contains(&self, topic: &str, partition: PartitionId) -> bool;
    /// The high watermark, if this broker has a replica.
    fn high_watermark(&self, topic: &str, partition: PartitionId) -> Option<Offset>;
    /// The id of a topic and how many partitions it has.
    fn topic(&self, name: &str) -> Option<(TopicId, i32)>;
    /// What a topic is called.
    fn name(&self, topic: TopicId) -> Option<String>;
    /// All topics but the brokers' own.
    fn names(&self) -> Vec<String>;
}

/// What comes with a request besides its body.
#[derive(Clone, Copy)]
pub struct RequestContext<'a> {
    /// The version of the request.
    pub version: i16,
    /// The client id of the request header, or empty.
    pub client_id: &'a str,
    /// Where the client connects from, for `DescribeGroups`; Kafka writes `/127.0.0.1`.
    pub client_host: &'a str,
    /// The topics of the cluster.
    pub topics: &'a dyn TopicView,
}
