//! A producer of the random mix: small batches to random partitions, on the record of the ledger.

use broker_core::record::BatchBuilder;

use super::metadata::{Metadata, topic_name};
use super::pipeline::{Content, Ended, Fate, Pipeline, Treatment};
use super::{Client, ClientEvent, ClientTurn, TOPIC};
use crate::dice::Dice;
use crate::ledger::{Level, RecordId};
use crate::plan::{MS, ProducerKnobs};

const METADATA_PAUSE: u64 = 30 * MS;

impl Content for RecordId {
    fn append(&self, batch: BatchBuilder) -> BatchBuilder {
        batch.record(Some(&self.key()), Some(&self.value()))
    }
}

pub(crate) struct Producer {
    index: usize,
    knobs: ProducerKnobs,
    pipeline: Pipeline<RecordId>,
    made_batches: u64,
    made_records: u32,
    /// How many keys its records have; 0: each its own.
    keys: u16,
    next_batch_ns: u64,
}

impl Producer {
    pub(crate) fn new(index: usize, knobs: ProducerKnobs, keys: u16, partitions: i32, dice: Dice) -> Self {
        let treatment = Treatment {
            idempotent: knobs.idempotent,
            acks: knobs.acks,
            window: knobs.in_flight,
            request_timeout: knobs.request_timeout,
            gives_up: knobs.gives_up,
            lasts: u64::MAX,
            retries: u64::MAX,
        };
        let metadata = Metadata::new(topic_name(TOPIC), METADATA_PAUSE, u64::MAX);
        let pipeline = Pipeline::new(index, treatment, partitions as usize, metadata, dice);
        Self { index, knobs, pipeline, made_batches: 0, made_records: 0, keys, next_batch_ns: 0 }
    }

    fn make_batch(&mut self, turn: &mut ClientTurn<'_>) {
        let partitions = self.pipeline.partitions() as u64;
        let dice = &mut self.pipeline.dice;
        let partition = dice.between(0, partitions - 1) as usize;
        let count = dice.between(1, 3) as usize;
        let records: Vec<RecordId> = (0..count)
            .map(|_| {
                self.made_records += 1;
                let filler = dice.between(0, self.knobs.filler_max) as u16;
                RecordId { producer: self.index as u16, filler, number: self.made_records, keys: self.keys }
            })
            .collect();
        self.next_batch_ns = turn.now_ns + dice.between(0, self.knobs.pause * 2);
        turn.ledger.sent(partition as i32, &records, self.knobs.idempotent);
        self.made_batches += 1;
        self.pipeline.enqueue(partition, records, turn.now_ns);
    }

    fn ended(&self, ended: &Ended<RecordId>, turn: &mut ClientTurn<'_>) {
        match ended.fate {
            Fate::Stored(base) => {
                let level = if self.knobs.acks == -1 { Level::Quorum } else { Level::Leader };
                turn.ledger.acknowledged(ended.partition, &ended.records, base, level);
            }
            Fate::Refused { in_doubt: false, .. } => turn.ledger.rejected(&ended.records),
            Fate::Refused { in_doubt: true, .. } | Fate::Unknown { .. } | Fate::Sent => {}
        }
    }
}

impl Client for Producer {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        self.pipeline.hear(event, turn);
        let wants_more = self.made_batches < self.knobs.batches;
        if self.pipeline.is_open() && wants_more && turn.now_ns >= self.next_batch_ns {
            self.make_batch(turn);
        }
        self.pipeline.act(turn);
        for ended in self.pipeline.take_ended() {
            self.ended(&ended, turn);
        }
        let more = self.made_batches < self.knobs.batches && self.pipeline.is_open();
        let make_ns = if more { self.next_batch_ns } else { u64::MAX };
        // A full pipeline wakes with an answer; polling bounds the rest.
        self.pipeline.next_wake_ns().min(make_ns).max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        self.pipeline.is_dead() || (self.made_batches >= self.knobs.batches && self.pipeline.is_empty())
    }

    fn finish(&mut self) {
        self.knobs.batches = self.made_batches;
    }

    fn status(&self) -> String {
        self.pipeline.status()
    }
}
