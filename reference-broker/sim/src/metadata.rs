//! The state of the cluster as each node has it, however it came by it: from the log, or from a snapshot and the rest of the log.
//!
//! In:  what the audit makes of the log, the image of each node, the snapshots of voters. Out: violations in the ledger.
//! Owns: the state at every offset that the audit has stopped at, and the checksums of snapshots.
//! Rules: at the same offset all nodes have the state that the log adds up to; a snapshot stands for nothing that is not committed, is the
//!        same at whoever writes it, and is read as that state.

use std::collections::BTreeMap;

use broker_core::controller::{MetadataImage, PartitionImage, load_snapshot};
use broker_core::quorum::{QuorumView, SnapshotId};
use broker_core::{Disk, Node, NodeId, Offset};

use crate::ledger::Ledger;
use crate::rarity::{Rarities, Rarity};

#[derive(Default)]
pub(crate) struct Metadata {
    /// What the log adds up to, by the offset of the next record.
    states: BTreeMap<Offset, MetadataImage>,
    /// Where each node's image was looked at last.
    looked_at: BTreeMap<NodeId, Offset>,
    /// The newest snapshot that was seen at each voter.
    newest: BTreeMap<NodeId, SnapshotId>,
    snapshots: BTreeMap<SnapshotId, u32>,
    /// What the processes of brokers say of the snapshots that they have taken.
    taken: BTreeMap<NodeId, (u64, u64)>,
    pub(crate) rarities: Rarities,
}

impl Metadata {
    /// The log adds up to this.
    pub(crate) fn learn(&mut self, image: &MetadataImage) {
        if self.states.contains_key(&image.next_offset()) {
            return;
        }
        if let Some((_, before)) = self.states.last_key_value() {
            for (id, now) in image.partitions() {
                if let Some(before) = before.partition(id).filter(|before| before.is_reassigning()) {
                    note(&mut self.rarities, before, now);
                }
            }
        }
        self.states.insert(image.next_offset(), image.clone());
    }

    /// A process has ended: the next one begins with what is on its disk.
    pub(crate) fn died(&mut self, node: NodeId) {
        self.looked_at.remove(&node);
        self.taken.remove(&node);
    }

    /// Looks at a node that has just taken a step.
    pub(crate) fn after_step(&mut self, id: NodeId, node: &Node, disk: &mut dyn Disk, ledger: &mut Ledger) {
        let view = node.quorum();
        let image = node.image();
        let next = image.next_offset();
        // What a controller has decided and nobody has confirmed may come to nothing.
        let certain = view.is_none_or(|view| next <= view.high_watermark);
        if certain && self.looked_at.insert(id, next) != Some(next) {
            self.compare(format_args!("node {id}"), image, ledger);
        }
        let (taken, resumed) = node.snapshots();
        let (taken_before, resumed_before) = self.taken.insert(id, (taken, resumed)).unwrap_or_default();
        self.rarities.add(Rarity::BrokerTookSnapshot, taken - taken_before);
        self.rarities.add(Rarity::SnapshotResumed, resumed - resumed_before);
        if let Some(view) = view {
            self.snapshot(id, view, node, disk, ledger);
        }
    }

    fn compare(&self, whose: std::fmt::Arguments<'_>, image: &MetadataImage, ledger: &mut Ledger) {
        let next = image.next_offset();
        if let Some(state) = self.states.get(&next).filter(|state| *state != image) {
            let what =
                format!("{whose}: the state at metadata offset {next} is {image:?}, by the log {state:?}");
            ledger.violation("image-diverges", what);
        }
    }

    fn snapshot(
        &mut self,
        id: NodeId,
        view: QuorumView,
        node: &Node,
        disk: &mut dyn Disk,
        ledger: &mut Ledger,
    ) {
        let Some(newest) = view.snapshot else {
            if view.log_start > Offset(0) {
                ledger.violation("hole", format!("metadata log of node {id} begins at {}", view.log_start));
            }
            return;
        };
        let mut broken = |what: String| {
            ledger.violation("bad-snapshot", format!("snapshot {newest} of node {id} {what}"));
        };
        if newest.end > view.high_watermark || newest.end < view.log_start {
            let (start, watermark) = (view.log_start, view.high_watermark);
            broken(format!("is not between the start of the log {start} and the high watermark {watermark}"));
        }
        if self.newest.insert(id, newest) == Some(newest) {
            return;
        }
        let bytes = match node.metadata_snapshot(disk) {
            Ok(Some((found, bytes))) if found == newest => bytes,
            other => return broken(format!("cannot be read: {other:?}")),
        };
        let print = crc32c::crc32c(&bytes);
        if *self.snapshots.entry(newest).or_insert(print) != print {
            broken("is another one elsewhere".into());
        }
        match load_snapshot(newest, bytes) {
            Ok(image) => self.compare(format_args!("snapshot {newest} of node {id}"), &image, ledger),
            Err(error) => broken(format!("cannot be read: {error}")),
        }
    }
}

/// What was rare in a change of a partition that moves.
fn note(rarities: &mut Rarities, before: &PartitionImage, now: &PartitionImage) {
    let ended = !now.is_reassigning();
    let arrived = ended && now.replicas == before.target() && !before.is_going_back();
    rarities.add(Rarity::PartitionMoved, u64::from(arrived));
    rarities.add(Rarity::MoveCancelled, u64::from(ended && !arrived));
    let elected = !ended && now.state.leader != before.state.leader && now.has_leader();
    rarities.add(Rarity::ElectedWhileMoving, u64::from(elected));
}
