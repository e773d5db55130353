//! A producer: hands messages to the task that publishes, and its ends to the observer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mqproof_core::plan::{Durability, ProducerPlan};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::names::{key_text, shard_of_key};
use super::publish::{Link, Outbound, Publisher, Said};
use super::settings::Settings;
use super::{error, outcome};
use crate::library_log::LibraryLog;
use crate::role::{DriverError, Outgoing, Producer, SendError, SendObserver};

/// Messages that may wait here, answered or not: the bound that librdkafka is given.
const MAX_MESSAGES: usize = 100_000;
const MAX_BYTES: usize = 64 << 20;

/// Sends to one topic.
pub(super) struct RabbitProducer {
    outbox: UnboundedSender<Outbound>,
    said: Mutex<Receiver<Said>>,
    link: Arc<Link>,
    observer: Arc<dyn SendObserver>,
    /// Where the next message without a key goes.
    next_keyless: AtomicU32,
    give_up_after: Duration,
    settings: BTreeMap<String, String>,
}

impl RabbitProducer {
    /// A producer that begins to connect.
    pub(super) fn new(
        settings: &Settings,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let level = settings.level(durability)?;
        let (outbox, queue) = unbounded_channel();
        let (sender, said) = channel();
        let link = Arc::new(Link::default());
        let confirms = durability != Durability::None;
        let publisher = Publisher::new(settings, plan, level, confirms, Arc::clone(&link), sender, log);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|why| error("runtime", why))?;
        thread::Builder::new()
            .name("publisher".to_owned())
            .spawn(move || runtime.block_on(publisher.run(queue)))
            .map_err(|why| error("publisher", why))?;
        Ok(Self {
            outbox,
            said: Mutex::new(said),
            link,
            observer,
            next_keyless: AtomicU32::new(u32::from(plan.instance)),
            give_up_after: settings.message_timeout,
            settings: in_force(settings, confirms),
        })
    }

    fn shard(&self, key: Option<&[u8]>, shards: u32) -> u32 {
        match key {
            Some(key) => shard_of_key(key, shards),
            None => self.next_keyless.fetch_add(1, Ordering::Relaxed) % shards,
        }
    }

    fn pass_on(&self, said: Said) {
        match said {
            Said::Ended(completion) => self.observer.completed(&completion),
            Said::Limited(limited) => self.observer.limited(limited),
            Said::Reconnected(first) => self.observer.went_on(first),
        }
    }
}

impl Producer for RabbitProducer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + timeout;
        while !self.link.is_up() {
            if Instant::now() >= deadline {
                return Err(error("connect", self.link.trouble()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    #[inline]
    fn send(&self, message: &Outgoing<'_>) -> Result<(), SendError> {
        let Some(shards) = self.link.partitions() else {
            return Err(SendError::Refused {
                class: outcome::CLASS_NEVER_SENT,
                why: "was never connected".to_owned(),
            });
        };
        if !self.link.take_room(message.payload.len(), MAX_MESSAGES, MAX_BYTES) {
            return Err(SendError::NoRoom);
        }
        let outbound = Outbound {
            id: message.id,
            shard: self.shard(message.key, shards),
            key: message.key.map(key_text),
            payload: message.payload.to_vec(),
            since: Instant::now(),
        };
        self.outbox.send(outbound).map_err(|_| SendError::Refused {
            class: outcome::CLASS_NEVER_SENT,
            why: "the publisher has ended".to_owned(),
        })
    }

    fn poll(&self, timeout: Duration) {
        let all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(first) = all.recv_timeout(timeout) {
            self.pass_on(first);
            all.try_iter().for_each(|said| self.pass_on(said));
        }
    }

    fn abandon(&self) {
        self.link.abandon();
    }

    fn give_up_after(&self) -> Duration {
        self.give_up_after
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.clone()
    }
}

fn in_force(settings: &Settings, confirms: bool) -> BTreeMap<String, String> {
    let queue_type = settings.queue_type.map_or("as declared", super::settings::QueueType::name);
    [
        ("publisher-confirms", confirms.to_string()),
        ("mandatory", confirms.to_string()),
        ("delivery-mode", "2".to_owned()),
        ("queue-type", queue_type.to_owned()),
        ("outstanding", settings.outstanding.to_string()),
        ("message-timeout", settings.message_timeout.as_millis().to_string()),
        ("heartbeat", settings.heartbeat_s.to_string()),
        ("partitioner", "murmur2".to_owned()),
        ("retries", "0".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
