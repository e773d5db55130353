//! Transactions of the second protocol over the wire (KIP-890, part 2), with the messages that Java clients of Kafka 4
//! send, over three brokers.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, EndTxnRequest, ProduceRequest, ResponseKind, TxnOffsetCommitRequest,
};

use crate::ids::NodeId;

use super::cluster::{Client, Cluster};
use super::groups;
use super::requests::topic_name;
use super::transactions::{Identity, add, batch, id, init, pass, read, start};

/// The first version of Produce of the second protocol.
const PRODUCE: i16 = 12;

fn send(cluster: &mut Cluster, client: Client, version: i16, producer: Identity, sequence: i32, value: &str) {
    let records = batch(producer, sequence, value);
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name("orders")).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(Some(id()))
        .with_acks(-1)
        .with_timeout_ms(1_500)
        .with_topic_data(vec![topic]);
    cluster.send(client, ApiKey::Produce, version, request);
}

fn produced(cluster: &mut Cluster, client: Client, version: i16) -> i16 {
    let answer = cluster.await_answer(client, ApiKey::Produce, version);
    let ResponseKind::Produce(answer) = answer else { panic!("{answer:?}") };
    answer.responses[0].partition_responses[0].error_code
}

fn produce(cluster: &mut Cluster, client: Client, producer: Identity, sequence: i32, value: &str) -> i16 {
    send(cluster, client, PRODUCE, producer, sequence, value);
    produced(cluster, client, PRODUCE)
}

fn end(cluster: &mut Cluster, client: Client, producer: Identity, commit: bool) -> Result<Identity, i16> {
    let request = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_committed(commit);
    let answer = cluster.ask(client, ApiKey::EndTxn, 5, request);
    let ResponseKind::EndTxn(answer) = answer else { panic!("{answer:?}") };
    match answer.error_code {
        0 => Ok((answer.producer_id.0, answer.producer_epoch)),
        code => Err(code),
    }
}

fn commit_offset(cluster: &mut Cluster, client: Client, producer: Identity, offset: i64) -> i16 {
    let partition =
        TxnOffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(offset);
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(topic_name("orders"))
        .with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(id())
        .with_group_id(groups::group())
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_topics(vec![topic]);
    let answer = cluster.ask(client, ApiKey::TxnOffsetCommit, 5, request);
    let ResponseKind::TxnOffsetCommit(answer) = answer else { panic!("{answer:?}") };
    answer.topics[0].partitions[0].error_code
}

#[test]
fn clients_are_told_of_the_second_protocol() {
    let mut cluster = Cluster::start(1, |_| {});
    let client = cluster.connect(NodeId(1));
    let answer = cluster.ask(client, ApiKey::ApiVersions, 3, ApiVersionsRequest::default());
    let ResponseKind::ApiVersions(answer) = answer else { panic!("{answer:?}") };
    let finalized = answer.finalized_features.iter();
    let levels: Vec<_> =
        finalized.map(|feature| (feature.name.as_str(), feature.max_version_level)).collect();
    assert_eq!(levels, [("group.version", 1), ("transaction.version", 2)]);
    assert_eq!(answer.finalized_features_epoch, 0);
}

#[test]
fn what_is_produced_joins_the_transaction_and_each_end_raises_the_epoch() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let first = init(&mut cluster, coordinator);
    assert_eq!(produce(&mut cluster, leader, first, 0, "a"), 0);
    assert_eq!(produce(&mut cluster, leader, first, 1, "b"), 0);
    assert_eq!(read(&mut cluster, leader), (0, vec![], vec![]));
    let second = end(&mut cluster, coordinator, first, true).expect("a commit");
    assert_eq!(second, (first.0, first.1 + 1));
    // At once, while the markers of the first may still be on their way.
    assert_eq!(produce(&mut cluster, leader, second, 0, "c"), 0);
    let third = end(&mut cluster, coordinator, second, false).expect("an abort");
    assert_eq!(produce(&mut cluster, leader, third, 0, "d"), 0);
    assert!(end(&mut cluster, coordinator, third, true).is_ok());
    pass(&mut cluster);
    let (stable, values, aborted) = read(&mut cluster, leader);
    assert_eq!((stable, values.len(), aborted), (7, 4, vec![(first.0, 3)]));
}

#[test]
fn batches_that_wait_for_the_coordinator_keep_their_order() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    for sequence in 0..4 {
        send(&mut cluster, leader, PRODUCE, producer, sequence, &sequence.to_string());
    }
    for _ in 0..4 {
        assert_eq!(produced(&mut cluster, leader, PRODUCE), 0);
    }
    assert!(end(&mut cluster, coordinator, producer, true).is_ok());
    pass(&mut cluster);
    assert_eq!(read(&mut cluster, leader).1, ["0", "1", "2", "3"]);
}

#[test]
fn a_zombie_can_neither_write_nor_commit() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let zombie = init(&mut cluster, coordinator);
    assert_eq!(produce(&mut cluster, leader, zombie, 0, "old"), 0);
    let successor = init(&mut cluster, coordinator);
    assert_eq!(successor, (zombie.0, zombie.1 + 2));
    let fenced = ResponseError::InvalidProducerEpoch.code();
    assert_eq!(produce(&mut cluster, leader, zombie, 1, "late"), fenced);
    assert_eq!(end(&mut cluster, coordinator, zombie, true), Err(ResponseError::ProducerFenced.code()));
    assert_eq!(produce(&mut cluster, leader, successor, 0, "new"), 0);
    assert!(end(&mut cluster, coordinator, successor, true).is_ok());
    pass(&mut cluster);
    let (stable, values, aborted) = read(&mut cluster, leader);
    assert_eq!((stable, values.len(), aborted), (4, 2, vec![(zombie.0, 0)]));
}

#[test]
fn before_that_version_partitions_do_not_join_and_the_error_is_one_that_the_version_knows() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    for (version, error) in [(11, ResponseError::TransactionAbortable), (10, ResponseError::InvalidTxnState)]
    {
        send(&mut cluster, leader, version, producer, 0, "too soon");
        assert_eq!(produced(&mut cluster, leader, version), error.code(), "version {version}");
    }
    assert_eq!(add(&mut cluster, coordinator, producer), 0);
    send(&mut cluster, leader, 11, producer, 0, "in time");
    assert_eq!(produced(&mut cluster, leader, 11), 0);
}

#[test]
fn offsets_join_the_transaction_and_count_when_it_is_committed() {
    let (mut cluster, _, coordinator) = start(&[]);
    let node = groups::coordinator(&mut cluster, NodeId(1));
    let group = cluster.connect(node);
    cluster.run_ms(500);
    let mut producer = init(&mut cluster, coordinator);
    for (offset, commit, expected) in [(5, true, 5), (9, false, 5), (12, true, 12)] {
        assert_eq!(commit_offset(&mut cluster, group, producer, offset), 0);
        producer = end(&mut cluster, coordinator, producer, commit).expect("an end");
        pass(&mut cluster);
        assert_eq!(groups::fetched(&mut cluster, group), (0, expected));
    }
    let zombie = (producer.0, producer.1 - 1);
    let fenced = ResponseError::InvalidProducerEpoch.code();
    assert_eq!(commit_offset(&mut cluster, group, zombie, 99), fenced);
}
