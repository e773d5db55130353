//! Literal histories: one producer `p0.0`, one group of two consumers, two drain readers, a conductor. Times are
//! milliseconds after the start of load.

use std::collections::BTreeMap;

use crate::checkers::{KeyOf, MemorySource, Names, ShardMeta, ShardRole};
use crate::history::{Delivery, Event, EventKind, Level, MemberChange, Outcome, TransactionPhase, flags};
use crate::ids::{MessageId, SessionId};
use crate::plan::*;
use crate::property::Property;
use crate::verdict::{CheckResult, Judged, RunFacts, VerdictWord, judge};

/// When the load begins, on the clock of the events.
const BEGIN_NS: u64 = 1_000_000_000;
/// Offsets of the journals in [`Story::events`].
pub(super) const PRODUCER: usize = 0;
pub(super) const CONSUMERS: [usize; 2] = [1, 2];
pub(super) const DRAINS: [usize; 2] = [3, 4];
const CONDUCTOR: usize = 5;
/// The drain reader of committed records; there is none while it has no events.
pub(super) const VISIBLE: usize = 6;

/// A message of the producer.
pub(super) fn message(seq: u32) -> MessageId {
    MessageId::new(SessionId { producer: 0, incarnation: 0 }, seq)
}

/// Message `seq` has key `seq % 2`.
pub(super) struct TwoKeys;

impl KeyOf for TwoKeys {
    fn key(&self, message: MessageId) -> Option<u32> {
        Some(message.seq() % 2)
    }
}

/// A history while it is written down.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) plan: Plan,
    pub(super) system: &'static str,
    pub(super) events: [Vec<Event>; 7],
    pub(super) unsealed: Option<usize>,
    certified: bool,
}

impl Story {
    /// Nothing happened yet.
    pub(super) fn new() -> Self {
        Self {
            plan: plan(),
            system: "reference",
            events: Default::default(),
            unsealed: None,
            certified: false,
        }
    }

    fn push(mut self, shard: usize, at_ms: u64, kind: EventKind, event: Event) -> Self {
        self.events[shard].push(Event { t_ns: BEGIN_NS + at_ms * 1_000_000, kind, ..event });
        self
    }

    /// A send begins.
    pub(super) fn sent(self, at_ms: u64, seq: u32) -> Self {
        let event = Event { msg: message(seq).0, a: BEGIN_NS + at_ms * 1_000_000, ..BLANK };
        self.push(PRODUCER, at_ms, EventKind::SendInvoke, event)
    }

    /// A send ends.
    pub(super) fn ended(self, at_ms: u64, seq: u32, outcome: Outcome, level: Level, offset: u64) -> Self {
        let bits = outcome as u8 | (level as u8) << flags::LEVEL_SHIFT;
        self.push(
            PRODUCER,
            at_ms,
            EventKind::SendEnd,
            Event { msg: message(seq).0, a: offset, flags: bits, ..BLANK },
        )
    }

    /// A send begins, and is acknowledged by a quorum one millisecond later.
    pub(super) fn acked(self, at_ms: u64, seq: u32, offset: u64) -> Self {
        self.sent(at_ms, seq).ended(at_ms + 1, seq, Outcome::Ok, Level::Quorum, offset)
    }

    /// The producer goes on over another channel, from this message on.
    pub(super) fn reconnected(self, at_ms: u64, first: u32) -> Self {
        self.push(PRODUCER, at_ms, EventKind::Reconnect, Event { msg: message(first).0, ..BLANK })
    }

    /// A record is handed to a reader.
    pub(super) fn read(self, shard: usize, at_ms: u64, offset: u64, seq: u32) -> Self {
        self.push(shard, at_ms, EventKind::Deliver, Event { msg: message(seq).0, a: offset, ..BLANK })
    }

    /// A record that cannot be read as what was sent.
    pub(super) fn read_bad(
        self,
        shard: usize,
        at_ms: u64,
        offset: u64,
        id: MessageId,
        state: Delivery,
    ) -> Self {
        self.push(
            shard,
            at_ms,
            EventKind::Deliver,
            Event { msg: id.0, a: offset, flags: state as u8, ..BLANK },
        )
    }

    /// A member is given the partition, or loses it.
    pub(super) fn member(self, shard: usize, at_ms: u64, change: MemberChange, session: u16) -> Self {
        let event = Event { a: Event::NO_OFFSET, flags: change as u8, c: session, ..BLANK };
        self.push(shard, at_ms, EventKind::Member, event)
    }

    /// A commit up to `next` succeeds.
    pub(super) fn commit(self, shard: usize, at_ms: u64, next: u64) -> Self {
        self.push(shard, at_ms, EventKind::Commit, Event { a: next, ..BLANK })
    }

