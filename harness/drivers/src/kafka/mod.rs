//! Apache Kafka's protocol, through librdkafka: the only door to Kafka and to the reference broker.
//!
//! In:  plans and questions. Out: producers, consumers, log readers and an admin behind the roles.
//! Owns: which setting of librdkafka a plan implies, and which of its results means what ([`classify`]).

mod admin;
mod consumer;
mod context;
mod log_reader;
mod outcome;
mod producer;
mod settings;
mod status;

pub use admin::KafkaAdmin;
pub use consumer::KafkaConsumer;
pub use context::LibraryLog;
pub use log_reader::KafkaLogReader;
pub use outcome::{Persistence, classify, classify_commit};
pub use producer::KafkaProducer;
pub use settings::Connection;

use crate::role::DriverError;

/// The client library and its version.
pub fn library() -> String {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    format!("librdkafka {version}")
}

fn error(what: impl Into<String>, why: impl ToString) -> DriverError {
    DriverError { what: what.into(), why: why.to_string() }
}
