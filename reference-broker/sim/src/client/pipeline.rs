//! Batches on their way to the partitions of a topic: with or without sequence numbers, pipelined, sent again until they
//! are acknowledged or given up.
//!
//! Like librdkafka and the Java client it puts failed batches back in their old order and sends nothing past them;
//! batches that were under way to an old leader meanwhile are what sequence numbers are for (KIP-98). It never runs
//! further ahead of its oldest unacknowledged batch than a broker remembers batches to tell a retry from a gap.

use std::collections::BTreeSet;

use broker_core::record::BatchBuilder;
use broker_core::{Offset, ProducerEpoch, ProducerId, Sequence};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, InitProducerIdRequest, ProduceRequest, ProduceResponse, RequestKind, ResponseKind,
    TransactionalId,
};

use super::lane::{Batch, Lane, State};
use super::metadata::{Metadata, any_broker};
use super::session::{Reply, Session};
use super::transactor::Protocol;
use super::{ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

/// Outside of transactions.
const PRODUCE_VERSION: i16 = 8;
const INIT_PRODUCER_ID_VERSION: i16 = 1;
const BACKOFF: u64 = 20 * MS;
/// A leader that is deposed has heard of it by then.
const DEPOSED: u64 = 6_000 * MS;

mod code {
    pub(super) const NONE: i16 = 0;
    pub(super) const NOT_ENOUGH_REPLICAS: i16 = 19;
    pub(super) const OUT_OF_ORDER_SEQUENCE: i16 = 45;
    /// Timed out, coordinator loading or not available.
    pub(super) const NOT_READY: [i16; 3] = [7, 14, 15];
    /// Not leader (any more), timed out, not enough replicas after the append, storage.
    pub(super) const MAYBE_STORED: [i16; 4] = [6, 7, 20, 56];
    /// Corrupt message, too large, not allowed, invalid: no other try would fare better.
    pub(super) const REFUSED: [i16; 4] = [2, 10, 29, 87];
    pub(super) const DUPLICATE_SEQUENCE: i16 = 46;
    pub(super) const UNKNOWN_PRODUCER_ID: i16 = 59;
    /// Of a transaction: an old epoch, one that is not open, another producer id, fenced, to be aborted.
    pub(super) const NOT_IN_TRANSACTION: [i16; 5] = [47, 48, 49, 90, 120];
    /// Unknown topic or partition, leader not available, not leader, timed out, not enough replicas (before and
    /// after the append), network, storage, fenced and unknown leader epoch.
    pub(super) const RETRIABLE: [i16; 10] = [3, 5, 6, 7, 13, NOT_ENOUGH_REPLICAS, 20, 56, 74, 75];
    /// librdkafka's own: a message was given up because its time was over.
    pub(super) const TIMED_OUT: i16 = -192;
    /// librdkafka's own: the connection broke.
    pub(super) const TRANSPORT: i16 = -195;
}

/// What is sent.
pub(crate) trait Content {
    /// Puts it into a batch as its next record.
    fn append(&self, batch: BatchBuilder) -> BatchBuilder;
}

/// How a producer's batches are treated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Treatment {
    pub(crate) idempotent: bool,
    /// −1, 1 or 0: nobody answers.
    pub(crate) acks: i16,
    /// Batches per partition from the oldest that is unacknowledged to the newest that is sent.
    pub(crate) window: usize,
    /// How long an answer may take.
    pub(crate) request_timeout: u64,
    /// Gives a batch up when it is told that there are too few in-sync replicas, instead of trying again.
    pub(crate) gives_up: bool,
    /// How old a batch may become before it is given up.
    pub(crate) lasts: u64,
    /// How often a batch is sent again at most.
    pub(crate) retries: u64,
}

/// How the way of a batch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Acknowledged; with the offset of its first record if the broker said so.
    Stored(Option<Offset>),
    /// Handed to the network, and nobody will answer.
    Sent,
    /// The broker refused it. `in_doubt`: an earlier try may have been stored.
    Refused { code: i16, in_doubt: bool },
    /// Given up; it may have been stored.
    Unknown { code: i16 },
}

/// A batch whose way has ended.
pub(crate) struct Ended<R> {
    pub(crate) partition: i32,
    pub(crate) records: Vec<R>,
    pub(crate) fate: Fate,
}

