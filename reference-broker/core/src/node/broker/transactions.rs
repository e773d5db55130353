//! Transactions: requests to their coordinator, and what it asks for.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ResponseKind};

use crate::coordinator::{AppendToken, ReplyId};
use crate::ids::PartitionId;
use crate::node::connections::ReplyTo;
use crate::record::BatchBuilder;
use crate::transaction::{TransactionEffect, TransactionRequest, TransactionResponse, added};

use super::produce::Whom;
use super::{Broker, OFFSETS_TOPIC, TRANSACTION_TOPIC, Turn, is_internal};

/// The version of AddPartitionsToTxn that brokers speak, about transactions of producers (KIP-890).
pub(super) const PEER_VERSION: i16 = 4;

impl Broker {
    /// Hands a request to the coordinator.
    pub(super) fn transaction_request(
        &mut self,
        request: TransactionRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let id = self.replies.expect(reply);
        let mut out = Vec::new();
        self.transactions.handle(turn.now, request, reply.asked.version, id, &mut out);
        self.carry_out_transactions(out, turn);
    }

    pub(super) fn carry_out_transactions(&mut self, effects: Vec<TransactionEffect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                TransactionEffect::Reply { reply, response } => {
                    self.answer_transaction(reply, response, turn);
                }
                TransactionEffect::Append { partition, key, value, token } => {
                    let batch = BatchBuilder::new(turn.now.wall_ms).record(Some(&key), Some(&value)).build();
                    let id = self.internal_partition(TRANSACTION_TOPIC, partition);
                    self.append_for_coordinator(id, batch, Whom::Transaction(token), turn);
                }
                TransactionEffect::AllocateProducerId { reply } => self.allocate_producer_id(reply, turn),
            }
        }
    }

    fn answer_transaction(&mut self, reply: ReplyId, response: TransactionResponse, turn: &mut Turn<'_>) {
        let body = match response {
            TransactionResponse::InitProducerId(body) => ResponseKind::InitProducerId(body),
            TransactionResponse::AddPartitions(body) => ResponseKind::AddPartitionsToTxn(body),
            TransactionResponse::AddOffsets(body) => ResponseKind::AddOffsetsToTxn(body),
            TransactionResponse::End(body) => ResponseKind::EndTxn(body),
            TransactionResponse::Join(result) => return self.joined(reply, result, turn),
        };
        if let Some(to) = self.replies.take(reply) {
            self.respond(to, &body, turn);
        }
    }

    pub(super) fn transaction_append_ended(
        &mut self,
        token: AppendToken,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        let mut out = Vec::new();
        self.transactions.appended(turn.now, token, result, &mut out);
        self.carry_out_transactions(out, turn);
    }

    /// A producer adds partitions to its transaction, all or none; or another broker asks.
    pub(super) fn add_partitions_to_txn(
        &mut self,
        request: AddPartitionsToTxnRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        if reply.asked.version >= PEER_VERSION {
            return self.asked_by_peer(&request, reply, turn);
        }
        let topics = &request.v3_and_below_topics;
        let unknown: BTreeSet<_> = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.as_str(), *partition)))
            .filter(|(topic, partition)| is_internal(topic) || !self.exists(topic, PartitionId(*partition)))
            .collect();
        if unknown.is_empty() {
            return self.transaction_request(TransactionRequest::AddPartitions(request), reply, turn);
        }
        let response = added(topics, |topic, partition| {
            if unknown.contains(&(topic, partition)) {
                ResponseError::UnknownTopicOrPartition.code()
            } else {
                ResponseError::OperationNotAttempted.code()
            }
        });
        self.respond(reply, &ResponseKind::AddPartitionsToTxn(response), turn);
    }

    /// A producer adds a group's partition of the offsets topic to its transaction.
    pub(super) fn add_offsets_to_txn(
        &mut self,
        request: AddOffsetsToTxnRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        if self.channel.image().topic_named(OFFSETS_TOPIC).is_none() {
            self.create_automatically(OFFSETS_TOPIC, turn);
            let error = ResponseError::CoordinatorNotAvailable.code();
            let response =
                kafka_protocol::messages::AddOffsetsToTxnResponse::default().with_error_code(error);
            return self.respond(reply, &ResponseKind::AddOffsetsToTxn(response), turn);
        }
        let partition = (OFFSETS_TOPIC.to_owned(), self.coordinator.partition_for(&request.group_id));
        self.transaction_request(TransactionRequest::AddOffsets(request, partition), reply, turn);
    }

    pub(super) fn exists(&self, topic: &str, partition: PartitionId) -> bool {
        let image = self.channel.image();
        image.topic_named(topic).is_some_and(|topic| topic.partitions.contains_key(&partition))
    }
}
