//! What begins a transaction in a partition is appended only when the coordinator has said that the partition belongs to
//! it (KIP-890, part 1). In the second protocol it is the question that makes it belong (part 2).
//!
//! A connection is answered in the order of its requests, and a producer's batches are appended in that order too: while
//! the first of them waits for the coordinator, those behind it wait as well.

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey, ProduceRequest, ResponseKind, TopicName,
    TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::TopicPartitionId;
use crate::coordinator::{GroupRequest, store_error, txn_commit_refused};
use crate::ids::{ConnId, NodeId, PartitionId, ProducerEpoch, ProducerId};
use crate::log::VerificationGuard;
use crate::node::connections::ReplyTo;
use crate::record::BatchHeader;
use crate::transaction::{Join, TopicPartition, TransactionVersion};

use super::joins::Joiner;
use super::links::Awaited;
use super::produce::Produce;
use super::transactions::PEER_VERSION;
use super::{Broker, OFFSETS_TOPIC, TRANSACTION_TOPIC, Turn};

/// Names a question to a coordinator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct VerificationId(u64);

/// The questions that are not answered yet, and the produces that wait.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    next: u64,
    asked: BTreeMap<VerificationId, Asked>,
    /// By connection, oldest first; the first one is being asked about.
    queues: BTreeMap<ConnId, VecDeque<Produce>>,
}

#[derive(Debug)]
struct Asked {
    question: Question,
    whom: Whom,
    producer: (ProducerId, ProducerEpoch),
    partitions: Vec<Unverified>,
}

/// What the coordinator is asked, and in which words its answer is told, by the version of the producer's request.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// In the first protocol whether partitions belong to a transaction, in the second to have them join it.
    protocol: TransactionVersion,
    /// Whether the producer knows TRANSACTION_ABORTABLE.
    knows_abortable: bool,
}

impl Question {
    fn of_produce(version: i16) -> Self {
        Self { protocol: TransactionVersion::of_produce(version), knows_abortable: version >= 11 }
    }

    fn of_offset_commit(version: i16) -> Self {
        Self { protocol: TransactionVersion::of_offset_commit(version), knows_abortable: version >= 4 }
    }

    /// Errors that producers of old versions do not know to be passing are told as one that they do, as Kafka does.
    fn told(self, error: ResponseError) -> ResponseError {
        match error {
            ResponseError::NetworkException
            | ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable
            | ResponseError::NotCoordinator
            | ResponseError::ConcurrentTransactions => ResponseError::NotEnoughReplicas,
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            ResponseError::InvalidTxnState if self.knows_abortable => ResponseError::TransactionAbortable,
            error => error,
        }
    }
}

/// Who waits for the answer.
#[derive(Debug)]
enum Whom {
    Produce(ConnId),
    OffsetCommit { request: Box<TxnOffsetCommitRequest>, client_id: String, reply: ReplyTo },
}

/// A partition in which a transaction is about to begin.
#[derive(Clone, Debug)]
struct Unverified {
    id: TopicPartitionId,
    target: TopicPartition,
    guard: VerificationGuard,
}

impl Broker {
    /// Carries a produce out behind those of its connection that wait.
    pub(super) fn produce_in_turn(&mut self, produce: Produce, turn: &mut Turn<'_>) {
        match self.verifications.queues.get_mut(&produce.conn) {
            Some(queue) => queue.push_back(produce),
            None => self.drain_produces(produce.conn, VecDeque::from([produce]), turn),
        }
    }

    /// Appends up to the first one about which the coordinator has to be asked.
    fn drain_produces(&mut self, conn: ConnId, mut queue: VecDeque<Produce>, turn: &mut Turn<'_>) {
        while let Some(produce) = queue.pop_front() {
            let (producer, partitions) = self.unverified(&produce.request);
            let Some(transactional_id) =
                produce.request.transactional_id.clone().filter(|_| !partitions.is_empty())
            else {
                self.append_produce(produce, &BTreeMap::new(), turn);
                continue;
            };
            let question = Question::of_produce(produce.version);
            queue.push_front(produce);
            self.verifications.queues.insert(conn, queue);
            return self.ask_coordinator(
                question,
                Whom::Produce(conn),
                &transactional_id.0,
                producer,
                partitions,
                turn,
            );
        }
    }

    /// The partitions of a request in which it would begin a transaction, and whose.
    fn unverified(&mut self, request: &ProduceRequest) -> ((ProducerId, ProducerEpoch), Vec<Unverified>) {
        let mut producer = (ProducerId::NONE, ProducerEpoch(-1));
        let mut found = Vec::new();
        if request.transactional_id.is_none() {
            return (producer, found);
        }
        for topic in &request.topic_data {
            for data in &topic.partition_data {
                let index = PartitionId(data.index);
                let header = data.records.as_ref().and_then(|records| BatchHeader::parse(records).ok());
                let (Ok(id), Some(header)) = (self.led_partition(&topic.name, index), header) else {
                    continue;
                };
                let Some(partition) = self.partitions.get_mut(&id) else { continue };
                if let Some(guard) = partition.log.begin_verification(&header) {
                    producer = (header.producer_id, header.producer_epoch);
                    found.push(Unverified { id, target: (topic.name.to_string(), index), guard });
                }
            }
        }
        (producer, found)
    }

