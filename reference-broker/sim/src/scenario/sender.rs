//! The producer of a plan: messages when they are due, batches as librdkafka forms them, every end on the tape.

use std::collections::BTreeMap;

use broker_core::record::BatchBuilder;
use kafka_protocol::messages::TransactionalId;
use kafka_protocol::protocol::StrBytes;
use mqproof_core::history::{Event, EventKind, Level, Outcome, TransactionPhase, flags};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{Durability, Pace, ProducerPlan};
use mqproof_core::workload::{Generator, Message};

use super::partitioner::partition_of;
use super::tape::{SharedTape, blank};
use crate::client::desk::{Desk, Manner, Note, Stage};
use crate::client::metadata::{Metadata, topic_name};
use crate::client::pipeline::{Content, Ended, Fate, Pipeline, Treatment};
use crate::client::transactor::{Protocol, Transactor};
use crate::client::{Client, ClientEvent, ClientTurn};
use crate::dice::{Concern, Dice};
use crate::plan::MS;

/// As the live clients are set: `linger.ms`, `message.timeout.ms`, `topic.metadata.refresh.interval.ms`.
const LINGER: u64 = 5 * MS;
const LASTS: u64 = 10_000 * MS;
const METADATA_EVERY: u64 = 200 * MS;
const METADATA_PAUSE: u64 = 50 * MS;
const REQUEST_TIMEOUT: u64 = 3_000 * MS;
/// A batch is closed when it has so many bytes.
const BATCH_BYTES: usize = 256 << 10;
/// No partition in an event.
const NO_PARTITION: u32 = u16::MAX as u32;
/// librdkafka's classes: given up after its time, and refused because the producer can send no more.
const TIMED_OUT: i16 = -192;
const FATAL: i16 = -150;
/// Too large, invalid time stamp, unsupported, against a policy, invalid: the first try would have ended like the last.
const REFUSALS: [i16; 7] = [10, 29, 31, 32, 43, 44, 87];

/// A message on its way.
pub(crate) struct Outgoing {
    id: MessageId,
    key: Option<[u8; 4]>,
    payload: Vec<u8>,
}

impl Content for Outgoing {
    fn append(&self, batch: BatchBuilder) -> BatchBuilder {
        batch.record(self.key.as_ref().map(<[u8; 4]>::as_slice), Some(&self.payload))
    }
}

/// A batch that still grows.
struct Open {
    messages: Vec<Outgoing>,
    bytes: usize,
    born_ns: u64,
}

pub(crate) struct Sender {
    plan: ProducerPlan,
    level: Level,
    load_begins_ns: u64,
    generator: Generator,
    next: Option<Message>,
    open: BTreeMap<usize, Open>,
    /// Where messages without a key go until the batch is closed.
    sticky: usize,
    outstanding: u64,
    stopped: bool,
    pipeline: Pipeline<Outgoing>,
    desk: Option<Desk<MessageId>>,
    tape: SharedTape,
}

impl Sender {
    /// Producer number `number` of a plan.
    pub(crate) fn new(
        plan: &ProducerPlan,
        number: u16,
        durability: Durability,
        partitions: u32,
        load_begins_ns: u64,
        dice: Dice,
        tape: SharedTape,
    ) -> Self {
        let (acks, level) = match durability {
            Durability::None => (0, Level::Sent),
            Durability::Leader => (1, Level::Leader),
            Durability::Quorum => (-1, Level::Quorum),
            Durability::QuorumDisk => (-1, Level::QuorumDisk),
        };
        let idempotent = plan.idempotence && acks == -1;
        let window = if idempotent { plan.in_flight.clamp(1, 5) } else { plan.in_flight.max(1) };
        let treatment = Treatment {
            idempotent,
            acks,
            window: window as usize,
            request_timeout: REQUEST_TIMEOUT,
            gives_up: false,
            lasts: plan.transactions.map_or(LASTS, |one| LASTS.min(one.timeout_ms * MS)),
            retries: u64::from(if idempotent { plan.retries.max(1) } else { plan.retries }),
        };
        let metadata = Metadata::new(topic_name(&plan.topic), METADATA_PAUSE, METADATA_EVERY);
        let desk_dice = Dice::new(u64::from(number) ^ plan.seed, Concern::Workload);
        let mut pipeline = Pipeline::new(usize::from(number), treatment, partitions as usize, metadata, dice);
        let mut desk = None;
        if let Some(transactions) = plan.transactions {
            let id = format!("{}-{}-{}", plan.topic, plan.role, plan.instance);
            let id = TransactionalId(StrBytes::from_string(id));
            let (owned, session) =
                pipeline.transactional(id.clone(), Protocol::First, treatment.request_timeout);
            let topic = topic_name(&plan.topic);
            let transactor =
                Transactor::new((id, Protocol::First), topic, transactions.timeout_ms, session, desk_dice);
            desk = Some(Desk::new(transactions.messages, Manner::Plain, transactor));
            pipeline = owned;
        }
        let run_id = tape.borrow().meta.run_id;
        let mut generator = Generator::new(plan, number, 0, run_id);
        Self {
            level,
            load_begins_ns,
            next: generator.next(),
            generator,
            open: BTreeMap::new(),
            sticky: 0,
            outstanding: 0,
            stopped: false,
            pipeline,
            desk,
            tape,
            plan: plan.clone(),
        }
    }

