//! A producer: batches with or without sequence numbers, pipelined, sent again until they are acknowledged.
//!
//! Like librdkafka and the Java client it puts failed batches back in their old order and sends nothing past them;
//! batches that were under way to an old leader meanwhile are what sequence numbers are for (KIP-98).

use std::collections::VecDeque;

use broker_core::record::BatchBuilder;
use broker_core::{Offset, ProducerEpoch, ProducerId, Sequence};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, InitProducerIdRequest, ProduceRequest, ProduceResponse, RequestKind, ResponseKind,
};

use super::metadata::{METADATA_VERSION, Metadata, any_broker, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::ledger::{Level, RecordId};
use crate::plan::{MS, ProducerKnobs};

const PRODUCE_VERSION: i16 = 8;
const INIT_PRODUCER_ID_VERSION: i16 = 1;
const BACKOFF: u64 = 20 * MS;
const METADATA_PAUSE: u64 = 30 * MS;

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
    /// Unknown topic or partition, leader not available, not leader, timed out, not enough replicas (before and
    /// after the append), network, storage, fenced and unknown leader epoch.
    pub(super) const RETRIABLE: [i16; 10] = [3, 5, 6, 7, 13, NOT_ENOUGH_REPLICAS, 20, 56, 74, 75];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting {
        until_ns: u64,
    },
    /// `alone`: nothing before it was unacknowledged when it was sent.
    InFlight {
        alone: bool,
    },
}

#[derive(Debug)]
struct Batch {
    number: u64,
    records: Vec<RecordId>,
    sequence: i32,
    state: State,
    timestamp: i64,
    /// An earlier try may have been stored.
    in_doubt: bool,
}

#[derive(Debug)]
enum Tag {
    Metadata,
    InitProducerId,
    Produce { partition: i32, batch: u64 },
}

pub(crate) struct Producer {
    index: usize,
    knobs: ProducerKnobs,
    session: Session<Tag>,
    metadata: Metadata,
    dice: Dice,
    queues: Vec<VecDeque<Batch>>,
    next_sequence: Vec<i32>,
    identity: Option<(ProducerId, ProducerEpoch)>,
    asking_identity: bool,
    asking_metadata: bool,
    stale_metadata: bool,
    metadata_not_before_ns: u64,
    made_batches: u64,
    made_records: u32,
    next_batch_ns: u64,
    /// Unacknowledged for good: nothing more is sent.
    dead: bool,
    last_error: i16,
}

impl Producer {
    pub(crate) fn new(index: usize, knobs: ProducerKnobs, partitions: i32, dice: Dice) -> Self {
        let partitions = partitions as usize;
        Self {
            index,
            session: Session::new(knobs.request_timeout),
            metadata: Metadata::default(),
            dice,
            queues: (0..partitions).map(|_| VecDeque::new()).collect(),
            next_sequence: vec![0; partitions],
            identity: None,
            asking_identity: false,
            asking_metadata: false,
            stale_metadata: true,
            metadata_not_before_ns: 0,
            made_batches: 0,
            made_records: 0,
            next_batch_ns: 0,
            dead: false,
            last_error: 0,
            knobs,
        }
    }

    fn make_batch(&mut self, turn: &mut ClientTurn<'_>) {
        let partition = self.dice.between(0, self.queues.len() as u64 - 1) as usize;
        let count = self.dice.between(1, 3) as usize;
        let records: Vec<RecordId> = (0..count)
            .map(|_| {
                self.made_records += 1;
                let filler = self.dice.between(0, self.knobs.filler_max) as u16;
                RecordId { producer: self.index as u16, filler, number: self.made_records }
            })
            .collect();
        turn.ledger.sent(partition as i32, &records, self.knobs.idempotent);
        let sequence = self.next_sequence[partition];
        self.next_sequence[partition] = Sequence(sequence).plus(count as i32).0;
        self.made_batches += 1;
        self.queues[partition].push_back(Batch {
            number: self.made_batches,
            records,
            sequence,
            state: State::Waiting { until_ns: 0 },
            timestamp: (turn.now_ns / MS) as i64,
            in_doubt: false,
        });
        self.next_batch_ns = turn.now_ns + self.dice.between(0, self.knobs.pause * 2);
    }

