//! Invariants over all brokers at once. What one broker can see alone, it asserts itself.
//!
//! In:  views of every replica, after every step. Out: violations in the ledger.
//! Owns: the highest committed offset ever seen, who led when, and checksums of committed batches.
//! Never: trusts one replica's word about another.

use std::collections::BTreeMap;

use broker_core::controller::TopicPartitionId;
use broker_core::node::PartitionView;
use broker_core::record::batches;
use broker_core::{Disk, LeaderEpoch, Node, NodeId, Offset};

use crate::ledger::Ledger;

/// How much of a log is read at a time.
const READ_BYTES: usize = 64 << 10;

/// One replica's view, kept after its process has died: a killed process leaves its log behind.
struct Replica {
    view: PartitionView,
    /// Counts the processes of the node.
    incarnation: u32,
}

#[derive(Default)]
pub(crate) struct Watch {
    replicas: BTreeMap<(TopicPartitionId, NodeId), Replica>,
    leaders: BTreeMap<(TopicPartitionId, LeaderEpoch), NodeId>,
    /// The highest watermark that any leader had.
    committed: BTreeMap<TopicPartitionId, Offset>,
    /// Base offset → (checksum, epoch) of the batches below a high watermark.
    batches: BTreeMap<TopicPartitionId, BTreeMap<Offset, (u32, LeaderEpoch)>>,
    topic: BTreeMap<i32, TopicPartitionId>,
}

impl Watch {
    /// Looks at a node that has just taken a step.
    pub(crate) fn after_step(
        &mut self,
        node: NodeId,
        incarnation: u32,
        views: Vec<PartitionView>,
        topic: &str,
        ledger: &mut Ledger,
    ) {
        for view in views {
            if view.topic == topic {
                self.topic.insert(view.id.partition.0, view.id);
            }
            self.one_replica(node, incarnation, &view, ledger);
            let id = view.id;
            self.replicas.insert((id, node), Replica { view, incarnation });
            self.committed_is_replicated(id, ledger);
        }
    }

    fn one_replica(&mut self, node: NodeId, incarnation: u32, view: &PartitionView, ledger: &mut Ledger) {
        let at = format_args!("{} partition {} on node {node}", view.topic, view.id.partition).to_string();
        let (start, watermark, end) = (view.log_start, view.high_watermark, view.log_end);
        if !(start <= watermark && watermark <= end && view.flushed_end <= end) {
            ledger.violation(
                "offsets-disordered",
                format!(
                    "{at}: start {start}, high watermark {watermark}, flushed {}, end {end}",
                    view.flushed_end
                ),
            );
        }
        if let Some(before) =
            self.replicas.get(&(view.id, node)).filter(|before| before.incarnation == incarnation)
        {
            let before = &before.view;
            if before.leader_epoch == view.leader_epoch
                && view.is_leader
                && before.is_leader
                && watermark < before.high_watermark
            {
                ledger.violation(
                    "watermark-fell",
                    format!(
                        "{at}: from {} to {watermark} in epoch {}",
                        before.high_watermark, view.leader_epoch
                    ),
                );
            }
            if (view.leader_epoch, view.partition_epoch) < (before.leader_epoch, before.partition_epoch) {
                ledger.violation(
                    "epoch-fell",
                    format!(
                        "{at}: leader epoch {} → {}, partition epoch {} → {}",
                        before.leader_epoch, view.leader_epoch, before.partition_epoch, view.partition_epoch
                    ),
                );
            }
        }
        if !view.is_leader {
            return;
        }
        let leader = *self.leaders.entry((view.id, view.leader_epoch)).or_insert(node);
        if leader != node {
            ledger.violation(
                "two-leaders",
                format!("{at}: node {leader} leads too in epoch {}", view.leader_epoch),
            );
        }
        let committed = self.committed.entry(view.id).or_default();
        *committed = (*committed).max(watermark);
    }

    /// Every member of a leader's in-sync set really has what the leader calls committed.
    fn committed_is_replicated(&self, id: TopicPartitionId, ledger: &mut Ledger) {
        let of_partition = self.replicas.range((id, NodeId(i32::MIN))..=(id, NodeId(i32::MAX)));
        for ((_, leader), replica) in of_partition.filter(|(_, replica)| replica.view.is_leader) {
            for member in &replica.view.isr {
                let Some(member_replica) = self.replicas.get(&(id, *member)) else { continue };
                let (watermark, end) = (replica.view.high_watermark, member_replica.view.log_end);
                if end < watermark {
                    let at = format!("{} partition {}", replica.view.topic, id.partition);
                    ledger.violation("watermark-ahead", format!("{at}: leader {leader} has committed up to {watermark}, in-sync node {member} ends at {end}"));
                }
            }
        }
    }

