//! Invariants over all brokers at once. What one broker can see alone, it asserts itself.
//!
//! In:  views of every replica, after every step. Out: violations in the ledger.
//! Owns: the highest committed offset ever seen, who led when, and checksums of committed batches.
//! Never: trusts one replica's word about another.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::controller::{MetadataAudit, MetadataImage, TopicImage, TopicPartitionId};
use broker_core::node::PartitionView;
use broker_core::record::{Marker, batches};
use broker_core::{BrokerEpoch, Disk, LeaderEpoch, Node, NodeId, Offset, ProducerId};
use bytes::Bytes;

use crate::ledger::Ledger;
use crate::rarity::{Rarities, Rarity};
use crate::trace::Trace;

/// How much of a log is read at a time.
const READ_BYTES: usize = 64 << 10;

/// One replica's view, kept after its process has died: a killed process leaves its log behind.
struct Replica {
    view: PartitionView,
    /// Counts the processes of the node.
    incarnation: u32,
    /// The node has lost what it had not flushed, and no process has opened the log since: how far it goes is not known.
    unseen: bool,
}

#[derive(Default)]
pub(crate) struct Watch {
    replicas: BTreeMap<(TopicPartitionId, NodeId), Replica>,
    leaders: BTreeMap<(TopicPartitionId, LeaderEpoch), NodeId>,
    /// The highest watermark that any leader had.
    committed: BTreeMap<TopicPartitionId, Offset>,
    /// Base offset → (checksum, epoch) of the batches below a high watermark.
    batches: BTreeMap<TopicPartitionId, BTreeMap<Offset, (u32, LeaderEpoch)>>,
    /// The same for the records of compacted logs.
    records: BTreeMap<TopicPartitionId, CommittedRecords>,
    topic: BTreeMap<i32, TopicPartitionId>,
    /// Nodes that have lost what they had not flushed, and the registrations that they had then.
    losers: BTreeMap<NodeId, BrokerEpoch>,
    rarities: Rarities,
}

impl Watch {
    /// Looks at a node that has just taken a step.
    pub(crate) fn after_step(
        &mut self,
        node: NodeId,
        incarnation: u32,
        views: Vec<PartitionView>,
        topic: &str,
        audit: &MetadataAudit,
        ledger: &mut Ledger,
    ) {
        self.forget_dropped(node, incarnation, &views);
        for view in views {
            if view.topic == topic {
                self.topic.insert(view.id.partition.0, view.id);
            }
            self.one_replica(node, incarnation, &view, ledger);
            let id = view.id;
            self.replicas.insert((id, node), Replica { view, incarnation, unseen: false });
            self.committed_is_replicated(id, audit, ledger);
        }
    }

    /// Replicas that a process had open and has no more were deleted, because their topic was or because the partition has moved.
    fn forget_dropped(&mut self, node: NodeId, incarnation: u32, views: &[PartitionView]) {
        let open: BTreeSet<_> = views.iter().map(|view| view.id).collect();
        self.replicas.retain(|(id, at), replica| {
            *at != node || replica.incarnation != incarnation || open.contains(id)
        });
    }

    /// A node has lost what it had not flushed.
    pub(crate) fn lost_unflushed(&mut self, node: NodeId, epoch: BrokerEpoch) {
        self.losers.insert(node, epoch);
        for (_, replica) in self.replicas.iter_mut().filter(|((_, replica), _)| *replica == node) {
            replica.unseen = true;
        }
    }

    /// Whether a replica has lost something since it was in sync. Until its leader has heard of that, it may stand in an in-sync
    /// set that it does not belong to any more, and what it said before it lost it may still count.
    fn has_lost(&self, id: TopicPartitionId, node: NodeId, image: &MetadataImage) -> bool {
        let Some(epoch) = self.losers.get(&node) else { return false };
        let registered = image.broker(node).is_some_and(|broker| broker.epoch > *epoch);
        let in_sync = image.partition(id).is_some_and(|partition| partition.state.isr.contains(&node));
        !(registered && in_sync)
    }