    /// Sends what may be sent, in order, partition by partition.
    fn send(&mut self, turn: &mut ClientTurn<'_>) {
        for partition in 0..self.queues.len() {
            let in_flight = |batch: &Batch| matches!(batch.state, State::InFlight { .. });
            while self.queues[partition].iter().filter(|batch| in_flight(batch)).count()
                < self.knobs.in_flight
            {
                let position = self.queues[partition].iter().position(|batch| !in_flight(batch));
                let Some(position) = position else { break };
                let ready = match self.queues[partition][position].state {
                    State::Waiting { until_ns } => until_ns <= turn.now_ns,
                    State::InFlight { .. } => false,
                };
                if !ready || !self.send_batch(partition, position, turn) {
                    break;
                }
            }
        }
    }

    /// False if the leader is not known.
    fn send_batch(&mut self, partition: usize, position: usize, turn: &mut ClientTurn<'_>) -> bool {
        let Some((leader, _)) = self.metadata.leader(partition as i32) else {
            self.stale_metadata = true;
            return false;
        };
        let batch = &mut self.queues[partition][position];
        batch.state = State::InFlight { alone: position == 0 };
        let mut builder = BatchBuilder::new(batch.timestamp);
        if let Some((id, epoch)) = self.identity {
            builder = builder.producer(id, epoch, Sequence(batch.sequence));
        }
        for record in &batch.records {
            builder = builder.record(Some(&record.key()), Some(&record.value()));
        }
        let data =
            PartitionProduceData::default().with_index(partition as i32).with_records(Some(builder.build()));
        let topic = TopicProduceData::default().with_name(topic_name()).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(self.knobs.acks)
            .with_timeout_ms((self.knobs.request_timeout / MS) as i32)
            .with_topic_data(vec![topic]);
        let tag = Tag::Produce { partition: partition as i32, batch: batch.number };
        self.session.request(
            leader,
            ApiKey::Produce,
            PRODUCE_VERSION,
            &RequestKind::Produce(request),
            tag,
            turn,
        );
        true
    }

