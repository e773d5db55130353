//! What a good mix of seeds must have met at least once.
//!
//! A rarity that never comes up is a hole in the mix: nothing is known of how the broker takes it.

use std::collections::BTreeMap;
use std::fmt;

/// Something that happens to a cluster now and then.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rarity {
    /// A partition was given another leader.
    LeaderElected,
    /// The active controller changed.
    ControllerElected,
    /// A follower cut its log because its leader's parts from it.
    CutToLeader,
    /// A replica left an in-sync set.
    InSyncSetShrunk,
    /// A replica came back into an in-sync set.
    InSyncSetGrown,
    /// A leader was elected from among the eligible ones outside the in-sync set (KIP-966).
    EligibleElected,
    /// A node lost its power.
    PowerLost,
    /// All nodes lost their power at once.
    Blackout,
    /// All nodes were restarted, one after another.
    RolledThrough,
    /// Some write that was not flushed was gone after a power loss.
    UnflushedLost,
    /// A write was there in part after a power loss.
    WriteTorn,
    /// Recovery cut the end off a file that was torn.
    TornTailCut,
    /// A new file was gone after a power loss, because its directory was not flushed.
    NameForgotten,
    /// A node died again before it served.
    DiedWhileStarting,
    /// A flush failed.
    FlushFailed,
    /// A flush took more than ten times as long as it should.
    FlushStalled,
    /// A write failed because the disk was full.
    DiskFull,
    /// A write failed otherwise.
    WriteFailed,
    /// A read failed.
    ReadFailed,
    /// A node stopped because its disk failed.
    Halted,
    /// A node could not start on a disk that fails.
    BootRefused,
    /// A batch was sent again.
    Retried,
    /// Records were lost where the promise had been left behind before.
    LossNotClaimed,
    /// A controller wrote a snapshot of the metadata.
    SnapshotWritten,
    /// A controller deleted the beginning of its log.
    MetadataPruned,
    /// A controller died with a snapshot in place and what it stands for not deleted yet.
    DiedBeforePrune,
    /// A controller took over a snapshot of the active one.
    SnapshotFetched,
    /// A snapshot that was being fetched went on after its connection or its leader was lost.
    SnapshotResumed,
    /// A broker took the metadata from a snapshot.
    BrokerTookSnapshot,
    /// A partition moved to other brokers.
    PartitionMoved,
    /// A partition went back to where it came from before it had moved.
    MoveCancelled,
    /// A partition was given another leader while it moved.
    ElectedWhileMoving,
    /// The beginning of a log was deleted by its age or size, or because a client asked for it.
    LogStartRaised,
    /// A follower began again where its leader's log starts.
    FollowerBeganAgain,
    /// A log was compacted.
    Compacted,
    /// A partition was given another leader while one of its logs was compacted.
    ElectedWhileCompacting,
    /// A process found compacted segments that the one before had put in place by half.
    HalfReplaced,
    /// Recovery began with a snapshot of the producers.
    SnapshotLoaded,
    /// A member of a group came to a newer epoch.
    GroupRebalanced,
    /// A member committed an offset.
    OffsetCommitted,
    /// A commit was refused because the epoch of its member was over.
    StaleCommitRefused,
    /// A member of a group that speaks the classic protocol committed an offset.
    ClassicCommitted,
    /// An offset was committed with a transaction.
    OffsetInTransaction,
    /// A transaction was committed.
    TransactionCommitted,
    /// One was in the second protocol, in which its end raised the epoch (KIP-890).
    SecondProtocol,
    /// A transaction was aborted.
    TransactionAborted,
    /// The end of a transaction was refused: its producer was fenced, or the transaction had been ended for it.
    TransactionFenced,
}

impl Rarity {
    /// All of them.
    pub const ALL: [Self; 47] = [
        Self::LeaderElected,
        Self::ControllerElected,
        Self::CutToLeader,
        Self::InSyncSetShrunk,
        Self::InSyncSetGrown,
        Self::EligibleElected,
        Self::PowerLost,
        Self::Blackout,
        Self::RolledThrough,
        Self::UnflushedLost,
        Self::WriteTorn,
        Self::TornTailCut,
        Self::NameForgotten,
        Self::DiedWhileStarting,
        Self::FlushFailed,
        Self::FlushStalled,
        Self::DiskFull,
        Self::WriteFailed,
        Self::ReadFailed,
        Self::Halted,
        Self::BootRefused,
        Self::Retried,
        Self::LossNotClaimed,
        Self::SnapshotWritten,
        Self::MetadataPruned,
        Self::DiedBeforePrune,
        Self::SnapshotFetched,
        Self::SnapshotResumed,
        Self::BrokerTookSnapshot,
        Self::PartitionMoved,
        Self::MoveCancelled,
        Self::ElectedWhileMoving,
        Self::LogStartRaised,
        Self::FollowerBeganAgain,
        Self::Compacted,
        Self::ElectedWhileCompacting,
        Self::HalfReplaced,
        Self::SnapshotLoaded,
        Self::GroupRebalanced,
        Self::OffsetCommitted,
        Self::StaleCommitRefused,
        Self::ClassicCommitted,
        Self::OffsetInTransaction,
        Self::TransactionCommitted,
        Self::SecondProtocol,
        Self::TransactionAborted,
        Self::TransactionFenced,
    ];