#[derive(Debug)]
enum Tag {
    Metadata,
    InitProducerId,
    Produce { partition: i32, batch: u64 },
}

/// The way of batches to one topic.
pub(crate) struct Pipeline<R> {
    /// For what is said of it.
    index: usize,
    treatment: Treatment,
    session: Session<Tag>,
    metadata: Metadata,
    pub(crate) dice: Dice,
    /// By partition.
    lanes: Vec<Lane<R>>,
    identity: Option<(ProducerId, ProducerEpoch)>,
    asking_identity: bool,
    /// The transactional id, whose epochs come from its coordinator, and what is spoken.
    transactional: Option<(TransactionalId, Protocol)>,
    /// The partitions that belong to the open transaction: nothing is sent to others.
    admitted: BTreeSet<i32>,
    /// A batch was given up, which left a gap in the sequence: once nothing is under way, it begins anew.
    renewing: bool,
    made_batches: u64,
    /// Unacknowledged for good: nothing more is sent.
    dead: bool,
    last_error: i16,
    ended: Vec<Ended<R>>,
}

impl<R: Content> Pipeline<R> {
    /// Empty.
    pub(crate) fn new(
        index: usize,
        treatment: Treatment,
        partitions: usize,
        metadata: Metadata,
        dice: Dice,
    ) -> Self {
        Self {
            index,
            treatment,
            session: Session::new(treatment.request_timeout),
            metadata,
            dice,
            lanes: (0..partitions).map(|_| Lane::new()).collect(),
            identity: None,
            asking_identity: false,
            transactional: None,
            admitted: BTreeSet::new(),
            renewing: false,
            made_batches: 0,
            dead: false,
            last_error: 0,
            ended: Vec::new(),
        }
    }

    /// Its batches belong to transactions of this id. The other half of its connections goes to coordinators, which are given
    /// `patience` to answer.
    pub(crate) fn transactional<U>(
        mut self,
        id: TransactionalId,
        protocol: Protocol,
        patience: u64,
    ) -> (Self, Session<U>) {
        let (session, other) = Session::pair(self.treatment.request_timeout, patience);
        self.session = session;
        self.transactional = Some((id, protocol));
        (self, other)
    }

    /// A fresh epoch: sequences begin anew.
    pub(crate) fn begin_epoch(&mut self, identity: (ProducerId, ProducerEpoch)) {
        self.identity = Some(identity);
        self.renewing = false;
        self.admitted.clear();
        self.lanes.iter_mut().for_each(Lane::restart_sequence);
    }

    /// Batches to these partitions may be sent: they belong to the open transaction.
    pub(crate) fn admit(&mut self, partitions: BTreeSet<i32>) {
        self.admitted.extend(partitions);
    }

    /// The transaction has ended.
    pub(crate) fn end_transaction(&mut self) {
        self.admitted.clear();
    }

    /// Partitions with batches that wait until they belong to the transaction.
    pub(crate) fn not_admitted(&self) -> BTreeSet<i32> {
        let lanes = (0..).zip(&self.lanes).filter(|(_, lane)| !lane.queue.is_empty());
        lanes.map(|(partition, _)| partition).filter(|one| !self.may_send_to(*one)).collect()
    }

    fn may_send_to(&self, partition: i32) -> bool {
        match self.transactional {
            Some((_, Protocol::First)) => self.admitted.contains(&partition),
            Some((_, Protocol::Second)) | None => true,
        }
    }

    /// Whether its epoch is of no use any more.
    pub(crate) fn needs_epoch(&self) -> bool {
        self.transactional.is_some() && (self.renewing || self.identity.is_none())
    }

    /// Its transaction cannot go on: what is under way is waited for, and nothing more is sent.
    pub(crate) fn break_epoch(&mut self) {
        self.renewing = true;
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> usize {
        self.lanes.len()
    }

    /// Takes what the network brings.
    pub(crate) fn hear(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) {
        for reply in self.session.take(event, turn) {
            self.take(reply, turn);
        }
    }

    /// A batch to be sent after those before it.
    pub(crate) fn enqueue(&mut self, partition: usize, records: Vec<R>, born_ns: u64) {
        self.made_batches += 1;
        self.lanes[partition].push(self.made_batches, records, (born_ns / MS) as i64, born_ns);
    }

    /// Whether another batch of a partition could be sent before an answer comes.
    pub(crate) fn has_room(&self, partition: usize) -> bool {
        self.lanes[partition].queue.len() < self.treatment.window
    }

    /// Whether what is enqueued can be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.dead && !self.renewing && (!self.treatment.idempotent || self.identity.is_some())
    }

