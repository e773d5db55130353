//! The cluster's metadata: what a node does with each record of its log.

use std::collections::BTreeMap;

use broker_core::controller::{ImageDelta, MetadataImage, MetadataRecord, PartitionState, TopicId};
use broker_core::{LeaderEpoch, NodeId, Offset, PartitionId};
use divan::Bencher;
use divan::counter::ItemsCount;

const TOPICS: i64 = 200;
const PARTITIONS: i32 = 10;

fn main() {
    divan::main();
}

/// Topics with three replicas, each partition of which had one election.
fn records() -> Vec<MetadataRecord> {
    let replicas = vec![NodeId(1), NodeId(2), NodeId(3)];
    let state = |epoch| PartitionState {
        isr: replicas.clone(),
        elr: Vec::new(),
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(epoch),
        partition_epoch: epoch,
    };
    let mut records = Vec::new();
    for number in 0..TOPICS {
        let name = format!("topic-{number}");
        let id = TopicId::derive("bench", &name, Offset(number));
        records.push(MetadataRecord::Topic { id, name, configs: BTreeMap::new() });
        for partition in (0..PARTITIONS).map(PartitionId) {
            let replicas = replicas.clone();
            records.push(MetadataRecord::Partition { topic: id, partition, replicas, state: state(0) });
            records.push(MetadataRecord::PartitionChange { topic: id, partition, state: state(1) });
        }
    }
    records
}

#[divan::bench]
fn replay(bencher: Bencher<'_, '_>) {
    let records = records();
    bencher.counter(ItemsCount::new(records.len())).bench(|| {
        let mut image = MetadataImage::default();
        for (offset, record) in (0..).zip(&records) {
            image.apply(Offset(offset), record, &mut ImageDelta::default()).expect("a record in its place");
        }
        image
    });
}
