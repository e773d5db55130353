//! The image as records, and back: what a snapshot of the metadata holds.
//!
//! The records are those of the log, but for brokers: what a broker's registration and its changes add up to is one record here, since
//! the offsets that they stood at are part of the state.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::image::{ImageDelta, MetadataImage, TopicPartitionId};
use super::record::MetadataRecord;
use super::replay::ReplayError;
use crate::ids::NodeId;
use crate::quorum::{SnapshotId, decode_snapshot};

/// The values of the records that add up to this image.
pub(super) fn values(image: &MetadataImage) -> Vec<Bytes> {
    let mut records = vec![MetadataRecord::LeaderChange { leader: image.controller(), epoch: image.epoch() }];
    let broker =
        |(id, broker): (&NodeId, _)| MetadataRecord::Broker { broker: *id, image: Clone::clone(broker) };
    records.extend(image.brokers().iter().map(broker));
    for topic in image.topics() {
        let (id, name, configs) = (topic.id, topic.name.clone(), topic.configs.clone());
        records.push(MetadataRecord::Topic { id, name, configs });
        for (&partition, image) in &topic.partitions {
            let (replicas, state) = (image.replicas.clone(), image.state.clone());
            records.push(MetadataRecord::Partition { topic: id, partition, replicas, state });
            if image.is_reassigning() {
                let image = image.clone();
                records.push(MetadataRecord::Reassignment { topic: id, partition, image });
            }
        }
    }
    records.push(MetadataRecord::ProducerIds { next: image.next_producer_id() });
    records.iter().map(MetadataRecord::encode).collect()
}

/// The image that a snapshot stands for.
pub fn load_snapshot(id: SnapshotId, bytes: Bytes) -> Result<MetadataImage, ReplayError> {
    let mut image = MetadataImage::default();
    for value in decode_snapshot(id, bytes)? {
        image.restore(&MetadataRecord::decode(&value)?)?;
    }
    image.go_on_at(id.end);
    Ok(image)
}

impl ImageDelta {
    /// Adds what is different in a newer image.
    pub(super) fn add_difference(&mut self, before: &MetadataImage, now: &MetadataImage) {
        self.brokers.extend(differing(before.brokers(), now.brokers()));
        for topic in before.topics().filter(|topic| now.topic(topic.id).is_none()) {
            self.partitions.retain(|partition| partition.topic != topic.id);
            if !self.topics_created.remove(&topic.id) {
                self.topics_removed.push(topic.clone());
            }
        }
        for topic in now.topics() {
            match before.topic(topic.id) {
                None => {
                    self.topics_created.insert(topic.id);
                }
                Some(old) if old.configs != topic.configs => {
                    self.topics_changed.insert(topic.id);
                }
                Some(_) => {}
            }
            let old = before.topic(topic.id).map(|topic| &topic.partitions);
            let changed = differing(old.unwrap_or(&BTreeMap::new()), &topic.partitions);
            self.partitions
                .extend(changed.into_iter().map(|partition| TopicPartitionId { topic: topic.id, partition }));
        }
    }
}

/// The keys under which two maps hold different things.
fn differing<K: Ord + Copy, V: PartialEq>(before: &BTreeMap<K, V>, now: &BTreeMap<K, V>) -> BTreeSet<K> {
    let keys = before.keys().chain(now.keys()).copied();
    keys.filter(|key| before.get(key) != now.get(key)).collect()
}
