//! Looks at each delivery of a record that was sent in a transaction: `aborted_read` and `early_read`.
//!
//! What readers of uncommitted records see is no violation; it is counted apart, to be shown where nobody reads
//! committed ones.

use super::finding::{Findings, Moment, Place};
use super::sends::Sends;
use super::source::{ShardRole, Source};
use super::{aborted_read, early_read};
use crate::history::Event;
use crate::plan::{Isolation, Plan};

/// The drain reader that is handed committed records only, up to the last stable offset.
pub(super) const VISIBLE: u8 = 3;

/// What was found by readers of one kind.
#[derive(Debug, Default)]
pub struct Seen {
    /// Records of void transactions.
    pub aborted: Findings,
    /// Records before their commit.
    pub early: Findings,
    /// Records handed over, of whatever transaction.
    records: u64,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct TransactionalReads {
    /// By readers of committed records.
    pub committed: Seen,
    /// By readers of all records.
    pub uncommitted: Seen,
    /// By journal: whether it reads committed records only; None: it is not a consumer's, or drains.
    isolation: Vec<Option<Isolation>>,
    /// The journals of the drain reader among them.
    drains: Vec<usize>,
}

impl TransactionalReads {
    /// Nothing was seen yet.
    pub(super) fn new(plan: &Plan, source: &dyn Source) -> Self {
        let isolation = source.shards().iter().map(|meta| match meta.role {
            ShardRole::Consumer(number) => Some(
                plan.consumers.get(usize::from(number)).map_or_else(Isolation::default, |one| one.isolation),
            ),
            ShardRole::DrainReader(VISIBLE) => Some(Isolation::ReadCommitted),
            _ => None,
        });
        let is_drain = |shard: &usize| source.shards()[*shard].role == ShardRole::DrainReader(VISIBLE);
        let drains = (0..source.shards().len()).filter(is_drain).collect();
        Self { isolation: isolation.collect(), drains, ..Self::default() }
    }

    /// Whether a journal is of a reader of committed records.
    pub(super) fn is_committed(&self, shard: usize) -> bool {
        self.isolation.get(shard).copied().flatten() == Some(Isolation::ReadCommitted)
    }

    /// A record that can be read is handed over.
    pub(super) fn on_delivery(
        &mut self,
        sends: &Sends,
        place: Place,
        shard: usize,
        event: &Event,
        epsilon_ns: u64,
    ) {
        let Some(isolation) = self.isolation.get(shard).copied().flatten() else { return };
        let Some(transaction) = sends.transactions.of(event.message()) else { return };
        let seen = match isolation {
            Isolation::ReadCommitted => &mut self.committed,
            Isolation::ReadUncommitted => &mut self.uncommitted,
        };
        seen.records += 1;
        let moment = Moment { shard, event: *event };
        if transaction.fate.is_void() {
            aborted_read::on_delivery(&mut seen.aborted, place, transaction.fate, moment);
            return;
        }
        if transaction.commit_ns != u64::MAX {
            // Whoever reads after the load cannot be early.
            seen.early.exercised += u64::from(!self.drains.contains(&shard));
            let early_ns = transaction.commit_ns.saturating_sub(event.t_ns.saturating_add(epsilon_ns));
            if early_ns > 0 {
                early_read::on_delivery(&mut seen.early, place, early_ns, moment);
            }
        }
    }

    /// All deliveries were seen. Void messages could have been seen by whoever was handed anything.
    pub(super) fn close(&mut self, sends: &Sends) {
        let void = sends.transactions.void.count();
        for seen in [&mut self.committed, &mut self.uncommitted] {
            seen.aborted.exercised = if seen.records > 0 { void } else { 0 };
        }
    }
}
