//! The consuming client: a group member that settles before, after, or lets the library do it.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mqproof_core::history::{Event, EventKind, MemberChange, Outcome};
use mqproof_core::plan::{ConsumerPlan, Settle};

use super::edge::{Arrival, arrive, hand_over};
use super::session::{Session, blank};
use crate::clock::{monotonic_ns, sleep_until};
use crate::role::{CommitEnd, Consumer, GroupObserver, Handled, NO_PARTITION};

const POLL: Duration = Duration::from_millis(50);
/// Messages taken at once.
const BATCH: usize = 1_000;
/// Messages taken and committed at once when settling before.
const BATCH_BEFORE: usize = 100;
/// Work done without looking at anything else, ns.
const BATCH_WORK_NS: u64 = 50_000_000;
/// From one commit to the next, ns.
const COMMIT_EVERY_NS: u64 = 100_000_000;
/// How long a member without an assignment waits until it calls itself ready all the same.
const ASSIGNED_WITHIN_NS: u64 = 5_000_000_000;
/// How late a sleep may end, ns.
const LATE_SLEEP_NS: u64 = 200_000;
/// How long the last commit and leaving the group may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(8);

/// Records what happens to the member.
pub(super) struct Membership(pub(super) Arc<Session>);

impl GroupObserver for Membership {
    fn member(&self, change: MemberChange, partition: u16, session: u16) {
        let _ = self.0.record(&Event {
            a: Event::NO_OFFSET,
            b: u32::from(partition),
            flags: change as u8,
            c: session,
            ..blank(EventKind::Member)
        });
    }

    fn committed(&self, commit: &CommitEnd) {
        let event = blank(EventKind::Commit);
        let _ = self.0.record(&Event {
            msg: if commit.began_ns == 0 { event.t_ns } else { commit.began_ns },
            a: commit.next,
            b: u32::from(commit.partition),
            flags: commit.outcome as u8,
            c: commit.class,
            ..event
        });
    }
}

/// One life of one member.
pub(super) struct Reader<'a> {
    session: &'a Session,
    plan: &'a ConsumerPlan,
    consumer: Box<dyn Consumer>,
    run_id: u64,
    /// Numbers the polls.
    batch: u16,
    /// Until when it is at work on the message before.
    busy_until_ns: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        session: &'a Session,
        plan: &'a ConsumerPlan,
        consumer: Box<dyn Consumer>,
        run_id: u64,
    ) -> Self {
        Self { session, plan, consumer, run_id, batch: 0, busy_until_ns: 0 }
    }

    /// Joins, reads until told to stop, commits and leaves. `ready` is called once, when partitions were assigned.
    pub(super) fn run(mut self, ready: impl FnOnce()) {
        if let Err(why) = self.consumer.subscribe() {
            self.session.trouble(why.to_string());
            return;
        }
        let mut ready = Some(ready);
        let unassigned_until = monotonic_ns() + ASSIGNED_WITHIN_NS;
        let mut commit_at = 0;
        while !self.session.should_stop() {
            match self.plan.settle {
                Settle::Before => self.settle_then_work(),
                Settle::After => self.work(Handled::Settled),
                Settle::Auto => self.work(Handled::Open),
            }
            let now = monotonic_ns();
            if self.plan.settle == Settle::After && now >= commit_at && !self.session.has_recorder_failed() {
                // One at a time: of two under way, a lost connection may let the older one land last.
                self.consumer.commit_and_wait();
                commit_at = monotonic_ns() + COMMIT_EVERY_NS;
            }
            if self.consumer.rebalances() > 0 || now > unassigned_until {
                ready.take().into_iter().for_each(|ready| ready());
            }
        }
        self.leave();
    }

    /// Takes messages, hands each over and works on it.
    fn work(&mut self, handled: Handled) {
        self.batch = self.batch.wrapping_add(1);
        let max = BATCH.min((BATCH_WORK_NS / self.plan.processing_ns.max(1)).max(1) as usize);
        let Self { session, plan, consumer, run_id, batch, busy_until_ns } = self;
        consumer.poll(max, POLL, &mut |received| {
            let arrival = arrive(received, *run_id, *batch);
            if session.has_recorder_failed() || !hand_over(session, arrival, false) {
                return Handled::Open;
            }
            process(plan, busy_until_ns);
            handled
        });
    }

    /// Takes messages, commits behind them, and only then hands them over. What could not be committed is not.
    fn settle_then_work(&mut self) {
        self.batch = self.batch.wrapping_add(1);
        let mut arrivals: Vec<Arrival> = Vec::new();
        let rebalances = self.consumer.rebalances();
        let (run_id, batch) = (self.run_id, self.batch);
        self.consumer.poll(BATCH_BEFORE, POLL, &mut |received| {
            arrivals.push(arrive(received, run_id, batch));
            Handled::Open
        });
        // After a rebalance the new owner starts at the last commit, so these are read again.
        if self.consumer.rebalances() != rebalances || !self.commit_behind(&arrivals) {
            return;
        }
        for arrival in arrivals {
            if !hand_over(self.session, arrival, true) {
                return;
            }
            process(self.plan, &mut self.busy_until_ns);
        }
    }

    /// Commits until the answer is known. False: they are not committed.
    fn commit_behind(&mut self, arrivals: &[Arrival]) -> bool {
        while !arrivals.is_empty() {
            for (partition, settlement) in arrivals.iter().map(Arrival::settlement) {
                self.consumer.settle(partition, settlement);
            }
            match self.consumer.commit_and_wait() {
                Outcome::Ok | Outcome::Weak => return true,
                // The coordinator does not know this member any more; a rebalance follows.
                Outcome::Fail => return false,
                Outcome::Info if self.session.should_stop() => return false,
                Outcome::Info => thread::sleep(POLL),
            }
        }
        true
    }

    /// Commits, leaves the group, and does not wait for a cluster that does not answer.
    fn leave(self) {
        let Self { session, plan, mut consumer, .. } = self;
        if session.is_orphaned() || session.has_recorder_failed() {
            // Its process ends at once, as if killed: the library must not commit what is not recorded.
            std::mem::forget(consumer);
            return;
        }
        let settle = plan.settle;
        let (left, has_left) = mpsc::channel();
        thread::spawn(move || {
            if settle == Settle::After {
                consumer.commit_and_wait();
            }
            consumer.close();
            let _ = left.send(());
        });
        if has_left.recv_timeout(LEAVE_WITHIN).is_ok() {
            let event = Event {
                a: Event::NO_OFFSET,
                b: u32::from(NO_PARTITION),
                flags: MemberChange::Leave as u8,
                ..blank(EventKind::Member)
            };
            let _ = session.record(&event);
        } else {
            session.trouble("the cluster did not answer when the member left its group".to_owned());
        }
    }
}

/// Works on a message for as long as the plan says. A sleep ends a little late, which is counted against the next
/// message rather than added up.
fn process(plan: &ConsumerPlan, busy_until_ns: &mut u64) {
    if plan.processing_ns > 0 {
        *busy_until_ns =
            (*busy_until_ns).max(monotonic_ns().saturating_sub(LATE_SLEEP_NS)) + plan.processing_ns;
        sleep_until(*busy_until_ns);
    }
}
