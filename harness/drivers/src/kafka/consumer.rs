//! A group member on librdkafka.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqproof_core::history::{Event, MemberChange, Outcome};
use mqproof_core::plan::{ConsumerPlan, Settle};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use super::error;
use super::outcome::{class, classify_commit};
use super::producer::wait_for_leaders;
use super::settings::{Connection, in_force};
use crate::clock::monotonic_ns;
use crate::library_log::LibraryLog;
use crate::role::{CommitEnd, Consumer, DriverError, GroupObserver, Handled, Received};

/// A member of a group on one topic.
pub(super) struct KafkaConsumer {
    client: BaseConsumer<Member>,
    topic: String,
    settings: BTreeMap<String, String>,
}

/// What the library's callbacks need; they run on the thread that polls.
struct Member {
    observer: Arc<dyn GroupObserver>,
    log: LibraryLog,
    topic: String,
    settle: Settle,
    /// Settled and not yet handed to a commit, as the next offset to read.
    settled: Mutex<BTreeMap<u16, u64>>,
    /// How far it came in its present assignment, as the next offset to read.
    reached: Mutex<BTreeMap<u16, u64>>,
    /// Whether a message was handed on and not settled thereby.
    has_open: AtomicBool,
    sessions: AtomicU16,
    rebalances: AtomicU64,
}

impl KafkaConsumer {
    /// A member that has not joined yet.
    pub(super) fn new(
        connection: &Connection,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let config = connection.consumer(plan);
        let settings = in_force(&config)?;
        let member = Member {
            observer,
            log,
            topic: plan.topic.clone(),
            settle: plan.settle,
            settled: Mutex::default(),
            reached: Mutex::default(),
            has_open: AtomicBool::new(false),
            sessions: AtomicU16::new(0),
            rebalances: AtomicU64::new(0),
        };
        let client = config.create_with_context(member).map_err(|why| error("consumer", why))?;
        Ok(Self { client, topic: plan.topic.clone(), settings })
    }
}

impl KafkaConsumer {
    /// Where every message was settled when it was handed on, all below the library's position is settled. It may lie
    /// behind the last message: marks of transactions, and what was aborted, are passed without a word.
    fn pass_marks(&self, settled: &mut BTreeMap<u16, u64>) {
        let member = self.client.context();
        if member.settle != Settle::After || member.has_open.load(Ordering::Relaxed) {
            return;
        }
        let Ok(positions) = self.client.position() else { return };
        let mut reached = member.reached();
        for element in positions.elements_for_topic(&self.topic) {
            let Offset::Offset(next) = element.offset() else { continue };
            let (partition, next) = (element.partition() as u16, next as u64);
            // A position from before the present assignment would take the group back.
            let Some(before) = reached.get_mut(&partition).filter(|before| **before < next) else { continue };
            *before = next;
            settled.insert(partition, next);
        }
    }
}