    /// The log as both drain readers read it.
    pub(super) fn log(mut self, records: &[(u64, u32)]) -> Self {
        for shard in DRAINS {
            for &(offset, seq) in records {
                self = self.read(shard, 9000, offset, seq);
            }
        }
        self
    }

    /// What a conductor records of fault 0.
    pub(super) fn fault(self, at_ms: u64, state: u8) -> Self {
        self.push(CONDUCTOR, at_ms, EventKind::Fault, Event { a: 1 << 2, flags: state, ..BLANK })
    }

    /// A broker's process ends by a signal, or is started again.
    pub(super) fn broker(self, at_ms: u64, node: u32, dies: bool) -> Self {
        let (a, state) = if dies { (9 | 1 << 32, 1) } else { (0, 0) };
        self.push(CONDUCTOR, at_ms, EventKind::Process, Event { a, b: node, flags: state, ..BLANK })
    }

    /// The load ends, and everything is read and found to lie in `0..end`; the group has committed `committed`.
    pub(super) fn drained(mut self, end: u64, committed: u64) -> Self {
        self.certified = true;
        self = self.push(CONDUCTOR, 5000, EventKind::Mark, Event { flags: 1, ..BLANK });
        self = self.push(CONDUCTOR, 5001, EventKind::Drain, BLANK);
        self = self.push(CONDUCTOR, 5002, EventKind::Committed, Event { a: committed, ..BLANK });
        for at_ms in [5003, 9500] {
            self = self.push(CONDUCTOR, at_ms, EventKind::LogBound, Event { flags: 0, ..BLANK });
            self = self.push(CONDUCTOR, at_ms, EventKind::LogBound, Event { a: end, flags: 1, ..BLANK });
        }
        self
    }

    /// What happens to the transaction whose first message this is.
    pub(super) fn phase(self, at_ms: u64, first: u32, phase: TransactionPhase, outcome: Outcome) -> Self {
        let bits = outcome as u8 | (phase as u8) << flags::PHASE_SHIFT;
        let event = Event { msg: message(first).0, flags: bits, ..BLANK };
        self.push(PRODUCER, at_ms, EventKind::Transaction, event)
    }

    /// A drain reader has read all below an offset.
    pub(super) fn read_to(self, shard: usize, at_ms: u64, next: u64) -> Self {
        self.push(shard, at_ms, EventKind::Drain, Event { a: next, flags: 4, ..BLANK })
    }

    /// The last stable offset, as the conductor sees it.
    pub(super) fn stable(self, at_ms: u64, offset: u64) -> Self {
        self.push(CONDUCTOR, at_ms, EventKind::LogBound, Event { a: offset, flags: 2, ..BLANK })
    }

    /// A message of a queue is handed over, and marked as a possible repeat or not.
    pub(super) fn handed(self, shard: usize, at_ms: u64, seq: u32, marked: bool) -> Self {
        let bits = if marked { flags::REDELIVERED } else { 0 };
        let event = Event { msg: message(seq).0, a: Event::NO_OFFSET, flags: bits, ..BLANK };
        self.push(shard, at_ms, EventKind::Deliver, event)
    }

    /// A member settles all that it was handed until `began_ms`.
    pub(super) fn settled(self, shard: usize, at_ms: u64, began_ms: u64, outcome: Outcome) -> Self {
        let began = BEGIN_NS + began_ms * 1_000_000;
        let event = Event { msg: began, a: Event::NO_OFFSET, flags: outcome as u8, ..BLANK };
        self.push(shard, at_ms, EventKind::Commit, event)
    }

    /// The process of a consumer is killed.
    pub(super) fn consumer_ended(self, at_ms: u64, number: u32) -> Self {
        let event = Event { a: 9 | 1 << 32, b: number, flags: 1, c: 2, ..BLANK };
        self.push(CONDUCTOR, at_ms, EventKind::Process, event)
    }

    /// The load ends, and so many messages are found to wait at these times.
    pub(super) fn emptied(mut self, backlog: &[(u64, u64)]) -> Self {
        self = self.push(CONDUCTOR, 5000, EventKind::Mark, Event { flags: 1, ..BLANK });
        self = self.push(CONDUCTOR, 5001, EventKind::Drain, BLANK);
        for &(at_ms, messages) in backlog {
            self = self.push(CONDUCTOR, at_ms, EventKind::Backlog, Event { a: messages, ..BLANK });
        }
        self
    }

    /// Events that fit are left out.
    pub(super) fn without(mut self, shard: usize, unwanted: impl Fn(&Event) -> bool) -> Self {
        self.events[shard].retain(|event| !unwanted(event));
        self
    }

    /// All events of a shard pass through `change`.
    pub(super) fn changed(mut self, shard: usize, change: impl Fn(&mut Event)) -> Self {
        self.events[shard].iter_mut().for_each(change);
        self
    }

