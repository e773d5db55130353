//! What the coordinator is asked, and what it asks for.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse,
};

use crate::coordinator::{AppendToken, ReplyId};
use crate::ids::{PartitionId, ProducerEpoch, ProducerId};

/// A partition of a topic.
pub type TopicPartition = (String, PartitionId);

/// A request of a transactional producer.
#[derive(Clone, PartialEq, Debug)]
pub enum TransactionRequest {
    /// Versions 0 to 5, with a transactional id.
    InitProducerId(InitProducerIdRequest),
    /// Versions 0 to 3; the partitions exist.
    AddPartitions(AddPartitionsToTxnRequest),
    /// Versions 0 to 4, with the partition of the offsets topic that stores the group.
    AddOffsets(AddOffsetsToTxnRequest, TopicPartition),
    /// Versions 0 to 5; from 5 on in the second protocol.
    End(EndTxnRequest),
    /// Of the leader of partitions to which a producer writes in the second protocol.
    Join(Join),
}

/// Partitions that are to belong to the transaction of a producer, which begins with the first of them (KIP-890, part 2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// Of the producer.
    pub transactional_id: String,
    /// As it stands in what the producer has sent.
    pub producer: (ProducerId, ProducerEpoch),
    /// They exist.
    pub partitions: BTreeSet<TopicPartition>,
}

/// The answer to the [`TransactionRequest`] of the same name.
#[derive(Clone, PartialEq, Debug)]
#[expect(missing_docs, reason = "each variant answers the request of the same name")]
pub enum TransactionResponse {
    InitProducerId(InitProducerIdResponse),
    AddPartitions(AddPartitionsToTxnResponse),
    AddOffsets(AddOffsetsToTxnResponse),
    End(EndTxnResponse),
    Join(Result<(), ResponseError>),
}

/// What the coordinator wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum TransactionEffect {
    /// Answer a request; once per request.
    Reply {
        /// As given with the request.
        reply: ReplyId,
        /// To be encoded with the version of the request.
        response: TransactionResponse,
    },
    /// Append a record to a partition of `__transaction_state`, with `acks=all`, and report by
    /// [`appended`](super::TransactionCoordinator::appended).
    Append {
        /// The partition, which this broker leads.
        partition: PartitionId,
        /// Names the transactional id.
        key: Bytes,
        /// Its new state.
        value: Bytes,
        /// For the report.
        token: AppendToken,
    },
    /// Get a fresh producer id for this request, and bring it by
    /// [`producer_id_allocated`](super::TransactionCoordinator::producer_id_allocated).
    AllocateProducerId {
        /// As given with the request.
        reply: ReplyId,
    },
}
