//! How many seeds of the unmodified mix it takes to find each planted defect.
//!
//! In:  a planted defect. Out: the first seed of each series that shows it, and what showed it.
//! Owns: for each defect the check that is named for it, and those that may speak with it.
//! Never: steers the faults; what finds a defect here would have found it without being told that there is one.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{Defect, Defects};

use crate::{Options, Outcome, run};

/// Series start so many seeds apart, so that no two share one.
const APART: u64 = 10_000;

/// A defect and who finds it.
#[derive(Clone, Copy, Debug)]
pub struct Quarry {
    /// What is planted.
    pub defect: Defect,
    /// The check that is named for it.
    pub named: &'static str,
    /// What may speak besides: the same damage, seen from elsewhere.
    pub also: &'static [&'static str],
}

/// What logs that differ lead to.
const OF_DIVERGENCE: [&str; 10] = [
    "compacted-away",
    "hole",
    "offset-gap",
    "acked-loss",
    "read-vanished",
    "moved",
    "divergence",
    "sequence-gap",
    "duplicate",
    "no-progress",
];

/// All that the standard mix can find.
pub const QUARRIES: [Quarry; 27] = [
    Quarry {
        defect: Defect::AckBeforeReplicate,
        named: "acked-loss",
        also: &["early-ack", "invariant", "sequence-gap", "moved"],
    },
    Quarry {
        defect: Defect::HwAheadOfIsr,
        named: "read-vanished",
        also: &[
            "acked-loss",
            "invariant",
            "watermark-ahead",
            "moved",
            "divergence",
            "sequence-gap",
            "no-progress",
        ],
    },
    Quarry { defect: Defect::SkipTruncation, named: "divergence", also: &OF_DIVERGENCE },
    Quarry { defect: Defect::DedupeOff, named: "duplicate", also: &["reordered"] },
    Quarry {
        defect: Defect::ElectOutsideIsr,
        named: "acked-loss",
        also: &[
            "metadata",
            "read-vanished",
            "moved",
            "divergence",
            "sequence-gap",
            "watermark-ahead",
            "invariant",
            "no-progress",
            "compacted-away",
        ],
    },
    Quarry { defect: Defect::FlipByte, named: "corruption", also: &["acked-loss", "read-vanished"] },
    Quarry { defect: Defect::PhantomRecord, named: "corruption", also: &["acked-loss", "read-vanished"] },
    Quarry { defect: Defect::AppendRejected, named: "rejected-but-stored", also: &["sequence-gap"] },
    Quarry { defect: Defect::SkipSequenceCheck, named: "reordered", also: &["acked-loss", "duplicate"] },
    Quarry {
        defect: Defect::ForgetVote,
        named: "second-vote",
        also: &["metadata", "metadata-divergence", "metadata-lost"],
    },
    Quarry {
        defect: Defect::VoteForOlderLog,
        named: "metadata-divergence",
        also: &[
            "metadata-lost",
            "metadata",
            "divergence",
            "acked-loss",
            "no-progress",
            "epoch-fell",
            "image-diverges",
            "read-vanished",
            "sequence-gap",
            "two-leaders",
            "watermark-ahead",
            "gave-up",
            "aborted-read",
            "invariant",
            "offset-gap",
            "hole",
            "compacted-away",
            // Where the metadata takes a leader epoch back, its log refuses to go on.
            "panic",
        ],
    },
    Quarry { defect: Defect::FencedJoinsIsr, named: "metadata", also: &[] },
    Quarry { defect: Defect::ReassignEarly, named: "metadata", also: &[] },
    Quarry { defect: Defect::SnapshotUndecided, named: "image-diverges", also: &["bad-snapshot", "panic"] },
    Quarry { defect: Defect::RetainPastHighWatermark, named: "invariant", also: &["offsets-disordered"] },
    Quarry { defect: Defect::CleanPastHighWatermark, named: "compacted-away", also: &["acked-loss"] },
    Quarry { defect: Defect::AssignBeforeRevoke, named: "invariant", also: &[] },
    Quarry { defect: Defect::CommitHighWatermark, named: "phantom", also: &["stale-commit", "no-progress"] },
    Quarry { defect: Defect::StaleMemberCommits, named: "stale-commit", also: &[] },
    Quarry { defect: Defect::LsoIgnored, named: "read-vanished", also: &[] },
    Quarry { defect: Defect::AbortPartly, named: "aborted-read", also: &["no-progress", "torn-transaction"] },
    Quarry { defect: Defect::TimeoutKeepsEpoch, named: "acked-loss", also: &["torn-transaction"] },
    Quarry { defect: Defect::UnverifiedTransactions, named: "no-progress", also: &["aborted-read"] },
    Quarry { defect: Defect::CommitOffsetsOnAbort, named: "aborted-read", also: &[] },
    Quarry { defect: Defect::UnstoredLeave, named: "ghost-member", also: &[] },
    Quarry { defect: Defect::ExpireWhileRebalancing, named: "no-progress", also: &[] },
    Quarry {
        defect: Defect::ReuseProducerEpoch,
        named: "acked-loss",
        also: &["aborted-read", "torn-transaction"],
    },
];

/// What hunting a defect came to.
#[derive(Clone, Debug)]
pub struct Bag {
    /// The defect, and who was to find it.
    pub quarry: Quarry,
    /// The first seed of any series that the named check spoke in.
    pub seed: Option<u64>,
    /// Seeds that each series took until the named check spoke, ascending; a series that ended without it is missing.
    pub tries: Vec<u64>,
    /// Kinds of all violations that were seen, with the number of seeds that showed them.
    pub kinds: BTreeMap<&'static str, u64>,
}

impl Bag {
    /// Kinds that were not declared.
    pub fn undeclared(&self) -> BTreeSet<&'static str> {
        undeclared(&self.quarry, self.kinds.keys().copied())
    }
}

/// Runs so many series of at most `limit` seeds, each until the named check speaks.
pub fn hunt(quarry: Quarry, series: u64, limit: u64) -> Bag {
    let mut bag = Bag { quarry, seed: None, tries: Vec::new(), kinds: BTreeMap::new() };
    for from in (0..series).map(|nth| nth * APART) {
        for seed in from..from + limit {
            let outcome = with(quarry.defect, seed);
            let kinds = kinds(&outcome);
            for kind in &kinds {
                *bag.kinds.entry(kind).or_default() += 1;
            }
            if kinds.contains(quarry.named) {
                bag.seed.get_or_insert(seed);
                bag.tries.push(seed - from + 1);
                break;
            }
        }
    }
    bag.tries.sort_unstable();
    bag
}

/// What a seed shows of a defect: whether the named check speaks, and the kinds that were not declared.
pub fn replay(quarry: &Quarry, seed: u64) -> (bool, BTreeSet<&'static str>) {
    let kinds = kinds(&with(quarry.defect, seed));
    (kinds.contains(quarry.named), undeclared(quarry, kinds.iter().copied()))
}

fn with(defect: Defect, seed: u64) -> Outcome {
    let defects: Defects = [defect].into_iter().collect();
    run(seed, Options { defects, ..Options::default() })
}

fn kinds(outcome: &Outcome) -> BTreeSet<&'static str> {
    outcome.violations.iter().map(|violation| violation.kind).collect()
}

fn undeclared(quarry: &Quarry, kinds: impl Iterator<Item = &'static str>) -> BTreeSet<&'static str> {
    kinds.filter(|kind| *kind != quarry.named && !quarry.also.contains(kind)).collect()
}
