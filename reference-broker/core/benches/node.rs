//! Requests through a whole node, from the frame that came in to the frame that goes out, on a disk in memory.

#[path = "support/pair.rs"]
mod pair;
mod support;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::{ApiKey, BrokerId, RequestKind};

use pair::{Pair, frame, topic_name};

/// Requests of one sample: what is produced stays in memory.
const REQUESTS: usize = 64;

fn main() {
    divan::main();
}

fn produce(batch: Bytes) -> Bytes {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
    frame(ApiKey::Produce, 8, &RequestKind::Produce(request))
}

fn fetch() -> Bytes {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(0)
        .with_current_leader_epoch(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name()).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    frame(ApiKey::Fetch, 11, &RequestKind::Fetch(request))
}

/// Sends a batch of so many records again and again, and makes sure that all of them are stored.
fn stored(pair: &mut Pair, request: &Bytes, records: usize, times: usize) {
    let before = pair.log_end();
    for _ in 0..times {
        pair.send(request.clone());
    }
    assert_eq!(pair.log_end() - before, (records * times) as i64);
}

/// Asks again and again, and makes sure that each answer has nearly a mebibyte.
fn fetched(pair: &mut Pair, request: &Bytes, times: usize) {
    let before = pair.answered;
    for _ in 0..times {
        pair.send(request.clone());
    }
    assert!(pair.answered - before > times * (900 << 10));
}

#[divan::bench(args = [1, 16, 64], sample_count = 50, sample_size = 1)]
fn produce_kib(bencher: Bencher<'_, '_>, records: usize) {
    let request = produce(support::batch(records, 1024));
    bencher
        .counter(BytesCount::new(request.len() * REQUESTS))
        .counter(ItemsCount::new(REQUESTS))
        .with_inputs(Pair::start)
        .bench_local_refs(|pair| stored(pair, &request, records, REQUESTS));
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn fetch_a_mebibyte(bencher: Bencher<'_, '_>) {
    let mut pair = Pair::start();
    stored(&mut pair, &produce(support::batch(64, 1024)), 64, 16);
    let request = fetch();
    // Nothing is copied, so that a number of bytes would say nothing.
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| fetched(&mut pair, &request, REQUESTS));
}
