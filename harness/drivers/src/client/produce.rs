//! The producing client: sends what the plan says when it says, and records how each send ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use mqproof_core::history::{Event, EventKind, Level, Outcome, flags};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{Pace, ProducerPlan};
use mqproof_core::workload::{Generator, Message};

use super::session::{Session, blank};
use super::transact::Transactor;
use crate::clock::{monotonic_ns, sleep_until};
use crate::role::{CLASS_NO_ROOM, Completion, NO_PARTITION, Outgoing, Producer, SendError, SendObserver};

/// How often a waiting sender looks whether it is to stop, ns.
const LOOK_NS: u64 = 20_000_000;
/// How long to wait for the completions of what was abandoned.
const LAST_REPORTS: Duration = Duration::from_secs(2);

/// Records completions, and wakes the sender when it waits for one.
pub(super) struct Completions {
    session: Arc<Session>,
    sender: OnceLock<Thread>,
    sender_waits: AtomicBool,
}

impl Completions {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Self { session, sender: OnceLock::new(), sender_waits: AtomicBool::new(false) }
    }

    /// Waits for a completion, but not long: one may have come just before.
    fn wait_for_one(&self) {
        self.sender_waits.store(true, Ordering::SeqCst);
        thread::park_timeout(Duration::from_millis(1));
        self.sender_waits.store(false, Ordering::SeqCst);
    }
}

impl SendObserver for Completions {
    #[inline]
    fn completed(&self, completion: &Completion) {
        // Unrecorded means unknown, which is what a send without an end is taken for.
        let _ = self.session.record(&Event {
            t_ns: monotonic_ns(),
            msg: completion.id.0,
            a: completion.offset,
            b: u32::from(completion.partition),
            kind: EventKind::SendEnd,
            flags: completion.outcome as u8 | (completion.level as u8) << flags::LEVEL_SHIFT,
            c: completion.class,
        });
        self.session.count(completion.outcome);
        if self.sender_waits.load(Ordering::Relaxed)
            && let Some(sender) = self.sender.get()
        {
            sender.unpark();
        }
    }

    fn limited(&self, no_more: bool) {
        let _ = self.session.record(&Event { flags: u8::from(!no_more), ..blank(EventKind::Limited) });
    }

    fn went_on(&self, first: MessageId) {
        let _ = self.session.record(&Event { msg: first.0, ..blank(EventKind::Reconnect) });
    }
}

/// One producing session.
pub(super) struct Sender<'a> {
    pub(super) session: &'a Session,
    pub(super) completions: &'a Completions,
    pub(super) producer: &'a dyn Producer,
    pub(super) plan: &'a ProducerPlan,
    pub(super) load_begins_ns: u64,
}

