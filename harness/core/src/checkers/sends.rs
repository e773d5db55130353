//! What producers tell: which messages were sent, and what became of each.

use std::collections::VecDeque;

use super::chunk_index::ChunkIndex;
use super::conductor::Meter;
use super::finding::Place;
use super::latency::Latency;
use super::message_set::MessageSet;
use super::slots::SendSlots;
use super::source::{ShardRole, Source};
use crate::history::{Event, EventKind, Level, Outcome};
use crate::ids::MessageId;

/// Stands for a partition that is not known.
const NO_PARTITION: u16 = u16::MAX;

/// All sends of a run.
#[derive(Debug, Default)]
pub struct Sends {
    /// Messages whose send began.
    pub invoked: MessageSet,
    /// Messages that were acknowledged at the level that counts.
    pub acked: MessageSet,
    /// Messages whose every attempt surely had no effect.
    pub failed: MessageSet,
    /// Messages that the harness itself sent again.
    pub retried: MessageSet,
    /// Attempts that ended `weak`, or `ok` below the level that counts.
    pub weak: u64,
    /// From the intended send to the acknowledgement.
    pub latency: Latency,
    /// How late sends were begun, as the clients recorded it.
    pub self_lag: Latency,
    /// The course of sends.
    pub slots: SendSlots,
    /// Acknowledged records that were not replicated when a fault took effect.
    pub meters: Vec<Meter>,
    /// When the first send began.
    pub first_ns: Option<u64>,
    /// When the last acknowledgement came.
    pub last_ack_ns: Option<u64>,
}

impl Sends {
    /// Reads all producers. `level`: from which on an acknowledgement counts; None: nothing is acknowledged.
    /// `indices` holds one entry per journal.
    /// `meters` are filled on the way.
    pub fn read(
        source: &dyn Source,
        level: Option<Level>,
        meters: &[Meter],
        indices: &mut [ChunkIndex],
    ) -> Self {
        let mut sends = Self { meters: meters.to_vec(), ..Self::default() };
        sends.slots.origin_ns = source.names().load_begins_ns;
        for (shard, meta) in source.shards().iter().enumerate() {
            if let ShardRole::Producer(_) = meta.role {
                let mut open = Open::default();
                let mut last_ns = 0;
                for event in source.events(shard, 0) {
                    indices[shard].note(&event);
                    last_ns = event.t_ns;
                    sends.on_event(&event, meta.topic, level, &mut open);
                }
                for intended in open.intended.iter().copied().filter(|&intended| intended != DONE) {
                    sends.latency.record_censored(last_ns.saturating_sub(intended));
                }
            }
        }
        sends
    }

    fn on_event(&mut self, event: &Event, topic: u16, level: Option<Level>, open: &mut Open) {
        match event.kind {
            EventKind::SendInvoke => {
                if self.invoked.insert(event.message()) {
                    open.begin(event.message().seq(), event.a);
                    let slot = self.slots.slot(event.a);
                    self.slots.scheduled.add(slot);
                    self.first_ns = Some(self.first_ns.map_or(event.t_ns, |first| first.min(event.t_ns)));
                } else {
                    self.retried.insert(event.message());
                }
            }
            EventKind::SendEnd => self.on_end(event, topic, level, open),
            EventKind::SelfLag if event.flags == 0 => self.self_lag.record(event.a),
            _ => {}
        }
    }

    fn on_end(&mut self, event: &Event, topic: u16, level: Option<Level>, open: &mut Open) {
        let message = event.message();
        let counts = event.outcome() == Outcome::Ok && level.is_some_and(|level| event.level() >= level);
        let intended = open.end(message.seq());
        if counts {
            self.on_ack(event, topic, intended);
        } else {
            let slot = self.slots.slot(event.t_ns);
            self.slots.unacknowledged.add(slot);
            if let Some(intended) = intended {
                self.latency.record_censored(event.t_ns.saturating_sub(intended));
            }
        }
        match event.outcome() {
            Outcome::Fail if !self.acked.contains(message) && intended.is_some() => {
                self.failed.insert(message);
            }
            Outcome::Fail => {}
            Outcome::Weak => self.weak += 1,
            Outcome::Ok if !counts => self.weak += u64::from(level.is_some()),
            _ => {}
        }
        if event.outcome() != Outcome::Fail {
            self.failed.remove(message);
        }
        if let Some(intended) = intended {
            self.place(event, topic, intended, counts);
        }
    }

    fn on_ack(&mut self, event: &Event, topic: u16, intended: Option<u64>) {
        for meter in &mut self.meters {
            let here = meter.place == Place { topic, partition: event.partition() };
            let past = event.a != Event::NO_OFFSET && event.a >= meter.end && event.t_ns <= meter.until_ns;
            meter.count += u64::from(here && past);
        }
        self.acked.insert(event.message());
        let slot = self.slots.slot(event.t_ns);
        self.slots.acked.add(slot);
        self.last_ack_ns = self.last_ack_ns.max(Some(event.t_ns));
        if let Some(intended) = intended {
            let ns = event.t_ns.saturating_sub(intended);
            self.latency.record(ns);
            self.slots.latency.entry(slot).or_default().record(ns);
        }
    }

    /// Books a send on its partition, which a client knows at the end even of a send that failed.
    fn place(&mut self, event: &Event, topic: u16, intended: u64, counts: bool) {
        if event.partition() == NO_PARTITION {
            *self.slots.unplaced.entry(topic).or_default() += 1;
            return;
        }
        let (due, now) = (self.slots.slot(intended), self.slots.slot(event.t_ns));
        let place = self.slots.places.entry(Place { topic, partition: event.partition() }).or_default();
        place.scheduled.add(due);
        if counts {
            place.acked.add(now);
            place.succeeded.add(due);
        }
    }

    /// Messages whose fate no client knows.
    pub fn unknown(&self) -> u64 {
        let told = self.acked.count() + self.failed.count() + self.weak;
        self.invoked.count().saturating_sub(told)
    }
}

/// Stands in [`Open`] for a send that ended.
const DONE: u64 = u64::MAX;

/// Sends of one session that have not ended: intended times, from the oldest open one on.
#[derive(Default)]
struct Open {
    first: u32,
    intended: VecDeque<u64>,
}

impl Open {
    fn begin(&mut self, seq: u32, intended: u64) {
        if self.intended.is_empty() {
            self.first = seq;
        }
        // Numbers ascend; one that was left out counts as ended.
        let Some(index) = seq.checked_sub(self.first) else { return };
        while self.intended.len() < index as usize {
            self.intended.push_back(DONE);
        }
        if self.intended.len() == index as usize {
            self.intended.push_back(intended);
        }
    }

    /// The intended time of a send that now ends for the first time.
    fn end(&mut self, seq: u32) -> Option<u64> {
        let intended = self.intended.get_mut(seq.checked_sub(self.first)? as usize)?;
        let intended = std::mem::replace(intended, DONE);
        while self.intended.front() == Some(&DONE) {
            self.intended.pop_front();
            self.first += 1;
        }
        (intended != DONE).then_some(intended)
    }
}

/// Whether a message is of this run: its send began, or the journal that would tell is not complete.
pub fn may_be_sent(source: &dyn Source, sends: &Sends, message: MessageId) -> bool {
    sends.invoked.contains(message)
        || source.shards().iter().any(|meta| meta.session() == Some(message.session()) && !meta.is_complete())
}