    /// Takes offsets that are committed in a transaction.
    pub(super) fn txn_offset_commit(
        &mut self,
        request: TxnOffsetCommitRequest,
        client_id: &str,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let index = self.coordinator.partition_for(&request.group_id);
        let id = self.internal_partition(OFFSETS_TOPIC, index);
        let producer = (ProducerId(request.producer_id.0), ProducerEpoch(request.producer_epoch));
        let partition =
            id.and_then(|id| self.partitions.get_mut(&id)).filter(|partition| partition.is_leader());
        let guard =
            partition.and_then(|partition| partition.log.begin_verification_of(producer.0, producer.1));
        let (Some(id), Some(guard)) = (id, guard) else {
            return self.group_request(GroupRequest::TxnOffsetCommit(request), client_id, reply, turn);
        };
        let transactional_id = request.transactional_id.0.clone();
        let target = (OFFSETS_TOPIC.to_owned(), index);
        let client_id = client_id.to_owned();
        let question = Question::of_offset_commit(reply.asked.version);
        let whom = Whom::OffsetCommit { request: Box::new(request), client_id, reply };
        let partitions = vec![Unverified { id, target, guard }];
        self.ask_coordinator(question, whom, &transactional_id, producer, partitions, turn);
    }

    fn ask_coordinator(
        &mut self,
        question: Question,
        whom: Whom,
        transactional_id: &StrBytes,
        producer: (ProducerId, ProducerEpoch),
        partitions: Vec<Unverified>,
        turn: &mut Turn<'_>,
    ) {
        let id = VerificationId(self.verifications.next);
        self.verifications.next += 1;
        let targets: Vec<_> = partitions.iter().map(|partition| partition.target.clone()).collect();
        self.verifications.asked.insert(id, Asked { question, whom, producer, partitions });
        let index = self.transactions.partition_for(transactional_id);
        let leader = self
            .internal_partition(TRANSACTION_TOPIC, index)
            .and_then(|id| self.channel.image().partition(id))
            .map_or(NodeId::NONE, |partition| partition.state.leader);
        if leader == self.config.node_id && question.protocol == TransactionVersion::Second {
            let partitions = targets.into_iter().collect();
            let join = Join { transactional_id: transactional_id.to_string(), producer, partitions };
            self.join_here(join, Joiner::Own(id), turn);
        } else if leader == self.config.node_id {
            let verified = targets.into_iter().map(|target| {
                let result = self.transactions.verify(transactional_id, producer, &target);
                (target, result)
            });
            let verified = verified.collect();
            self.verified(id, told_in(verified), turn);
        } else if leader == NodeId::NONE {
            self.verification_answered(id, None, turn);
        } else {
            let request = on_the_wire(question, transactional_id, producer, targets);
            let api = (ApiKey::AddPartitionsToTxn, PEER_VERSION);
            self.send_over_link(leader, api, request.into(), Awaited::Verification(id));
        }
    }

    /// Another broker's coordinator has answered, or not.
    pub(super) fn verification_answered(
        &mut self,
        id: VerificationId,
        response: Option<&AddPartitionsToTxnResponse>,
        turn: &mut Turn<'_>,
    ) {
        let topics = response
            .into_iter()
            .flat_map(|response| &response.results_by_transaction)
            .flat_map(|result| &result.topic_results);
        let results = topics.flat_map(|topic| {
            topic.results_by_partition.iter().map(|result| {
                let error = ResponseError::try_from_code(result.partition_error_code);
                let target = (topic.name.to_string(), PartitionId(result.partition_index));
                (target, error.map_or(Ok(()), Err))
            })
        });
        self.verified(id, told_in(results.collect()), turn);
    }

    /// The coordinator has answered, or not.
    pub(super) fn verified(
        &mut self,
        id: VerificationId,
        result: impl Fn(&TopicPartition) -> Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        let Some(asked) = self.verifications.asked.remove(&id) else { return };
        let Asked { question, whom, producer, partitions } = asked;
        let mut refused = BTreeMap::new();
        for Unverified { id, target, guard } in partitions {
            match result(&target) {
                Ok(()) => {
                    if let Some(partition) = self.partitions.get_mut(&id) {
                        partition.log.verified(producer.0, guard);
                    }
                }
                Err(error) => {
                    tracing::debug!(topic = target.0, partition = target.1.0, %error, "transaction not verified");
                    refused.insert(target, question.told(error));
                }
            }
        }
        match whom {
            Whom::Produce(conn) => {
                let Some(mut queue) = self.verifications.queues.remove(&conn) else { return };
                if let Some(produce) = queue.pop_front() {
                    self.append_produce(produce, &refused, turn);
                }
                self.drain_produces(conn, queue, turn);
            }
            Whom::OffsetCommit { request, client_id, reply } => match refused.into_values().next() {
                None => self.group_request(GroupRequest::TxnOffsetCommit(*request), &client_id, reply, turn),
                Some(error) => {
                    let response = txn_commit_refused(&request, store_error(error));
                    self.respond(reply, &ResponseKind::TxnOffsetCommit(response), turn);
                }
            },
        }
    }
}

/// What an answer says of a partition. One that it does not name was not asked about with success.
fn told_in(
    results: BTreeMap<TopicPartition, Result<(), ResponseError>>,
) -> impl Fn(&TopicPartition) -> Result<(), ResponseError> {
    move |target| results.get(target).copied().unwrap_or(Err(ResponseError::NetworkException))
}

fn on_the_wire(
    question: Question,
    transactional_id: &StrBytes,
    (producer_id, producer_epoch): (ProducerId, ProducerEpoch),
    targets: Vec<TopicPartition>,
) -> AddPartitionsToTxnRequest {
    let topics = targets.into_iter().map(|(topic, partition)| {
        AddPartitionsToTxnTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic)))
            .with_partitions(vec![partition.0])
    });
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(TransactionalId(transactional_id.clone()))
        .with_producer_id(producer_id.0.into())
        .with_producer_epoch(producer_epoch.0)
        .with_verify_only(question.protocol == TransactionVersion::First)
        .with_topics(topics.collect());
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}