    /// Whether it can never send again.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether nothing is under way or waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    /// Batches whose way has ended since the last call.
    pub(crate) fn take_ended(&mut self) -> Vec<Ended<R>> {
        std::mem::take(&mut self.ended)
    }

    /// Does what can be done now.
    pub(crate) fn act(&mut self, turn: &mut ClientTurn<'_>) {
        self.expire(turn.now_ns);
        if self.is_open() {
            self.send(turn);
        }
        self.ask(turn);
    }

    /// When to look again.
    pub(crate) fn next_wake_ns(&self) -> u64 {
        if self.dead {
            return u64::MAX;
        }
        // What has to wait for the coordinator wakes with its answer.
        let waits = self.transactional.is_some() && !self.is_open();
        let may_go = |partition: i32| !waits && self.may_send_to(partition);
        let lanes = (0..).zip(&self.lanes).filter(|(partition, _)| may_go(*partition));
        let waiting = lanes.filter_map(|(_, lane)| {
            lane.queue.iter().find_map(|batch| match batch.state {
                State::Waiting { until_ns } => Some(until_ns),
                State::InFlight { .. } => None,
            })
        });
        waiting.chain([self.metadata.next_ns(), self.session.deadline_ns()]).min().unwrap_or(u64::MAX)
    }

    /// One line on what it waits for.
    pub(crate) fn status(&self) -> String {
        let waiting: usize = self.lanes.iter().map(|lane| lane.queue.len()).sum();
        format!("producer {}: {waiting} batches unacknowledged, last error {}", self.index, self.last_error)
    }

    /// Sends what may be sent, in order, partition by partition.
    fn send(&mut self, turn: &mut ClientTurn<'_>) {
        for partition in 0..self.lanes.len() {
            if !self.may_send_to(partition as i32) {
                continue;
            }
            while let Some(position) = self.lanes[partition].next_to_send(self.treatment.window) {
                let ready = match self.lanes[partition].queue[position].state {
                    State::Waiting { until_ns } => until_ns <= turn.now_ns,
                    State::InFlight { .. } => false,
                };
                if !ready || !self.send_batch(partition, position, turn) {
                    break;
                }
            }
        }
    }

