//! The task behind a member: keeps a channel open to each queue of its group, and passes on what they deliver.
//!
//! Each queue goes round: asked → delivering → ended → asked. A queue whose node is down is answered when the node is
//! back (RabbitMQ looks for it for a minute), so a question is never put a second time while the first is out: the broker
//! would serve both, and a consumer that nobody listens to keeps its whole prefetch, or the queue where one is served at a
//! time. A question ends with its answer or with its connection; dropping lapin's future or channel withdraws nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::amqp::{Dialer, within};
use super::declare::partitions;
use super::names::{key_bytes, queue};
use super::publish::KEY_HEADER;
use crate::library_log::LibraryLog;

const BACK_OFF: Duration = Duration::from_millis(50);
/// From one attempt to consume a queue that is away to the next.
const RETRY: Duration = Duration::from_millis(200);
/// How long a member waits for the others to take their first queue before it asks for all.
const OWN_FIRST: Duration = Duration::from_millis(250);
const SETUP: Duration = Duration::from_secs(2);
/// How long a broker that is alive may take to answer: longer than it looks for a queue that is away.
const ANSWER: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);

/// What a member is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Reach the cluster.
    Connect,
    /// Take deliveries.
    Subscribe,
    /// Leave.
    Stop,
}

/// What happens to a member.
#[derive(Debug)]
pub(super) enum Item {
    /// A session with a queue began.
    Up,
    /// A message came.
    Message(Message),
    /// A session with a queue ended; what was not acknowledged comes again.
    Down {
        /// The queue's partition.
        partition: u16,
        /// The session.
        session: u64,
    },
}

/// A delivery.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) partition: u16,
    pub(super) session: u64,
    pub(super) tag: u64,
    pub(super) redelivered: bool,
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
}

/// The session that a queue is in.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) session: u64,
    pub(super) channel: Channel,
}

/// What the task and its member share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    connected: AtomicBool,
    sessions: AtomicU64,
    live: Mutex<BTreeMap<u16, Live>>,
    trouble: Mutex<String>,
}

impl Shared {
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(super) fn live(&self) -> MutexGuard<'_, BTreeMap<u16, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The task.
#[derive(Clone)]
pub(super) struct Subscriber {
    pub(super) dialer: Dialer,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) member: u32,
    pub(super) no_ack: bool,
    pub(super) prefetch: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) items: Sender<Item>,
    pub(super) log: LibraryLog,
}

impl Subscriber {
    /// Takes deliveries until told to stop.
    pub(super) async fn run(mut self, mut phases: watch::Receiver<Phase>) {
        while *phases.borrow() != Phase::Stop {
            let connection = match self.connect().await {
                Ok(connection) => connection,
                Err(why) => {
                    self.trouble("connect", &why);
                    tokio::time::sleep(BACK_OFF).await;
                    continue;
                }
            };
            let (connection, partitions) = connection;
            self.shared.connected.store(true, Ordering::Release);
            if phases.wait_for(|phase| *phase != Phase::Connect).await.is_err() {
                return;
            }
            let connection = Arc::new(connection);
            let mut queues = JoinSet::new();
            for place in 0..partitions {
                let partition = (self.member + place) % partitions;
                let wait = if place == 0 { Duration::ZERO } else { OWN_FIRST };
                queues.spawn(self.clone().keep(Arc::clone(&connection), partition, wait));
            }
            while connection.status().connected() && *phases.borrow() == Phase::Subscribe {
                tokio::time::sleep(LOOK).await;
            }
            close(&connection).await;
            // With its connection every session ends; what the library does not tell of it is ended here.
            let ended = async { while queues.join_next().await.is_some() {} };
            if tokio::time::timeout(SETUP, ended).await.is_err() {
                queues.shutdown().await;
            }
        }
    }

    async fn connect(&mut self) -> Result<(Connection, u32), String> {
        let connection = self.dialer.dial().await?;
        let partitions = partitions(&connection, &self.topic).await?;
        Ok((connection, partitions))
    }

