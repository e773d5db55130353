//! What a connection to RocketMQ says, and what its clients are told.
//!
//! Settings of a [`Connection`] that this driver knows:
//! `nodes` = `1=IP,2=IP,…` (the number of the node at an address; without it brokers are numbered by sorted address),
//! `poll_name_server_interval_ms` (at least 100), `send_timeout_ms`, `consume` = `orderly` or `concurrently`.

use std::collections::BTreeMap;
use std::time::Duration;

use mqproof_core::plan::{ConsumerPlan, Durability, ProducerPlan, Settle, Start};

use crate::Connection;

/// How often the route is asked for while all is well. Java clients ask every 30 s.
const ROUTE_REFRESH_MS: u64 = 1_000;
/// From one question for the route to the next at least, also when something failed.
pub(super) const ROUTE_REFRESH_AT_LEAST: Duration = Duration::from_millis(100);
/// How long one attempt of a send may take: longer than a broker waits for its slaves (`slaveTimeout`, 3 s) and for its disk
/// (`syncFlushTimeout`, 5 s), so that it says what became of the message. Java clients give up after 3 s.
const ATTEMPT_TIMEOUT_MS: u64 = 6_000;
/// How long all attempts of a send may take together.
const GIVE_UP_AFTER_MS: u64 = 10_000;
/// Unanswered sends at most, sent or not; more is back-pressure.
const UNANSWERED: usize = 10_000;
/// One-way sends of a queue at most that are not yet handed to the kernel.
const ONE_WAY_AT_ONCE: usize = 1_000;
/// Messages of one request at most.
const BATCH: usize = 32;
/// Bytes of one request at most, about; brokers take four times as much.
const BATCH_BYTES: usize = 1 << 20;
/// How often a group's progress is told to the broker where that is left to the client.
const AUTO_COMMIT_MS: u64 = 1_000;

/// What a producer is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ProducerSettings {
    pub(super) durability: Durability,
    pub(super) attempt_timeout_ms: u64,
    pub(super) give_up_after_ms: u64,
    pub(super) route_refresh_ms: u64,
    pub(super) retries: u32,
    /// Requests of one queue under way at most; one keeps the order.
    pub(super) in_flight: usize,
    pub(super) unanswered: usize,
    pub(super) batch: usize,
    pub(super) batch_bytes: usize,
}

/// What a group member is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ConsumerSettings {
    pub(super) start: Start,
    pub(super) route_refresh_ms: u64,
    /// How often it commits by itself; None: never.
    pub(super) auto_commit: Option<Duration>,
    /// Whether a queue is read only while its broker has given it to this member (`MessageListenerOrderly`).
    pub(super) is_orderly: bool,
}

