//! From a scenario at one matrix point to a plan.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::faults;
use super::types::{
    ConsumerPlan, CrashPlan, Durability, Expectation, FaultKind, Flush, Keys, Pace, Payload, Plan,
    ProducerPlan, TopicPlan, Topology, TransactionsPlan,
};
use crate::property::Property;
use crate::scenario::{
    self, Consumer, Document, Expect, FlushPolicy, MatrixPoint, PayloadSize, Producer, Scenario, Word,
};
use crate::workload;

/// Version of the plan's format.
const SCHEMA: u32 = 1;

/// A message costs this much history per event: it is invoked, it ends, each group is handed it, and it is read twice
/// when the log is drained.
const EVENT_BYTES: u64 = 32;

/// librdkafka's default: as often as `delivery.timeout.ms` allows.
const RETRIES_UNLIMITED: u32 = i32::MAX as u32;

/// The most requests in flight that keep the order of an idempotent producer (KIP-98, KAFKA-5494).
const IN_FLIGHT_DEFAULT: u32 = 5;

/// What a producer without a `for` is given past the time that its last message is due.
const GRACE_MS: u64 = 5_000;

impl Plan {
    /// Draws the plan of a scenario at one of its matrix points: the same input gives the same bytes.
    pub fn draw(scenario: &Scenario, point: &MatrixPoint, seed: u64) -> Self {
        let document = &point.document;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let producers = producers(document, &mut random);
        let load_ms =
            producers.iter().map(|producer| producer.until_ns).max().unwrap_or_default() / 1_000_000;
        let mut plan = Self {
            schema: SCHEMA,
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            decides: scenario.decides.clone(),
            seed,
            matrix: point.values.clone(),
            topology: topology(document),
            durability: document.durability,
            faults: faults::expand(document, &mut random),
            consumers: consumers(document),
            expect: document
                .expect
                .iter()
                .map(|(property, expect)| (*property, expectation(*expect)))
                .collect(),
            load_ms,
            stretch: 1,
            rto_window_ms: document.rto.window.ms(),
            workload_digest: workload::digest(&producers),
            messages_expected: None,
            bytes_expected: None,
            producers,
        };
        plan.count();
        plan
    }

    /// Lowers the replicas of every topic to what a cluster of other people's has, and says what was changed.
    pub fn clamp_replicas(&mut self, live_brokers: u32) -> Vec<String> {
        let mut notes = Vec::new();
        let live = live_brokers.max(1);
        for (name, topic) in &mut self.topology.topics {
            if topic.replicas <= live {
                continue;
            }
            let min_in_sync = topic.min_in_sync.min(live);
            notes.push(format!(
                "topic `{name}`: {} of {} replicas, min in-sync {min_in_sync} of {}: the cluster has {live} live broker{}",
                live,
                topic.replicas,
                topic.min_in_sync,
                if live == 1 { "" } else { "s" },
            ));
            topic.replicas = live;
            topic.min_in_sync = min_in_sync;
        }
        self.count();
        notes
    }

