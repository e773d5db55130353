//! A group member: takes deliveries of all queues of its group, one channel each.
//!
//! Where order by key is asked for, a queue hands its messages to one member at a time (`x-single-active-consumer`); the
//! next member takes over when the holder's channel ends. Else the members compete. A channel's end makes its delivery tags worthless and its
//! unsettled messages come again: a session ends.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lapin::options::{BasicAckOptions, BasicQosOptions};
use mqproof_core::history::{Event, MemberChange, Outcome};
use mqproof_core::plan::{ConsumerPlan, Settle};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::amqp::{Dialer, within};
use super::error;
use super::settings::Settings;
use super::subscription::{Item, Live, Message, Phase, Shared, Subscriber};
use crate::clock::monotonic_ns;
use crate::library_log::LibraryLog;
use crate::role::{CommitEnd, Consumer, DriverError, GroupObserver, Handled, Received};

/// How long the broker may take to say that it has taken an acknowledgement.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);
/// Error classes of a commit.
const CLASS_SESSION_OVER: u16 = 1;
const CLASS_UNANSWERED: u16 = 2;

/// A member of a group on one topic.
pub(super) struct RabbitConsumer {
    shared: Arc<Shared>,
    items: Receiver<Item>,
    /// Taken from `items` and not yet handed on.
    held: Option<Message>,
    phase: watch::Sender<Phase>,
    runtime: Handle,
    task: Option<JoinHandle<()>>,
    observer: Arc<dyn GroupObserver>,
    settle: Settle,
    prefetch: u16,
    /// Settled and not yet acknowledged, by partition.
    settled: BTreeMap<u16, Token>,
    /// Acknowledged up to here, by partition.
    acknowledged: BTreeMap<u16, Token>,
    /// The session in which a partition was last handed to this member.
    assigned: BTreeMap<u16, u64>,
    rebalances: u64,
    settings: BTreeMap<String, String>,
}

/// A delivery tag and the session that it counts in, in one number that grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Token(u64);

impl Token {
    const TAG_BITS: u32 = 40;

    fn new(session: u64, tag: u64) -> Self {
        Self(session << Self::TAG_BITS | tag)
    }

    fn session(self) -> u64 {
        self.0 >> Self::TAG_BITS
    }

    fn tag(self) -> u64 {
        self.0 & ((1 << Self::TAG_BITS) - 1)
    }
}

impl RabbitConsumer {
    /// A member that begins to connect, and has not subscribed.
    pub(super) fn new(
        settings: &Settings,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|why| error("runtime", why))?;
        let (sender, items) = channel();
        let (phase, phases) = watch::channel(Phase::Connect);
        let shared = Arc::new(Shared::default());
        let name = format!("mqproof {}-{}", plan.role, plan.member);
        let subscriber = Subscriber {
            dialer: Dialer::new(settings.clone(), name, usize::from(plan.member)),
            topic: plan.topic.clone(),
            group: plan.group.clone(),
            member: u32::from(plan.member),
            no_ack: plan.settle == Settle::Auto,
            prefetch: settings.prefetch,
            shared: Arc::clone(&shared),
            items: sender,
            log,
        };
        let handle = runtime.handle().clone();
        let task = thread::Builder::new()
            .name("subscriber".to_owned())
            .spawn(move || runtime.block_on(subscriber.run(phases)))
            .map_err(|why| error("subscriber", why))?;
        Ok(Self {
            shared,
            items,
            held: None,
            phase,
            runtime: handle,
            task: Some(task),
            observer,
            settle: plan.settle,
            prefetch: settings.prefetch,
            settled: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            assigned: BTreeMap::new(),
            rebalances: 0,
            settings: in_force(settings, plan.settle),
        })
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u16, Live>> {
        self.shared.live()
    }

    fn is_live(&self, partition: u16, session: u64) -> bool {
        self.live().get(&partition).is_some_and(|live| live.session == session)
    }

    fn member(&self, change: MemberChange, partition: u16, session: u64) {
        self.observer.member(change, partition, session as u16);
    }

