//! Callbacks of clients that need nothing but a log.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::library_log::LibraryLog;

impl ClientContext for LibraryLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.line(&format!("{level:?}").to_lowercase(), &format!("{facility} {message}"));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.line("error", &format!("{error}: {reason}"));
    }
}

impl ConsumerContext for LibraryLog {}
