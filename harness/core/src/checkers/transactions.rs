//! What producers tell of their transactions, and which messages belong to each.
//!
//! The transactions of a session follow one another and its messages are numbered in the order of sending, so that a
//! transaction is a range of numbers. It can become visible only when its producer has asked for the commit: one that
//! never did is void for good, whatever became of its abort. Asked for and not answered it is in doubt: all or nothing.

use std::collections::BTreeMap;

use super::message_set::MessageSet;
use crate::history::{Event, EventKind, Outcome, TransactionPhase};
use crate::ids::MessageId;

/// What is known of the end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its commit was answered.
    Committed,
    /// Its commit was asked for, and its end is not known.
    InDoubt,
    /// Its producer asked for an abort, and never for a commit.
    Aborted,
    /// Its producer asked for nothing: the broker aborts it when its time is over.
    LeftOpen,
    /// Its commit was surely refused.
    Refused,
}

impl Fate {
    /// Whether none of its records may ever be seen by readers of committed ones.
    pub(super) fn is_void(self) -> bool {
        matches!(self, Self::Aborted | Self::LeftOpen | Self::Refused)
    }

    /// In words, of a record that was seen all the same.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::InDoubt => "in doubt",
            Self::Aborted => "aborted",
            Self::LeftOpen => "left open",
            Self::Refused => "refused",
        }
    }
}

/// One transaction.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    /// Its first message's number in the session.
    pub first: u32,
    /// One past its last.
    pub end: u32,
    /// When its producer asked for the commit; `u64::MAX`: never.
    pub commit_ns: u64,
    /// How it ended.
    pub fate: Fate,
    /// Whether more messages may come to it.
    grows: bool,
}

/// All transactions of a run. Each takes 24 bytes.
#[derive(Debug, Default)]
pub struct Transactions {
    /// By session, as the high 32 bits of its messages' ids; in the order of sending.
    sessions: BTreeMap<u32, Vec<Transaction>>,
    /// Messages of transactions that never can be committed.
    pub void: MessageSet,
    /// Messages of transactions whose end is not known.
    pub in_doubt: MessageSet,
}

impl Transactions {
    /// Takes note of the next event of a producer's journal.
    #[inline]
    pub(super) fn note(&mut self, event: &Event) {
        match event.kind {
            EventKind::SendInvoke if !self.sessions.is_empty() => self.grow(event.message()),
            EventKind::Transaction => self.on_phase(event),
            _ => {}
        }
    }

    fn grow(&mut self, message: MessageId) {
        let list = self.sessions.get_mut(&session_of(message));
        if let Some(last) = list.and_then(|list| list.last_mut()).filter(|last| last.grows) {
            last.end = last.end.max(message.seq().saturating_add(1));
        }
    }

    fn on_phase(&mut self, event: &Event) {
        let Some(phase) = event.transaction_phase() else { return };
        let first = event.message().seq();
        let list = self.sessions.entry(session_of(event.message())).or_default();
        if phase == TransactionPhase::Begin {
            list.extend(list.last().is_none_or(|last| last.first < first).then_some(Transaction {
                first,
                end: first,
                commit_ns: u64::MAX,
                fate: Fate::LeftOpen,
                grows: true,
            }));
            return;
        }
        let Some(one) = list.last_mut().filter(|last| last.first == first) else { return };
        one.grows = false;
        one.fate = match (phase, event.outcome()) {
            (TransactionPhase::CommitInvoke, _) => {
                one.commit_ns = one.commit_ns.min(event.t_ns);
                Fate::InDoubt
            }
            (TransactionPhase::CommitEnd, Outcome::Ok) => Fate::Committed,
            (TransactionPhase::CommitEnd, Outcome::Fail) => Fate::Refused,
            // Whoever asked for the commit once cannot take it back: the broker may have carried it out.
            (TransactionPhase::AbortInvoke | TransactionPhase::AbortEnd, _) if one.fate == Fate::LeftOpen => {
                Fate::Aborted
            }
            _ => one.fate,
        };
    }

    /// The journal of a session has been read. `complete`: what is not in it did not happen.
    pub(super) fn close(&mut self, session: u32, complete: bool) {
        let last = self.sessions.get_mut(&session).and_then(|list| list.last_mut());
        if let Some(last) = last.filter(|last| last.fate == Fate::LeftOpen && !complete) {
            last.fate = Fate::InDoubt;
        }
        let list = self.sessions.get(&session).map_or(&[][..], Vec::as_slice);
        for one in list {
            let set = match one.fate {
                Fate::Committed => continue,
                Fate::InDoubt => &mut self.in_doubt,
                Fate::Aborted | Fate::LeftOpen | Fate::Refused => &mut self.void,
            };
            for seq in one.first..one.end {
                set.insert(message(session, seq));
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The transaction that a message was sent in.
    pub fn of(&self, message: MessageId) -> Option<&Transaction> {
        let list = self.sessions.get(&session_of(message))?;
        let behind = list.partition_point(|one| one.first <= message.seq());
        list[..behind].last().filter(|one| message.seq() < one.end)
    }

    /// Whether a message was sent in a transaction that is not known to be committed.
    pub(super) fn may_be_hidden(&self, message: MessageId) -> bool {
        self.void.contains(message) || self.in_doubt.contains(message)
    }

    /// All of them, with the session.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Transaction)> {
        self.sessions.iter().flat_map(|(session, list)| list.iter().map(|one| (*session, one)))
    }
}

/// The message with this number in a session.
pub(super) fn message(session: u32, seq: u32) -> MessageId {
    MessageId(u64::from(session) << 32 | u64::from(seq))
}

fn session_of(message: MessageId) -> u32 {
    (message.0 >> 32) as u32
}
