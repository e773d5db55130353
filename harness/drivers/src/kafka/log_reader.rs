//! Reads whole partitions on librdkafka, without joining a group.

use std::collections::BTreeMap;
use std::time::Duration;

use mqproof_core::plan::Isolation;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::settings::{Connection, in_force};
use crate::library_log::LibraryLog;
use crate::role::{DriverError, LogReader, Received};

/// A fresh client that reads a topic from its beginning.
pub(super) struct KafkaLogReader {
    client: BaseConsumer<LibraryLog>,
    topic: String,
    settings: BTreeMap<String, String>,
}

impl KafkaLogReader {
    /// A reader that reads nothing yet; `number` tells readers apart in the broker's logs.
    pub(super) fn new(
        connection: &Connection,
        topic: &str,
        number: u16,
        isolation: Isolation,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let config = connection.log_reader(number, isolation);
        let settings = in_force(&config)?;
        let client = config.create_with_context(log).map_err(|why| error("log reader", why))?;
        Ok(Self { client, topic: topic.to_owned(), settings })
    }
}

impl LogReader for KafkaLogReader {
    fn bounds(&self, partition: u16, timeout: Duration) -> Result<(u64, u64), DriverError> {
        self.client
            .fetch_watermarks(&self.topic, i32::from(partition), timeout)
            .map(|(start, end)| (start as u64, end as u64))
            .map_err(|why| error(format!("log bounds of {}/{partition}", self.topic), why))
    }

    fn assign(&mut self, partitions: &[u16]) -> Result<(), DriverError> {
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition_offset(&self.topic, i32::from(partition), Offset::Beginning)
                .map_err(|why| error("assign", why))?;
        }
        self.client.assign(&list).map_err(|why| error("assign", why))
    }

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>),
        at_end: &mut dyn FnMut(u16),
    ) -> usize {
        let mut wait = timeout;
        let mut count = 0;
        while count < max {
            match self.client.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    count += 1;
                    handle(&Received {
                        partition: message.partition() as u16,
                        offset: message.offset() as u64,
                        redelivered: false,
                        settlement: message.offset() as u64 + 1,
                        key: message.key(),
                        payload: message.payload().unwrap_or_default(),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => at_end(partition as u16),
                Some(Err(why)) => {
                    self.client.context().line("poll", &why.to_string());
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        count
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.clone()
    }
}
