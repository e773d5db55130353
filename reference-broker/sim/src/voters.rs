//! Invariants over all voters of the metadata quorum at once.
//!
//! In:  views of every voter, after every step. Out: violations in the ledger.
//! Owns: who led when, who voted for whom, the highest committed offset, checksums of committed batches.
//! Never: trusts one voter's word about another.

use std::collections::BTreeMap;

use broker_core::quorum::QuorumView;
use broker_core::record::batches;
use broker_core::{Disk, LeaderEpoch, Node, NodeId, Offset};

use crate::ledger::Ledger;
use crate::rarity::{Rarities, Rarity};
use crate::trace::Trace;

/// How much of a log is read at a time.
const READ_BYTES: usize = 64 << 10;

/// The last view of a voter, kept after its process has died.
struct Voter {
    view: QuorumView,
    /// Counts the processes of the node.
    incarnation: u32,
    up: bool,
}

#[derive(Default)]
pub(crate) struct Voters {
    seen: BTreeMap<NodeId, Voter>,
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// The highest watermark that any voter had.
    committed: Offset,
    /// Base offset → checksum of the batches below a high watermark.
    batches: BTreeMap<Offset, u32>,
    pub(crate) rarities: Rarities,
}

impl Voters {
    /// Looks at a voter that has just taken a step.
    pub(crate) fn after_step(
        &mut self,
        node: NodeId,
        incarnation: u32,
        view: QuorumView,
        ledger: &mut Ledger,
    ) {
        let mut broken = |kind, what: String| ledger.violation(kind, format!("node {node}: {what}"));
        let QuorumView { epoch, high_watermark, log_end, .. } = view;
        if high_watermark > log_end {
            broken("offsets-disordered", format!("metadata high watermark {high_watermark}, end {log_end}"));
        }
        if let Some(Voter { view: before, incarnation: earlier, .. }) = self.seen.get(&node) {
            if epoch < before.epoch {
                broken("epoch-fell", format!("quorum epoch {} → {epoch}", before.epoch));
            }
            if epoch == before.epoch && before.voted.is_some() && view.voted != before.voted {
                broken("second-vote", format!("epoch {epoch}: {:?}, then {:?}", before.voted, view.voted));
            }
            if *earlier == incarnation && high_watermark < before.high_watermark {
                let fell = format!("metadata high watermark {} → {high_watermark}", before.high_watermark);
                broken("watermark-fell", fell);
            }
            if *earlier == incarnation {
                note(&mut self.rarities, before, &view);
            }
        }
        if view.is_leader {
            let new = !self.leaders.contains_key(&epoch);
            let leader = *self.leaders.entry(epoch).or_insert(node);
            if leader != node {
                broken("two-controllers", format!("node {leader} leads too in epoch {epoch}"));
            }
            if new && log_end < self.committed {
                let lost =
                    format!("elected with a log that ends at {log_end}, committed is {}", self.committed);
                broken("metadata-lost", lost);
            }
        }
        self.committed = self.committed.max(high_watermark);
        self.seen.insert(node, Voter { view, incarnation, up: true });
    }

    /// A node's process has ended.
    pub(crate) fn died(&mut self, node: NodeId) {
        if let Some(voter) = self.seen.get_mut(&node) {
            voter.up = false;
            self.rarities
                .add(Rarity::DiedBeforePrune, u64::from(voter.view.prunes && voter.view.snapshot.is_some()));
        }
    }

    /// The one that leads in the newest epoch, if its process lives.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leaders = self.seen.iter().filter(|(_, voter)| voter.up && voter.view.is_leader);
        leaders.max_by_key(|(_, voter)| voter.view.epoch).map(|(node, _)| *node)
    }

    /// In how many epochs somebody led.
    pub(crate) fn elections(&self) -> u64 {
        self.leaders.len() as u64
    }

    /// Reads all committed batches of a voter: contiguous, and the same bytes as everywhere and ever.
    pub(crate) fn committed_bytes(
        &mut self,
        id: NodeId,
        node: &Node,
        disk: &mut dyn Disk,
        trace: &mut Trace,
        ledger: &mut Ledger,
    ) {
        let Some(view) = node.quorum() else { return };
        let mut next = view.log_start;
        let mut broken = |kind, next, what: String| {
            ledger.violation(kind, format!("metadata log of node {id} at {next}: {what}"));
        };
        while next < view.high_watermark {
            let parts = match node.read_committed_metadata(next, READ_BYTES, disk) {
                Ok(parts) if !parts.is_empty() => parts,
                Ok(_) => return broken("hole", next, "nothing to read".into()),
                Err(error) => return broken("hole", next, error.to_string()),
            };
            for batch in parts.into_iter().flat_map(batches) {
                let batch = match batch {
                    Ok(batch) => batch,
                    Err(error) => return broken("corruption", next, error.to_string()),
                };
                let base = batch.header.base_offset;
                if base != next {
                    broken("offset-gap", next, format!("the next batch begins at {base}"));
                }
                let print = crc32c::crc32c(&batch.bytes);
                trace.add(&[base.0 as u64, u64::from(print)]);
                if *self.batches.entry(base).or_insert(print) != print {
                    broken("metadata-divergence", next, "elsewhere or earlier it was another batch".into());
                }
                next = batch.header.last_offset().next();
            }
        }
    }

    /// Whether one leads, and all have all of its log.
    pub(crate) fn is_settled(&self) -> Result<(), String> {
        let leader = self.leader().ok_or("no controller leads")?;
        let whole = &self.seen[&leader].view;
        for (node, Voter { view, .. }) in &self.seen {
            if view.leader != Some(leader) {
                return Err(format!("voter {node} follows {:?} and not {leader}", view.leader));
            }
            if (view.high_watermark, view.log_end) != (whole.log_end, whole.log_end) {
                let (watermark, end) = (view.high_watermark, view.log_end);
                let of_leader = whole.log_end;
                return Err(format!(
                    "voter {node} has committed {watermark} and ends at {end}, the leader at {of_leader}"
                ));
            }
        }
        Ok(())
    }
}

/// What was rare in the step from one view of a voter to the next.
fn note(rarities: &mut Rarities, before: &QuorumView, now: &QuorumView) {
    rarities.add(Rarity::MetadataPruned, u64::from(now.log_start > before.log_start));
    let new = now.snapshot.filter(|_| now.snapshot != before.snapshot);
    match (before.receives, now.receives) {
        (Some(receives), _) if new == Some(receives.id) => rarities.sometimes(Rarity::SnapshotFetched),
        (Some(receives), Some(receives_now)) => {
            let more = receives_now.resumed.saturating_sub(receives.resumed);
            rarities.add(Rarity::SnapshotResumed, u64::from(more));
        }
        _ => rarities.add(Rarity::SnapshotWritten, u64::from(new.is_some())),
    }
}