    /// An acknowledgement (`acks=all`) of records up to `end` has just reached its producer.
    pub(crate) fn acknowledged(&self, partition: i32, end: Offset, ledger: &mut Ledger) {
        let committed =
            self.topic.get(&partition).and_then(|id| self.committed.get(id)).copied().unwrap_or_default();
        if end > committed {
            ledger.violation(
                "early-ack",
                format!("partition {partition}: acknowledged up to {end}, committed up to {committed}"),
            );
        }
    }

    /// A node's process has ended: it leads nothing any more.
    pub(crate) fn died(&mut self, node: NodeId) {
        for ((_, replica_node), replica) in &mut self.replicas {
            if *replica_node == node {
                replica.view.is_leader = false;
            }
        }
    }

    /// Reads all committed batches of a node: contiguous, in epochs that never fall, and the same bytes as everywhere.
    pub(crate) fn committed_bytes(
        &mut self,
        node_id: NodeId,
        node: &Node,
        disk: &mut dyn Disk,
        ledger: &mut Ledger,
    ) {
        let views = node.partitions();
        for view in views {
            let known = self.batches.entry(view.id).or_default();
            let mut log =
                CommittedLog { node_id, view: &view, next: view.log_start, epoch: LeaderEpoch::NONE };
            while log.next < view.high_watermark {
                let parts = match node.read_committed(view.id, log.next, READ_BYTES, disk) {
                    Ok(parts) if !parts.is_empty() => parts,
                    Ok(_) => return log.report("hole", "nothing to read", ledger),
                    Err(error) => return log.report("hole", &error.to_string(), ledger),
                };
                for batch in parts.into_iter().flat_map(batches) {
                    match batch {
                        Ok(batch) => log.check(&batch, known, ledger),
                        Err(error) => return log.report("corruption", &error.to_string(), ledger),
                    }
                }
            }
        }
    }

    /// Whether every partition has one leader, all replicas in sync, and everything committed everywhere.
    pub(crate) fn is_settled(&self, partitions: i32, brokers: usize) -> Result<(), String> {
        for partition in 0..partitions {
            let id = self.topic.get(&partition).ok_or("the topic does not exist")?;
            let replicas: Vec<_> =
                self.replicas.range((*id, NodeId(i32::MIN))..=(*id, NodeId(i32::MAX))).collect();
            let newest = replicas.iter().map(|(_, replica)| replica.view.leader_epoch).max();
            let leader = replicas
                .iter()
                .map(|(_, replica)| &replica.view)
                .find(|view| view.is_leader && Some(view.leader_epoch) == newest);
            let leader = leader.ok_or_else(|| format!("partition {partition} has no leader"))?;
            if leader.isr.len() < brokers {
                return Err(format!("partition {partition}: only {:?} are in sync", leader.isr));
            }
            let whole = (leader.log_end, leader.log_end);
            let behind = replicas
                .iter()
                .find(|(_, replica)| (replica.view.high_watermark, replica.view.log_end) != whole);
            if let Some(((_, node), replica)) = behind {
                let (watermark, end) = (replica.view.high_watermark, replica.view.log_end);
                return Err(format!(
                    "partition {partition}: node {node} has high watermark {watermark} and end {end}, the leader's end is {}",
                    leader.log_end
                ));
            }
        }
        Ok(())
    }
}

/// The walk over one replica's committed batches.
struct CommittedLog<'a> {
    node_id: NodeId,
    view: &'a PartitionView,
    next: Offset,
    epoch: LeaderEpoch,
}

impl CommittedLog<'_> {
    fn report(&self, kind: &'static str, what: &str, ledger: &mut Ledger) {
        let at = format!(
            "{} partition {} on node {} at {}",
            self.view.topic, self.view.id.partition, self.node_id, self.next
        );
        ledger.violation(kind, format!("{at}: {what}"));
    }

    fn check(
        &mut self,
        batch: &broker_core::record::Batch,
        known: &mut BTreeMap<Offset, (u32, LeaderEpoch)>,
        ledger: &mut Ledger,
    ) {
        let header = &batch.header;
        if header.base_offset != self.next {
            self.report("offset-gap", &format!("the next batch begins at {}", header.base_offset), ledger);
        }
        if header.leader_epoch < self.epoch {
            self.report("epoch-fell", &format!("epoch {} after {}", header.leader_epoch, self.epoch), ledger);
        }
        let print = (crc32c::crc32c(&batch.bytes), header.leader_epoch);
        let first = *known.entry(header.base_offset).or_insert(print);
        if first != print {
            self.report(
                "divergence",
                &format!("epoch {}, elsewhere or earlier another batch of epoch {}", print.1, first.1),
                ledger,
            );
        }
        (self.next, self.epoch) = (header.last_offset().next(), header.leader_epoch);
    }
}
