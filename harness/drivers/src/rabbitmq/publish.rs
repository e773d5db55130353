//! The task behind a producer: connects, publishes in order, and says how each publish ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{FutureExt, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt};
use lapin::Confirmation;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};
use mqproof_core::history::{Event, Level};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::ProducerPlan;
use tokio::sync::mpsc::UnboundedReceiver;

use super::amqp::{Dialer, within};
use super::declare::partitions;
use super::names::queue;
use super::outcome::End;
use super::settings::Settings;
use crate::library_log::LibraryLog;
use crate::role::Completion;

/// From one attempt to connect to the next.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How often time-outs and the connection are looked at.
const SWEEP: Duration = Duration::from_millis(10);
const SETUP: Duration = Duration::from_secs(2);
/// Where a key travels.
pub(super) const KEY_HEADER: &str = "key";

/// A message on its way.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) id: MessageId,
    pub(super) shard: u32,
    pub(super) key: Option<String>,
    pub(super) payload: Vec<u8>,
    pub(super) since: Instant,
}

/// What the task tells its producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// A publish ended.
    Ended(Completion),
    /// The broker takes no more (connection.blocked), or takes it again.
    Limited(bool),
    /// It goes on through another channel, this being the first message there.
    Reconnected(MessageId),
}

/// What the task and its producer share.
#[derive(Debug, Default)]
pub(super) struct Link {
    up: AtomicBool,
    abandoned: AtomicBool,
    /// 0: not known yet.
    partitions: AtomicU32,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    trouble: Mutex<String>,
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// The topic's partitions; None before the first connection.
    pub(super) fn partitions(&self) -> Option<u32> {
        Some(self.partitions.load(Ordering::Acquire)).filter(|count| *count > 0)
    }

    /// Why it is not up.
    pub(super) fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// Takes a place for a message. False: there is none.
    pub(super) fn take_room(&self, bytes: usize, max_messages: usize, max_bytes: usize) -> bool {
        let messages = self.messages.fetch_add(1, Ordering::AcqRel);
        let taken = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits = messages < max_messages && taken < max_bytes;
        if !fits {
            self.free_room(bytes);
        }
        fits
    }

