//! The 32-byte event, `docs/history-format.md`.

use serde::{Deserialize, Serialize};

use crate::ids::MessageId;

/// What an event tells. The fields `msg`, `a`, `b` and `c` of [`Event`] mean what the variant says;
/// the partition is always the low 16 bits of `b`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum EventKind {
    /// A send begins. a: intended time, ns; c: attempt, from 0.
    SendInvoke = 1,
    /// A send ended. a: offset, or [`Event::NO_OFFSET`]; b: partition; flags: [`Outcome`] and [`Level`]; c: error class.
    SendEnd = 2,
    /// A message was handed over. t: return of the network poll; a: offset; b: partition | hand-over delay in
    /// 16 µs << 16; flags: [`Delivery`], and [`flags::REDELIVERED`]; c: batch (poll) number, wrapping. `MessageId::NONE` if it cannot be identified.
    Deliver = 3,
    /// A commit ended. msg: when it began, ns (= t if the library began it by its own timer); a: next offset to read, or
    /// NO_OFFSET where messages have none: all that this process was handed of the partition before it began; b: partition;
    /// flags: [`Outcome`]; c: error class.
    Commit = 4,
    /// A change of assignment. a: the offset it starts at, or NO_OFFSET; b: partition; flags: [`MemberChange`];
    /// c: session epoch, counting assignments of this process.
    Member = 5,
    /// An observed bound of a log. msg: topic index; a: offset; b: partition; flags: 0 log start, 1 log end, 2 last stable
    /// offset: no transaction below it is undecided.
    LogBound = 6,
    /// A phase of the drain. flags: 0 begin, 1 reader done, 2 certificate, 3 gave up; a, b: numbers of the phase. 4: the
    /// reader has read all of partition b below offset a; the last offsets held nothing that is handed out.
    Drain = 7,
    /// A process changed. msg: pid; a: exit code, or signal | 1 << 32; b: node; flags: 0 started, 1 exited, 2 paused,
    /// 3 resumed, 4 ready; c: 0 broker or controller, 1 producer, 2 consumer, 3 drain reader.
    Process = 8,
    /// Who leads, as observed. msg: ISR as a bit set by node; a: leader node | leader epoch << 32; b: partition; c: topic index.
    Leader = 9,
    /// A fault of the plan. a: target nodes as a bit set; b: index in the plan; flags: 0 resolved, 1 effect observed,
    /// 2 undone, 3 skipped, 4 no effect seen.
    Fault = 10,
    /// A mark of the run. flags: 0 load begins, 1 load ends, 2 drain ends, 3 interrupted.
    Mark = 11,
    /// The wall clock was sampled. a: nanoseconds since 1970.
    WallClock = 12,
    /// Raw bytes of a record that could not be read as an intact message: in the side file at a, length in c.
    Raw = 13,
    /// The group's committed offset was asked for. msg: topic index; a: offset or NO_OFFSET; b: partition; c: group index.
    Committed = 14,
    /// The client fell behind. a: ns that it sent late, or that its thread did not run; flags: 0 send lag, 1 scheduler gap.
    SelfLag = 15,
    /// Resource trouble of ours. flags: 0 disk full.
    Trouble = 16,
    /// What still waits for a group where messages leave the broker when they are settled. msg: topic index; a: messages
    /// that are ready or handed out and unsettled; b: partition; c: group index.
    Backlog = 17,
    /// The broker told this client that it takes no more messages for want of memory or disk of its own, as AMQP's
    /// connection.blocked does, or that it takes them again. flags: 0 no more, 1 again.
    Limited = 18,
    /// A producer goes on behind messages that it has given up and that may still come to be served: over another connection
    /// or channel, where order is kept within one only, or after a time-out. msg: the first message that it sends then.
    Reconnect = 19,
    /// A producer's transaction. msg: its first message; a: how many it has so far; flags: [`Outcome`] of an end, and
    /// [`TransactionPhase`]; c: error class. The messages that are sent between its begin and its end belong to it.
    Transaction = 20,
}

impl EventKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::SendInvoke,
            2 => Self::SendEnd,
            3 => Self::Deliver,
            4 => Self::Commit,
            5 => Self::Member,
            6 => Self::LogBound,
            7 => Self::Drain,
            8 => Self::Process,
            9 => Self::Leader,
            10 => Self::Fault,
            11 => Self::Mark,
            12 => Self::WallClock,
            13 => Self::Raw,
            14 => Self::Committed,
            15 => Self::SelfLag,
            16 => Self::Trouble,
            17 => Self::Backlog,
            18 => Self::Limited,
            19 => Self::Reconnect,
            20 => Self::Transaction,
            _ => return None,
        })
    }
}

/// How an operation ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Outcome {
    /// The broker promised it, at a [`Level`].
    Ok = 0,
    /// Stored, but below the level that was asked for.
    Weak = 1,
    /// Surely without effect, now and later.
    Fail = 2,
    /// Unknown: it may have happened, or may still happen.
    Info = 3,
}

/// What an acknowledgement stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Level {
    /// Handed to the network; no acknowledgement at all.
    Sent = 0,
    /// One node has it in memory.
    Leader = 1,
    /// A majority has it in memory.
    Quorum = 2,
    /// A majority has flushed it.
    QuorumDisk = 3,
}

