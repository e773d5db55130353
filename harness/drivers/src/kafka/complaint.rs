//! What librdkafka says about a connection that does not come about.
//!
//! A question that is not answered ends as a time-out whatever the reason is. The reason is told as an event, and of the
//! clients only a consumer hands its events out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::settings::Connection;
use crate::admin::Complaint;
use crate::library_log::LibraryLog;

/// More events than this are not looked at.
const EVENTS: usize = 64;

/// What librdkafka's log lines of a connection that ended are called.
const FAILED: &str = "FAIL";

/// Keeps what says most, and of equals the last.
#[derive(Clone)]
struct Ear {
    log: LibraryLog,
    heard: Arc<Mutex<Option<(Worth, String)>>>,
}

/// How much is said, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// All brokers are down. It is told after the reason.
    Down,
    /// A connection ended in a way that librdkafka only logs.
    Logged,
    /// Any other error.
    Failure,
    /// Somebody answered and would not have us.
    Refusal,
}

impl Ear {
    fn hear(&self, worth: Worth, text: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.as_ref().is_none_or(|(before, _)| *before <= worth) {
            *heard = Some((worth, text.to_owned()));
        }
    }

    fn heard(&self) -> Option<Complaint> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
        heard.map(|(worth, text)| Complaint { is_refusal: worth == Worth::Refusal, text })
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == FAILED {
            // Before it stands the name of a thread.
            let message = message.split_once("]: ").map_or(message, |(_, message)| message);
            // That is how a listener answers who brings no password.
            let hung_up = message.contains("connection closed by peer");
            self.hear(if hung_up { Worth::Refusal } else { Worth::Logged }, message);
        }
        ClientContext::log(&self.log, level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.hear(worth(&error, reason), reason);
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Ear {}

fn worth(error: &KafkaError, reason: &str) -> Worth {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism,
        ) => Worth::Refusal,
        // A peer that hangs up in the handshake, as one that does not speak TLS may, is told as a failed transport.
        _ if reason.contains("SSL handshake failed") => Worth::Refusal,
        Some(RDKafkaErrorCode::AllBrokersDown) => Worth::Down,
        _ => Worth::Failure,
    }
}

/// Asks for the cluster's metadata by a client of its own, and listens.
pub(super) fn complaint(connection: &Connection, log: &LibraryLog, timeout: Duration) -> Option<Complaint> {
    let ear = Ear { log: log.clone(), heard: Arc::default() };
    let consumer: BaseConsumer<Ear> = connection.admin().create_with_context(ear.clone()).ok()?;
    consumer.fetch_metadata(None, timeout).err()?;
    for _ in 0..EVENTS {
        if consumer.poll(Duration::from_millis(50)).is_none() {
            break;
        }
    }
    ear.heard()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_most_is_kept() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure};
        let said = |told: &[(RDKafkaErrorCode, &str)]| {
            let ear = Ear { log: LibraryLog::to_tracing(), heard: Arc::default() };
            for (code, reason) in told {
                ear.error(KafkaError::Global(*code), reason);
                ear.log(RDKafkaLogLevel::Info, FAILED, "[thrd:one]: Disconnected");
            }
            ear.heard().expect("something was said")
        };
        let complaint = |is_refusal, text: &str| Complaint { is_refusal, text: text.into() };

        let down = (AllBrokersDown, "1/1 brokers are down");
        let failure = (BrokerTransportFailure, "Connection refused");
        let wrong = (Authentication, "Invalid username or password");
        let hung_up = (BrokerTransportFailure, "SSL handshake failed: Disconnected");
        assert_eq!(said(&[down]), complaint(false, "Disconnected"));
        assert_eq!(said(&[down, failure, down]), complaint(false, failure.1));
        assert_eq!(said(&[down, wrong, failure]), complaint(true, wrong.1));
        assert_eq!(said(&[hung_up, down]), complaint(true, hung_up.1));

        let ear = Ear { log: LibraryLog::to_tracing(), heard: Arc::default() };
        ear.log(RDKafkaLogLevel::Info, FAILED, "[thrd:one]: one: Disconnected: connection closed by peer");
        ear.error(KafkaError::Global(down.0), down.1);
        assert_eq!(ear.heard(), Some(complaint(true, "one: Disconnected: connection closed by peer")));
    }

    #[test]
    fn nobody_at_the_address_is_told_in_the_librarys_words() {
        let connection =
            Connection { bootstrap: "127.0.0.1:1".into(), settings: std::collections::BTreeMap::new() };
        let said = complaint(&connection, &LibraryLog::to_tracing(), Duration::from_secs(1));
        let said = said.expect("something was said");
        assert!(!said.is_refusal && said.text.contains("Connection refused"), "{said:?}");
    }
}