    /// Why the plan cannot run where the harness has no hand on the nodes; None if it can. Client crashes need none,
    /// and optional faults are skipped there.
    pub fn needs_hands(&self) -> Option<String> {
        let mut kinds: Vec<&str> =
            self.faults.iter().filter(|fault| !fault.optional).map(|fault| fault.kind.name()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        (!kinds.is_empty()).then(|| format!("{} needs a hand on the nodes and their links", kinds.join(", ")))
    }

    /// Why the plan cannot run where operating systems keep what was written and not flushed; None if it can.
    pub fn needs_forgetful_disks(&self) -> Option<String> {
        self.faults.iter().any(|fault| fault.kind == FaultKind::KillPower).then(|| {
            "a loss of power: an operating system outlives the processes that are killed, and keeps what they had not flushed; \
             only the simulator has a disk that forgets"
                .into()
        })
    }

    /// Fills in what can be said beforehand of messages and bytes.
    pub(super) fn count(&mut self) {
        let sum = |total: Option<u64>, more: Option<u64>| Some(total?.saturating_add(more?));
        self.messages_expected =
            self.producers.iter().map(ProducerPlan::messages_expected).fold(Some(0), sum);
        let bytes = self.producers.iter().map(|producer| {
            let messages = producer.messages_expected()?;
            Some(messages.saturating_mul(self.bytes_per_message(producer)))
        });
        self.bytes_expected = bytes.fold(Some(0), sum);
    }

    /// Bytes that one message leaves behind: history, and log × replicas.
    fn bytes_per_message(&self, producer: &ProducerPlan) -> u64 {
        let mut groups: Vec<&str> = self
            .consumers
            .iter()
            .filter(|consumer| consumer.topic == producer.topic)
            .map(|consumer| consumer.group.as_str())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let replicas = self.topology.topics.get(&producer.topic).map_or(1, |topic| topic.replicas);
        let payload = match producer.payload {
            Payload::Fixed(size) => u64::from(size),
            Payload::Uniform { min, max } => u64::midpoint(u64::from(min), u64::from(max)),
        };
        EVENT_BYTES * (4 + groups.len() as u64) + payload * u64::from(replicas)
    }
}

impl ProducerPlan {
    /// How many messages this instance will send; None where the broker's speed decides.
    pub fn messages_expected(&self) -> Option<u64> {
        let by_rate = match self.pace {
            Pace::Open { rate_per_s } => {
                let seconds = (self.until_ns - self.from_ns) as f64 / 1e9;
                Some((rate_per_s * seconds).floor() as u64)
            }
            Pace::Closed { .. } => None,
        };
        match (by_rate, self.total) {
            (Some(by_rate), Some(total)) => Some(by_rate.min(total)),
            (by_rate, total) => by_rate.or(total),
        }
    }
}

fn topology(document: &Document) -> Topology {
    let cluster = &document.topology;
    let topics = cluster.topics.iter().map(|(name, topic)| {
        let flush = match topic.flush {
            _ if document.durability == Durability::QuorumDisk => Flush::BeforeAck,
            FlushPolicy::PageCache => Flush::PageCache,
            FlushPolicy::Interval(interval) => Flush::IntervalMs(interval.ms()),
            FlushPolicy::BeforeAck => Flush::BeforeAck,
        };
        let plan = TopicPlan {
            partitions: topic.partitions,
            replicas: topic.replicas,
            min_in_sync: topic.min_in_sync,
            flush,
        };
        (name.clone(), plan)
    });
    Topology { brokers: cluster.brokers, controllers: cluster.controllers, topics: topics.collect() }
}

fn producers(document: &Document, random: &mut ChaCha8Rng) -> Vec<ProducerPlan> {
    let instances = document
        .producers
        .iter()
        .flat_map(|(role, producer)| (0..producer.count).map(move |instance| (role, producer, instance)));
    instances
        .map(|(role, producer, instance)| {
            producer_plan(document, role, producer, instance, random.next_u64())
        })
        .collect()
}

fn producer_plan(
    document: &Document,
    role: &str,
    producer: &Producer,
    instance: u32,
    seed: u64,
) -> ProducerPlan {
    // librdkafka refuses idempotence with acks other than all, so that the weak classes force it off.
    let idempotence = document.durability >= Durability::Quorum && producer.idempotence.unwrap_or(true);
    let compares_order = [Property::OrderLog, Property::OrderPerKey]
        .iter()
        .any(|property| document.expect.get(property) == Some(&Expect::Word(Word::Never)));
    let in_flight = if compares_order && !idempotence { 1 } else { IN_FLIGHT_DEFAULT };
    let count = u64::from(producer.count);
    let grace_ms = if producer.lasts.is_none() && producer.rate.is_some() { GRACE_MS } else { 0 };
    ProducerPlan {
        role: role.to_owned(),
        instance: instance as u16,
        instances: producer.count as u16,
        topic: producer.topic.clone(),
        pace: match (producer.rate, producer.outstanding) {
            (Some(rate), _) => Pace::Open { rate_per_s: rate.0 / f64::from(producer.count) },
            (None, outstanding) => Pace::Closed { outstanding: outstanding.unwrap_or(1) },
        },
        // The first instances take what does not divide.
        total: producer.total.map(|total| total / count + u64::from(u64::from(instance) < total % count)),
        from_ns: producer.start.ns(),
        until_ns: (scenario::producer_end_ms(producer) + grace_ms) * 1_000_000,
        keys: match producer.keys {
            scenario::Keys::None => Keys::None,
            scenario::Keys::Uniform(keys) => Keys::Uniform { count: keys.count },
            scenario::Keys::Zipf(keys) => Keys::Zipf { count: keys.count, exponent: keys.exponent },
        },
        payload: match producer.payload {
            PayloadSize::Fixed(size) => Payload::Fixed(size.0 as u32),
            PayloadSize::Uniform(range) => {
                Payload::Uniform { min: range.min.0 as u32, max: range.max.0 as u32 }
            }
        },
        in_flight: producer.in_flight.unwrap_or(in_flight),
        idempotence,
        retries: producer.retries.unwrap_or(RETRIES_UNLIMITED),
        transactions: producer.transactions.map(|transactions| TransactionsPlan {
            messages: transactions.messages,
            abort: transactions.abort.share(),
            timeout_ms: transactions.timeout.ms(),
        }),
        seed,
    }
}

fn consumers(document: &Document) -> Vec<ConsumerPlan> {
    let members = document
        .consumers
        .iter()
        .flat_map(|(role, consumer)| (0..consumer.members).map(move |member| (role, consumer, member)));
    members.map(|(role, consumer, member)| consumer_plan(role, consumer, member)).collect()
}

fn consumer_plan(role: &str, consumer: &Consumer, member: u32) -> ConsumerPlan {
    let crashes = consumer.crashes.iter().filter(|crash| crash.member == member);
    ConsumerPlan {
        role: role.to_owned(),
        member: member as u16,
        group: consumer.group.clone().unwrap_or_else(|| role.to_owned()),
        topic: consumer.topic.clone(),
        settle: consumer.settle,
        start: consumer.start,
        processing_ns: consumer.processing.ns(),
        from_ns: consumer.begin.ns(),
        crashes: crashes.map(|crash| CrashPlan { at_ms: crash.at.ms(), for_ms: crash.lasts.ms() }).collect(),
        isolation: consumer.isolation,
    }
}

fn expectation(expect: Expect) -> Expectation {
    match expect {
        Expect::Word(Word::Never) => Expectation::Never,
        Expect::Word(Word::Allowed) => Expectation::Allowed,
        Expect::Word(Word::Demonstrated) => Expectation::Demonstrated,
        Expect::Bounds(bounds) => Expectation::Bound {
            min: bounds.min.map(scenario::Quantity::value),
            max: bounds.max.map(scenario::Quantity::value),
        },
    }
}
