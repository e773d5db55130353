//! Which settings of librdkafka a plan implies.

use std::collections::BTreeMap;

use mqproof_core::plan::{ConsumerPlan, Durability, Isolation, ProducerPlan, Settle, Start};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::error;
use crate::role::DriverError;

pub use crate::connection::Connection;

/// Settings that are shown with each result.
const SHOWN: [&str; 26] = [
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
    "transactional.id",
    "transaction.timeout.ms",
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

/// After so many ms without an answer whoever watches a cluster asks another broker. By the library's default it would look
/// at a machine that is gone for a minute, and see no new leader.
const LOOK_ELSEWHERE_MS: &str = "2000";

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
        let mut config = self.finish(config);
        if let Some(transactions) = plan.transactions {
            let timeout_ms = transactions.timeout_ms;
            let id = format!("{}-{}-{}", plan.topic, plan.role, plan.instance);
            config.set("transactional.id", id).set("transaction.timeout.ms", timeout_ms.to_string());
            // The library refuses to give a message longer than its transaction.
            let lasts = config.get("message.timeout.ms").and_then(|value| value.parse::<u64>().ok());
            if lasts.is_some_and(|lasts| lasts > timeout_ms) {
                config.set("message.timeout.ms", timeout_ms.to_string());
            }
        }
        config
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
            // The library's own default is the other one than Kafka's.
            .set("isolation.level", level(plan.isolation))
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "500");
        self.finish(config)
    }

    pub(super) fn log_reader(&self, number: u16, isolation: Isolation) -> ClientConfig {
        let mut config = self.reader();
        config
            // Never joined: the library wants a name.
            .set("group.id", format!("mqproof-drain-{number}"))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", level(isolation));
        self.finish(config)
    }

    /// A client that asks for the bounds of logs: the end is where readers of this kind can read up to.
    pub(super) fn bounds_prober(&self, isolation: Isolation) -> ClientConfig {
        let mut config = self.common();
        config
            .set("group.id", "mqproof-bounds")
            .set("enable.auto.commit", "false")
            .set("isolation.level", level(isolation))
            .set("socket.timeout.ms", LOOK_ELSEWHERE_MS);
        self.finish(config)
    }

    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.common();
        config.set("socket.timeout.ms", LOOK_ELSEWHERE_MS);
        self.finish(config)
    }

    /// A client that asks for a group's offsets, and never joins it.
    pub(super) fn group_prober(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("socket.timeout.ms", LOOK_ELSEWHERE_MS);
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

fn level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadUncommitted => "read_uncommitted",
        Isolation::ReadCommitted => "read_committed",
    }
}

/// Whether this build can do what the settings ask for.
pub(super) fn check_tls(settings: &BTreeMap<String, String>) -> Result<(), String> {
    if cfg!(feature = "kafka-tls") {
        return Ok(());
    }
    let needs_tls = |(key, value): &(&String, &String)| match key.as_str() {
        "security.protocol" => value.to_ascii_lowercase().ends_with("ssl"),
        // Their hashes are OpenSSL's.
        "sasl.mechanism" | "sasl.mechanisms" => value.to_ascii_uppercase().starts_with("SCRAM"),
        key => key.starts_with("ssl."),
    };
    match settings.iter().find(needs_tls) {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "`{key}` asks for TLS, which this mqproof was built without\nhint: build it with `--features kafka-tls` (Debian: `apt-get install libssl-dev pkg-config`)"
        )),
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
    // The library does not know a text that was never set.
    let transactional = config.get("transactional.id").is_some();
    names
        .iter()
        .filter(|name| transactional || !name.starts_with("transaction"))
        .map(|name| {
            let value = match config.get(name) {
                Some(value) => value.to_owned(),
                None => native.get(name).map_err(|why| error(format!("setting `{name}`"), why))?,
            };
            Ok(((*name).to_owned(), value))
        })
        .collect()
}

#[cfg(all(test, not(feature = "kafka-tls")))]
mod tests {
    use super::*;

    #[test]
    fn what_needs_tls_is_refused_by_a_build_without_it() {
        let check = |key: &str, value: &str| check_tls(&BTreeMap::from([(key.to_owned(), value.to_owned())]));
        for (key, value) in [
            ("security.protocol", "SASL_SSL"),
            ("security.protocol", "ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("ssl.ca.location", "/ca.pem"),
        ] {
            let error = check(key, value).expect_err("there is no TLS");
            assert!(error.contains(key) && error.contains("kafka-tls"), "{error}");
        }
        assert_eq!(check("security.protocol", "SASL_PLAINTEXT"), Ok(()));
        assert_eq!(check("sasl.mechanism", "PLAIN"), Ok(()));
    }
}
