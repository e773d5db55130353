//! What a well-typed scenario may not say. Each rule reports at the value that breaks it.

use super::expect::{Bounds, Expect, Quantity, Word};
use super::fault::{Fault, PartitionRef, Target};
use super::model::{Consumer, Document, Keys, PayloadSize, Producer, Topic};
use super::units::{Duration, Size};
use crate::claims::ClaimRegister;
use crate::plan::Durability;
use crate::property::Property;
use crate::yaml::{self, Diagnostics, Node, Place};

/// The identity header of a message takes so many bytes.
pub(super) const SMALLEST_PAYLOAD: u64 = 64;

/// What one machine cannot mean in earnest, and what keeps a slip of the finger from filling its memory.
const MOST_NODES: u32 = 1_000;
const MOST_CLIENTS: u32 = 10_000;
const MOST_PARTITIONS: u32 = 100_000;
const MOST_KEYS: u32 = 10_000_000;
const FASTEST_PER_S: f64 = 1e9;
const MOST_REPETITIONS: u64 = 10_000;

/// Client libraries give one request no less than about this.
const SHORTEST_TRANSACTION: Duration = Duration(1_000);

/// How long a producer with a `total` and no `for` may take before it is stopped.
const CLOSED_LOOP_LIMIT_MS: u64 = 60_000;

/// What does not vary over the matrix.
pub(super) fn whole(document: &Document, root: &Node, claims: &ClaimRegister, out: &mut Diagnostics) {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if document.name.is_empty() || !document.name.chars().all(plain) {
        let message = format!("`{}` is no scenario name", document.name);
        out.push(root.place_of(&["name"]), message, "write lower-case letters, digits and `-`");
    }
    if document.about.trim().is_empty() {
        out.push(
            root.place_of(&["about"]),
            "`about` is empty",
            "say in one sentence what the scenario shows",
        );
    }
    for (index, id) in document.decides.iter().enumerate() {
        if claims.get(id).is_none() {
            let known: Vec<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
            let hint = format!("{} (claims.yaml holds all)", yaml::hint(id, &known));
            out.push(root.place_of(&["decides", &index.to_string()]), format!("unknown claim `{id}`"), hint);
        }
    }
}

/// What must hold at one point of the matrix. `varied` are the paths that the matrix has set, and where.
pub(super) fn point(document: &Document, root: &Node, varied: &[(&str, Place)], out: &mut Diagnostics) {
    let mut rules = Rules { document, root, varied, out };
    rules.topology();
    rules.producers();
    rules.consumers();
    for (index, fault) in document.faults.iter().enumerate() {
        rules.fault(&index.to_string(), fault);
    }
    rules.expectations();
    if document.rto.window.ms() == 0 {
        rules.at(&["rto", "window"], "the window is empty", "write a duration such as `1s`");
    }
}

/// When the load of a scenario ends at the latest, in ms.
pub(crate) fn load_end_ms(document: &Document) -> u64 {
    document.producers.values().map(producer_end_ms).max().unwrap_or_default()
}

/// When a producer stops at the latest, in ms after the start of load.
pub(crate) fn producer_end_ms(producer: &Producer) -> u64 {
    let lasts = match (producer.lasts, producer.total, producer.rate) {
        (Some(lasts), ..) => lasts.ms(),
        (None, Some(total), Some(rate)) => {
            let due_ms = (total as f64 * 1_000.0 / rate.0).ceil() as u64;
            due_ms.min(Duration::LONGEST.ms())
        }
        _ => CLOSED_LOOP_LIMIT_MS,
    };
    producer.start.ms() + lasts
}

struct Rules<'a> {
    document: &'a Document,
    root: &'a Node,
    varied: &'a [(&'a str, Place)],
    out: &'a mut Diagnostics,
}

