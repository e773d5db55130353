//! What must hold of any metadata log, whoever wrote it.
//!
//! In:  the records, in order. Out: one [`MetadataViolation`] for each that breaks a rule.
//! Rules: the offsets have no gap. Of each partition: replicas and in-sync set are no empty or double lists; ISR ⊆ replicas;
//!        the leader is in sync; leader epochs never fall and belong to one leader each; partition epochs rise by one with each
//!        change (KIP-497); who joins the in-sync set or is elected is active (KIP-841); a leader is elected from
//!        the in-sync set or the eligible replicas unless unclean election is on; nobody is in both sets, and only who was in one
//!        of them is eligible (KIP-966). A partition that moves lets go of nobody before all of its target are in sync (KIP-455).
//!        Producer ids are given away once.
//! Ignores: whether an election was necessary, and whether placement is even.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

use super::image::{ImageDelta, MetadataImage, PartitionImage, TopicPartitionId};
use super::record::{MetadataRecord, PartitionState};
use super::replay::each_record;
use crate::ids::{LeaderEpoch, NodeId, Offset};

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataViolation {
    /// The record that breaks it.
    pub offset: Offset,
    /// The partition, if it is about one.
    pub partition: Option<TopicPartitionId>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for MetadataViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metadata offset {}", self.offset)?;
        if let Some(id) = self.partition {
            write!(f, ", topic {} partition {}", id.topic, id.partition)?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Reads a metadata log as it grows.
#[derive(Clone, Debug)]
pub struct MetadataAudit {
    unclean: bool,
    image: MetadataImage,
    leaders: BTreeMap<(TopicPartitionId, LeaderEpoch), NodeId>,
    /// The partition epochs in which brokers were last relieved of partitions.
    relieved: BTreeMap<(TopicPartitionId, NodeId), i32>,
}

impl MetadataAudit {
    /// An audit from the first record on; `unclean` is the controllers' `unclean.leader.election.enable`.
    pub fn new(unclean: bool) -> Self {
        Self { unclean, image: MetadataImage::default(), leaders: BTreeMap::new(), relieved: BTreeMap::new() }
    }

    /// The offset of the next record to observe.
    pub fn next_offset(&self) -> Offset {
        self.image.next_offset()
    }

    /// The state that the records so far add up to.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// The partition epoch in which a broker that had held a partition was last told to let go of it.
    pub fn relieved(&self, id: TopicPartitionId, node: NodeId) -> Option<i32> {
        self.relieved.get(&(id, node)).copied()
    }

    /// Takes the next record.
    pub fn observe(&mut self, offset: Offset, record: &MetadataRecord) -> Vec<MetadataViolation> {
        let before = partition_of(record).and_then(|id| self.image.partition(id).cloned());
        let next_producer_id = self.image.next_producer_id();
        if let Err(error) = self.image.apply(offset, record, &mut ImageDelta::default()) {
            return vec![MetadataViolation { offset, partition: None, what: error.to_string() }];
        }
        let partition = partition_of(record);
        let mut broken = Vec::new();
        match (record, &before) {
            (MetadataRecord::Partition { .. }, Some(_)) => broken.push("it is created twice".to_owned()),
            (MetadataRecord::ProducerIds { next }, _) if *next <= next_producer_id => {
                broken.push(format!("producer ids go from {next_producer_id} back to {next}"));
            }
            _ => {}
        }
        if let Some(id) = partition
            && let Some(after) = self.image.partition(id).cloned()
        {
            shape(&after, &mut broken);
            self.joins(id, before.as_ref(), &after.state, &mut broken);
            if let Some(before) = &before {
                moves(before, &after, &mut broken);
                for node in before.replicas.iter().filter(|node| !after.replicas.contains(node)) {
                    self.relieved.insert((id, *node), after.state.partition_epoch);
                }
                epochs(&before.state, &after.state, &mut broken);
            }
            let PartitionState { leader, leader_epoch, .. } = after.state;
            let first = *self.leaders.entry((id, leader_epoch)).or_insert(leader);
            if first != leader {
                broken.push(format!("leader epoch {leader_epoch} has leaders {first} and {leader}"));
            }
        }
        broken.into_iter().map(|what| MetadataViolation { offset, partition, what }).collect()
    }

    /// Takes whole batches of the log, as stored. Records that were observed before are skipped.
    pub fn observe_batches(&mut self, bytes: Bytes) -> Vec<MetadataViolation> {
        let next_offset = self.next_offset();
        let mut found = Vec::new();
        let read = each_record(bytes, next_offset, |offset, record| {
            found.extend(self.observe(offset, record));
            Ok(())
        });
        if let Err(error) = read {
            let offset = self.next_offset();
            found.push(MetadataViolation { offset, partition: None, what: error.to_string() });
        }
        found
    }

    /// Who is new in the in-sync set or at the top.
    fn joins(
        &self,
        id: TopicPartitionId,
        before: Option<&PartitionImage>,
        after: &PartitionState,
        broken: &mut Vec<String>,
    ) {
        let old_isr = before.map_or(&[][..], |partition| &partition.state.isr);
        let old_elr = before.map_or(&[][..], |partition| &partition.state.elr);
        for member in after.isr.iter().filter(|member| !old_isr.contains(member)) {
            // Eligible ones that are all who is left need not live.
            let remembered = after.leader == NodeId::NONE && old_elr.contains(member);
            if !self.image.is_active(*member) && !remembered {
                broken.push(format!("{member} joins the in-sync set but is not active"));
            }
        }
        for member in after.elr.iter().filter(|member| !old_isr.contains(member) && !old_elr.contains(member))
        {
            broken.push(format!("{member} is eligible and was not in sync"));
        }
        let Some(before) = before else { return };
        if after.leader == NodeId::NONE || after.leader == before.state.leader {
            return;
        }
        if !self.image.is_active(after.leader) {
            broken.push(format!("{} is elected but is not active", after.leader));
        }
        let unclean =
            self.image.topic(id.topic).is_some_and(|topic| topic.unclean_leader_election(self.unclean));
        if !unclean && !old_isr.contains(&after.leader) && !old_elr.contains(&after.leader) {
            broken.push(format!(
                "{} is elected from outside the in-sync set {old_isr:?} and the eligible {old_elr:?}",
                after.leader
            ));
        }
    }
}

fn shape(partition: &PartitionImage, broken: &mut Vec<String>) {
    let PartitionImage { replicas, adding, removing, state } = partition;
    for node in adding.iter().chain(removing).filter(|node| !replicas.contains(node)) {
        broken.push(format!("{node} is added or removed but no replica"));
    }
    for (name, nodes) in [("replicas", replicas), ("in-sync set", &state.isr)] {
        if nodes.is_empty() || nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
            broken.push(format!("the {name} are {nodes:?}"));
        }
    }
    for member in state.isr.iter().filter(|member| !replicas.contains(member)) {
        broken.push(format!("{member} is in sync but no replica"));
    }
    for member in state.elr.iter().filter(|member| !replicas.contains(member) || state.isr.contains(member)) {
        broken.push(format!("{member} is eligible but in sync or no replica"));
    }
    if state.leader != NodeId::NONE && !state.isr.contains(&state.leader) {
        broken.push(format!("{} leads but is not in sync", state.leader));
    }
}

/// A partition has arrived where it was to go. Back to where it came from it may go with fewer in sync.
fn moves(before: &PartitionImage, after: &PartitionImage, broken: &mut Vec<String>) {
    let was_moving = before.is_reassigning() && !before.is_going_back();
    let arrived = was_moving && !after.is_reassigning() && after.replicas == before.target();
    let missing: Vec<_> = after.replicas.iter().filter(|node| !after.state.isr.contains(node)).collect();
    if arrived && !missing.is_empty() {
        broken.push(format!("it has moved to {:?} although {missing:?} are not in sync", after.replicas));
    }
}

fn epochs(before: &PartitionState, after: &PartitionState, broken: &mut Vec<String>) {
    if after.partition_epoch != before.partition_epoch + 1 {
        broken.push(format!("partition epoch {} follows {}", after.partition_epoch, before.partition_epoch));
    }
    if after.leader_epoch < before.leader_epoch {
        broken.push(format!("leader epoch {} follows {}", after.leader_epoch, before.leader_epoch));
    }
}

fn partition_of(record: &MetadataRecord) -> Option<TopicPartitionId> {
    match record {
        MetadataRecord::Partition { topic, partition, .. }
        | MetadataRecord::PartitionChange { topic, partition, .. }
        | MetadataRecord::Reassignment { topic, partition, .. } => {
            Some(TopicPartitionId { topic: *topic, partition: *partition })
        }
        _ => None,
    }
}