/// The addresses of the name servers.
pub(super) fn name_servers(connection: &Connection) -> Vec<String> {
    let addresses = connection.bootstrap.split([',', ';']).map(str::trim);
    addresses.filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

/// The numbers of the nodes, by host.
pub(super) fn nodes(connection: &Connection) -> BTreeMap<String, i32> {
    let pairs = connection.settings.get("nodes").map_or("", String::as_str).split(',');
    pairs
        .filter_map(|pair| {
            let (id, host) = pair.trim().split_once('=')?;
            Some((host.trim().to_owned(), id.trim().parse().ok()?))
        })
        .collect()
}

impl ProducerSettings {
    pub(super) fn new(connection: &Connection, plan: &ProducerPlan, durability: Durability) -> Self {
        let is_one_way = durability == Durability::None;
        let in_flight = match plan.in_flight {
            _ if is_one_way => ONE_WAY_AT_ONCE,
            // Brokers do not know what a producer repeats; who asks for it asks for order, too.
            _ if plan.idempotence => 1,
            in_flight => in_flight.max(1) as usize,
        };
        Self {
            durability,
            attempt_timeout_ms: number(connection, "send_timeout_ms").unwrap_or(ATTEMPT_TIMEOUT_MS),
            give_up_after_ms: GIVE_UP_AFTER_MS,
            route_refresh_ms: route_refresh_ms(connection),
            retries: plan.retries,
            in_flight,
            unanswered: UNANSWERED,
            batch: if is_one_way { 1 } else { BATCH },
            batch_bytes: BATCH_BYTES,
        }
    }

    pub(super) fn in_words(&self) -> BTreeMap<String, String> {
        let sends = match (self.durability, self.in_flight) {
            (Durability::None, _) => "one-way",
            (_, 1) => "one request at a time per queue",
            _ => "asynchronous",
        };
        told(&[
            ("send", sends),
            ("send_msg_timeout", &self.attempt_timeout_ms.to_string()),
            ("give_up_after_ms", &self.give_up_after_ms.to_string()),
            ("retries", &self.retries.to_string()),
            ("in_flight_max_per_queue", &self.in_flight.to_string()),
            ("unanswered_max", &self.unanswered.to_string()),
            ("batch_max_messages", &self.batch.to_string()),
            ("compress_msg_body_over_howmuch", "never"),
            ("queue_selector", "hash of the key; round robin without one"),
            ("poll_name_server_interval", &self.route_refresh_ms.to_string()),
            ("own_floor_of_recovery_ms", &ROUTE_REFRESH_AT_LEAST.as_millis().to_string()),
        ])
    }
}

impl ConsumerSettings {
    pub(super) fn new(connection: &Connection, plan: &ConsumerPlan) -> Self {
        Self {
            start: plan.start,
            route_refresh_ms: route_refresh_ms(connection),
            auto_commit: (plan.settle == Settle::Auto).then_some(Duration::from_millis(AUTO_COMMIT_MS)),
            is_orderly: connection.settings.get("consume").is_some_and(|how| how == "orderly"),
        }
    }

    pub(super) fn in_words(&self) -> BTreeMap<String, String> {
        let commits = match self.auto_commit {
            Some(every) => format!("what was handed on, every {} ms, unanswered", every.as_millis()),
            None => "by explicit calls, answered".to_owned(),
        };
        let from = match self.start {
            Start::Earliest => "CONSUME_FROM_FIRST_OFFSET",
            Start::Latest => "CONSUME_FROM_LAST_OFFSET",
        };
        told(&[
            ("consumer", "long pull, queues shared out averagely by each member"),
            ("consume", if self.is_orderly { "orderly: queues are locked" } else { "concurrently" }),
            ("commits", &commits),
            ("consume_from_where", from),
            ("poll_name_server_interval", &self.route_refresh_ms.to_string()),
            ("own_floor_of_recovery_ms", &ROUTE_REFRESH_AT_LEAST.as_millis().to_string()),
        ])
    }
}

fn route_refresh_ms(connection: &Connection) -> u64 {
    let least = ROUTE_REFRESH_AT_LEAST.as_millis() as u64;
    number(connection, "poll_name_server_interval_ms").unwrap_or(ROUTE_REFRESH_MS).max(least)
}

fn number(connection: &Connection, name: &str) -> Option<u64> {
    connection.settings.get(name)?.parse().ok()
}

fn told(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use mqproof_core::plan::{Isolation, Keys, Pace, Payload};

    use super::*;

    fn connection(settings: &[(&str, &str)]) -> Connection {
        Connection {
            bootstrap: "10.0.0.2:9876;10.0.0.3:9876, 10.0.0.4:9876".to_owned(),
            settings: told(settings),
        }
    }

    fn producer(in_flight: u32, idempotence: bool) -> ProducerPlan {
        ProducerPlan {
            role: "writer".to_owned(),
            instance: 0,
            instances: 1,
            topic: "orders".to_owned(),
            pace: Pace::Closed { outstanding: 1 },
            total: None,
            from_ns: 0,
            until_ns: 0,
            keys: Keys::None,
            payload: Payload::Fixed(64),
            in_flight,
            idempotence,
            retries: 0,
            transactions: None,
            seed: 0,
        }
    }

    fn consumer(settle: Settle) -> ConsumerPlan {
        ConsumerPlan {
            role: "reader".to_owned(),
            member: 0,
            group: "group".to_owned(),
            topic: "orders".to_owned(),
            settle,
            start: Start::Earliest,
            processing_ns: 0,
            from_ns: 0,
            crashes: Vec::new(),
            isolation: Isolation::default(),
        }
    }

    #[test]
    fn addresses_and_nodes_are_read_with_either_separator() {
        let connection = connection(&[("nodes", "1=10.0.0.2,2=10.0.0.3, 3=10.0.0.4")]);
        assert_eq!(name_servers(&connection), ["10.0.0.2:9876", "10.0.0.3:9876", "10.0.0.4:9876"]);
        assert_eq!(nodes(&connection)["10.0.0.4"], 3);
    }

    #[test]
    fn as_many_requests_are_under_way_as_the_plan_says_and_one_where_order_is_asked_for() {
        let of = |in_flight, idempotence, durability| {
            let plan = producer(in_flight, idempotence);
            let settings = ProducerSettings::new(&connection(&[]), &plan, durability);
            (settings.in_flight, settings.batch)
        };
        assert_eq!(of(1, false, Durability::Leader), (1, BATCH));
        assert_eq!(of(5, true, Durability::Quorum), (1, BATCH));
        assert_eq!(of(5, false, Durability::Leader), (5, BATCH));
        assert_eq!(of(0, false, Durability::Quorum), (1, BATCH));
        assert_eq!(of(1, false, Durability::None), (ONE_WAY_AT_ONCE, 1));
    }

    #[test]
    fn the_route_is_refreshed_as_often_as_told() {
        for (told, expected) in [("10", 100), ("30000", 30_000), ("soon", 1_000)] {
            let connection = connection(&[("poll_name_server_interval_ms", told)]);
            assert_eq!(route_refresh_ms(&connection), expected);
            let settings =
                ProducerSettings::new(&connection, &producer(1, false), Durability::Quorum).in_words();
            assert_eq!(settings["poll_name_server_interval"], expected.to_string());
        }
    }

    #[test]
    fn the_client_commits_by_itself_only_where_commits_are_left_to_it() {
        for settle in [Settle::Before, Settle::After] {
            let settings = ConsumerSettings::new(&connection(&[]), &consumer(settle));
            assert_eq!(settings.auto_commit, None);
        }
        let auto = ConsumerSettings::new(&connection(&[]), &consumer(Settle::Auto));
        assert_eq!(auto.auto_commit, Some(Duration::from_secs(1)));
        assert!(auto.in_words()["commits"].contains("1000 ms"));
    }
}
