//! What the leaders of partitions ask the coordinator of this broker about transactions (AddPartitionsToTxn from version 4
//! on): whether partitions belong to one (KIP-890, part 1), or to have them join one (part 2).

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTransaction;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ResponseKind};

use crate::coordinator::ReplyId;
use crate::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::node::connections::ReplyTo;
use crate::transaction::{Join, TopicPartition, TransactionRequest};

use super::verify::VerificationId;
use super::{Broker, Turn};

/// Who wants partitions to join a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joiner {
    /// This broker.
    Own(VerificationId),
    /// Another one: which request, and which of its transactions.
    Peer { request: u64, place: usize },
}

/// The joins that the coordinator has not answered yet, and the requests of other brokers that wait for them.
#[derive(Debug, Default)]
pub(super) struct Joins {
    joiners: BTreeMap<ReplyId, Joiner>,
    next: u64,
    requests: BTreeMap<u64, PeerRequest>,
}

#[derive(Debug)]
struct PeerRequest {
    reply: ReplyTo,
    results: Vec<AddPartitionsToTxnResult>,
    left: usize,
}

impl Broker {
    /// Hands a join to the coordinator of this broker.
    pub(super) fn join_here(&mut self, join: Join, joiner: Joiner, turn: &mut Turn<'_>) {
        let reply = self.replies.reserve();
        self.joins.joiners.insert(reply, joiner);
        let mut out = Vec::new();
        self.transactions.handle(turn.now, TransactionRequest::Join(join), 0, reply, &mut out);
        self.carry_out_transactions(out, turn);
    }

    /// The coordinator has answered.
    pub(super) fn joined(&mut self, reply: ReplyId, result: Result<(), ResponseError>, turn: &mut Turn<'_>) {
        match self.joins.joiners.remove(&reply) {
            Some(Joiner::Own(id)) => self.verified(id, |_| result, turn),
            Some(Joiner::Peer { request, place }) => {
                let code = result.err().map_or(0, |error| error.code());
                self.peer_answered(request, place, |_| code, turn);
            }
            None => {}
        }
    }

    /// Another broker asks.
    pub(super) fn asked_by_peer(
        &mut self,
        request: &AddPartitionsToTxnRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let transactions = &request.transactions;
        if transactions.is_empty() {
            let response = AddPartitionsToTxnResponse::default();
            return self.respond(reply, &ResponseKind::AddPartitionsToTxn(response), turn);
        }
        let id = self.joins.next;
        self.joins.next += 1;
        let results = transactions.iter().map(result_of).collect();
        self.joins.requests.insert(id, PeerRequest { reply, results, left: transactions.len() });
        for (place, asked) in transactions.iter().enumerate() {
            let producer = (ProducerId(asked.producer_id.0), ProducerEpoch(asked.producer_epoch));
            let targets = asked.topics.iter().flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|partition| (topic.name.to_string(), PartitionId(*partition)))
            });
            if asked.verify_only {
                let verify = |target: TopicPartition| {
                    let verified = self.transactions.verify(&asked.transactional_id, producer, &target);
                    (target, verified.err().map_or(0, |error| error.code()))
                };
                let codes: BTreeMap<_, _> = targets.map(verify).collect();
                self.peer_answered(id, place, |target| codes.get(target).copied().unwrap_or(0), turn);
            } else {
                let transactional_id = asked.transactional_id.to_string();
                let join = Join { transactional_id, producer, partitions: targets.collect() };
                self.join_here(join, Joiner::Peer { request: id, place }, turn);
            }
        }
    }

    /// One transaction of a request is done with; with the last one the request is.
    fn peer_answered(
        &mut self,
        id: u64,
        place: usize,
        code: impl Fn(&TopicPartition) -> i16,
        turn: &mut Turn<'_>,
    ) {
        let Some(request) = self.joins.requests.get_mut(&id) else { return };
        for topic in &mut request.results[place].topic_results {
            let name = topic.name.to_string();
            for result in &mut topic.results_by_partition {
                result.partition_error_code = code(&(name.clone(), PartitionId(result.partition_index)));
            }
        }
        request.left -= 1;
        if request.left == 0
            && let Some(PeerRequest { reply, results, .. }) = self.joins.requests.remove(&id)
        {
            let response = AddPartitionsToTxnResponse::default().with_results_by_transaction(results);
            self.respond(reply, &ResponseKind::AddPartitionsToTxn(response), turn);
        }
    }
}

/// A result for every partition that is asked about, all well so far.
fn result_of(asked: &AddPartitionsToTxnTransaction) -> AddPartitionsToTxnResult {
    let topics = asked.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let results = partitions
            .map(|partition| AddPartitionsToTxnPartitionResult::default().with_partition_index(*partition));
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(results.collect())
    });
    AddPartitionsToTxnResult::default()
        .with_transactional_id(asked.transactional_id.clone())
        .with_topic_results(topics.collect())
}