    pub(crate) fn rarities(&self, all: &mut Rarities) {
        all.merge(&self.rarities);
        let partitions: BTreeSet<_> = self.leaders.keys().map(|(id, _)| id).collect();
        all.add(Rarity::LeaderElected, (self.leaders.len() - partitions.len()) as u64);
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
        let before = self.replicas.get(&(view.id, node)).filter(|before| before.incarnation == incarnation);
        if let Some(Replica { view: before, .. }) = before {
            note(&mut self.rarities, node, before, view);
            if view.log_start < before.log_start && view.log_events.restarts == before.log_events.restarts {
                ledger.violation(
                    "start-fell",
                    format!("{at}: from {} to {}", before.log_start, view.log_start),
                );
            }
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
        if before.is_none() {
            self.rarities.add(Rarity::HalfReplaced, view.log_events.swaps_completed);
            self.rarities.add(Rarity::SnapshotLoaded, u64::from(view.log_events.from_snapshot));
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
    fn committed_is_replicated(&self, id: TopicPartitionId, audit: &MetadataAudit, ledger: &mut Ledger) {
        let of_partition = self.replicas.range((id, NodeId(i32::MIN))..=(id, NodeId(i32::MAX)));
        for ((_, leader), replica) in of_partition.filter(|(_, replica)| replica.view.is_leader) {
            for member in &replica.view.isr {
                // A leader that has not heard yet that a member is none any more counts on what that one may have deleted.
                let relieved = audit.relieved(id, *member);
                let outdated = relieved.is_some_and(|epoch| replica.view.partition_epoch < epoch);
                if outdated || self.has_lost(id, *member, audit.image()) {
                    continue;
                }
                let seen = self.replicas.get(&(id, *member)).filter(|replica| !replica.unseen);
                let Some(member_replica) = seen else { continue };
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
        image: &MetadataImage,
        trace: &mut Trace,
        ledger: &mut Ledger,
    ) {
        let views = node.partitions();
        for view in views {
            let compacted = image.topic(view.id.topic).is_some_and(TopicImage::compacts);
            let known = self.batches.entry(view.id).or_default();
            let records = self.records.entry(view.id).or_default();
            let (next, epoch) = (view.log_start, LeaderEpoch::NONE);
            let (found, undecided) = (BTreeSet::new(), BTreeMap::new());
            let mut log = CommittedLog { node_id, view: &view, next, epoch, found, undecided };
            while log.next < view.high_watermark {
                let parts = match node.read_committed(view.id, log.next, READ_BYTES, disk) {
                    Ok(parts) if !parts.is_empty() => parts,
                    // What lies below the high watermark of a replica may have gone by what lies above it.
                    Ok(_) if compacted => break,
                    Ok(_) => return log.report("hole", "nothing to read", ledger),
                    Err(error) => return log.report("hole", &error.to_string(), ledger),
                };
                for batch in parts.into_iter().flat_map(batches) {
                    if let Ok(batch) = &batch {
                        trace.add(&[batch.header.base_offset.0 as u64, u64::from(batch.header.crc)]);
                    }
                    match batch {
                        Ok(batch) if compacted => log.check_records(&batch, records, ledger),
                        Ok(batch) => log.check(&batch, known, ledger),
                        Err(error) => return log.report("corruption", &error.to_string(), ledger),
                    }
                }
            }
            // What made an older record go may lie above the high watermark of a replica that has not heard of the newest one.
            let newest = self.committed.get(&view.id).copied().unwrap_or(Offset(0));
            if compacted && view.high_watermark >= newest {
                log.check_newest(records, ledger);
            }
        }
    }

    /// Whether every transaction has come to its end wherever somebody leads.
    pub(crate) fn is_decided(&self) -> Result<(), String> {
        let open = self
            .replicas
            .iter()
            .find(|(_, Replica { view, .. })| view.is_leader && view.last_stable < view.high_watermark);
        match open {
            None => Ok(()),
            Some(((id, node), Replica { view, .. })) => Err(format!(
                "{} {} on node {node}: a transaction is open at {}, the high watermark is {}",
                view.topic, id.partition, view.last_stable, view.high_watermark
            )),
        }
    }

    /// Whether every partition has one leader, all replicas in sync, and everything committed everywhere.
    pub(crate) fn is_settled(&self, partitions: i32, replicas_min: usize) -> Result<(), String> {
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
            if leader.isr.len() < replicas_min {
                return Err(format!("partition {partition}: only {:?} are in sync", leader.isr));
            }
            let whole = (leader.log_end, leader.log_end);
            let mut in_sync = replicas.iter().filter(|((_, node), _)| leader.isr.contains(node));
            let behind =
                in_sync.find(|(_, replica)| (replica.view.high_watermark, replica.view.log_end) != whole);
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

/// What was rare in the step from one view of a replica to the next.
fn note(rarities: &mut Rarities, node: NodeId, before: &PartitionView, now: &PartitionView) {
    rarities.add(Rarity::CutToLeader, u64::from(now.log_end < before.log_end));
    let (old, new) = (&before.isr, &now.isr);
    if now.is_leader && before.is_leader {
        rarities.add(Rarity::InSyncSetShrunk, u64::from(new.len() < old.len()));
        rarities.add(Rarity::InSyncSetGrown, u64::from(new.len() > old.len()));
    }
    rarities.add(Rarity::LogStartRaised, u64::from(now.log_start > before.log_start));
    let (old_events, new_events) = (before.log_events, now.log_events);
    rarities.add(Rarity::FollowerBeganAgain, new_events.restarts.saturating_sub(old_events.restarts));
    rarities.add(Rarity::Compacted, new_events.compactions.saturating_sub(old_events.compactions));
    let other_leader = now.leader_epoch > before.leader_epoch;
    rarities.add(Rarity::ElectedWhileCompacting, u64::from(other_leader && now.is_cleaning));
    let elected = now.is_leader && !before.is_leader;
    rarities.add(Rarity::EligibleElected, u64::from(elected && !old.is_empty() && !old.contains(&node)));
}

/// The walk over one replica's committed batches.
struct CommittedLog<'a> {
    node_id: NodeId,
    view: &'a PartitionView,
    next: Offset,
    epoch: LeaderEpoch,
    /// The offsets of the records that were found.
    found: BTreeSet<Offset>,
    /// Keys and offsets of transactions that are not decided yet, by producer.
    undecided: BTreeMap<ProducerId, Vec<(Bytes, Offset)>>,
}

/// All records of a compacted partition that were ever seen below a high watermark.
#[derive(Default)]
struct CommittedRecords {
    /// By offset: a checksum of key and value.
    prints: BTreeMap<Offset, u32>,
    /// The newest of each key that is not of an aborted transaction.
    newest: BTreeMap<Bytes, Offset>,
}

impl CommittedRecords {
    fn counts(&mut self, key: Bytes, offset: Offset) {
        let newest = self.newest.entry(key).or_insert(offset);
        *newest = offset.max(*newest);
    }
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
        // A log may start inside a batch.
        let begins = self.next == self.view.log_start && header.base_offset < self.next;
        if header.base_offset != self.next && !begins {
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

    /// Of a compacted log: offsets and epochs grow, and each record is the one that was seen there before.
    fn check_records(
        &mut self,
        batch: &broker_core::record::Batch,
        known: &mut CommittedRecords,
        ledger: &mut Ledger,
    ) {
        let header = &batch.header;
        if header.last_offset() < self.next || header.leader_epoch < self.epoch {
            let what = format!("offset {} of epoch {}", header.base_offset, header.leader_epoch);
            self.report("offset-gap", &what, ledger);
        }
        (self.next, self.epoch) = (header.last_offset().next(), header.leader_epoch);
        for record in batch.records().into_iter().flatten() {
            let Ok(record) = record else { return self.report("corruption", "an unreadable record", ledger) };
            let (key, value) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
            let print = crc32c::crc32c_append(crc32c::crc32c(&key), &value);
            if *known.prints.entry(record.offset).or_insert(print) != print {
                self.report("divergence", &format!("another record at {}", record.offset), ledger);
            }
            self.found.insert(record.offset);
            if let Some(marker) = Marker::of(batch) {
                let decided = self.undecided.remove(&header.producer_id).unwrap_or_default();
                let committed = decided.into_iter().filter(|_| marker.commit);
                committed.for_each(|(key, offset)| known.counts(key, offset));
            } else if header.is_transactional() {
                self.undecided.entry(header.producer_id).or_default().push((key, record.offset));
            } else {
                known.counts(key, record.offset);
            }
        }
    }

    /// Only what has a newer record of its key may be missing.
    fn check_newest(&self, known: &CommittedRecords, ledger: &mut Ledger) {
        let range = self.view.log_start..self.view.high_watermark;
        let missing =
            known.newest.values().find(|offset| range.contains(offset) && !self.found.contains(offset));
        if let Some(offset) = missing {
            self.report("compacted-away", &format!("the newest record of its key, at {offset}"), ledger);
        }
    }
}