    fn take(&mut self, reply: Reply<Tag>, turn: &mut ClientTurn<'_>) {
        match reply {
            Reply::Lost(Tag::Metadata) => self.metadata_done(turn),
            Reply::Lost(Tag::InitProducerId) => self.asking_identity = false,
            Reply::Lost(Tag::Produce { partition, batch }) => self.again(partition, batch, true, turn),
            Reply::Answered(tag, response) => match (tag, *response) {
                (Tag::Metadata, ResponseKind::Metadata(response)) => {
                    self.metadata.update(&response);
                    self.metadata_done(turn);
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

    fn metadata_done(&mut self, turn: &ClientTurn<'_>) {
        self.asking_metadata = false;
        self.metadata_not_before_ns = turn.now_ns + METADATA_PAUSE;
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
        match answer.error_code {
            code::NONE => self.acknowledged(partition, number, Some(Offset(answer.base_offset)), turn),
            code::DUPLICATE_SEQUENCE => self.acknowledged(partition, number, None, turn),
            code::NOT_ENOUGH_REPLICAS if self.knobs.gives_up => self.rejected(partition, number, turn),
            code::OUT_OF_ORDER_SEQUENCE | code::UNKNOWN_PRODUCER_ID => {
                self.out_of_order(partition, number, turn);
            }
            error if code::REFUSED.contains(&error) => self.rejected(partition, number, turn),
            error if code::RETRIABLE.contains(&error) => {
                self.again(partition, number, code::MAYBE_STORED.contains(&error), turn);
            }
            error => {
                turn.ledger.violation(
                    "unexpected-error",
                    format!("produce to partition {partition}: error {error}"),
                );
                self.dead = true;
            }
        }
    }

    fn acknowledged(&mut self, partition: i32, number: u64, base: Option<Offset>, turn: &mut ClientTurn<'_>) {
        let queue = &mut self.queues[partition as usize];
        let Some(position) = queue.iter().position(|batch| batch.number == number) else { return };
        let base = base.filter(|offset| offset.0 >= 0);
        if let Some(batch) = queue.remove(position) {
            let level = if self.knobs.acks == -1 { Level::Quorum } else { Level::Leader };
            turn.ledger.acknowledged(partition, &batch.records, base, level);
        }
    }

    /// Surely not stored by this try.
    fn rejected(&mut self, partition: i32, number: u64, turn: &mut ClientTurn<'_>) {
        let queue = &mut self.queues[partition as usize];
        if let Some(position) = queue.iter().position(|batch| batch.number == number)
            && let Some(batch) = queue.remove(position)
            && !batch.in_doubt
        {
            turn.ledger.rejected(&batch.records);
        }
    }

    /// With a batch before it unacknowledged this only says that the order has to be restored. Alone, it says that
    /// the broker has forgotten what it acknowledged.
    fn out_of_order(&mut self, partition: i32, number: u64, turn: &mut ClientTurn<'_>) {
        let batch = self.queues[partition as usize].iter().find(|batch| batch.number == number);
        if let Some(Batch { state: State::InFlight { alone: true }, sequence, .. }) = batch {
            let what = format!(
                "producer {} partition {partition}: sequence {sequence} refused although all before it is acknowledged",
                self.index
            );
            turn.ledger.violation("sequence-gap", what);
            self.dead = true;
        }
        self.again(partition, number, false, turn);
    }

    /// Back to its place, to be sent again after a pause, perhaps to another leader.
    fn again(&mut self, partition: i32, number: u64, in_doubt: bool, turn: &mut ClientTurn<'_>) {
        let until_ns = turn.now_ns + self.dice.between(0, BACKOFF);
        self.stale_metadata = true;
        let mut batches = self.queues[partition as usize].iter_mut();
        if let Some(batch) = batches.find(|batch| batch.number == number) {
            turn.ledger.retried();
            batch.state = State::Waiting { until_ns };
            batch.in_doubt |= in_doubt;
        }
    }

    fn ask(&mut self, turn: &mut ClientTurn<'_>) {
        if self.knobs.idempotent && self.identity.is_none() && !self.asking_identity {
            self.asking_identity = true;
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(60_000);
            let request = RequestKind::InitProducerId(request);
            let node = any_broker(&mut self.dice);
            self.session.request(
                node,
                ApiKey::InitProducerId,
                INIT_PRODUCER_ID_VERSION,
                &request,
                Tag::InitProducerId,
                turn,
            );
        }
        if self.stale_metadata && !self.asking_metadata && turn.now_ns >= self.metadata_not_before_ns {
            self.stale_metadata = false;
            self.asking_metadata = true;
            let node = any_broker(&mut self.dice);
            self.session.request(
                node,
                ApiKey::Metadata,
                METADATA_VERSION,
                &Metadata::request(),
                Tag::Metadata,
                turn,
            );
        }
    }

    fn may_produce(&self) -> bool {
        !self.dead && (!self.knobs.idempotent || self.identity.is_some())
    }

    fn next_wake_ns(&self) -> u64 {
        if self.dead {
            return u64::MAX;
        }
        let waiting = self.queues.iter().filter_map(|queue| {
            queue.iter().find_map(|batch| match batch.state {
                State::Waiting { until_ns } => Some(until_ns),
                State::InFlight { .. } => None,
            })
        });
        let make = if self.made_batches < self.knobs.batches && self.may_produce() {
            self.next_batch_ns
        } else {
            u64::MAX
        };
        let ask =
            if self.stale_metadata && !self.asking_metadata { self.metadata_not_before_ns } else { u64::MAX };
        waiting.chain([make, ask, self.session.deadline_ns()]).min().unwrap_or(u64::MAX)
    }
}

impl Client for Producer {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.take(reply, turn);
        }
        if self.may_produce() {
            if self.made_batches < self.knobs.batches && turn.now_ns >= self.next_batch_ns {
                self.make_batch(turn);
            }
            self.send(turn);
        }
        self.ask(turn);
        // A full pipeline wakes with an answer; polling bounds the rest.
        self.next_wake_ns().max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        self.dead || (self.made_batches >= self.knobs.batches && self.queues.iter().all(VecDeque::is_empty))
    }

    fn finish(&mut self) {
        self.knobs.batches = self.made_batches;
    }

    fn status(&self) -> String {
        let waiting: usize = self.queues.iter().map(VecDeque::len).sum();
        format!("producer {}: {waiting} batches unacknowledged, last error {}", self.index, self.last_error)
    }
}
