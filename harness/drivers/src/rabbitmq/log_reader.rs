//! Reads whole streams, from their first message, without a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lapin::Connection;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::amqp::{Dialer, within};
use super::error;
use super::facts::Facts;
use super::names::queue;
use super::settings::Settings;
use super::subscription::key;
use crate::library_log::LibraryLog;
use crate::role::{DriverError, LogReader, Received};

const SETUP: Duration = Duration::from_secs(2);
const BACK_OFF: Duration = Duration::from_millis(100);
const PREFETCH: u16 = 1_000;
/// How often a reader without news asks whether there is anything left.
const LOOK_FOR_END: Duration = Duration::from_millis(200);
const BOUNDS: Duration = Duration::from_secs(1);
const OFFSET_HEADER: &str = "x-stream-offset";

/// A message of a stream.
struct Record {
    partition: u16,
    offset: u64,
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
}

/// A fresh reader of a topic's streams.
pub(super) struct StreamReader {
    settings: Settings,
    topic: String,
    number: u16,
    facts: Facts,
    log: LibraryLog,
    records: Receiver<Record>,
    sender: Sender<Record>,
    stop: Arc<AtomicBool>,
    /// Where each assigned partition goes on.
    next: BTreeMap<u16, u64>,
    looked: Instant,
}

impl StreamReader {
    /// A reader that reads nothing yet.
    pub(super) fn new(
        settings: &Settings,
        topic: &str,
        number: u16,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let (sender, records) = channel();
        Ok(Self {
            settings: settings.clone(),
            topic: topic.to_owned(),
            number,
            facts: Facts::new(settings)?,
            log,
            records,
            sender,
            stop: Arc::new(AtomicBool::new(false)),
            next: BTreeMap::new(),
            looked: Instant::now(),
        })
    }

    fn partitions_at_end(&mut self) -> Vec<u16> {
        if self.looked.elapsed() < LOOK_FOR_END {
            return Vec::new();
        }
        self.looked = Instant::now();
        let ended = |(partition, next): (&u16, &u64)| {
            let (_, end) = self.bounds(*partition, BOUNDS).ok()?;
            (*next >= end).then_some(*partition)
        };
        self.next.iter().filter_map(ended).collect()
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl LogReader for StreamReader {
    fn bounds(&self, partition: u16, timeout: Duration) -> Result<(u64, u64), DriverError> {
        let name = queue(&self.topic, None, u32::from(partition));
        self.facts
            .stream_bounds(&name, timeout)
            .map_err(|why| error(format!("log bounds of {}/{partition}", self.topic), why))
    }

    fn assign(&mut self, partitions: &[u16]) -> Result<(), DriverError> {
        self.next = partitions.iter().map(|partition| (*partition, 0)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|why| error("runtime", why))?;
        let task = Task {
            dialer: Dialer::new(
                self.settings.clone(),
                format!("mqproof drain-{}", self.number),
                usize::from(self.number),
            ),
            topic: self.topic.clone(),
            partitions: partitions.iter().copied().collect(),
            sender: self.sender.clone(),
            stop: Arc::clone(&self.stop),
            log: self.log.clone(),
        };
        thread::Builder::new()
            .name("stream reader".to_owned())
            .spawn(move || runtime.block_on(task.run()))
            .map(drop)
            .map_err(|why| error("reader", why))
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
        while count < max
            && let Ok(record) = self.records.recv_timeout(wait)
        {
            wait = Duration::ZERO;
            // After a reconnection, and from a chunk's beginning, messages come again.
            match self.next.get_mut(&record.partition) {
                Some(next) if record.offset >= *next => *next = record.offset + 1,
                _ => continue,
            }
            count += 1;
            handle(&Received {
                partition: record.partition,
                offset: record.offset,
                redelivered: false,
                settlement: record.offset + 1,
                key: record.key.as_deref(),
                payload: &record.payload,
            });
        }
        if count == 0 {
            self.partitions_at_end().into_iter().for_each(at_end);
        }
        count
    }

    fn settings(&self) -> BTreeMap<String, String> {
        [
            ("x-stream-offset", "first".to_owned()),
            ("prefetch", PREFETCH.to_string()),
            ("heartbeat", self.settings.heartbeat_s.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Reads until it is told to stop; after a lost connection from where it was.
struct Task {
    dialer: Dialer,
    topic: String,
    partitions: BTreeSet<u16>,
    sender: Sender<Record>,
    stop: Arc<AtomicBool>,
    log: LibraryLog,
}

impl Task {
    async fn run(mut self) {
        let mut next: BTreeMap<u16, u64> = BTreeMap::new();
        while !self.stop.load(Ordering::Relaxed) {
            let connection = match self.dialer.dial().await {
                Ok(connection) => connection,
                Err(why) => {
                    self.log.line("connect", &why);
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            let reads = self.partitions.iter().map(|partition| {
                let from = next.get(partition).copied();
                let read = self.read(&connection, *partition, from);
                async move { (*partition, read.await) }
            });
            for (partition, (at, result)) in futures::future::join_all(reads).await {
                at.map(|at| next.insert(partition, at));
                if let Err(why) = result {
                    self.log.line("read", &format!("partition {partition}: {why}"));
                }
            }
            tokio::time::sleep(BACK_OFF).await;
        }
    }

    /// Reads a stream until its channel ends. Says where to go on.
    async fn read(
        &self,
        connection: &Connection,
        partition: u16,
        from: Option<u64>,
    ) -> (Option<u64>, Result<(), String>) {
        let mut next = from;
        let result = self.read_on(connection, partition, &mut next).await;
        (next, result)
    }

    async fn read_on(
        &self,
        connection: &Connection,
        partition: u16,
        next: &mut Option<u64>,
    ) -> Result<(), String> {
        let channel = within(SETUP, connection.create_channel()).await?;
        within(SETUP, channel.basic_qos(PREFETCH, BasicQosOptions::default())).await?;
        let name = queue(&self.topic, None, u32::from(partition));
        let from = match *next {
            Some(offset) => AMQPValue::LongLongInt(offset as i64),
            None => AMQPValue::LongString("first".into()),
        };
        let mut arguments = FieldTable::default();
        arguments.insert(OFFSET_HEADER.into(), from);
        let consume =
            channel.basic_consume(name.into(), "".into(), BasicConsumeOptions::default(), arguments);
        let mut deliveries = within(SETUP, consume).await?;
        let mut unsettled = 0;
        while let Some(delivery) = deliveries.next().await {
            let delivery = delivery.map_err(|why| why.to_string())?;
            let offset = offset(&delivery).ok_or("a delivery without an offset")?;
            *next = Some(offset + 1);
            unsettled += 1;
            // An acknowledgement of a stream is no more than credit for further messages.
            if unsettled >= PREFETCH / 4 {
                unsettled = 0;
                let options = BasicAckOptions { multiple: true };
                channel.basic_ack(delivery.delivery_tag, options).await.map_err(|why| why.to_string())?;
            }
            let record = Record { partition, offset, key: key(&delivery), payload: delivery.data };
            if self.sender.send(record).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn offset(delivery: &Delivery) -> Option<u64> {
    let headers = delivery.properties.headers().as_ref()?;
    match headers.inner().get(OFFSET_HEADER)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        AMQPValue::LongInt(offset) => u64::try_from(*offset).ok(),
        AMQPValue::LongUInt(offset) => Some(u64::from(*offset)),
        _ => None,
    }
}
