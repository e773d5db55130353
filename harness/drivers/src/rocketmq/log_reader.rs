//! Reads whole queues from their masters, without a group.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::remoting::{Connection as Remote, Request, code};
use super::stored::{Stored, split};
use crate::Connection;
use crate::library_log::LibraryLog;
use crate::role::{DriverError, LogReader, Received};

/// Messages asked for at once; the broker has limits of its own beside it.
const AT_ONCE: usize = 256;
/// The broker reads the subscription from the question, so that no group needs to be there.
const WITH_SUBSCRIPTION: u32 = 1 << 2;
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a question that got no answer.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How far a queue was read.
struct Place {
    next: u64,
    messages: VecDeque<Stored>,
    /// Told that there is no more; told again only after more came.
    at_end: bool,
}

/// A fresh reader of one topic.
pub(super) struct RocketmqLogReader {
    cluster: Cluster,
    topic: String,
    group: String,
    log: LibraryLog,
    places: BTreeMap<u16, Place>,
    /// To the masters, by broker; a connection that failed is looked for anew.
    connections: BTreeMap<String, Remote>,
    turn: usize,
}

impl RocketmqLogReader {
    pub(super) fn new(connection: &Connection, topic: &str, number: u16, log: LibraryLog) -> Self {
        Self {
            cluster: Cluster::new(connection),
            topic: topic.to_owned(),
            group: format!("mqproof-drain-{number}"),
            log,
            places: BTreeMap::new(),
            connections: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Fetches what comes next of the partition whose turn it is.
    fn fetch(&mut self, deadline: Instant) -> Result<Option<u16>, String> {
        let waiting: Vec<u16> =
            self.places.iter().filter(|(_, place)| place.messages.is_empty()).map(|(p, _)| *p).collect();
        let Some(&partition) = waiting.get(self.turn % waiting.len().max(1)) else { return Ok(None) };
        self.turn = self.turn.wrapping_add(1);
        let place = &self.places[&partition];
        let next = place.next;
        let text = |why: &dyn std::fmt::Display| why.to_string();
        let queue =
            self.cluster.queue(&self.topic, u32::from(partition), deadline).map_err(|why| text(&why))?;
        let request = Request::new(code::PULL_MESSAGE)
            .with("consumerGroup", &self.group)
            .with("topic", &self.topic)
            .with("queueId", queue.id)
            .with("queueOffset", next)
            .with("maxMsgNums", AT_ONCE)
            .with("sysFlag", WITH_SUBSCRIPTION)
            .with("commitOffset", 0)
            .with("suspendTimeoutMillis", 0)
            .with("subscription", "*")
            .with("subVersion", 0)
            .with("expressionType", "TAG");
        let mut connection = match self.connections.remove(&queue.broker) {
            Some(connection) => connection,
            None => self.connect(&queue.broker, deadline)?,
        };
        let answer = connection.ask(&request, deadline).map_err(|why| text(&why))?;
        self.connections.insert(queue.broker, connection);
        let place = self.places.get_mut(&partition).expect("it was there a moment ago");
        match answer.code {
            code::SUCCESS => {
                let messages = split(&answer.body).ok_or("messages that are not understood")?;
                // What the broker adds before the place that was asked for is not handed on twice.
                place.messages.extend(messages.into_iter().filter(|message| message.queue_offset >= next));
                place.next = match place.messages.back() {
                    Some(last) => last.queue_offset + 1,
                    None => answer.number("nextBeginOffset").map_or(next, |begin| begin.max(0) as u64),
                };
                place.at_end = false;
                Ok(None)
            }
            code::PULL_NOT_FOUND => Ok(Some(partition)),
            code::PULL_RETRY_IMMEDIATELY | code::PULL_OFFSET_MOVED => {
                let begin = answer.number("nextBeginOffset").unwrap_or(0).max(0) as u64;
                if begin == next {
                    return Ok(Some(partition));
                }
                // Beyond the end, or before the start: where the broker says that reading goes on.
                place.next = begin;
                Ok(None)
            }
            other => Err(format!("`pull` answers {other}: {}", answer.remark)),
        }
    }

    fn connect(&self, broker: &str, deadline: Instant) -> Result<Remote, String> {
        let master = self.cluster.master(broker, deadline).map_err(|why| why.to_string())?;
        Remote::open(&master, deadline).map_err(|why| why.to_string())
    }

    fn hand_on(&mut self, max: usize, handle: &mut dyn FnMut(&Received<'_>)) -> usize {
        let mut count = 0;
        for (&partition, place) in &mut self.places {
            while count < max {
                let Some(message) = place.messages.pop_front() else { break };
                handle(&Received {
                    partition,
                    offset: message.queue_offset,
                    redelivered: false,
                    settlement: message.queue_offset + 1,
                    key: message.key.as_deref(),
                    payload: &message.body,
                });
                count += 1;
            }
        }
        count
    }
}

impl LogReader for RocketmqLogReader {
    fn bounds(&self, partition: u16, timeout: Duration) -> Result<(u64, u64), DriverError> {
        let bounds = self.cluster.log_bounds(&self.topic, u32::from(partition), Instant::now() + timeout);
        bounds.map_err(|why| DriverError {
            what: format!("log bounds of {}/{partition}", self.topic),
            why: why.to_string(),
        })
    }

    fn assign(&mut self, partitions: &[u16]) -> Result<(), DriverError> {
        let place = |start| Place { next: start, messages: VecDeque::new(), at_end: false };
        self.places = partitions.iter().map(|partition| (*partition, place(0))).collect();
        Ok(())
    }

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>),
        at_end: &mut dyn FnMut(u16),
    ) -> usize {
        let until = Instant::now() + timeout;
        loop {
            match self.fetch(Instant::now() + PATIENCE) {
                Ok(None) => {}
                Ok(Some(partition)) => {
                    let place = self.places.get_mut(&partition).expect("only assigned ones are read");
                    if !std::mem::replace(&mut place.at_end, true) {
                        at_end(partition);
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(why) => {
                    self.log.line("poll", &why);
                    std::thread::sleep(BACK_OFF);
                }
            }
            let count = self.hand_on(max, handle);
            if count > 0 || Instant::now() >= until {
                return count;
            }
        }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("reads".to_owned(), "each queue from its master, without a group".to_owned())])
    }
}
