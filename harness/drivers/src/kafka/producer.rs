//! A producer on librdkafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqproof_core::history::{Event, Level, Outcome};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{Durability, ProducerPlan};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig,
};
use rdkafka::types::RDKafkaErrorCode;

use super::outcome::{class, classify};
use super::settings::{Connection, in_force};
use super::{error, status};
use crate::library_log::LibraryLog;
use crate::role::{Completion, DriverError, NO_PARTITION, Outgoing, Producer, SendError, SendObserver};

/// Sends to one topic; delivery reports go to an observer.
pub(super) struct KafkaProducer {
    pub(super) client: BaseProducer<Reports>,
    topic: String,
    settings: BTreeMap<String, String>,
    give_up_after: Duration,
}

pub(super) struct Reports {
    observer: Arc<dyn SendObserver>,
    durability: Durability,
    log: LibraryLog,
}

impl KafkaProducer {
    /// A producer that is not yet connected.
    pub(super) fn new(
        connection: &Connection,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let config = connection.producer(plan, durability);
        let settings = in_force(&config)?;
        let timeout_ms = settings.get("message.timeout.ms").and_then(|value| value.parse().ok());
        let client = config
            .create_with_context(Reports { observer, durability, log })
            .map_err(|why| error("producer", why))?;
        Ok(Self {
            client,
            topic: plan.topic.clone(),
            settings,
            give_up_after: Duration::from_millis(timeout_ms.unwrap_or(300_000)),
        })
    }
}

impl Producer for KafkaProducer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        wait_for_leaders(self.client.client(), &self.topic, timeout)
    }

    #[inline]
    fn send(&self, message: &Outgoing<'_>) -> Result<(), SendError> {
        let record = BaseRecord {
            topic: &self.topic,
            partition: None,
            payload: Some(message.payload),
            key: message.key,
            timestamp: None,
            headers: None,
            delivery_opaque: message.id.0 as usize,
        };
        match self.client.send(record) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(SendError::NoRoom),
            Err((why, _)) => {
                let code = why.rdkafka_error_code().map_or(-1, |code| code as i32);
                Err(SendError::Refused { class: class(code), why: why.to_string() })
            }
        }
    }

    fn poll(&self, timeout: Duration) {
        self.client.poll(timeout);
    }

    fn abandon(&self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
    }

    fn give_up_after(&self) -> Duration {
        self.give_up_after
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.clone()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ProducerContext for Reports {
    /// The message's id; ids are 64 bits, as is a pointer on every platform this runs on.
    type DeliveryOpaque = usize;

    #[inline]
    fn delivery(&self, result: &DeliveryResult<'_>, id: usize) {
        let (message, code) = match result {
            Ok(message) => (message, 0),
            Err((why, message)) => (message, why.rdkafka_error_code().map_or(-1, |code| code as i32)),
        };
        let (outcome, level) = classify(code, status::persistence(message), self.durability);
        self.observer.completed(&Completion {
            id: MessageId(id as u64),
            outcome,
            level,
            class: class(code),
            partition: u16::try_from(message.partition()).unwrap_or(NO_PARTITION),
            offset: acked_offset(outcome, level, message.offset()),
        });
    }
}

/// Below zero: success after a duplicate sequence, where nobody told the offset. With acks=0 nobody tells it either, and
/// the library counts up from its own mark for "invalid", beyond zero in a large batch.
fn acked_offset(outcome: Outcome, level: Level, offset: i64) -> u64 {
    match outcome {
        Outcome::Ok if level > Level::Sent => u64::try_from(offset).unwrap_or(Event::NO_OFFSET),
        _ => Event::NO_OFFSET,
    }
}

const _: () = assert!(usize::BITS == u64::BITS);

/// Asks for metadata until each partition of the topic has a leader.
pub(super) fn wait_for_leaders<C: ClientContext>(
    client: &rdkafka::client::Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<(), DriverError> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let why = match client
            .fetch_metadata(Some(topic), left.clamp(Duration::from_millis(1), Duration::from_secs(1)))
        {
            Ok(metadata) => {
                let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
                if !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0) {
                    return Ok(());
                }
                format!("topic `{topic}` has no leader for each partition yet")
            }
            Err(why) => why.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(error("connect", why));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
