//! Planted bugs, each of which a checker must catch. Off unless a node's configuration names them.

use std::fmt;
use std::str::FromStr;

/// One planted bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Defect {
    /// The leader answers `acks=all` as soon as it has appended, before any follower has the record.
    AckBeforeReplicate,
    /// The high watermark follows the leader's end, so that consumers read what followers lack.
    HwAheadOfIsr,
    /// A follower keeps its tail when the new leader's log diverges from it.
    SkipTruncation,
    /// A batch that was stored already is appended again.
    DedupeOff,
    /// The controller elects a live replica from outside the ISR.
    ElectOutsideIsr,
    /// A byte of a record is flipped before it is stored, and the CRC made to fit.
    FlipByte,
    /// A record that nobody sent is stored from time to time.
    PhantomRecord,
    /// A batch is stored although its producer was told that it was rejected.
    AppendRejected,
    /// Batches are accepted in any order of their sequence numbers.
    SkipSequenceCheck,
    /// A committed offset is stored as the high watermark, whatever the consumer said.
    CommitHighWatermark,
}

impl Defect {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::AckBeforeReplicate,
        Self::HwAheadOfIsr,
        Self::SkipTruncation,
        Self::DedupeOff,
        Self::ElectOutsideIsr,
        Self::FlipByte,
        Self::PhantomRecord,
        Self::AppendRejected,
        Self::SkipSequenceCheck,
        Self::CommitHighWatermark,
    ];

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeReplicate => "ack-before-replicate",
            Self::HwAheadOfIsr => "hw-ahead-of-isr",
            Self::SkipTruncation => "skip-truncation",
            Self::DedupeOff => "dedupe-off",
            Self::ElectOutsideIsr => "elect-outside-isr",
            Self::FlipByte => "flip-byte",
            Self::PhantomRecord => "phantom-record",
            Self::AppendRejected => "append-rejected",
            Self::SkipSequenceCheck => "skip-sequence-check",
            Self::CommitHighWatermark => "commit-high-watermark",
        }
    }
}

impl Defect {
    /// What it does, for people.
    pub fn about(self) -> &'static str {
        match self {
            Self::AckBeforeReplicate => "acks=all is answered before any follower has the record",
            Self::HwAheadOfIsr => "the high watermark follows the leader's end, ahead of the followers",
            Self::SkipTruncation => "a follower keeps its tail when the new leader's log diverges from it",
            Self::DedupeOff => "a batch that was stored already is appended again",
            Self::ElectOutsideIsr => "a live replica from outside the ISR is elected",
            Self::FlipByte => "a byte of a record is flipped before it is stored, and the CRC made to fit",
            Self::PhantomRecord => "a record that nobody sent is stored from time to time",
            Self::AppendRejected => "a batch is stored although its producer was told that it was rejected",
            Self::SkipSequenceCheck => "batches are accepted in any order of their sequence numbers",
            Self::CommitHighWatermark => "a committed offset is stored as the high watermark",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Defect {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|defect| defect.name() == name)
            .ok_or_else(|| format!("unknown defect `{name}`"))
    }
}

/// The set of bugs that a node has been given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Defects(u64);

impl Defects {
    /// A healthy node.
    pub const NONE: Self = Self(0);

    /// Whether this bug is planted.
    pub fn has(self, defect: Defect) -> bool {
        self.0 & (1 << defect as u8) != 0
    }

    /// The planted bugs.
    pub fn iter(self) -> impl Iterator<Item = Defect> {
        Defect::ALL.into_iter().filter(move |defect| self.has(*defect))
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<I: IntoIterator<Item = Defect>>(defects: I) -> Self {
        Self(defects.into_iter().fold(0, |bits, defect| bits | 1 << defect as u8))
    }
}
