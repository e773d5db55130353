//! The transactions of a producer, one after the other.
//!
//! A commit is asked for only when every send of the transaction was acknowledged. Otherwise a fresh epoch is asked for,
//! which aborts what is open and fences what may still be under way (KIP-360). In the second protocol any end does.

use super::pipeline::{Content, Pipeline};
use super::transactor::{Protocol, Told, Transactor};
use super::{ClientEvent, ClientTurn};

/// What has become of a transaction, to be written down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<F> {
    pub(crate) stage: Stage,
    /// Its first message.
    pub(crate) first: F,
    /// How many it has so far.
    pub(crate) messages: u32,
    /// The code of the answer if that leaves it open what has happened.
    pub(crate) doubt: Option<i16>,
}

/// How far a transaction has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Begun,
    CommitAsked,
    CommitEnded,
    AbortAsked,
    AbortEnded,
}

/// What a producer does when something goes wrong. In the second protocol all but the mortal ones do the same: they abort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// As librdkafka.
    Plain,
    /// Takes a fresh epoch when an answer of a coordinator was lost on the way. The repeated question may have overtaken the first
    /// one, and a coordinator cannot tell that from the end, or the offset, of the next transaction (KAFKA-17754).
    Cautious,
    /// Stops for good, as a process that dies, and may leave its transaction open.
    Mortal,
    /// Gives a send up when its answer is late and aborts under the same epoch, as clients did before KIP-360: the send may
    /// arrive after that (KAFKA-14402). Only then it takes a fresh epoch.
    Hasty,
}

/// The open transaction.
#[derive(Clone, Copy, Debug)]
struct Open<F> {
    first: F,
    messages: u32,
    /// Sends that had ended without an acknowledgement when it began.
    bad_before: u64,
    /// Its offset is committed with it, if it has one.
    offered: bool,
}

#[derive(Clone, Copy, Debug)]
enum At<F> {
    /// A fresh epoch was asked for.
    Starting,
    /// The next message begins a transaction.
    Idle,
    Open(Open<F>),
    /// It has all its messages, and waits for their ends.
    Flushing(Open<F>),
    /// Its end was asked for.
    Ending(Open<F>, Ending),
    /// Nothing is asked or sent any more; a transaction may be open.
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Commit,
    Abort,
    /// The abort that comes with a fresh epoch.
    Fresh,
}

/// The transactions of one session.
pub(crate) struct Desk<F> {
    /// Messages of a transaction.
    size: u32,
    manner: Manner,
    transactor: Transactor,
    /// Each transaction commits an offset, too: its number, on top of this.
    offsets: Option<i64>,
    at: At<F>,
    /// How many were begun.
    begun: u32,
    /// Sends that ended without an acknowledgement.
    bad: u64,
    notes: Vec<Note<F>>,
}

impl<F: Copy + std::fmt::Debug> Desk<F> {
    /// Each transaction but the last is to have so many messages.
    pub(crate) fn new(size: u32, manner: Manner, transactor: Transactor) -> Self {
        Self {
            size,
            manner,
            transactor,
            offsets: None,
            at: At::Starting,
            begun: 0,
            bad: 0,
            notes: Vec::new(),
        }
    }

    /// Each transaction commits an offset, too: its number, counted from `base`.
    pub(crate) fn with_offsets(self, base: i64) -> Self {
        Self { offsets: Some(base), ..self }
    }

    /// The offset that is committed with the transaction.
    fn offset(&self) -> Option<i64> {
        self.offsets.map(|base| base + i64::from(self.begun))
    }

    /// What is to be written down since the last call.
    pub(crate) fn take_notes(&mut self) -> Vec<Note<F>> {
        std::mem::take(&mut self.notes)
    }

    /// How many transactions were begun.
    pub(crate) fn begun(&self) -> u32 {
        self.begun
    }