    /// As checkers read it.
    pub(super) fn source(&self) -> MemorySource {
        let names =
            Names { topics: vec!["orders".into()], groups: vec!["readers".into()], load_begins_ns: BEGIN_NS };
        let mut source = MemorySource::new(names);
        let roles = [
            ("writer-0.0", ShardRole::Producer(0)),
            ("reader-0.0", ShardRole::Consumer(0)),
            ("reader-1.0", ShardRole::Consumer(1)),
            ("drain-1.0", ShardRole::DrainReader(1)),
            ("drain-2.0", ShardRole::DrainReader(2)),
            ("conductor", ShardRole::Conductor),
            ("drain-3.0", ShardRole::DrainReader(3)),
        ];
        for (shard, ((name, role), events)) in roles.into_iter().zip(&self.events).enumerate() {
            if shard == VISIBLE && events.is_empty() {
                continue;
            }
            let meta = ShardMeta {
                name: name.into(),
                role,
                incarnation: 0,
                topic: 0,
                group: 0,
                sealed: self.unsealed != Some(shard),
                trouble: None,
                events: 0,
            };
            source.push(meta, events.clone());
        }
        source
    }

    /// Judges it.
    pub(super) fn judge(&self) -> Judged {
        let facts = RunFacts { system: self.system.into(), ..RunFacts::default() };
        judge(&self.plan, &facts, &TwoKeys, &self.source())
    }

    /// The verdict on one property.
    pub(super) fn check(&self, property: Property) -> CheckResult {
        let judged = self.judge();
        judged.checks.into_iter().find(|check| check.property == property.name()).expect("it is expected")
    }

    /// The word on one property, and how often it was seen.
    pub(super) fn word(&self, property: Property) -> (VerdictWord, u64) {
        let check = self.check(property);
        (check.verdict, check.count)
    }

    /// Every property but metrics that is violated.
    pub(super) fn violated(&self) -> Vec<Property> {
        let judged = self.judge();
        let words: BTreeMap<String, VerdictWord> =
            judged.checks.into_iter().map(|check| (check.property, check.verdict)).collect();
        Property::ALL
            .into_iter()
            .filter(|property| words.get(property.name()) == Some(&VerdictWord::Violated))
            .collect()
    }
}

const BLANK: Event = Event { t_ns: 0, msg: 0, a: 0, b: 0, kind: EventKind::Mark, flags: 0, c: 0 };

/// Four messages, acknowledged, handed to the first consumer, committed, and read by both drain readers.
pub(super) fn healthy() -> Story {
    let mut story = Story::new().member(CONSUMERS[0], 0, MemberChange::Assign, 1);
    for seq in 0..4 {
        story = story.acked(u64::from(seq) * 10, seq, u64::from(seq));
        story = story.read(CONSUMERS[0], u64::from(seq) * 10 + 5, u64::from(seq), seq);
    }
    story.commit(CONSUMERS[0], 100, 4).log(&[(0, 0), (1, 1), (2, 2), (3, 3)]).drained(4, 4)
}

fn plan() -> Plan {
    let never = Property::ALL.into_iter().filter(|one| !one.is_metric() && !one.is_transactional());
    let topic = TopicPlan { partitions: 1, replicas: 3, min_in_sync: 2, flush: Flush::PageCache };
    let producer = ProducerPlan {
        role: "writer".into(),
        instance: 0,
        instances: 1,
        topic: "orders".into(),
        pace: Pace::Open { rate_per_s: 100.0 },
        total: None,
        from_ns: 0,
        until_ns: 5_000_000_000,
        keys: Keys::Uniform { count: 2 },
        payload: Payload::Fixed(64),
        in_flight: 5,
        idempotence: true,
        retries: 10,
        transactions: None,
        seed: 1,
    };
    let consumer = |member| ConsumerPlan {
        role: "reader".into(),
        member,
        group: "readers".into(),
        topic: "orders".into(),
        settle: Settle::After,
        start: Start::Earliest,
        processing_ns: 0,
        from_ns: 0,
        crashes: Vec::new(),
        isolation: Isolation::default(),
    };
    Plan {
        schema: 1,
        scenario: "story".into(),
        about: String::new(),
        decides: Vec::new(),
        seed: 1,
        matrix: BTreeMap::new(),
        topology: Topology { brokers: 3, controllers: 1, topics: BTreeMap::from([("orders".into(), topic)]) },
        durability: Durability::Quorum,
        producers: vec![producer],
        consumers: vec![consumer(0), consumer(1)],
        faults: Vec::new(),
        expect: never.map(|property| (property, Expectation::Never)).collect(),
        load_ms: 5000,
        stretch: 1,
        rto_window_ms: 1000,
        workload_digest: 0,
        messages_expected: None,
        bytes_expected: None,
    }
}