    fn trouble(&self, what: &str, why: &str) {
        self.log.line("subscription", &format!("{what}: {why}"));
        why.clone_into(&mut self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Consumes a queue again and again, until the connection is lost.
    async fn keep(self, connection: Arc<Connection>, partition: u32, wait: Duration) {
        tokio::time::sleep(wait).await;
        while connection.status().connected() {
            let why = match self.open(&connection, partition).await {
                Ok((channel, deliveries)) => self.take(partition as u16, channel, deliveries).await.err(),
                Err(Unopened::Refused(why)) => Some(why),
                Err(Unopened::Silent) => {
                    self.trouble(&format!("queue {partition}"), "no answer: the connection is given up");
                    return close(&connection).await;
                }
            };
            why.inspect(|why| self.trouble(&format!("queue {partition}"), why));
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Asks for a queue's deliveries.
    async fn open(&self, connection: &Connection, partition: u32) -> Result<(Channel, Consumer), Unopened> {
        let ask = async {
            let channel = connection.create_channel().await?;
            channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
            let name = queue(&self.topic, Some(&self.group), partition);
            let options = BasicConsumeOptions { no_ack: self.no_ack, ..BasicConsumeOptions::default() };
            let consumer = channel.basic_consume(name.into(), "".into(), options, FieldTable::default());
            Ok((channel.clone(), consumer.await?))
        };
        match tokio::time::timeout(ANSWER, ask).await {
            Ok(answer) => answer.map_err(|why: lapin::Error| Unopened::Refused(why.to_string())),
            Err(_) => Err(Unopened::Silent),
        }
    }

    /// One session with a queue.
    async fn take(&self, partition: u16, channel: Channel, mut deliveries: Consumer) -> Result<(), String> {
        let session = Session::begin(self, partition, channel.clone());
        let mut ended = Ok(());
        while let Some(delivery) = deliveries.next().await {
            match delivery {
                Ok(delivery) => self.say(Item::Message(message(partition, session.number, delivery))),
                Err(why) => ended = Err(why.to_string()),
            }
        }
        drop(session);
        if channel.status().connected() {
            // The broker cancelled the consumer; what it had out is still bound to the channel.
            let _ = within(SETUP, channel.close(200, "cancelled".into())).await;
        }
        ended
    }

    fn say(&self, item: Item) {
        // Nobody listens any more when the member has left.
        let _ = self.items.send(item);
    }
}

/// A queue did not begin to deliver.
enum Unopened {
    /// The broker said why not, or the connection was lost.
    Refused(String),
    /// The broker said nothing, and may still begin.
    Silent,
}

/// A session with a queue, from its first delivery on; it is over when this is dropped.
struct Session<'a> {
    subscriber: &'a Subscriber,
    partition: u16,
    number: u64,
}

impl<'a> Session<'a> {
    fn begin(subscriber: &'a Subscriber, partition: u16, channel: Channel) -> Self {
        let number = subscriber.shared.sessions.fetch_add(1, Ordering::Relaxed) + 1;
        subscriber.shared.live().insert(partition, Live { session: number, channel });
        subscriber.say(Item::Up);
        Self { subscriber, partition, number }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.subscriber.shared.live().remove(&self.partition);
        self.subscriber.say(Item::Down { partition: self.partition, session: self.number });
    }
}

/// Closes a connection that is open, and with it all that was asked through it.
async fn close(connection: &Connection) {
    if connection.status().connected() {
        let _ = within(SETUP, connection.close(200, "done".into())).await;
    }
}

fn message(partition: u16, session: u64, delivery: Delivery) -> Message {
    Message {
        partition,
        session,
        tag: delivery.delivery_tag,
        redelivered: delivery.redelivered,
        key: key(&delivery),
        payload: delivery.data,
    }
}

/// The key that the producer put into the headers.
pub(super) fn key(delivery: &Delivery) -> Option<Vec<u8>> {
    let headers = delivery.properties.headers().as_ref()?;
    key_bytes(headers.inner().get(KEY_HEADER)?.as_long_string()?.as_bytes())
}
