//! The state of the cluster as of one offset of the metadata log.
//!
//! In:  records with their offsets. Out: look-ups, and what each record touched.
//! Owns: nothing but the state; two images at the same offset are equal, on every node and after every restart.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::record::{MetadataRecord, PartitionState};
use super::topic_id::TopicId;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, ProducerId};
use crate::node::Endpoint;

/// Whether a registered broker takes part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum BrokerState {
    /// It may not lead, nor join an in-sync set (KIP-841).
    Fenced = 0,
    /// It takes part.
    Active = 1,
    /// It serves until its partitions are led by others; it may not join an in-sync set.
    ShuttingDown = 2,
}

/// A registered broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerImage {
    /// The offset of its registration (KIP-903).
    pub epoch: BrokerEpoch,
    /// The process that registered.
    pub incarnation: Uuid,
    /// Where clients reach it.
    pub client: Endpoint,
    /// Where other brokers reach it.
    pub internal: Endpoint,
    /// Whether it takes part.
    pub state: BrokerState,
    /// The offset of the record that says so.
    pub since: Offset,
    /// Where it stands (`broker.rack`), if that is known.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicImage {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Its overrides of the brokers' settings, by Kafka's names; validated when they were given.
    pub configs: BTreeMap<String, String>,
    /// Its partitions, by index from 0.
    pub partitions: BTreeMap<PartitionId, PartitionImage>,
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionImage {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// Those of them that it moves to (KIP-455).
    pub adding: Vec<NodeId>,
    /// Those of them that it leaves when it has moved. Who is added and removed was to be added once, and leaves as soon as enough
    /// of the others are in sync.
    pub removing: Vec<NodeId>,
    /// Leader, in-sync set and epochs.
    pub state: PartitionState,
}

/// Names one partition in a cluster's history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartitionId {
    /// The topic.
    pub topic: TopicId,
    /// The index.
    pub partition: PartitionId,
}

/// What one or more records touched; a reader looks the new state up in the image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageDelta {
    /// Brokers that registered or changed state.
    pub brokers: BTreeSet<NodeId>,
    /// Topics that were created.
    pub topics_created: BTreeSet<TopicId>,
    /// Topics that have other settings.
    pub topics_changed: BTreeSet<TopicId>,
    /// Topics that were deleted, as they were.
    pub topics_removed: Vec<TopicImage>,
    /// Partitions that were created or changed, and still exist.
    pub partitions: BTreeSet<TopicPartitionId>,
}

/// Why a record does not fit the image: the log was written by a controller with a bug, or is not whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApplyError {
    /// A gap, or a record for the second time.
    #[error("metadata record at offset `{got}` where `{expected}` was due")]
    Offset {
        /// The next offset of the image.
        expected: Offset,
        /// The offset of the record.
        got: Offset,
    },
    /// It names what does not exist.
    #[error("metadata record at offset `{offset}` names an unknown {what}")]
    Unknown {
        /// The offset of the record.
        offset: Offset,
        /// What is missing.
        what: &'static str,
    },
}

/// The state of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataImage {
    next_offset: Offset,
    epoch: LeaderEpoch,
    controller: NodeId,
    brokers: BTreeMap<NodeId, BrokerImage>,
    topics: BTreeMap<TopicId, TopicImage>,
    names: BTreeMap<String, TopicId>,
    next_producer_id: ProducerId,
}

impl Default for MetadataImage {
    fn default() -> Self {
        Self {
            next_offset: Offset(0),
            epoch: LeaderEpoch::NONE,
            controller: NodeId::NONE,
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            next_producer_id: ProducerId(0),
        }
    }
}

impl MetadataImage {
    /// The offset of the next record to apply.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The epoch of the last active controller, as recorded.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The active controller, as recorded.
    pub fn controller(&self) -> NodeId {
        self.controller
    }

    /// All registered brokers, fenced ones too.
    pub fn brokers(&self) -> &BTreeMap<NodeId, BrokerImage> {
        &self.brokers
    }

    /// A registered broker.
    pub fn broker(&self, id: NodeId) -> Option<&BrokerImage> {
        self.brokers.get(&id)
    }

    /// Whether a broker may lead and join in-sync sets.
    pub fn is_active(&self, id: NodeId) -> bool {
        self.brokers.get(&id).is_some_and(|broker| broker.state == BrokerState::Active)
    }

    /// The brokers that take part, in the order of their ids.
    pub fn active_brokers(&self) -> impl Iterator<Item = NodeId> {
        self.brokers.iter().filter(|(_, broker)| broker.state == BrokerState::Active).map(|(id, _)| *id)
    }

    /// The brokers that clients may be sent to: all but the fenced ones.
    pub fn serving_brokers(&self) -> impl Iterator<Item = (NodeId, &BrokerImage)> {
        self.brokers
            .iter()
            .filter(|(_, broker)| broker.state != BrokerState::Fenced)
            .map(|(id, broker)| (*id, broker))
    }