    /// The next message that this member may handle; None: a session began or ended, or there is none.
    fn next(&mut self, timeout: Duration) -> Option<Message> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(message) = self.held.take() {
                return Some(message);
            }
            match self.items.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()? {
                Item::Message(message) => {
                    // Without acknowledgements the broker has forgotten it; with them it will come again.
                    if self.settle == Settle::Auto || self.is_live(message.partition, message.session) {
                        return Some(message);
                    }
                }
                Item::Up => {
                    self.rebalances += 1;
                    return None;
                }
                Item::Down { partition, session } => {
                    self.rebalances += 1;
                    if self.assigned.get(&partition) == Some(&session) {
                        self.assigned.remove(&partition);
                        self.member(MemberChange::Lost, partition, session);
                    }
                    return None;
                }
            }
        }
    }

    /// Acknowledges a partition up to a token, and waits until the broker has taken it: AMQP answers no acknowledgement,
    /// but a channel works in order, so that the answer to a later question proves it.
    fn acknowledge(&mut self, partition: u16, token: Token) -> (Outcome, u16) {
        let live = self.live().get(&partition).filter(|live| live.session == token.session()).cloned();
        let Some(live) = live else { return (Outcome::Fail, CLASS_SESSION_OVER) };
        let first_time = self.acknowledged.get(&partition).is_none_or(|done| *done < token);
        let prefetch = self.prefetch;
        let answer = self.runtime.block_on(async {
            let asked = async {
                if first_time {
                    // False: the channel was gone before it was written.
                    let options = BasicAckOptions { multiple: true };
                    live.channel.basic_ack(token.tag(), options).await?;
                }
                live.channel.basic_qos(prefetch, BasicQosOptions::default()).await
            };
            within(SETTLE_WITHIN, asked).await
        });
        self.acknowledged.insert(partition, token);
        match answer {
            Ok(()) => (Outcome::Ok, 0),
            Err(_) => (Outcome::Info, CLASS_UNANSWERED),
        }
    }
}

impl Consumer for RabbitConsumer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + timeout;
        while !self.shared.is_connected() {
            if Instant::now() >= deadline {
                return Err(error("connect", self.shared.trouble()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), DriverError> {
        self.phase.send(Phase::Subscribe).map_err(|_| error("subscribe", "the subscriber has ended"))
    }

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>) -> Handled,
    ) -> usize {
        let mut wait = timeout;
        let mut only = None;
        for count in 0..max {
            let Some(message) = self.next(wait) else { return count };
            let partition = message.partition;
            // What is settled before it is handed over must be settled or not as a whole.
            if self.settle == Settle::Before && *only.get_or_insert(partition) != partition {
                self.held = Some(message);
                return count;
            }
            if self.assigned.insert(partition, message.session) != Some(message.session) {
                self.member(MemberChange::Assign, partition, message.session);
            }
            let token = Token::new(message.session, message.tag);
            let received = Received {
                partition,
                offset: Event::NO_OFFSET,
                redelivered: message.redelivered,
                settlement: token.0,
                key: message.key.as_deref(),
                payload: &message.payload,
            };
            if handle(&received) == Handled::Settled {
                self.settled.insert(partition, token);
            }
            wait = Duration::ZERO;
        }
        max
    }

    fn rebalances(&self) -> u64 {
        self.rebalances
    }

    fn settle(&mut self, partition: u16, settlement: u64) {
        self.settled.insert(partition, Token(settlement));
    }

    fn commit_and_wait(&mut self) -> Outcome {
        let mut worst = Outcome::Ok;
        for (partition, token) in std::mem::take(&mut self.settled) {
            let began_ns = monotonic_ns();
            let (outcome, class) = self.acknowledge(partition, token);
            self.observer.committed(&CommitEnd {
                partition,
                next: Event::NO_OFFSET,
                began_ns,
                outcome,
                class,
            });
            if outcome == Outcome::Info {
                self.settled.insert(partition, token);
            }
            worst = match (worst, outcome) {
                (Outcome::Fail, _) | (_, Outcome::Fail) => Outcome::Fail,
                (worst, outcome) => worst.max(outcome),
            };
        }
        worst
    }

    fn close(mut self: Box<Self>) {
        let _ = self.phase.send(Phase::Stop);
        if let Some(task) = self.task.take() {
            let _ = task.join();
        }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.clone()
    }
}

fn in_force(settings: &Settings, settle: Settle) -> BTreeMap<String, String> {
    let no_ack = settle == Settle::Auto;
    [
        ("no-ack", no_ack.to_string()),
        ("prefetch", if no_ack { "none".to_owned() } else { settings.prefetch.to_string() }),
        ("acknowledgement", if no_ack { "automatic" } else { "multiple" }.to_owned()),
        ("heartbeat", settings.heartbeat_s.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_session_and_tag_and_grows_with_both() {
        let token = Token::new(3, 7);
        assert_eq!((token.session(), token.tag()), (3, 7));
        assert!(Token::new(3, 8) > token);
        assert!(Token::new(4, 1) > Token::new(3, 1 << 39));
    }
}
