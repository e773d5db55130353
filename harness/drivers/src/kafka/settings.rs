//! Which settings of librdkafka a plan implies.

use std::collections::BTreeMap;

use mqproof_core::plan::{ConsumerPlan, Durability, ProducerPlan, Settle, Start};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::error;
use crate::role::DriverError;

/// Where the cluster is, and settings that go over those of the plan.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// `host:port,…`.
    pub bootstrap: String,
    /// In librdkafka's own names.
    pub settings: BTreeMap<String, String>,
}

/// Settings that are shown with each result.
const SHOWN: [&str; 24] = [
    "acks",
    "enable.idempotence",
    "max.in.flight.requests.per.connection",
    "retries",
    "linger.ms",
    "batch.size",
    "batch.num.messages",
    "message.timeout.ms",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "partitioner",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "isolation.level",
    "fetch.wait.max.ms",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.queue.backoff.ms",
    "partition.assignment.strategy",
    "check.crcs",
];

impl Connection {
    pub(super) fn producer(&self, plan: &ProducerPlan, durability: Durability) -> ClientConfig {
        // librdkafka refuses idempotence without acks=all.
        let (acks, may_be_idempotent) = match durability {
            Durability::None => ("0", false),
            Durability::Leader => ("1", false),
            Durability::Quorum | Durability::QuorumDisk => ("all", true),
        };
        let idempotence = plan.idempotence && may_be_idempotent;
        // An idempotent producer must be allowed to repeat a request, or one lost answer would end its sequence.
        let retries = if idempotence { plan.retries.max(1) } else { plan.retries };
        let in_flight = if idempotence { plan.in_flight.clamp(1, 5) } else { plan.in_flight.max(1) };
        let mut config = self.common();
        config
            .set("acks", acks)
            .set("enable.idempotence", idempotence.to_string())
            .set("max.in.flight.requests.per.connection", in_flight.to_string())
            .set("retries", retries.to_string())
            // The Java client's partitioner, so that keys land where any Kafka user would find them.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "5")
            // Bounds on memory; a full queue is back-pressure.
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536");
        self.finish(config)
    }

    pub(super) fn consumer(&self, plan: &ConsumerPlan) -> ClientConfig {
        // `auto`: the library commits what it handed out. `after` and `before`: each commit is an explicit call.
        let (auto_commit, auto_store, interval_ms) = match plan.settle {
            Settle::Before => (false, false, "1000"),
            Settle::After => (false, false, "1000"),
            Settle::Auto => (true, true, "1000"),
        };
        let start = match plan.start {
            Start::Earliest => "earliest",
            Start::Latest => "latest",
        };
        let mut config = self.reader();
        config
            .set("group.id", &plan.group)
            .set("auto.offset.reset", start)
            .set("enable.auto.commit", auto_commit.to_string())
            .set("enable.auto.offset.store", auto_store.to_string())
            .set("auto.commit.interval.ms", interval_ms)
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500");
        self.finish(config)
    }

    pub(super) fn log_reader(&self, number: u16) -> ClientConfig {
        let mut config = self.reader();
        config
            // Never joined: the library wants a name.
            .set("group.id", format!("mqproof-drain-{number}"))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_uncommitted");
        self.finish(config)
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.finish(self.common())
    }

    /// A client that asks for a group's offsets, and never joins it.
    pub(super) fn group_prober(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config.set("group.id", group).set("enable.auto.commit", "false");
        self.finish(config)
    }

    fn reader(&self) -> ClientConfig {
        let mut config = self.common();
        config
            // The broker's checksum of a batch is one of the things under test.
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            // Bounds on memory. Once over them the library looks again only after the back-off, by default a second.
            .set("queued.min.messages", "50000")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "32768")
            .set("fetch.message.max.bytes", "1048576");
        config
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", "mqproof")
            .set("broker.address.family", "v4")
            // A client that waits long before it tries again would measure itself, not the broker.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "500")
            .set("retry.backoff.ms", "50")
            .set("retry.backoff.max.ms", "100")
            .set("socket.connection.setup.timeout.ms", "3000")
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            // After a leader's death the first answer still names it, and without this the next question comes a
            // second later.
            .set("topic.metadata.refresh.interval.ms", "200")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        config
    }

    fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
    }
}

/// The shown settings as the library has them in force. A setting of the other kind of client is not among them.
pub(super) fn in_force(config: &ClientConfig) -> Result<BTreeMap<String, String>, DriverError> {
    let native = config.create_native_config().map_err(|why| error("settings", why))?;
    let producer = config.get("acks").is_some();
    let first_of_consumers =
        SHOWN.iter().position(|name| *name == "enable.auto.commit").unwrap_or(SHOWN.len());
    let (sends, reads) = SHOWN.split_at(first_of_consumers);
    let names = if producer { sends } else { reads };
    names
        .iter()
        .map(|name| {
            let value = match config.get(name) {
                Some(value) => value.to_owned(),
                None => native.get(name).map_err(|why| error(format!("setting `{name}`"), why))?,
            };
            Ok(((*name).to_owned(), value))
        })
        .collect()
}