    /// All topics.
    pub fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.topics.values()
    }

    /// A topic by its id.
    pub fn topic(&self, id: TopicId) -> Option<&TopicImage> {
        self.topics.get(&id)
    }

    /// A topic by its name.
    pub fn topic_named(&self, name: &str) -> Option<&TopicImage> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    /// A partition.
    pub fn partition(&self, id: TopicPartitionId) -> Option<&PartitionImage> {
        self.topics.get(&id.topic)?.partitions.get(&id.partition)
    }

    /// All partitions, in the order of their ids.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartitionId, &PartitionImage)> {
        self.topics.values().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|(&partition, image)| (TopicPartitionId { topic: topic.id, partition }, image))
        })
    }

    /// The first producer id that is not given away.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Applies one record, and adds to `delta` what it touched.
    pub fn apply(
        &mut self,
        offset: Offset,
        record: &MetadataRecord,
        delta: &mut ImageDelta,
    ) -> Result<(), ApplyError> {
        if offset != self.next_offset {
            return Err(ApplyError::Offset { expected: self.next_offset, got: offset });
        }
        self.change(offset, record, delta).map_err(|what| ApplyError::Unknown { offset, what })?;
        self.next_offset = offset.next();
        Ok(())
    }

    /// Applies one record of a snapshot.
    pub(super) fn restore(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        let offset = self.next_offset;
        let changed = self.change(offset, record, &mut ImageDelta::default());
        changed.map_err(|what| ApplyError::Unknown { offset, what })
    }

    /// All records of a snapshot are applied: what follows in the log begins here.
    pub(super) fn go_on_at(&mut self, next_offset: Offset) {
        self.next_offset = next_offset;
    }

    fn change(
        &mut self,
        offset: Offset,
        record: &MetadataRecord,
        delta: &mut ImageDelta,
    ) -> Result<(), &'static str> {
        match record {
            MetadataRecord::LeaderChange { leader, epoch } => {
                self.controller = *leader;
                self.epoch = *epoch;
            }
            MetadataRecord::RegisterBroker { broker, incarnation, client, internal, rack } => {
                let image = BrokerImage {
                    epoch: BrokerEpoch(offset.0),
                    incarnation: *incarnation,
                    client: client.clone(),
                    internal: internal.clone(),
                    state: BrokerState::Fenced,
                    since: offset,
                    rack: rack.clone(),
                };
                self.brokers.insert(*broker, image);
                delta.brokers.insert(*broker);
            }
            MetadataRecord::BrokerChange { broker, epoch, state } => {
                let image = self.brokers.get_mut(broker).ok_or("broker")?;
                if image.epoch != *epoch {
                    return Err("broker epoch");
                }
                (image.state, image.since) = (*state, offset);
                delta.brokers.insert(*broker);
            }
            MetadataRecord::Topic { id, name, configs } => {
                let partitions = BTreeMap::new();
                let image = TopicImage { id: *id, name: name.clone(), configs: configs.clone(), partitions };
                self.topics.insert(*id, image);
                self.names.insert(name.clone(), *id);
                delta.topics_created.insert(*id);
            }
            MetadataRecord::Partition { topic, partition, replicas, state } => {
                let image = PartitionImage::new(replicas.clone(), state.clone());
                self.topics.get_mut(topic).ok_or("topic")?.partitions.insert(*partition, image);
                delta.partitions.insert(TopicPartitionId { topic: *topic, partition: *partition });
            }
            MetadataRecord::PartitionChange { topic, partition, state } => {
                let topic_image = self.topics.get_mut(topic).ok_or("topic")?;
                topic_image.partitions.get_mut(partition).ok_or("partition")?.state = state.clone();
                delta.partitions.insert(TopicPartitionId { topic: *topic, partition: *partition });
            }
            MetadataRecord::Reassignment { topic, partition, image } => {
                let topic_image = self.topics.get_mut(topic).ok_or("topic")?;
                *topic_image.partitions.get_mut(partition).ok_or("partition")? = image.clone();
                delta.partitions.insert(TopicPartitionId { topic: *topic, partition: *partition });
            }
            MetadataRecord::RemoveTopic { id } => {
                let image = self.topics.remove(id).ok_or("topic")?;
                self.names.remove(&image.name);
                delta.partitions.retain(|partition| partition.topic != *id);
                delta.topics_changed.remove(id);
                if !delta.topics_created.remove(id) {
                    delta.topics_removed.push(image);
                }
            }
            MetadataRecord::ProducerIds { next } => self.next_producer_id = *next,
            MetadataRecord::UnregisterBroker { broker } => {
                self.brokers.remove(broker).ok_or("broker")?;
                delta.brokers.insert(*broker);
            }
            MetadataRecord::Broker { broker, image } => {
                self.brokers.insert(*broker, image.clone());
                delta.brokers.insert(*broker);
            }
            MetadataRecord::Config { topic, configs } => {
                self.topics.get_mut(topic).ok_or("topic")?.configs.clone_from(configs);
                delta.topics_changed.insert(*topic);
            }
        }
        Ok(())
    }
}

impl PartitionImage {
    /// A partition that stays where it is.
    pub fn new(replicas: Vec<NodeId>, state: PartitionState) -> Self {
        Self { replicas, adding: Vec::new(), removing: Vec::new(), state }
    }

    /// Whether it is on its way from some replicas to others.
    pub fn is_reassigning(&self) -> bool {
        !(self.adding.is_empty() && self.removing.is_empty())
    }

    /// Whether its move was cancelled, and it still needs replicas that it was to move to.
    pub fn is_going_back(&self) -> bool {
        !self.adding.is_empty() && self.adding == self.removing
    }

    /// The replicas that are to hold it in the end.
    pub fn target(&self) -> Vec<NodeId> {
        self.replicas.iter().copied().filter(|node| !self.removing.contains(node)).collect()
    }

    /// Whether the partition has a leader.
    pub fn has_leader(&self) -> bool {
        self.state.leader != NodeId::NONE
    }
}