impl Consumer for KafkaConsumer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        wait_for_leaders(self.client.client(), &self.topic, timeout)
    }

    fn subscribe(&mut self) -> Result<(), DriverError> {
        self.client.subscribe(&[&self.topic]).map_err(|why| error("subscribe", why))
    }

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>) -> Handled,
    ) -> usize {
        let mut wait = timeout;
        for count in 0..max {
            // None also after a rebalance or a commit's end was served.
            let message = match self.client.poll(wait) {
                None => return count,
                Some(Ok(message)) => message,
                // A broker that is away is no news to a test of brokers that go away: the library reconnects.
                Some(Err(why)) => {
                    self.client.context().log.line("poll", &why.to_string());
                    return count;
                }
            };
            let received = Received {
                partition: message.partition() as u16,
                offset: message.offset() as u64,
                redelivered: false,
                settlement: message.offset() as u64 + 1,
                key: message.key(),
                payload: message.payload().unwrap_or_default(),
            };
            if handle(&received) == Handled::Settled {
                self.client.context().settled().insert(received.partition, received.settlement);
                self.client.context().reached().insert(received.partition, received.settlement);
            } else {
                self.client.context().has_open.store(true, Ordering::Relaxed);
            }
            wait = Duration::ZERO;
        }
        max
    }

    fn rebalances(&self) -> u64 {
        self.client.context().rebalances.load(Ordering::Relaxed)
    }

    fn settle(&mut self, partition: u16, settlement: u64) {
        self.client.context().settled().insert(partition, settlement);
    }

    fn commit_and_wait(&mut self) -> Outcome {
        let mut settled = std::mem::take(&mut *self.client.context().settled());
        self.pass_marks(&mut settled);
        let outcome = self.client.context().commit_now(&self.client, &settled);
        if outcome != Outcome::Ok {
            // What is not known to be committed is committed again, unless more was settled meanwhile.
            let mut open = self.client.context().settled();
            for (partition, next) in settled {
                open.entry(partition).or_insert(next);
            }
        }
        outcome
    }

    fn close(self: Box<Self>) {
        // Leaving serves the last rebalance and commits.
        drop(self);
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.clone()
    }
}

impl Member {
    fn settled(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits and waits. librdkafka does not call back for it, so the observer is told here.
    fn commit_now(&self, client: &BaseConsumer<Self>, settled: &BTreeMap<u16, u64>) -> Outcome {
        if settled.is_empty() {
            return Outcome::Ok;
        }
        let began_ns = monotonic_ns();
        let result = client.commit(&list(&self.topic, settled), CommitMode::Sync);
        let code = code_of(&result);
        for (&partition, &next) in settled {
            let outcome = classify_commit(code);
            self.observer.committed(&CommitEnd { partition, next, began_ns, outcome, class: class(code) });
        }
        classify_commit(code)
    }

    fn each_partition(&self, list: &TopicPartitionList, change: MemberChange) {
        let session = self.sessions.load(Ordering::Relaxed);
        for element in list.elements_for_topic(&self.topic) {
            self.observer.member(change, element.partition() as u16, session);
        }
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(error, reason);
    }
}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.rebalances.fetch_add(1, Ordering::Relaxed);
        match rebalance {
            Rebalance::Assign(list) => {
                self.settled().clear();
                self.reached().clear();
                self.sessions.fetch_add(1, Ordering::Relaxed);
                self.each_partition(list, MemberChange::Assign);
            }
            Rebalance::Revoke(list) => {
                let settled = std::mem::take(&mut *self.settled());
                let lost = client.assignment_lost();
                // A member that loses partitions in an orderly way says how far it came, or its successor repeats it.
                if !lost && self.settle == Settle::After {
                    self.commit_now(client, &settled);
                }
                self.each_partition(list, if lost { MemberChange::Lost } else { MemberChange::Revoke });
            }
            Rebalance::Error(why) => self.log.line("rebalance", &why.to_string()),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let code = code_of(&result);
        if code == RDKafkaErrorCode::NoOffset as i32 {
            return;
        }
        for element in offsets.elements_for_topic(&self.topic) {
            let Offset::Offset(next) = element.offset() else { continue };
            let code = match element.error() {
                Err(why) => why.rdkafka_error_code().map_or(-1, |code| code as i32),
                Ok(()) => code,
            };
            self.observer.committed(&CommitEnd {
                partition: element.partition() as u16,
                next: u64::try_from(next).unwrap_or(Event::NO_OFFSET),
                began_ns: 0,
                outcome: classify_commit(code),
                class: class(code),
            });
        }
    }
}

fn code_of(result: &KafkaResult<()>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(why) => why.rdkafka_error_code().map_or(-1, |code| code as i32),
    }
}

fn list(topic: &str, offsets: &BTreeMap<u16, u64>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (&partition, &next) in offsets {
        list.add_partition_offset(topic, i32::from(partition), Offset::Offset(next as i64))
            .expect("an offset below 2^63 is valid");
    }
    list
}