    fn free_room(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A publish that has no end yet.
struct Open {
    shard: u32,
    bytes: usize,
}

type Flight = LocalBoxFuture<'static, (MessageId, Result<Confirmation, lapin::Error>)>;

/// The task.
pub(super) struct Publisher {
    dialer: Dialer,
    topic: String,
    level: Level,
    confirms: bool,
    window: usize,
    timeout: Duration,
    link: Arc<Link>,
    said: Sender<Said>,
    log: LibraryLog,
    limited: bool,
    /// Whether nothing was published through this channel, and how many there were before it.
    fresh: bool,
    channels: u32,
    waiting: VecDeque<Outbound>,
    open: BTreeMap<MessageId, Open>,
    /// Open publishes by age, ended ones among them.
    ages: VecDeque<(Instant, MessageId)>,
    /// Open publishes that the broker returned, with its reply code.
    returned: BTreeMap<MessageId, u16>,
}

impl Publisher {
    pub(super) fn new(
        settings: &Settings,
        plan: &ProducerPlan,
        level: Level,
        confirms: bool,
        link: Arc<Link>,
        said: Sender<Said>,
        log: LibraryLog,
    ) -> Self {
        let name = format!("mqproof {}-{}", plan.role, plan.instance);
        Self {
            dialer: Dialer::new(settings.clone(), name, usize::from(plan.instance)),
            topic: plan.topic.clone(),
            level,
            confirms,
            window: settings.outstanding.max(1),
            timeout: settings.message_timeout,
            link,
            said,
            log,
            limited: false,
            fresh: true,
            channels: 0,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            ages: VecDeque::new(),
            returned: BTreeMap::new(),
        }
    }

    /// Publishes until the producer is gone.
    pub(super) async fn run(mut self, mut outbox: UnboundedReceiver<Outbound>) {
        while !outbox.is_closed() {
            match self.connect(&mut outbox).await {
                Ok((connection, channel)) => {
                    self.link.up.store(true, Ordering::Release);
                    self.fresh = true;
                    self.serve(&connection, &channel, &mut outbox).await;
                    self.link.up.store(false, Ordering::Release);
                    self.limited(false);
                    self.trouble("serve", "the connection or the channel was lost");
                    self.end_all_open(End::Lost(None));
                }
                Err(why) => {
                    self.trouble("connect", &why);
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn trouble(&self, what: &str, why: &str) {
        self.log.line("connection", &format!("{what}: {why}"));
        why.clone_into(&mut self.link.trouble.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One attempt; what waits meanwhile still times out.
    async fn connect(
        &mut self,
        outbox: &mut UnboundedReceiver<Outbound>,
    ) -> Result<(Connection, Channel), String> {
        let (mut dialer, topic, confirms) = (self.dialer.clone(), self.topic.clone(), self.confirms);
        let attempt = async move {
            let connected = open(&mut dialer, &topic, confirms).await;
            (dialer, connected)
        };
        tokio::pin!(attempt);
        let (dialer, connected) = loop {
            tokio::select! {
                ended = &mut attempt => break ended,
                () = tokio::time::sleep(SWEEP) => {
                    while let Ok(outbound) = outbox.try_recv() {
                        self.waiting.push_back(outbound);
                    }
                    self.sweep();
                }
            }
        };
        self.dialer = dialer;
        let (connection, channel, partitions) = connected?;
        self.link.partitions.store(partitions, Ordering::Release);
        Ok((connection, channel))
    }

    /// Publishes until the connection is lost or the producer is gone.
    async fn serve(
        &mut self,
        connection: &Connection,
        channel: &Channel,
        outbox: &mut UnboundedReceiver<Outbound>,
    ) {
        let mut flights: FuturesUnordered<Flight> = FuturesUnordered::new();
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            while self.open.len() < self.window
                && let Some(outbound) = self.waiting.pop_front()
            {
                if let Some(flight) = self.publish(channel, outbound) {
                    flights.push(flight);
                }
            }
            tokio::select! {
                Some(first) = flights.next(), if !flights.is_empty() => {
                    let mut batch = vec![first];
                    while let Some(Some(more)) = flights.next().now_or_never() {
                        batch.push(more);
                    }
                    self.land(batch);
                }
                outbound = outbox.recv() => match outbound {
                    Some(outbound) => self.waiting.push_back(outbound),
                    None => return,
                },
                _ = sweep.tick() => {
                    self.sweep();
                    self.limited(connection.status().blocked());
                    if !connection.status().connected() || !channel.status().connected() {
                        break;
                    }
                }
            }
        }
        // Confirms that came before the end.
        while let Some(Some(landed)) = flights.next().now_or_never() {
            self.land(vec![landed]);
        }
    }

    /// Begins a publish. Its frames are queued at the first poll, here, so that the order is that of the calls.
    fn publish(&mut self, channel: &Channel, outbound: Outbound) -> Option<Flight> {
        let Outbound { id, shard, key, payload, since } = outbound;
        let bytes = payload.len();
        if std::mem::replace(&mut self.fresh, false) {
            if self.channels > 0 {
                let _ = self.said.send(Said::Reconnected(id));
            }
            self.channels += 1;
        }
        self.open.insert(id, Open { shard, bytes });
        self.ages.push_back((since, id));
        let channel = channel.clone();
        let exchange = queue(&self.topic, None, shard);
        let options = BasicPublishOptions { mandatory: self.confirms, immediate: false };
        let mut flight: Flight = Box::pin(async move {
            let properties = properties(id, key);
            let sent = channel
                .basic_publish(exchange.into(), shard.to_string().into(), options, &payload, properties)
                .await;
            let result = match sent {
                Ok(confirm) => confirm.await,
                Err(why) => Err(why),
            };
            (id, result)
        });
        match flight.as_mut().now_or_never() {
            None => Some(flight),
            Some(landed) => {
                self.land(vec![landed]);
                None
            }
        }
    }

    /// Judges publishes that ended together. lapin hangs a returned message at whichever confirm completes next, so all
    /// of them are looked through for returned ones first.
    fn land(&mut self, batch: Vec<(MessageId, Result<Confirmation, lapin::Error>)>) {
        for (_, result) in &batch {
            let Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = result else {
                continue;
            };
            match message.delivery.properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok()) {
                Some(id) if self.open.contains_key(&MessageId(id)) => {
                    self.returned.insert(MessageId(id), message.reply_code);
                }
                _ => self.log.line("returned", &format!("an unknown message: {}", message.reply_text)),
            }
        }
        for (id, result) in batch {
            if let Err(why) = &result {
                self.log.line("publish", &why.to_string());
            }
            let end = match self.returned.remove(&id) {
                Some(code) => End::Returned(code),
                None => End::of(&result),
            };
            self.end(id, end);
        }
    }

    /// Ends what is too old, or everything if the producer gives up.
    fn sweep(&mut self) {
        let abandoned = self.link.abandoned.swap(false, Ordering::AcqRel);
        let timeout = self.timeout;
        let is_over = |since: Instant| abandoned || since.elapsed() >= timeout;
        while let Some((since, id)) = self.ages.front().copied() {
            if self.open.contains_key(&id) && !is_over(since) {
                break;
            }
            self.ages.pop_front();
            self.end(id, End::TimedOut);
        }
        while self.waiting.front().is_some_and(|outbound| is_over(outbound.since)) {
            if let Some(Outbound { id, shard, payload, .. }) = self.waiting.pop_front() {
                self.open.insert(id, Open { shard, bytes: payload.len() });
                self.end(id, End::NeverSent);
            }
        }
    }

    fn end_all_open(&mut self, end: End) {
        let open: BTreeSet<MessageId> = self.open.keys().copied().collect();
        for id in open {
            self.end(id, end);
        }
        self.ages.clear();
        self.returned.clear();
    }

    /// Reports a publish, unless it had ended before.
    fn end(&mut self, id: MessageId, end: End) {
        let Some(Open { shard, bytes, .. }) = self.open.remove(&id) else { return };
        self.link.free_room(bytes);
        let (outcome, level, class) = end.judge(self.level);
        let offset = Event::NO_OFFSET;
        // Nobody listens any more when the process ends.
        let completion = Completion { id, outcome, level, class, partition: shard as u16, offset };
        let _ = self.said.send(Said::Ended(completion));
    }

    /// Passes on that the broker is short of memory or disk, or is not any more; a connection that ended says nothing.
    fn limited(&mut self, limited: bool) {
        if std::mem::replace(&mut self.limited, limited) != limited {
            self.log.line("connection", if limited { "blocked" } else { "unblocked" });
            let _ = self.said.send(Said::Limited(limited));
        }
    }
}

fn properties(id: MessageId, key: Option<String>) -> BasicProperties {
    let properties =
        BasicProperties::default().with_delivery_mode(2).with_message_id(id.0.to_string().into());
    match key {
        None => properties,
        Some(key) => {
            let mut headers = FieldTable::default();
            headers.insert(KEY_HEADER.into(), AMQPValue::LongString(key.into()));
            properties.with_headers(headers)
        }
    }
}

async fn open(
    dialer: &mut Dialer,
    topic: &str,
    confirms: bool,
) -> Result<(Connection, Channel, u32), String> {
    let connection = dialer.dial().await?;
    let partitions = partitions(&connection, topic).await?;
    let channel = within(SETUP, connection.create_channel()).await?;
    if confirms {
        within(SETUP, channel.confirm_select(ConfirmSelectOptions::default())).await?;
    }
    Ok((connection, channel, partitions))
}
