//! What producers tell: which messages were sent, and what became of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::chunk_index::ChunkIndex;
use super::conductor::Meter;
use super::finding::Place;
use super::latency::Latency;
use super::limits::Limits;
use super::message_set::MessageSet;
use super::slots::SendSlots;
use super::source::{ShardRole, Source};
use super::transactions::Transactions;
use crate::history::{Event, EventKind, Level, Outcome};
use crate::ids::{MessageId, SessionId};

/// Stands for a partition that is not known.
const NO_PARTITION: u16 = u16::MAX;

/// librdkafka's error class of a send that timed out (`_MSG_TIMED_OUT`, -192).
pub(super) const TIMED_OUT: u16 = -192_i16 as u16;

/// All sends of a run.
#[derive(Debug, Default)]
pub struct Sends {
    /// Messages whose send began.
    pub invoked: MessageSet,
    /// Messages that were acknowledged at the level that counts; of those in transactions, the ones whose commit was
    /// answered, too.
    pub acked: MessageSet,
    /// Messages whose own send was acknowledged, whatever became of their transaction. Empty without transactions.
    pub answered: MessageSet,
    /// The transactions that they were sent in.
    pub transactions: Transactions,
    /// Messages whose every attempt surely had no effect.
    pub failed: MessageSet,
    /// Messages that the harness itself sent again.
    pub retried: MessageSet,
    /// Sessions in which a send timed out on its way. A Kafka client then begins a new producer epoch, which knows nothing of
    /// what the epoch before had under way, and sends that again (KIP-360).
    pub new_epochs: BTreeSet<SessionId>,
    /// Attempts that ended `weak`, or `ok` below the level that counts.
    pub weak: u64,
    /// From the intended send to the acknowledgement.
    pub latency: Latency,
    /// How late sends were begun, as the clients recorded it.
    pub self_lag: Latency,
    /// The course of sends.
    pub slots: SendSlots,
    /// The numbers from which on a session used another channel, where order is kept within one only, or went on behind what
    /// it had given up.
    channels: BTreeMap<SessionId, BTreeSet<u32>>,
    /// When brokers took nothing for want of memory or disk.
    pub limits: Limits,
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
                let mut limited_since = None;
                for event in source.events(shard, 0) {
                    indices[shard].note(&event);
                    last_ns = event.t_ns;
                    sends.limits.note(&event, &mut limited_since);
                    sends.transactions.note(&event);
                    sends.on_event(&event, meta.topic, level, &mut open);
                }
                sends.limits.close(last_ns, &mut limited_since);
                if let Some(session) = meta.session() {
                    let session = (MessageId::new(session, 0).0 >> 32) as u32;
                    sends.transactions.close(session, meta.is_complete());
                }
                for intended in open.intended.iter().copied().filter(|&intended| intended != DONE) {
                    sends.latency.record_censored(last_ns.saturating_sub(intended));
                }
            }
        }
        sends.settle_transactions();
        sends
    }

    /// What a transaction did not commit was not promised to anybody.
    fn settle_transactions(&mut self) {
        if self.transactions.is_empty() {
            return;
        }
        let committed = self.acked.minus(&self.transactions.void).minus(&self.transactions.in_doubt);
        self.answered = std::mem::replace(&mut self.acked, committed);
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
            EventKind::Reconnect => {
                let first = event.message();
                self.channels.entry(first.session()).or_default().insert(first.seq());
            }
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
        if event.c == TIMED_OUT {
            self.new_epochs.insert(message.session());
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

    /// Whether a message was given up, and never acknowledged, before a later one was sent.
    pub(super) fn was_given_up(&self, message: MessageId, later: MessageId) -> bool {
        message.session() == later.session()
            && self.channel(message) < self.channel(later)
            && !self.acked.contains(message)
    }

    /// Which channel of its session a message was sent through, from 0.
    pub(super) fn channel(&self, message: MessageId) -> u16 {
        let later = self.channels.get(&message.session());
        later.map_or(0, |later| later.range(..=message.seq()).count() as u16)
    }

    /// Messages whose fate no client knows.
    pub fn unknown(&self) -> u64 {
        let void = self.transactions.void.minus(&self.failed).count();
        let told = self.acked.count() + self.failed.count() + self.weak + void;
        self.invoked.count().saturating_sub(told)
    }
}

/// Why a message may stand behind one that was sent after it.
pub(super) const GIVEN_UP: &str = "given up before the other was sent";

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
