//! A producer: takes messages, chooses their queues, and hands on how they ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mqproof_core::plan::{Durability, ProducerPlan};

use super::cluster::Cluster;
use super::outcome::{NEVER_SENT, class};
use super::sending::{Event, Job, Said, Sending};
use super::settings::ProducerSettings;
use super::{instance, key, outgoing, wait_for_route};
use crate::Connection;
use crate::library_log::LibraryLog;
use crate::role::{DriverError, Outgoing, Producer, SendError, SendObserver};

/// Sends to one topic.
pub(super) struct RocketmqProducer {
    connection: Connection,
    topic: String,
    settings: ProducerSettings,
    log: LibraryLog,
    observer: Arc<dyn SendObserver>,
    way: OnceLock<Way>,
    said: Mutex<Receiver<Said>>,
    say: Sender<Said>,
    unanswered: AtomicUsize,
    round_robin: AtomicUsize,
}

/// To the thread that sends.
struct Way {
    events: Sender<Event>,
    queues: usize,
    instance: u32,
}

impl RocketmqProducer {
    pub(super) fn new(
        connection: &Connection,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
        log: LibraryLog,
    ) -> Self {
        let (say, said) = channel();
        Self {
            connection: connection.clone(),
            topic: plan.topic.clone(),
            settings: ProducerSettings::new(connection, plan, durability),
            log,
            observer,
            way: OnceLock::new(),
            said: Mutex::new(said),
            say,
            unanswered: AtomicUsize::new(0),
            round_robin: AtomicUsize::new(0),
        }
    }

    fn pass_on(&self, said: &Said) {
        match said {
            Said::Ended(completion) => {
                self.unanswered.fetch_sub(1, Ordering::Release);
                self.observer.completed(completion);
            }
            Said::WentOn(first) => self.observer.went_on(*first),
        }
    }
}

impl Producer for RocketmqProducer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + timeout;
        let queues = wait_for_route(&Cluster::new(&self.connection), &self.topic, deadline)?;
        let count = queues.len();
        let (say, log) = (self.say.clone(), self.log.clone());
        let (sending, events) = Sending::new(&self.connection, &self.topic, self.settings, queues, say, log);
        thread::spawn(move || sending.run());
        let _ = self.way.set(Way { events, queues: count, instance: instance() });
        Ok(())
    }

    #[inline]
    fn send(&self, message: &Outgoing<'_>) -> Result<(), SendError> {
        let Some(way) = self.way.get() else {
            return Err(SendError::Refused { class: class(NEVER_SENT), why: "not connected".to_owned() });
        };
        if self.unanswered.load(Ordering::Acquire) >= self.settings.unanswered {
            return Err(SendError::NoRoom);
        }
        let key = message.key.map(key::to_text);
        let lane = key.as_ref().map_or_else(
            || self.round_robin.fetch_add(1, Ordering::Relaxed) % way.queues,
            |key| key::queue_of(key, way.queues),
        );
        // 32 digits, as `MessageClientIDSetter` has it.
        let unique = format!("{:08X}{:08X}{:016X}", std::process::id(), way.instance, message.id.0);
        let job = Job {
            id: message.id,
            properties: outgoing::properties(key.as_deref(), &unique),
            body: message.payload.to_vec(),
            deadline: Instant::now() + Duration::from_millis(self.settings.give_up_after_ms),
            was_tried: false,
        };
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        // The thread lives until this is dropped.
        let _ = way.events.send(Event::Send(lane, job));
        Ok(())
    }

    fn poll(&self, timeout: Duration) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(first) = said.recv_timeout(timeout) {
            self.pass_on(&first);
            said.try_iter().for_each(|said| self.pass_on(&said));
        }
    }

    fn abandon(&self) {
        if let Some(way) = self.way.get() {
            let _ = way.events.send(Event::Abandon);
        }
    }

    fn give_up_after(&self) -> Duration {
        Duration::from_millis(self.settings.give_up_after_ms)
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.in_words()
    }
}

impl Drop for RocketmqProducer {
    fn drop(&mut self) {
        if let Some(way) = self.way.get() {
            let _ = way.events.send(Event::End);
        }
    }
}