    /// False if it cannot be sent now.
    fn send_batch(&mut self, partition: usize, position: usize, turn: &mut ClientTurn<'_>) -> bool {
        let Some((leader, _)) = self.metadata.leader(partition as i32) else {
            self.metadata.expire();
            return false;
        };
        let unanswered = self.treatment.acks == 0;
        let batch = &mut self.lanes[partition].queue[position];
        if unanswered && !self.session.is_up(leader) {
            // What is handed to a connection that does not stand yet may be lost with it.
            self.session.connect(leader, turn);
            batch.state = State::Waiting { until_ns: turn.now_ns + BACKOFF };
            return false;
        }
        batch.state = State::InFlight { alone: position == 0 };
        batch.tries += 1;
        let mut builder = BatchBuilder::new(batch.timestamp);
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, Sequence(batch.sequence));
        }
        if self.transactional.is_some() {
            builder = builder.transactional();
        }
        for record in &batch.records {
            builder = record.append(builder);
        }
        let data =
            PartitionProduceData::default().with_index(partition as i32).with_records(Some(builder.build()));
        let topic = TopicProduceData::default()
            .with_name(self.metadata.topic().clone())
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(self.transactional.as_ref().map(|(id, _)| id.clone()))
            .with_acks(self.treatment.acks)
            .with_timeout_ms((self.treatment.request_timeout / MS) as i32)
            .with_topic_data(vec![topic]);
        let (request, number) = (RequestKind::Produce(request), batch.number);
        let of_transactions = self.transactional.as_ref().map(|(_, protocol)| protocol.versions().0);
        let version = of_transactions.unwrap_or(PRODUCE_VERSION);
        if unanswered {
            self.session.tell(leader, ApiKey::Produce, version, &request, turn);
            self.end(partition as i32, number, |_| Fate::Sent);
        } else {
            let tag = Tag::Produce { partition: partition as i32, batch: number };
            self.session.request(leader, ApiKey::Produce, version, &request, tag, turn);
        }
        true
    }

    fn take(&mut self, reply: Reply<Tag>, turn: &mut ClientTurn<'_>) {
        match reply {
            Reply::Lost(Tag::Metadata) => self.metadata.answered(None, turn.now_ns),
            Reply::Lost(Tag::InitProducerId) => self.asking_identity = false,
            Reply::Lost(Tag::Produce { partition, batch }) => {
                self.last_error = code::TRANSPORT;
                self.again(partition, batch, true, turn);
            }
            Reply::Answered(tag, response) => match (tag, *response) {
                (Tag::Metadata, ResponseKind::Metadata(response)) => {
                    self.metadata.answered(Some(&response), turn.now_ns);
                }
                (Tag::InitProducerId, ResponseKind::InitProducerId(response)) => {
                    self.asking_identity = false;
                    if response.error_code == code::NONE {
                        let id = ProducerId(response.producer_id.0);
                        turn.ledger.producer_id(self.index, id);
                        self.identity = Some((id, ProducerEpoch(response.producer_epoch)));
                    } else if !code::NOT_READY.contains(&response.error_code) {
                        let what =
                            format!("producer {}: no producer id, error {}", self.index, response.error_code);
                        turn.ledger.violation("unexpected-error", what);
                    }
                }
                (Tag::Produce { partition, batch }, ResponseKind::Produce(response)) => {
                    self.produced(partition, batch, &response, turn);
                }
                (tag, response) => {
                    turn.ledger.violation("protocol", format!("{tag:?} answered by {response:?}"));
                }
            },
        }
    }

    fn produced(
        &mut self,
        partition: i32,
        number: u64,
        response: &ProduceResponse,
        turn: &mut ClientTurn<'_>,
    ) {
        let answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        let Some(answer) = answers.into_iter().find(|answer| answer.index == partition) else {
            turn.ledger.violation("protocol", format!("produce response without partition {partition}"));
            return self.again(partition, number, true, turn);
        };
        self.last_error = answer.error_code;
        let refused = |batch: &Batch<R>| Fate::Refused { code: answer.error_code, in_doubt: batch.in_doubt };
        match answer.error_code {
            code::NONE => {
                let base = Some(Offset(answer.base_offset)).filter(|offset| offset.0 >= 0);
                self.end(partition, number, |_| Fate::Stored(base));
            }
            code::DUPLICATE_SEQUENCE => self.end(partition, number, |_| Fate::Stored(None)),
            code::NOT_ENOUGH_REPLICAS if self.treatment.gives_up => self.end(partition, number, refused),
            code::OUT_OF_ORDER_SEQUENCE | code::UNKNOWN_PRODUCER_ID => {
                self.out_of_order(partition, number, answer.log_start_offset, turn);
            }
            error if self.transactional.is_some() && code::NOT_IN_TRANSACTION.contains(&error) => {
                self.end(partition, number, |_| Fate::Unknown { code: error });
                self.break_epoch();
            }
            error if code::REFUSED.contains(&error) => self.end(partition, number, refused),
            error if code::RETRIABLE.contains(&error) => {
                self.again(partition, number, code::MAYBE_STORED.contains(&error), turn);
            }
            error => {
                turn.ledger.violation(
                    "unexpected-error",
                    format!("produce to partition {partition}: error {error}"),
                );
                self.die();
            }
        }
    }

    fn end(&mut self, partition: i32, number: u64, fate: impl FnOnce(&Batch<R>) -> Fate) {
        let lane = &mut self.lanes[partition as usize];
        let Some(batch) = lane.take(number) else { return };
        let fate = fate(&batch);
        if let Fate::Stored(Some(base)) = fate {
            lane.stored(&batch, base);
        }
        self.ended.push(Ended { partition, records: batch.records, fate });
    }

    /// With a batch before it unacknowledged this only says that the order has to be restored. Alone, it says that
    /// the broker has forgotten what it acknowledged, or that this is a leader which does not know that it is deposed: then
    /// another one takes it sooner or later. Where all before it is deleted, the broker may have forgotten the producer, and taken
    /// those behind it for its first (KAFKA-14359).
    fn out_of_order(&mut self, partition: i32, number: u64, log_start: i64, turn: &mut ClientTurn<'_>) {
        let lane = &mut self.lanes[partition as usize];
        let deleted = log_start > 0 && log_start >= lane.acknowledged_before(number).0;
        if let Some(batch) = lane.find(number).filter(|batch| batch.is_alone()) {
            if deleted {
                let code = self.last_error;
                self.end(partition, number, |_| Fate::Unknown { code });
                self.renewing = true;
                return;
            }
            if self.transactional.is_some() {
                self.break_epoch();
                return self.again(partition, number, false, turn);
            }
            let (sequence, since_ns) = (batch.sequence, *batch.refused_ns.get_or_insert(turn.now_ns));
            if turn.now_ns < since_ns + DEPOSED {
                return self.again(partition, number, false, turn);
            }
            let what = format!(
                "producer {} partition {partition}: sequence {sequence} refused although all before it is acknowledged",
                self.index
            );
            turn.ledger.violation("sequence-gap", what);
            self.die();
        }
        self.again(partition, number, false, turn);
    }

    /// Back to its place, to be sent again after a pause, perhaps to another leader.
    fn again(&mut self, partition: i32, number: u64, in_doubt: bool, turn: &mut ClientTurn<'_>) {
        let until_ns = turn.now_ns + self.dice.between(0, BACKOFF);
        self.metadata.expire();
        let Some(batch) = self.lanes[partition as usize].find(number) else { return };
        batch.state = State::Waiting { until_ns };
        batch.in_doubt |= in_doubt;
        if batch.tries > self.treatment.retries {
            let code = self.last_error;
            self.end(partition, number, |_| Fate::Unknown { code });
            self.renewing |= self.treatment.idempotent;
        } else {
            turn.ledger.retried();
        }
    }

    /// No sequence of batches holds any more: what is not acknowledged never will be.
    fn die(&mut self) {
        self.dead = true;
        self.give_up_all();
    }

    fn give_up_all(&mut self) {
        let code = self.last_error;
        for (partition, lane) in (0..).zip(&mut self.lanes).filter(|(_, lane)| !lane.queue.is_empty()) {
            let records = lane.queue.drain(..).flat_map(|batch| batch.records).collect();
            self.ended.push(Ended { partition, records, fate: Fate::Unknown { code } });
        }
    }

    /// Gives up what has become too old.
    fn expire(&mut self, now_ns: u64) {
        let lasts = self.treatment.lasts;
        for partition in 0..self.lanes.len() {
            while let Some(number) = self.lanes[partition].too_old(now_ns, lasts) {
                self.end(partition as i32, number, |_| Fate::Unknown { code: code::TIMED_OUT });
                self.renewing |= self.treatment.idempotent;
            }
        }
        let mut batches = self.lanes.iter().flat_map(|lane| &lane.queue);
        if self.renewing && !batches.any(Batch::is_in_flight) {
            self.renew();
        }
    }

    /// Begins a new sequence with a new identity. What may be stored under the old one would be stored twice.
    fn renew(&mut self) {
        if self.transactional.is_some() {
            return self.give_up_all();
        }
        self.renewing = false;
        self.identity = None;
        for partition in 0..self.lanes.len() {
            while let Some(batch) = self.lanes[partition].queue.iter().find(|batch| batch.in_doubt) {
                let number = batch.number;
                self.end(partition as i32, number, |_| Fate::Unknown { code: code::TIMED_OUT });
            }
            self.lanes[partition].renumber();
        }
    }

    fn ask(&mut self, turn: &mut ClientTurn<'_>) {
        let asks = self.treatment.idempotent && self.transactional.is_none();
        if asks && self.identity.is_none() && !self.asking_identity {
            self.asking_identity = true;
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(60_000);
            let request = RequestKind::InitProducerId(request);
            let node = any_broker(turn, &mut self.dice);
            self.session.request(
                node,
                ApiKey::InitProducerId,
                INIT_PRODUCER_ID_VERSION,
                &request,
                Tag::InitProducerId,
                turn,
            );
        }
        self.metadata.ask(&mut self.session, Tag::Metadata, &mut self.dice, turn);
    }
}