impl Sender<'_> {
    /// Sends everything, and waits until each send has ended or is given up.
    pub(super) fn run(&self, generator: Generator) {
        let _ = self.completions.sender.set(thread::current());
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    self.producer.poll(Duration::from_millis(20));
                }
            });
            self.send_all(generator);
            self.wait_for_ends();
            done.store(true, Ordering::Relaxed);
        });
    }

    fn send_all(&self, mut generator: Generator) {
        let mut payload = Vec::new();
        let mut transactor = self.transactor();
        while let Some(message) = generator.next() {
            let Some(due_ns) = self.wait_until_due(&message) else { break };
            generator.write_payload(&message, due_ns, &mut payload);
            let id = generator.id(&message);
            if !transactor.as_mut().is_none_or(|transactor| transactor.before(id)) {
                return;
            }
            if !self.send(id, message.key, due_ns, &payload) {
                break;
            }
            if !transactor.as_mut().is_none_or(|transactor| transactor.after(self, &generator)) {
                return;
            }
        }
        if let Some(transactor) = &mut transactor {
            transactor.end(self, &generator);
        }
    }

    fn transactor(&self) -> Option<Transactor<'_>> {
        let (plan, producer) = (self.plan.transactions?, self.producer.transactions()?);
        Some(Transactor::new(self.session, producer, plan))
    }

    /// When the message is due; None if it is not sent any more.
    fn wait_until_due(&self, message: &Message) -> Option<u64> {
        match (message.intended_ns, self.plan.pace) {
            (Some(intended_ns), _) => self.wait_until(self.load_begins_ns + intended_ns),
            (None, Pace::Closed { outstanding }) => {
                // Nothing is due at a time of its own, so nothing can be late.
                self.sleep_until(self.load_begins_ns + self.plan.from_ns)?;
                while self.session.outstanding() >= u64::from(outstanding.max(1)) {
                    self.go_on().then_some(())?;
                    self.completions.wait_for_one();
                }
                let now = monotonic_ns();
                (self.go_on() && now < self.load_begins_ns.saturating_add(self.plan.until_ns)).then_some(now)
            }
            (None, Pace::Open { .. }) => unreachable!("in an open loop each message has a due time"),
        }
    }

    /// Sleeps until a moment, and notes how late it became; None if the client is told to stop.
    #[inline]
    fn wait_until(&self, moment_ns: u64) -> Option<u64> {
        let now = self.sleep_until(moment_ns)?;
        self.session.send_lag_ns.fetch_max(now - moment_ns, Ordering::Relaxed);
        Some(moment_ns)
    }

    /// Sleeps until a moment and returns the time; None if the client is told to stop.
    #[inline]
    fn sleep_until(&self, moment_ns: u64) -> Option<u64> {
        loop {
            self.go_on().then_some(())?;
            let now = monotonic_ns();
            if now >= moment_ns {
                return Some(now);
            }
            sleep_until(moment_ns.min(now + LOOK_NS));
        }
    }

    #[inline]
    fn go_on(&self) -> bool {
        !self.session.should_stop()
    }

    /// Sends one message. False: no more are to be sent.
    fn send(&self, id: MessageId, key: Option<u32>, due_ns: u64, payload: &[u8]) -> bool {
        let recorded = self.session.record(&Event {
            t_ns: monotonic_ns(),
            msg: id.0,
            a: due_ns,
            b: 0,
            kind: EventKind::SendInvoke,
            flags: 0,
            c: 0,
        });
        if !recorded {
            return false;
        }
        // Before the send, whose completion may come before it returns.
        self.session.sent.fetch_add(1, Ordering::Release);
        let key = key.map(u32::to_le_bytes);
        let message = Outgoing { id, key: key.as_ref().map(<[u8; 4]>::as_slice), payload };
        loop {
            let class = match self.producer.send(&message) {
                Ok(()) => return true,
                Err(SendError::NoRoom) if self.go_on() => {
                    self.completions.wait_for_one();
                    continue;
                }
                Err(SendError::NoRoom) => CLASS_NO_ROOM,
                Err(SendError::Refused { class, .. }) => class,
            };
            // It never left this process.
            self.completions.completed(&Completion {
                id,
                outcome: Outcome::Fail,
                level: Level::Sent,
                class,
                partition: NO_PARTITION,
                offset: Event::NO_OFFSET,
            });
            return self.go_on();
        }
    }

    /// Waits until each send has ended or is given up.
    pub(super) fn wait_for_ends(&self) {
        let library = self.producer.give_up_after() + Duration::from_secs(1);
        if self.wait_for_ends_within(library) {
            return;
        }
        self.producer.abandon();
        if !self.wait_for_ends_within(LAST_REPORTS) {
            let left = self.session.outstanding();
            self.session.trouble(format!("`{left}` sends without a report; they count as unknown"));
        }
    }

    fn wait_for_ends_within(&self, patience: Duration) -> bool {
        let deadline = monotonic_ns() + patience.as_nanos() as u64;
        while self.session.outstanding() > 0 && !self.session.is_orphaned() {
            if monotonic_ns() > deadline {
                return false;
            }
            self.completions.wait_for_one();
        }
        true
    }
}
