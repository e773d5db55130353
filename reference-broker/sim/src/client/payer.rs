//! A transactional producer of the random mix: a few records to random partitions in each transaction, some of which it aborts.

use kafka_protocol::messages::TransactionalId;
use kafka_protocol::protocol::StrBytes;

use super::desk::{Desk, Manner, Stage};
use super::metadata::{Metadata, topic_name};
use super::pipeline::{Fate, Pipeline, Treatment};
use super::transactor::{Protocol, Transactor};
use super::{Client, ClientEvent, ClientTurn, PAYMENTS};
use crate::dice::Dice;
use crate::ledger::RecordId;
use crate::payments::offset_of;
use crate::plan::{MS, PayerKnobs};

const METADATA_PAUSE: u64 = 30 * MS;
/// What coordinators are given to answer at least: they store what they say first.
const COORDINATOR: u64 = 300 * MS;
/// How long a hasty one rests after it has aborted, at most.
const HASTY_REST: u64 = 1_500 * MS;

pub(crate) struct Payer {
    producer: u16,
    knobs: PayerKnobs,
    pipeline: Pipeline<RecordId>,
    desk: Desk<u32>,
    /// Records that were made.
    made: u32,
    /// Records whose end is not known.
    under_way: u64,
    next_ns: u64,
}

impl Payer {
    /// `producer` is the number that its records bear; it shares its transactional id with those whose knobs name the same.
    pub(crate) fn new(producer: u16, knobs: PayerKnobs, partitions: i32, mut dice: Dice) -> Self {
        let hasty = knobs.manner == Manner::Hasty;
        let treatment = Treatment {
            idempotent: true,
            acks: -1,
            window: 5,
            request_timeout: knobs.request_timeout,
            gives_up: false,
            lasts: knobs.timeout_ms * MS,
            retries: if hasty { 0 } else { u64::MAX },
        };
        let metadata = Metadata::new(topic_name(PAYMENTS), METADATA_PAUSE, u64::MAX);
        let own = Dice::new(dice.number(), crate::dice::Concern::Workload);
        let id = transactional_id(knobs.id);
        let pipeline = Pipeline::new(usize::from(producer), treatment, partitions as usize, metadata, dice);
        let (pipeline, session) =
            pipeline.transactional(id.clone(), knobs.protocol, knobs.request_timeout.max(COORDINATOR));
        let transactor =
            Transactor::new((id, knobs.protocol), topic_name(PAYMENTS), knobs.timeout_ms, session, own);
        let desk = Desk::new(knobs.size, knobs.manner, transactor);
        let desk = if knobs.offsets { desk.with_offsets(offset_of((producer, 0))) } else { desk };
        Self { producer, knobs, pipeline, desk, made: 0, under_way: 0, next_ns: 0 }
    }

    fn wants_more(&self) -> bool {
        !self.desk.is_idle() || self.desk.begun() < self.knobs.transactions
    }

    fn make(&mut self, turn: &mut ClientTurn<'_>) {
        self.made += 1;
        self.desk.before(self.made);
        let partitions = self.pipeline.partitions() as u64;
        let dice = &mut self.pipeline.dice;
        let partition = dice.between(0, partitions - 1) as usize;
        let filler = dice.between(0, 100) as u16;
        let dawdles = dice.percent(self.knobs.dawdle_percent);
        let least = if dawdles { self.knobs.timeout_ms * MS } else { 0 };
        let pause = least + dice.between(0, self.knobs.pause * 2);
        let record = RecordId { producer: self.producer, number: self.made, filler, keys: 0 };
        let transaction = (self.producer, self.desk.begun());
        turn.ledger.payments.sent(transaction, partition as i32, record);
        if self.knobs.offsets {
            turn.ledger.payments.begun(self.knobs.id, transaction);
        }
        self.under_way += 1;
        self.pipeline.enqueue(partition, vec![record], turn.now_ns);
        self.desk.after();
        self.next_ns = turn.now_ns + pause;
    }

    fn aborts(&self) -> bool {
        u64::from(self.desk.begun().wrapping_mul(0x9e37_79b1) >> 8) % 100 < self.knobs.abort_percent
    }

    fn write_down(&mut self, turn: &mut ClientTurn<'_>) {
        let transaction = (self.producer, self.desk.begun());
        let payments = &mut turn.ledger.payments;
        for note in self.desk.take_notes() {
            match (note.stage, note.doubt) {
                (Stage::CommitAsked, _) => payments.commit_asked(transaction),
                (Stage::CommitEnded, None) => {
                    payments.committed(transaction);
                    payments.second += u64::from(self.knobs.protocol == Protocol::Second);
                }
                (Stage::AbortEnded, None) => {
                    payments.aborted += 1;
                    // What it did not wait for may come before its next transaction does.
                    if self.knobs.manner == Manner::Hasty {
                        self.next_ns = turn.now_ns + self.pipeline.dice.between(0, HASTY_REST);
                    }
                }
                (Stage::CommitEnded | Stage::AbortEnded, Some(_)) => payments.fenced += 1,
                (Stage::Begun | Stage::AbortAsked, _) => {}
            }
        }
    }
}

/// What its producers call themselves.
pub(crate) fn transactional_id(id: u16) -> TransactionalId {
    TransactionalId(StrBytes::from_string(format!("payer-{id}")))
}

impl Client for Payer {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        if turn.now_ns < self.knobs.from_ns {
            return self.knobs.from_ns;
        }
        self.desk.hear(event.clone(), &mut self.pipeline, turn);
        self.write_down(turn);
        self.pipeline.hear(event, turn);
        loop {
            if self.desk.is_open() && self.wants_more() && turn.now_ns >= self.next_ns {
                self.make(turn);
            }
            self.pipeline.act(turn);
            let ended = self.pipeline.take_ended();
            if ended.is_empty() {
                break;
            }
            for one in ended {
                self.under_way -= one.records.len() as u64;
                if !matches!(one.fate, Fate::Stored(_)) {
                    self.desk.went_bad();
                }
            }
        }
        let is_last = !self.wants_more() || self.knobs.transactions == 0;
        let aborts = self.aborts();
        self.desk.go_on(&mut self.pipeline, aborts, (is_last, self.under_way > 0));
        if !self.desk.is_dead() {
            self.desk.act(turn);
        }
        self.write_down(turn);
        let make_ns = if self.desk.is_open() && self.wants_more() { self.next_ns } else { u64::MAX };
        let desk_ns = if self.desk.is_dead() { u64::MAX } else { self.desk.next_wake_ns() };
        self.pipeline.next_wake_ns().min(make_ns).min(desk_ns).max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        self.desk.is_dead() || (self.desk.is_idle() && self.under_way == 0 && !self.wants_more())
    }

    fn finish(&mut self) {
        self.knobs.transactions = 0;
    }

    fn status(&self) -> String {
        format!("payer {}: {}; {}", self.producer, self.pipeline.status(), self.desk.status())
    }
}
