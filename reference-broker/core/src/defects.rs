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
    /// A controller does not note down whom it has voted for.
    ForgetVote,
    /// A controller votes for a candidate whose log is older than its own.
    VoteForOlderLog,
    /// Readers of committed records are shown all below the high watermark, also what is undecided.
    LsoIgnored,
    /// A batch may begin a transaction without the coordinator being asked, also after its end (KAFKA-14402).
    UnverifiedTransactions,
    /// The marker of an aborted transaction is not written to its last partition.
    AbortPartly,
    /// Offsets that were committed in a transaction count although it was aborted.
    CommitOffsetsOnAbort,
    /// A new instance of a transactional producer gets the epoch of the one before, which is so not fenced.
    ReuseProducerEpoch,
    /// A transaction that is aborted because of its age leaves its producer the epoch (KAFKA-6119).
    TimeoutKeepsEpoch,
    /// A partition is given to its new owner before the old one has let go of it.
    AssignBeforeRevoke,
    /// A member that is behind commits, and offsets go back.
    StaleMemberCommits,
    /// That a member has gone is not stored, so that it is back after the coordinator has moved.
    UnstoredLeave,
    /// Offsets of a group that rebalances count as those of a group without members (KAFKA-13636).
    ExpireWhileRebalancing,
    /// A fenced broker may join an in-sync set (KAFKA-13916).
    FencedJoinsIsr,
    /// A partition has moved as soon as one replica of its target is in sync.
    ReassignEarly,
    /// A snapshot of the metadata holds what is not committed.
    SnapshotUndecided,
    /// Retention deletes what is not committed yet (KAFKA-5634).
    RetainPastHighWatermark,
    /// Compaction goes by records that are not committed yet (KAFKA-13194).
    CleanPastHighWatermark,
}

impl Defect {
    /// Those that show in what a live cluster does to its clients, in the order in which they are listed.
    pub const ALL: [Self; 13] = [
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
        Self::LsoIgnored,
        Self::AbortPartly,
        Self::TimeoutKeepsEpoch,
    ];

    /// Those that take more deaths at the right moment than a live cluster has time for: they are for the simulator.
    pub const SIMULATED: [Self; 5] = [
        Self::ForgetVote,
        Self::VoteForOlderLog,
        Self::FencedJoinsIsr,
        Self::ReassignEarly,
        Self::SnapshotUndecided,
    ];

    /// Those of transactions that take a second instance, offsets in transactions, or a batch that comes too late: the
    /// broker's own tests show them.
    pub const TRANSACTIONAL: [Self; 3] =
        [Self::UnverifiedTransactions, Self::CommitOffsetsOnAbort, Self::ReuseProducerEpoch];

    /// Those of groups, which the coordinator's own tests and the simulator show.
    pub const GROUPS: [Self; 4] = [
        Self::AssignBeforeRevoke,
        Self::StaleMemberCommits,
        Self::UnstoredLeave,
        Self::ExpireWhileRebalancing,
    ];

    /// Those of what is deleted from logs: they are for the simulator.
    pub const CLEANING: [Self; 2] = [Self::RetainPastHighWatermark, Self::CleanPastHighWatermark];

    /// All there are.
    fn every() -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .chain(Self::SIMULATED)
            .chain(Self::TRANSACTIONAL)
            .chain(Self::GROUPS)
            .chain(Self::CLEANING)
    }

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
            Self::ForgetVote => "forget-vote",
            Self::VoteForOlderLog => "vote-for-older-log",
            Self::LsoIgnored => "lso-ignored",
            Self::UnverifiedTransactions => "unverified-transactions",
            Self::AbortPartly => "abort-partly",
            Self::CommitOffsetsOnAbort => "commit-offsets-on-abort",
            Self::ReuseProducerEpoch => "reuse-producer-epoch",
            Self::TimeoutKeepsEpoch => "timeout-keeps-epoch",
            Self::AssignBeforeRevoke => "assign-before-revoke",
            Self::StaleMemberCommits => "stale-member-commits",
            Self::UnstoredLeave => "unstored-leave",
            Self::ExpireWhileRebalancing => "expire-while-rebalancing",
            Self::FencedJoinsIsr => "fenced-joins-isr",
            Self::ReassignEarly => "reassign-early",
            Self::SnapshotUndecided => "snapshot-undecided",
            Self::RetainPastHighWatermark => "retain-past-high-watermark",
            Self::CleanPastHighWatermark => "clean-past-high-watermark",
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
            Self::ForgetVote => "a controller does not note down whom it has voted for",
            Self::VoteForOlderLog => "a controller votes for a candidate whose log is older than its own",
            Self::LsoIgnored => "readers of committed records are shown what is undecided",
            Self::UnverifiedTransactions => "a batch may begin a transaction after its end",
            Self::AbortPartly => "the marker of an aborted transaction is not written to its last partition",
            Self::CommitOffsetsOnAbort => "offsets committed in an aborted transaction count",
            Self::ReuseProducerEpoch => {
                "a new instance of a transactional producer does not fence the old one"
            }
            Self::AssignBeforeRevoke => {
                "a partition is given to its new owner before the old one let go of it"
            }
            Self::StaleMemberCommits => "a member that is behind commits, and offsets go back",
            Self::UnstoredLeave => "a member that has gone is back after the coordinator has moved",
            Self::ExpireWhileRebalancing => "offsets of a group that rebalances expire",
            Self::TimeoutKeepsEpoch => "a producer whose transaction took too long is not fenced",
            Self::FencedJoinsIsr => "a fenced broker may join an in-sync set",
            Self::ReassignEarly => "a partition has moved as soon as one replica of its target is in sync",
            Self::SnapshotUndecided => "a snapshot of the metadata holds what is not committed",
            Self::RetainPastHighWatermark => "retention deletes what is not committed yet",
            Self::CleanPastHighWatermark => "compaction goes by records that are not committed yet",
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
        Self::every().find(|defect| defect.name() == name).ok_or_else(|| format!("unknown defect `{name}`"))
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
        Defect::every().filter(move |defect| self.has(*defect))
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<I: IntoIterator<Item = Defect>>(defects: I) -> Self {
        Self(defects.into_iter().fold(0, |bits, defect| bits | 1 << defect as u8))
    }
}