    /// In a few words.
    pub fn about(self) -> &'static str {
        match self {
            Self::LeaderElected => "partition leader elected",
            Self::ControllerElected => "controller elected",
            Self::CutToLeader => "log cut to the leader's",
            Self::InSyncSetShrunk => "replica left the in-sync set",
            Self::InSyncSetGrown => "replica joined the in-sync set",
            Self::EligibleElected => "eligible replica elected from outside the in-sync set",
            Self::PowerLost => "power loss of one node",
            Self::Blackout => "power loss of all nodes at once",
            Self::RolledThrough => "all nodes restarted one after another",
            Self::UnflushedLost => "unflushed write lost",
            Self::WriteTorn => "write torn",
            Self::TornTailCut => "torn tail cut at recovery",
            Self::NameForgotten => "new file lost with its name",
            Self::DiedWhileStarting => "died again before it served",
            Self::FlushFailed => "flush failed and dropped its pages",
            Self::FlushStalled => "flush stalled",
            Self::DiskFull => "disk full",
            Self::WriteFailed => "write failed",
            Self::ReadFailed => "read failed",
            Self::Halted => "node halted by its disk",
            Self::BootRefused => "node refused to start on a failing disk",
            Self::Retried => "batch sent again",
            Self::LossNotClaimed => "records lost beyond the promise",
            Self::SnapshotWritten => "snapshot of the metadata written",
            Self::MetadataPruned => "beginning of the metadata log deleted",
            Self::DiedBeforePrune => "died between a snapshot and the deletion behind it",
            Self::SnapshotFetched => "snapshot taken over by a controller",
            Self::SnapshotResumed => "fetch of a snapshot interrupted and resumed",
            Self::BrokerTookSnapshot => "snapshot taken by a broker",
            Self::PartitionMoved => "partition moved to other brokers",
            Self::MoveCancelled => "move of a partition cancelled",
            Self::ElectedWhileMoving => "leader elected while its partition moved",
            Self::LogStartRaised => "log start raised",
            Self::FollowerBeganAgain => "follower began again at its leader's log start",
            Self::Compacted => "log compacted",
            Self::ElectedWhileCompacting => "partition leader elected during compaction",
            Self::HalfReplaced => "half replaced segments found at recovery",
            Self::SnapshotLoaded => "recovery from a producer snapshot",
            Self::GroupRebalanced => "member of a group came to a newer epoch",
            Self::OffsetCommitted => "offset committed by a member",
            Self::StaleCommitRefused => "commit in an epoch that was over refused",
            Self::ClassicCommitted => "offset committed in a classic group",
            Self::OffsetInTransaction => "offset committed with a transaction",
            Self::TransactionCommitted => "transaction committed",
            Self::SecondProtocol => "transaction committed in the second protocol",
            Self::TransactionAborted => "transaction aborted",
            Self::TransactionFenced => "end of a transaction refused",
        }
    }
}

/// How often each came up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rarities(BTreeMap<Rarity, u64>);

impl Rarities {
    /// It has just happened.
    pub(crate) fn sometimes(&mut self, rarity: Rarity) {
        self.add(rarity, 1);
    }

    /// It has happened so often.
    pub(crate) fn add(&mut self, rarity: Rarity, times: u64) {
        if times > 0 {
            *self.0.entry(rarity).or_default() += times;
        }
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Self) {
        for (rarity, times) in &other.0 {
            self.add(*rarity, *times);
        }
    }

    /// How often this one came up.
    pub fn count(&self, rarity: Rarity) -> u64 {
        self.0.get(&rarity).copied().unwrap_or_default()
    }

    /// Those that never came up.
    pub fn never(&self) -> impl Iterator<Item = Rarity> {
        Rarity::ALL.into_iter().filter(|rarity| self.count(*rarity) == 0)
    }
}

impl fmt::Display for Rarities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sometimes:")?;
        for rarity in Rarity::ALL {
            write!(f, "\n  {:>9}  {}", self.count(rarity), rarity.about())?;
        }
        let never: Vec<&str> = self.never().map(Rarity::about).collect();
        write!(f, "\nnever: {}", if never.is_empty() { "nothing".into() } else { never.join(", ") })
    }
}