/// What a delivered message looked like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Delivery {
    /// Header, checksum, key and length are right.
    Intact = 0,
    /// It claims to be of this run, but its checksum, key or length is wrong. Raw bytes are in the side file.
    Corrupt = 1,
    /// It belongs to another run.
    ForeignRun = 2,
}

/// What happened to a member's assignment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MemberChange {
    /// A partition was assigned.
    Assign = 0,
    /// A partition was taken away in an orderly way.
    Revoke = 1,
    /// A partition was lost: the session had ended already.
    Lost = 2,
    /// The member left.
    Leave = 3,
}

/// What happened to a transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum TransactionPhase {
    /// It begins: its first message is sent next.
    Begin = 0,
    /// Its producer is about to ask for its commit.
    CommitInvoke = 1,
    /// The commit ended.
    CommitEnd = 2,
    /// Its producer is about to ask for its abort.
    AbortInvoke = 3,
    /// The abort ended.
    AbortEnd = 4,
}

/// Bits of [`Event::flags`].
pub mod flags {
    /// Of `SendEnd`: where the [`Level`](super::Level) begins; the [`Outcome`](super::Outcome) is in the low 2 bits.
    pub const LEVEL_SHIFT: u8 = 2;
    /// Of `Transaction`: where the [`TransactionPhase`](super::TransactionPhase) begins; the
    /// [`Outcome`](super::Outcome) is in the low 2 bits.
    pub const PHASE_SHIFT: u8 = 2;
    /// Of `Deliver`: the broker says that it may have handed the message over before.
    pub const REDELIVERED: u8 = 0x80;
}

/// One event. `t_ns` is CLOCK_MONOTONIC, which all processes of one boot share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, in nanoseconds.
    pub t_ns: u64,
    /// The message, or what the kind says.
    pub msg: u64,
    /// An offset, an intended time, or what the kind says.
    pub a: u64,
    /// The partition in the low 16 bits, and what the kind says above them.
    pub b: u32,
    /// What happened.
    pub kind: EventKind,
    /// Details, by kind.
    pub flags: u8,
    /// Error class, attempt or batch, by kind.
    pub c: u16,
}

impl Event {
    /// Size of an encoded event in bytes.
    pub const SIZE: usize = 32;
    /// Stands for an offset that is not known.
    pub const NO_OFFSET: u64 = u64::MAX;

    /// The message.
    pub fn message(&self) -> MessageId {
        MessageId(self.msg)
    }

    /// The partition.
    pub fn partition(&self) -> u16 {
        self.b as u16
    }

    /// What a delivered message looked like; None if the number is unknown.
    pub fn delivery(&self) -> Option<Delivery> {
        match self.flags & !flags::REDELIVERED {
            0 => Some(Delivery::Intact),
            1 => Some(Delivery::Corrupt),
            2 => Some(Delivery::ForeignRun),
            _ => None,
        }
    }

    /// Whether a delivered message can be read as what was sent.
    pub fn is_intact(&self) -> bool {
        self.delivery() == Some(Delivery::Intact)
    }

    /// Whether the broker marked a delivery as a possible repeat.
    pub fn is_flagged_repeat(&self) -> bool {
        self.flags & flags::REDELIVERED != 0
    }

    /// The outcome of a `SendEnd`, a `Commit` or the end of a `Transaction`.
    pub fn outcome(&self) -> Outcome {
        match self.flags & 3 {
            0 => Outcome::Ok,
            1 => Outcome::Weak,
            2 => Outcome::Fail,
            _ => Outcome::Info,
        }
    }

    /// What a `Transaction` tells; None if the number is unknown.
    pub fn transaction_phase(&self) -> Option<TransactionPhase> {
        Some(match self.flags >> flags::PHASE_SHIFT {
            0 => TransactionPhase::Begin,
            1 => TransactionPhase::CommitInvoke,
            2 => TransactionPhase::CommitEnd,
            3 => TransactionPhase::AbortInvoke,
            4 => TransactionPhase::AbortEnd,
            _ => return None,
        })
    }

    /// The level of a `SendEnd`.
    pub fn level(&self) -> Level {
        match self.flags >> flags::LEVEL_SHIFT & 3 {
            0 => Level::Sent,
            1 => Level::Leader,
            2 => Level::Quorum,
            _ => Level::QuorumDisk,
        }
    }

    /// When a `Deliver` was handed to the application, ns: the poll's return plus the recorded delay.
    pub fn handed_over_ns(&self) -> u64 {
        self.t_ns + u64::from(self.b >> 16) * 16_000
    }

    /// The 32 bytes, little-endian. A recorder stores the kind byte last.
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&self.t_ns.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.msg.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.a.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.b.to_le_bytes());
        bytes[28] = self.kind as u8;
        bytes[29] = self.flags;
        bytes[30..32].copy_from_slice(&self.c.to_le_bytes());
        bytes
    }

    /// Reads an event; None if the kind is 0 (never written) or unknown.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Some(Self {
            t_ns: word(0),
            msg: word(8),
            a: word(16),
            b: u32::from_le_bytes(std::array::from_fn(|i| bytes[24 + i])),
            kind: EventKind::from_number(bytes[28])?,
            flags: bytes[29],
            c: u16::from_le_bytes([bytes[30], bytes[31]]),
        })
    }
}