    /// When the next message is due; None: none is, or not before one that is under way has ended.
    fn due_ns(&self, now_ns: u64) -> Option<u64> {
        let may_send = self.desk.as_ref().is_none_or(Desk::is_open);
        let message = self.next.filter(|_| !self.stopped && may_send)?;
        match (message.intended_ns, self.plan.pace) {
            (Some(intended_ns), _) => Some(self.load_begins_ns + intended_ns),
            (None, Pace::Closed { outstanding }) => {
                let due_ns = (self.load_begins_ns + self.plan.from_ns).max(now_ns);
                let in_time = due_ns < self.load_begins_ns.saturating_add(self.plan.until_ns);
                (in_time && self.outstanding < u64::from(outstanding.max(1))).then_some(due_ns)
            }
            (None, Pace::Open { .. }) => unreachable!("in an open loop each message has a due time"),
        }
    }

    fn send_due(&mut self, turn: &ClientTurn<'_>) {
        while let Some((message, due_ns)) = self.next.zip(self.due_ns(turn.now_ns)) {
            if due_ns > turn.now_ns {
                return;
            }
            if let Some(desk) = &mut self.desk {
                desk.before(self.generator.id(&message));
            }
            self.write_down(turn.now_ns);
            self.next = self.generator.next();
            self.send(&message, due_ns, turn.now_ns);
            self.desk.iter_mut().for_each(Desk::after);
        }
    }

    fn send(&mut self, message: &Message, due_ns: u64, now_ns: u64) {
        let id = self.generator.id(message);
        let event = Event { msg: id.0, a: due_ns, ..blank(EventKind::SendInvoke, now_ns) };
        self.tape.borrow_mut().record(event);
        self.outstanding += 1;
        if self.pipeline.is_dead() {
            return self.end(id, (Outcome::Fail, FATAL), None, now_ns);
        }
        let mut payload = Vec::new();
        self.generator.write_payload(message, due_ns, &mut payload);
        let key = message.key.map(u32::to_le_bytes);
        let partitions = self.pipeline.partitions();
        let partition = key.map_or(self.sticky, |key| partition_of(&key, partitions));
        let open = self.open.entry(partition).or_insert_with(|| Open {
            messages: Vec::new(),
            bytes: 0,
            born_ns: now_ns,
        });
        open.bytes += payload.len();
        open.messages.push(Outgoing { id, key, payload });
    }

    /// Puts on the tape what has become of transactions.
    fn write_down(&mut self, now_ns: u64) {
        let notes = self.desk.iter_mut().flat_map(Desk::take_notes);
        for Note { stage, first, messages, doubt } in notes {
            let phase = match stage {
                Stage::Begun => TransactionPhase::Begin,
                Stage::CommitAsked => TransactionPhase::CommitInvoke,
                Stage::CommitEnded => TransactionPhase::CommitEnd,
                Stage::AbortAsked => TransactionPhase::AbortInvoke,
                Stage::AbortEnded => TransactionPhase::AbortEnd,
            };
            let outcome = if doubt.is_some() { Outcome::Info } else { Outcome::Ok };
            self.tape.borrow_mut().record(Event {
                msg: first.0,
                a: u64::from(messages),
                flags: outcome as u8 | (phase as u8) << flags::PHASE_SHIFT,
                c: doubt.unwrap_or(0) as u16,
                ..blank(EventKind::Transaction, now_ns)
            });
        }
    }