    /// Whether it has met with trouble and stopped for good.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.at, At::Dead)
    }

    /// Whether a message may be sent now.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.at, At::Idle | At::Open(_))
    }

    /// Whether nothing is to grow any more before the transaction ends.
    pub(crate) fn is_flushing(&self) -> bool {
        matches!(self.at, At::Flushing(_))
    }

    /// Whether there is no transaction.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.at, At::Idle)
    }

    /// The message is about to be sent.
    pub(crate) fn before(&mut self, id: F) {
        if let At::Idle = self.at {
            self.begun += 1;
            let open = Open { first: id, messages: 0, bad_before: self.bad, offered: false };
            self.at = At::Open(open);
            self.note(Stage::Begun, open, None);
        }
    }

    /// The message was sent.
    pub(crate) fn after(&mut self) {
        if let At::Open(mut open) = self.at {
            open.messages += 1;
            let is_full = open.messages >= self.size;
            self.at = if is_full { At::Flushing(open) } else { At::Open(open) };
        }
    }

    /// A send ended without an acknowledgement.
    pub(crate) fn went_bad(&mut self) {
        self.bad += 1;
    }

    /// Takes what the network brings.
    pub(crate) fn hear<R: Content>(
        &mut self,
        event: ClientEvent,
        pipeline: &mut Pipeline<R>,
        turn: &mut ClientTurn<'_>,
    ) {
        for told in self.transactor.take(event, turn) {
            self.told(told, pipeline);
        }
    }

    fn told<R: Content>(&mut self, told: Told, pipeline: &mut Pipeline<R>) {
        match (told, self.at) {
            (Told::Started(identity), stage) => {
                pipeline.begin_epoch(identity);
                if let At::Ending(open, Ending::Fresh) = stage {
                    self.note(Stage::AbortEnded, open, None);
                }
                self.at = At::Idle;
            }
            (Told::Added(partitions), _) => pipeline.admit(partitions),
            (Told::Offered, At::Flushing(open)) => self.at = At::Flushing(Open { offered: true, ..open }),
            (Told::Ended(Some(identity)), At::Ending(open, ending)) => {
                self.note(ending.ended(), open, None);
                pipeline.begin_epoch(identity);
                self.at = At::Idle;
            }
            (Told::Ended(None), At::Ending(open, ending)) => {
                self.note(ending.ended(), open, None);
                let broken = self.bad != open.bad_before || pipeline.needs_epoch();
                pipeline.end_transaction();
                self.at = At::Idle;
                let asked_twice = self.transactor.take_lost() && self.manner != Manner::Plain;
                if broken || asked_twice {
                    self.trouble();
                }
            }
            (Told::Refused(code), At::Ending(open, ending @ (Ending::Commit | Ending::Abort))) => {
                // The request that was refused may be the repetition of one that was carried out.
                self.note(ending.ended(), open, Some(code));
                self.trouble();
            }
            (Told::Refused(_), At::Open(open) | At::Flushing(open)) => {
                pipeline.break_epoch();
                self.at = At::Flushing(open);
            }
            (Told::Refused(_), At::Starting) if self.manner == Manner::Mortal => self.at = At::Dead,
            (Told::Refused(_), At::Starting | At::Ending(_, Ending::Fresh)) => self.transactor.start(),
            (Told::Ended(_) | Told::Offered | Told::Refused(_), _) => {}
        }
    }

    fn trouble(&mut self) {
        if self.manner == Manner::Mortal {
            self.at = At::Dead;
        } else {
            self.transactor.start();
            self.at = At::Starting;
        }
    }

    /// Goes on with the transaction. `aborts`: it is to be aborted; `is_last`: no message comes any more; `under_way`: not all sends have ended.
    pub(crate) fn go_on<R: Content>(
        &mut self,
        pipeline: &mut Pipeline<R>,
        aborts: bool,
        (is_last, under_way): (bool, bool),
    ) {
        if let At::Open(open) = self.at
            && (is_last || pipeline.needs_epoch())
        {
            self.at = At::Flushing(open);
        }
        let (At::Open(open) | At::Flushing(open)) = self.at else { return };
        if under_way || !self.is_flushing() {
            let missing = pipeline.not_admitted();
            if !missing.is_empty() && !pipeline.needs_epoch() {
                self.transactor.add(missing);
            }
            return;
        }
        let all_acked = self.bad == open.bad_before && !pipeline.needs_epoch();
        if let Some(offset) = self.offset().filter(|_| all_acked && !open.offered) {
            self.transactor.offer(offset);
            return;
        }
        let ending = if !all_acked {
            if self.manner == Manner::Mortal {
                self.at = At::Dead;
                return;
            }
            let aborts = self.manner == Manner::Hasty || self.transactor.protocol() == Protocol::Second;
            if aborts && self.transactor.end(false) {
                Ending::Abort
            } else {
                self.transactor.start();
                Ending::Fresh
            }
        } else if aborts {
            self.transactor.end(false);
            Ending::Abort
        } else {
            self.transactor.end(true);
            Ending::Commit
        };
        self.note(ending.asked(), open, None);
        self.at = At::Ending(open, ending);
    }

    /// Asks the coordinator what is to be asked.
    pub(crate) fn act(&mut self, turn: &mut ClientTurn<'_>) {
        self.transactor.act(turn);
    }

    /// When to look again.
    pub(crate) fn next_wake_ns(&self) -> u64 {
        self.transactor.next_wake_ns()
    }

    /// One line on what it waits for.
    pub(crate) fn status(&self) -> String {
        format!("{:?}, {}", self.at, self.transactor.status())
    }

    fn note(&mut self, stage: Stage, open: Open<F>, doubt: Option<i16>) {
        let Open { first, messages, .. } = open;
        self.notes.push(Note { stage, first, messages, doubt });
    }
}

impl Ending {
    fn asked(self) -> Stage {
        match self {
            Self::Commit => Stage::CommitAsked,
            Self::Abort | Self::Fresh => Stage::AbortAsked,
        }
    }

    fn ended(self) -> Stage {
        match self {
            Self::Commit => Stage::CommitEnded,
            Self::Abort | Self::Fresh => Stage::AbortEnded,
        }
    }
}