impl Rules<'_> {
    fn at(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.out.push(self.root.place_of(path), message, hint);
    }

    /// Reports a number that must not be zero.
    fn positive(&mut self, path: &[&str], value: u64) {
        if value == 0 {
            let key = path.last().copied().unwrap_or_default();
            self.at(path, format!("`{key}` is zero"), "write at least 1");
        }
    }

    /// Reports a number that is zero or beyond all reason.
    fn within(&mut self, path: &[&str], value: u32, most: u32) {
        self.positive(path, value.into());
        if value > most {
            let key = path.last().copied().unwrap_or_default();
            self.at(path, format!("`{key}` is {value}"), format!("write at most {most}"));
        }
    }

    fn topology(&mut self) {
        let cluster = &self.document.topology;
        self.within(&["topology", "brokers"], cluster.brokers, MOST_NODES);
        self.within(&["topology", "controllers"], cluster.controllers, MOST_NODES);
        if cluster.topics.is_empty() {
            self.at(
                &["topology", "topics"],
                "no topics",
                "write at least one: `topics: {orders: {partitions: 3}}`",
            );
        }
        for (name, topic) in &cluster.topics {
            self.topic(name, topic);
        }
    }

    fn topic(&mut self, name: &str, topic: &Topic) {
        let brokers = self.document.topology.brokers;
        let path = |key| ["topology", "topics", name, key];
        self.within(&path("partitions"), topic.partitions, MOST_PARTITIONS);
        self.positive(&path("replicas"), topic.replicas.into());
        self.positive(&path("min_in_sync"), topic.min_in_sync.into());
        if topic.replicas > brokers {
            let message = format!("{} replicas do not fit on {brokers} brokers", topic.replicas);
            self.at(
                &path("replicas"),
                message,
                format!("write at most {brokers}, or more `topology.brokers`"),
            );
        }
        if topic.min_in_sync > topic.replicas {
            let message = format!("{} of {} replicas cannot be in sync", topic.min_in_sync, topic.replicas);
            self.at(&path("min_in_sync"), message, format!("write at most {}", topic.replicas));
        }
    }

    fn known_topic(&mut self, path: &[&str], topic: &str) -> bool {
        let known: Vec<&str> = self.document.topology.topics.keys().map(String::as_str).collect();
        if known.contains(&topic) {
            return true;
        }
        self.at(path, format!("the topology has no topic `{topic}`"), yaml::hint(topic, &known));
        false
    }

    fn producers(&mut self) {
        if self.document.producers.is_empty() {
            self.at(&["producers"], "no producers", "write at least one");
        }
        for (role, producer) in &self.document.producers {
            let path = |key| ["producers", role.as_str(), key];
            self.known_topic(&path("topic"), &producer.topic);
            self.within(&path("count"), producer.count, MOST_CLIENTS);
            self.pace(role, producer);
            self.keys(role, producer);
            self.payload(role, producer.payload);
            self.idempotence(role, producer);
            self.transactions(role, producer);
        }
    }

    fn pace(&mut self, role: &str, producer: &Producer) {
        let path = |key| ["producers", role, key];
        match (producer.rate, producer.outstanding) {
            (Some(_), Some(_)) => self.at(
                &path("outstanding"),
                "`rate` and `outstanding` exclude each other",
                "`rate` is an open loop, `outstanding` a closed one: leave one out",
            ),
            (None, None) => {
                self.at(
                    &["producers", role],
                    "no pace",
                    "write `rate: 2000/s` (open loop) or `outstanding: 100`",
                );
            }
            (Some(rate), None) if rate.0 <= 0.0 => {
                self.at(&path("rate"), "`rate` is zero", "write a rate such as `2000/s`");
            }
            (Some(rate), None) if rate.0 > FASTEST_PER_S => {
                self.at(
                    &path("rate"),
                    format!("`rate` is {rate}"),
                    format!("write at most {FASTEST_PER_S}/s"),
                );
            }
            (None, Some(outstanding)) => self.positive(&path("outstanding"), outstanding.into()),
            (Some(_), None) => {}
        }
        match (producer.lasts, producer.total) {
            (None, None) => self.at(&["producers", role], "no end", "write `for: 4s` or `total: 10000`"),
            (Some(lasts), _) if lasts.ms() == 0 => {
                self.at(&path("for"), "`for` is zero", "write a duration such as `4s`");
            }
            (_, Some(total)) => self.positive(&path("total"), total),
            _ => {}
        }
    }

    fn keys(&mut self, role: &str, producer: &Producer) {
        let (kind, count, exponent) = match producer.keys {
            Keys::None => return,
            Keys::Uniform(keys) => ("uniform", keys.count, 0.0),
            Keys::Zipf(keys) => ("zipf", keys.count, keys.exponent),
        };
        let path = |key| ["producers", role, "keys", kind, key];
        self.within(&path("count"), count, MOST_KEYS);
        if count > 0 && count < producer.count {
            let message = format!("{count} keys for {} instances", producer.count);
            self.at(&path("count"), message, "each instance owns keys of its own: write at least as many");
        }
        if !exponent.is_finite() || exponent < 0.0 {
            self.at(
                &path("exponent"),
                format!("`{exponent}` is no exponent"),
                "write 0 or more; 1.0 is usual",
            );
        }
    }

    fn payload(&mut self, role: &str, payload: PayloadSize) {
        let small = |rules: &mut Self, path: &[&str], size: Size| {
            if size.0 < SMALLEST_PAYLOAD {
                let message = format!("a payload of {size} cannot hold the identity of a message");
                rules.at(path, message, format!("write at least {SMALLEST_PAYLOAD}B"));
            }
            if size.0 > u32::MAX.into() {
                rules.at(path, format!("a payload of {size} is too large"), "write less than 4GiB");
            }
        };
        match payload {
            PayloadSize::Fixed(size) => small(self, &["producers", role, "payload", "fixed"], size),
            PayloadSize::Uniform(range) => {
                small(self, &["producers", role, "payload", "uniform", "min"], range.min);
                small(self, &["producers", role, "payload", "uniform", "max"], range.max);
                if range.min > range.max {
                    let message = format!("`min` {} exceeds `max` {}", range.min, range.max);
                    self.at(&["producers", role, "payload", "uniform", "min"], message, "swap them");
                }
            }
        }
    }

    fn idempotence(&mut self, role: &str, producer: &Producer) {
        let path = |key| ["producers", role, key];
        if let Some(in_flight) = producer.in_flight {
            self.positive(&path("in_flight"), in_flight.into());
        }
        let weak = self.document.durability < Durability::Quorum;
        let class_varies = self.varied.iter().any(|(path, _)| *path == "durability");
        if producer.idempotence == Some(true) && weak && !class_varies {
            let message =
                format!("idempotence needs more than durability `{}`", self.document.durability.name());
            self.at(&path("idempotence"), message, "leave it out, or write `durability: quorum`");
        }
        let on = producer.idempotence.unwrap_or(true) && !weak;
        if on && producer.in_flight.is_some_and(|in_flight| in_flight > 5) {
            let hint = "write at most 5, or `idempotence: false`";
            self.at(&path("in_flight"), "idempotence allows at most 5 requests in flight", hint);
        }
    }

    fn transactions(&mut self, role: &str, producer: &Producer) {
        let Some(transactions) = producer.transactions else { return };
        let path = |key| ["producers", role, "transactions", key];
        let whole = ["producers", role, "transactions"];
        self.positive(&path("messages"), transactions.messages.into());
        if self.document.durability < Durability::Quorum {
            let message =
                format!("transactions need more than durability `{}`", self.document.durability.name());
            self.at(&whole, message, "write `durability: quorum`, or leave `transactions` out");
        }
        if producer.idempotence == Some(false) {
            let hint = "leave `idempotence` out: transactions imply it";
            self.at(&["producers", role, "idempotence"], "transactions without idempotence", hint);
        }
        if transactions.timeout < SHORTEST_TRANSACTION {
            let message = format!("`timeout` is {}", transactions.timeout);
            self.at(&path("timeout"), message, format!("write at least `{SHORTEST_TRANSACTION}`"));
        }
    }

    fn consumers(&mut self) {
        let end = Duration(load_end_ms(self.document));
        for (role, consumer) in &self.document.consumers {
            let path = |key| ["consumers", role.as_str(), key];
            self.known_topic(&path("topic"), &consumer.topic);
            self.within(&path("members"), consumer.members, MOST_CLIENTS);
            if consumer.begin > end {
                let message =
                    format!("the members start at {}, after the end of load at {end}", consumer.begin);
                self.at(&path("begin"), message, format!("write at most `{end}`"));
            }
            self.crashes(role, consumer, end);
        }
    }

    fn crashes(&mut self, role: &str, consumer: &Consumer, end: Duration) {
        for (index, crash) in consumer.crashes.iter().enumerate() {
            let index = index.to_string();
            let path = |key| ["consumers", role, "crashes", index.as_str(), key];
            if crash.member >= consumer.members {
                let message = format!("`{role}` has no member {}", crash.member);
                self.at(
                    &path("member"),
                    message,
                    format!("members are 0 to {}", consumer.members.saturating_sub(1)),
                );
            }
            if crash.at >= end {
                let message = format!("a crash at {}, but the load ends at {end}", crash.at);
                self.at(&path("at"), message, format!("write less than `{end}`"));
            }
        }
    }

    fn fault(&mut self, index: &str, fault: &Fault) {
        let word = fault.word();
        let timing = fault.timing();
        let path = |key| ["faults", index, word, key];
        let starts = [timing.at.is_some(), timing.every.is_some(), timing.after.is_some()];
        match starts.iter().filter(|given| **given).count() {
            0 => self.at(
                &["faults", index, word],
                format!("`{word}` never starts"),
                "write `at: 2s`, `every: 1s` or `after: {acked: 5000}`",
            ),
            1 => {}
            _ => self.at(
                &["faults", index, word],
                format!("`{word}` starts in several ways"),
                "write one of `at`, `every`, `after`",
            ),
        }
        let end = Duration(load_end_ms(self.document));
        for (key, time) in [("at", timing.at), ("every", timing.every)] {
            if let Some(time) = time
                && time >= end
            {
                let message = format!("`{word}` starts at {time}, but the load ends at {end}");
                self.at(&path(key), message, format!("write less than `{end}`"));
            }
        }
        if let Some(every) = timing.every {
            self.positive(&path("every"), every.ms());
            let times = end.ms() / every.ms().max(1);
            if times.min(timing.repeat.map_or(u64::MAX, u64::from)) > MOST_REPETITIONS {
                self.at(
                    &path("every"),
                    format!("`{word}` would start {times} times"),
                    "write a longer interval",
                );
            }
        }
        if let Some(lasts) = timing.lasts {
            self.positive(&path("for"), lasts.ms());
        }
        if let Some(repeat) = timing.repeat {
            self.positive(&path("repeat"), repeat.into());
            if timing.every.is_none() {
                self.at(
                    &path("repeat"),
                    "`repeat` needs `every`",
                    "write `every: 1s`, or leave `repeat` out",
                );
            }
        }
        if let Fault::Slow(slow) = fault
            && slow.latency.ms() == 0
            && slow.bandwidth.is_none_or(|bandwidth| bandwidth.0 == 0)
        {
            self.at(
                &["faults", index, word],
                "`slow` slows nothing",
                "write `latency: 50ms` or `bandwidth: 1MB`",
            );
        }
        self.targets(index, fault);
    }

    fn targets(&mut self, index: &str, fault: &Fault) {
        let word = fault.word();
        let targets = fault.targets();
        for (side, (target, below)) in targets.iter().enumerate() {
            let mut path = vec!["faults", index, word];
            path.extend_from_slice(below);
            let other = (targets.len() == 2).then(|| targets[1 - side].0);
            self.target(&path, target, other);
        }
        if let [(first, _), (second, _)] = targets[..]
            && first == second
            && *first != Target::All
        {
            self.at(
                &["faults", index, word, "link"],
                "a link from a target to itself",
                "name two different targets",
            );
        }
    }

    fn target(&mut self, path: &[&str], target: &Target, other: Option<&Target>) {
        let brokers = self.document.topology.brokers;
        let nodes = brokers.saturating_add(self.document.topology.controllers);
        match target {
            Target::LeaderOf(partition) => self.partition(path, "leader-of", partition, false),
            Target::FollowersOf(partition) => self.partition(path, "followers-of", partition, true),
            Target::Followers => match other {
                Some(Target::LeaderOf(partition)) => {
                    if self
                        .document
                        .topology
                        .topics
                        .get(&partition.topic)
                        .is_some_and(|topic| topic.replicas < 2)
                    {
                        self.at(
                            path,
                            format!("`{}` has no followers", partition.topic),
                            "give it 2 replicas or more",
                        );
                    }
                }
                _ => self.at(
                    path,
                    "`followers` of what?",
                    "write `{followers-of: TOPIC}`; bare it stands opposite to `leader-of`",
                ),
            },
            Target::Node(node) if *node == 0 || *node > nodes => {
                let path: Vec<&str> = path.iter().copied().chain(["node"]).collect();
                self.at(&path, format!("the topology has no node {node}"), format!("nodes are 1 to {nodes}"));
            }
            Target::Random(count) if *count == 0 || *count > brokers => {
                let path: Vec<&str> = path.iter().copied().chain(["random"]).collect();
                self.at(
                    &path,
                    format!("cannot draw {count} of {brokers} brokers"),
                    format!("write 1 to {brokers}"),
                );
            }
            Target::Minority if brokers < 3 => {
                self.at(
                    path,
                    format!("a minority of {brokers} brokers is nobody"),
                    "write 3 `topology.brokers` or more",
                );
            }
            Target::Clients if other.is_none() => {
                self.at(
                    path,
                    "`clients` can only be one side of a link",
                    "for a client that dies see `consumers.<role>.crashes`",
                );
            }
            _ => {}
        }
    }

    fn partition(&mut self, path: &[&str], word: &str, partition: &PartitionRef, followers: bool) {
        let path: Vec<&str> = path.iter().copied().chain([word]).collect();
        if !self.known_topic(&path, &partition.topic) {
            return;
        }
        let topic = &self.document.topology.topics[&partition.topic];
        if let Some(number) = partition.partition
            && number >= topic.partitions
        {
            let message = format!("topic `{}` has no partition {number}", partition.topic);
            self.at(&path, message, format!("partitions are 0 to {}", topic.partitions.saturating_sub(1)));
        }
        if followers && topic.replicas < 2 {
            self.at(&path, format!("`{}` has no followers", partition.topic), "give it 2 replicas or more");
        }
    }

    fn expectations(&mut self) {
        if self.document.expect.is_empty() {
            self.at(&["expect"], "nothing is asserted", "write for example `expect: {acked_loss: never}`");
        }
        for (property, expect) in &self.document.expect {
            let path = ["expect", property.name()];
            match (property.is_metric(), expect) {
                (true, Expect::Bounds(bounds)) => self.bounds(*property, *bounds),
                (true, Expect::Word(Word::Allowed)) | (false, Expect::Word(_)) => {}
                (true, Expect::Word(_)) => {
                    let unit = if takes_time(*property) { "5s" } else { "100" };
                    let message = format!("`{property}` is a metric");
                    self.at(&path, message, format!("write bounds such as `{{max: {unit}}}`, or `allowed`"));
                }
                (false, Expect::Bounds(_)) => {
                    let message = format!("`{property}` is no metric and has no bounds");
                    self.at(&path, message, "write `never`, `allowed` or `demonstrated`");
                }
            }
            let transactional = |producer: &Producer| producer.transactions.is_some();
            if property.is_transactional() && !self.document.producers.values().any(transactional) {
                let message = format!("`{property}` needs a producer with transactions");
                self.at(&path, message, "write for example `transactions: {messages: 20}` at a producer");
            }
            if needs_consumer(*property) && self.document.consumers.is_empty() {
                self.at(&path, format!("`{property}` needs a consumer"), "add one under `consumers`");
            }
        }
    }

    fn bounds(&mut self, property: Property, bounds: Bounds) {
        let path = |key| ["expect", property.name(), key];
        for (key, bound) in [("min", bounds.min), ("max", bounds.max)] {
            match bound {
                Some(Quantity::Number(_)) if takes_time(property) => {
                    self.at(&path(key), format!("`{property}` is a time"), "write a duration such as `5s`");
                }
                Some(Quantity::Time(_)) if !takes_time(property) => {
                    self.at(&path(key), format!("`{property}` is a plain number"), "leave the unit out");
                }
                _ => {}
            }
        }
        match (bounds.min.map(Quantity::value), bounds.max.map(Quantity::value)) {
            (None, None) => {
                self.at(&["expect", property.name()], "bounds without a bound", "write `min` or `max`");
            }
            (Some(min), Some(max)) if min > max => self.at(&path("min"), "`min` exceeds `max`", "swap them"),
            _ => {}
        }
    }
}

fn takes_time(property: Property) -> bool {
    matches!(property, Property::Rto | Property::AckLatency | Property::EndToEndLatency | Property::Drain)
}

fn needs_consumer(property: Property) -> bool {
    use Property::{Drain, DuplicateDelivery, EarlyRead, EndToEndLatency, OrderConsumer, OrderPerKey};
    matches!(property, DuplicateDelivery | EarlyRead | OrderConsumer | OrderPerKey | EndToEndLatency | Drain)
}
