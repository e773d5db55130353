//! Apache Kafka's protocol, through librdkafka: the only door to Kafka and to the reference broker.
//!
//! In:  plans and questions. Out: producers, consumers, log readers and an admin behind the roles.
//! Owns: which setting of librdkafka a plan implies, and which of its results means what (`outcome`).

mod admin;
mod complaint;
mod consumer;
mod context;
mod driver;
pub mod light;
mod log_reader;
mod outcome;
mod producer;
mod settings;
mod status;
mod transactional;

pub use admin::KafkaAdmin;
pub use driver::KafkaDriver;
pub use settings::Connection;

pub use crate::library_log::LibraryLog;
use crate::role::DriverError;

/// The client library and its version.
pub fn library() -> String {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    format!("librdkafka {version}")
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over the library's error, which ends here")]
fn error(what: impl Into<String>, why: impl ToString) -> DriverError {
    DriverError { what: what.into(), why: why.to_string() }
}
