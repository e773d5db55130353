//! How fast a history is judged, without files: `cargo run --release -p mqproof-core --example judge_throughput [MESSAGES]`.
//!
//! The events of a healthy run (one producer, one group of one member, two drain readers, three partitions) are computed
//! while they are read, so that what grows with their number is the checkers' own. Measure memory from outside.

use std::collections::BTreeMap;

use mqproof_core::checkers::{Events, KeyOf, Names, PlanKeys, ShardMeta, ShardRole, Source};
use mqproof_core::history::{Event, EventKind, Level, flags};
use mqproof_core::ids::{MessageId, SessionId};
use mqproof_core::plan::{
    ConsumerPlan, Durability, Expectation, Flush, Isolation, Keys, Pace, Payload, Plan, ProducerPlan, Settle,
    Start, TopicPlan, Topology,
};
use mqproof_core::property::Property;
use mqproof_core::verdict::{RunFacts, judge};

const PARTITIONS: u64 = 3;
const BEGIN_NS: u64 = 1_000_000_000;
/// A send every so many nanoseconds.
const EVERY_NS: u64 = 5_000;

/// Computes events instead of holding them.
struct Computed {
    names: Names,
    shards: Vec<ShardMeta>,
    messages: u64,
}

impl Source for Computed {
    fn shards(&self) -> &[ShardMeta] {
        &self.shards
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn events(&self, shard: usize, from: u64) -> Events<'_> {
        let role = self.shards[shard].role;
        let messages = self.messages;
        match role {
            ShardRole::Producer(_) => {
                Box::new((from..2 * messages).map(|number| send(number / 2, number % 2 == 1)))
            }
            ShardRole::Conductor => Box::new(conductor(messages).into_iter().skip(from as usize)),
            ShardRole::Consumer(_) => Box::new((from..messages).map(|seq| record(seq, BEGIN_NS + 1_000_000))),
            ShardRole::DrainReader(_) => {
                let late = BEGIN_NS + messages * EVERY_NS + 1_000_000_000;
                Box::new((from..messages).map(move |seq| record(seq, late)))
            }
        }
    }
}

fn message(seq: u64) -> u64 {
    MessageId::new(SessionId { producer: 0, incarnation: 0 }, seq as u32).0
}

fn send(seq: u64, ended: bool) -> Event {
    let due = BEGIN_NS + seq * EVERY_NS;
    let (msg, b) = (message(seq), (seq % PARTITIONS) as u32);
    if ended {
        let flags = (Level::Quorum as u8) << flags::LEVEL_SHIFT;
        Event { t_ns: due + 900_000, msg, a: seq / PARTITIONS, b, kind: EventKind::SendEnd, flags, c: 0 }
    } else {
        Event { t_ns: due, msg, a: due, b: 0, kind: EventKind::SendInvoke, flags: 0, c: 0 }
    }
}

fn record(seq: u64, later: u64) -> Event {
    let (msg, b) = (message(seq), (seq % PARTITIONS) as u32);
    Event {
        t_ns: later + seq * EVERY_NS,
        msg,
        a: seq / PARTITIONS,
        b,
        kind: EventKind::Deliver,
        flags: 0,
        c: 0,
    }
}

fn conductor(messages: u64) -> Vec<Event> {
    let blank = Event { t_ns: BEGIN_NS, msg: 0, a: 0, b: 0, kind: EventKind::Mark, flags: 0, c: 0 };
    let after = BEGIN_NS + messages * EVERY_NS;
    let mut events = vec![
        blank,
        Event { t_ns: after, flags: 1, ..blank },
        Event { t_ns: after, kind: EventKind::Drain, ..blank },
    ];
    for partition in 0..PARTITIONS {
        let end = (messages + PARTITIONS - 1 - partition) / PARTITIONS;
        let at = Event { t_ns: after, b: partition as u32, ..blank };
        for _ in 0..2 {
            events.push(Event { kind: EventKind::LogBound, ..at });
            events.push(Event { kind: EventKind::LogBound, flags: 1, a: end, ..at });
        }
        events.push(Event { kind: EventKind::Committed, a: end, ..at });
    }
    events
}

fn source(messages: u64) -> Computed {
    let shard = |name: &str, role, events| ShardMeta {
        name: name.into(),
        role,
        incarnation: 0,
        topic: 0,
        group: 0,
        sealed: true,
        trouble: None,
        events,
    };
    Computed {
        names: Names {
            topics: vec!["orders".into()],
            groups: vec!["readers".into()],
            load_begins_ns: BEGIN_NS,
        },
        shards: vec![
            shard("writer-0.0", ShardRole::Producer(0), messages * 2),
            shard("reader-0.0", ShardRole::Consumer(0), messages),
            shard("drain-1.0", ShardRole::DrainReader(1), messages),
            shard("drain-2.0", ShardRole::DrainReader(2), messages),
            shard("conductor", ShardRole::Conductor, conductor(messages).len() as u64),
        ],
        messages,
    }
}

fn plan(messages: u64) -> Plan {
    let topic =
        TopicPlan { partitions: PARTITIONS as u32, replicas: 3, min_in_sync: 2, flush: Flush::PageCache };
    let never = Property::ALL.into_iter().filter(|property| !property.is_metric());
    Plan {
        schema: 1,
        scenario: "throughput of the judge".into(),
        about: String::new(),
        decides: Vec::new(),
        seed: 1,
        matrix: BTreeMap::new(),
        topology: Topology { brokers: 3, controllers: 1, topics: BTreeMap::from([("orders".into(), topic)]) },
        durability: Durability::Quorum,
        producers: vec![ProducerPlan {
            role: "writer".into(),
            instance: 0,
            instances: 1,
            topic: "orders".into(),
            pace: Pace::Open { rate_per_s: 1e9 / EVERY_NS as f64 },
            total: Some(messages),
            from_ns: 0,
            until_ns: u64::MAX,
            keys: Keys::Uniform { count: 1000 },
            payload: Payload::Fixed(100),
            in_flight: 5,
            idempotence: true,
            retries: 10,
            transactions: None,
            seed: 1,
        }],
        consumers: vec![ConsumerPlan {
            role: "reader".into(),
            member: 0,
            group: "readers".into(),
            topic: "orders".into(),
            settle: Settle::After,
            start: Start::Earliest,
            processing_ns: 0,
            from_ns: 0,
            crashes: Vec::new(),
            isolation: Isolation::default(),
        }],
        faults: Vec::new(),
        expect: never.map(|property| (property, Expectation::Never)).collect(),
        load_ms: messages * EVERY_NS / 1_000_000,
        stretch: 1,
        rto_window_ms: 1000,
        workload_digest: 0,
        messages_expected: Some(messages),
        bytes_expected: None,
    }
}

fn main() {
    let messages = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(2_000_000);
    let (plan, source) = (plan(messages), source(messages));
    let keys = PlanKeys::new(&plan);
    let keys: &dyn KeyOf = &keys;
    let facts = RunFacts { system: "reference".into(), ..RunFacts::default() };
    let judged = judge(&plan, &facts, keys, &source);
    let events: u64 = source.shards.iter().map(|shard| shard.events).sum();
    println!("{events} events of {messages} messages: {}", judged.verdict);
    println!("{}", judged.why.unwrap_or_default());
    for check in judged.checks {
        println!("{:24} {:14} {} exercised {}", check.property, check.verdict, check.exercised, check.why);
    }
}