    /// Closes batches that are old or large enough and can be sent soon.
    fn close(&mut self, now_ns: u64) {
        if self.pipeline.is_dead() {
            for message in std::mem::take(&mut self.open).into_values().flat_map(|open| open.messages) {
                self.end(message.id, (Outcome::Fail, FATAL), None, now_ns);
            }
        }
        let flushing = self.desk.as_ref().is_some_and(Desk::is_flushing);
        let ripe = |open: &Open| flushing || open.bytes >= BATCH_BYTES || now_ns >= open.born_ns + LINGER;
        let places: Vec<usize> =
            self.open.iter().filter(|(_, open)| ripe(open)).map(|(partition, _)| *partition).collect();
        for partition in places {
            let too_old = now_ns > self.open[&partition].born_ns + LASTS;
            if !too_old && !self.pipeline.has_room(partition) {
                continue;
            }
            let Some(open) = self.open.remove(&partition) else { continue };
            if partition == self.sticky {
                let partitions = self.pipeline.partitions() as u64;
                self.sticky = self.pipeline.dice.between(0, partitions - 1) as usize;
            }
            if too_old {
                for message in open.messages {
                    self.end(message.id, (Outcome::Info, TIMED_OUT), None, now_ns);
                }
            } else {
                self.pipeline.enqueue(partition, open.messages, open.born_ns);
            }
        }
    }

    fn ended(&mut self, ended: Ended<Outgoing>, now_ns: u64) {
        let (how, base) = match ended.fate {
            Fate::Stored(base) => ((Outcome::Ok, 0), base),
            Fate::Sent => ((Outcome::Ok, 0), None),
            Fate::Refused { code, in_doubt: false } if REFUSALS.contains(&code) => {
                ((Outcome::Fail, code), None)
            }
            Fate::Refused { code, .. } | Fate::Unknown { code } => ((Outcome::Info, code), None),
        };
        for (delta, message) in (0..).zip(ended.records) {
            let offset = base.map(|base| base.0 as u64 + delta);
            self.end(message.id, how, Some((ended.partition, offset)), now_ns);
        }
    }

    fn end(
        &mut self,
        id: MessageId,
        (outcome, class): (Outcome, i16),
        place: Option<(i32, Option<u64>)>,
        now_ns: u64,
    ) {
        if outcome != Outcome::Ok {
            self.desk.iter_mut().for_each(Desk::went_bad);
        }
        let level = if outcome == Outcome::Ok { self.level } else { Level::Sent };
        self.outstanding -= 1;
        self.tape.borrow_mut().record(Event {
            msg: id.0,
            a: place.and_then(|(_, offset)| offset).unwrap_or(Event::NO_OFFSET),
            b: place.map_or(NO_PARTITION, |(partition, _)| partition as u32),
            flags: outcome as u8 | (level as u8) << flags::LEVEL_SHIFT,
            c: class as u16,
            ..blank(EventKind::SendEnd, now_ns)
        });
    }

    fn next_wake_ns(&self, now_ns: u64) -> u64 {
        let ripens = self.open.iter().map(|(partition, open)| {
            let room = self.pipeline.has_room(*partition);
            open.born_ns + if room { LINGER } else { LASTS + MS }
        });
        let due = self.due_ns(now_ns).unwrap_or(u64::MAX);
        let desk = self.desk.as_ref().map_or(u64::MAX, Desk::next_wake_ns);
        ripens.chain([due, desk, self.pipeline.next_wake_ns()]).min().unwrap_or(u64::MAX)
    }
}

impl Client for Sender {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        if let Some(desk) = &mut self.desk {
            desk.hear(event.clone(), &mut self.pipeline, turn);
        }
        self.write_down(turn.now_ns);
        self.pipeline.hear(event, turn);
        loop {
            self.send_due(turn);
            self.close(turn.now_ns);
            self.pipeline.act(turn);
            let ended = self.pipeline.take_ended();
            let has_ended = !ended.is_empty();
            for one in ended {
                self.ended(one, turn.now_ns);
            }
            if !has_ended {
                break;
            }
        }
        let (is_last, under_way) = (self.next.is_none() || self.stopped, self.outstanding > 0);
        if let Some(desk) = &mut self.desk {
            let abort = self.plan.transactions.map(|plan| plan.abort);
            let aborts =
                abort.is_some_and(|share| self.generator.aborts(desk.begun().saturating_sub(1), share));
            desk.go_on(&mut self.pipeline, aborts, (is_last, under_way));
            desk.act(turn);
        }
        self.write_down(turn.now_ns);
        if self.is_done() { u64::MAX } else { self.next_wake_ns(turn.now_ns).max(turn.now_ns + 1000) }
    }

    fn is_done(&self) -> bool {
        let all_sent = self.next.is_none() || self.stopped;
        all_sent && self.outstanding == 0 && self.desk.as_ref().is_none_or(Desk::is_idle)
    }

    fn finish(&mut self) {
        self.stopped = true;
    }

    fn status(&self) -> String {
        let desk = self.desk.as_ref().map_or_else(String::new, |desk| format!("; {}", desk.status()));
        format!("{}{desk}", self.pipeline.status())
    }
}
