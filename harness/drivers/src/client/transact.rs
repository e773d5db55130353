//! The transactions of a producing client: begins them, counts their messages, ends them as the plan says.
//!
//! A commit is asked for only when every send of the transaction was acknowledged; else it is aborted. So whatever the
//! broker says of a commit later, all of its records are in the logs.

use std::thread;
use std::time::Duration;

use mqproof_core::history::{Event, EventKind, Outcome, TransactionPhase, flags};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::TransactionsPlan;
use mqproof_core::workload::Generator;

use super::produce::Sender;
use super::session::{Session, blank};
use crate::clock::monotonic_ns;
use crate::role::{GoesOn, TransactionEnd, Transactional};

/// How long the end of a transaction may take beyond its own time: a coordinator may have to be replaced.
const END_GRACE: Duration = Duration::from_secs(30);
/// How long a new instance is tried for: its predecessor's transaction has to end first.
const RENEW_WITHIN: Duration = Duration::from_mins(2);
const RENEW_EACH: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(100);

/// The open transaction.
struct Open {
    first: MessageId,
    messages: u32,
    /// Sends of the client that had ended without an acknowledgement when it began.
    bad_before: u64,
}

/// The transactions of one session.
pub(super) struct Transactor<'a> {
    session: &'a Session,
    producer: &'a dyn Transactional,
    plan: TransactionsPlan,
    /// How many were begun.
    begun: u32,
    open: Option<Open>,
}

impl<'a> Transactor<'a> {
    pub(super) fn new(session: &'a Session, producer: &'a dyn Transactional, plan: TransactionsPlan) -> Self {
        Self { session, producer, plan, begun: 0, open: None }
    }

    /// The message is about to be sent: begins a transaction where none is open. False: nothing more is to be sent.
    pub(super) fn before(&mut self, id: MessageId) -> bool {
        if self.open.is_some() {
            return true;
        }
        while let Err(why) = self.producer.begin() {
            if !self.renew(&why.to_string()) {
                return false;
            }
        }
        self.begun += 1;
        self.open = Some(Open { first: id, messages: 0, bad_before: self.session.unacknowledged() });
        self.record(TransactionPhase::Begin, id, 0, Outcome::Ok, 0)
    }

    /// The message was handed to the library; ends the transaction if it is full. False: nothing more is to be sent.
    pub(super) fn after(&mut self, sender: &Sender<'_>, generator: &Generator) -> bool {
        let Some(open) = &mut self.open else { return true };
        open.messages += 1;
        open.messages < self.plan.messages || self.end(sender, generator)
    }

    /// Ends the open transaction, if there is one. False: nothing more is to be sent.
    pub(super) fn end(&mut self, sender: &Sender<'_>, generator: &Generator) -> bool {
        let Some(Open { first, messages, bad_before }) = self.open.take() else { return true };
        sender.wait_for_ends();
        let all_acked = self.session.outstanding() == 0 && self.session.unacknowledged() == bad_before;
        let commits = all_acked && !generator.aborts(self.begun - 1, self.plan.abort);
        let Some(mut end) = self.ask(commits, first, messages) else { return false };
        if end.goes_on == GoesOn::Aborts {
            match self.ask(false, first, messages) {
                Some(aborted) => end = aborted,
                None => return false,
            }
        }
        end.goes_on == GoesOn::Begins || self.renew("a transaction whose end is not known")
    }

    /// Records, asks, and records the answer. None: it is not recorded, so nothing more may be done.
    fn ask(&self, commits: bool, first: MessageId, messages: u32) -> Option<TransactionEnd> {
        let (invoke, ended) = if commits {
            (TransactionPhase::CommitInvoke, TransactionPhase::CommitEnd)
        } else {
            (TransactionPhase::AbortInvoke, TransactionPhase::AbortEnd)
        };
        self.record(invoke, first, messages, Outcome::Ok, 0).then_some(())?;
        let within = Duration::from_millis(self.plan.timeout_ms) + END_GRACE;
        let go_on = || !self.session.is_orphaned() && !self.session.has_recorder_failed();
        let end =
            if commits { self.producer.commit(within, &go_on) } else { self.producer.abort(within, &go_on) };
        self.record(ended, first, messages, end.outcome, end.class).then_some(end)
    }

    /// A new instance takes the place of one that cannot go on. False: none could be had.
    fn renew(&self, why: &str) -> bool {
        let deadline_ns = monotonic_ns() + RENEW_WITHIN.as_nanos() as u64;
        loop {
            let error = match self.producer.renew(RENEW_EACH) {
                Ok(()) => return true,
                Err(error) => error,
            };
            if self.session.should_stop() {
                return false;
            }
            if monotonic_ns() > deadline_ns {
                self.session.trouble(format!("no new instance after {why}: {error}"));
                return false;
            }
            thread::sleep(RETRY);
        }
    }

    #[must_use]
    fn record(
        &self,
        phase: TransactionPhase,
        first: MessageId,
        messages: u32,
        outcome: Outcome,
        class: u16,
    ) -> bool {
        self.session.record(&Event {
            msg: first.0,
            a: u64::from(messages),
            flags: outcome as u8 | (phase as u8) << flags::PHASE_SHIFT,
            c: class,
            ..blank(EventKind::Transaction)
        })
    }
}
