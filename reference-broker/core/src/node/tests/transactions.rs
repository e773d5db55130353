//! A transaction over the wire, with the messages that librdkafka sends, over three brokers.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, ApiKey, BrokerId, EndTxnRequest, FetchRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ProduceRequest, ResponseKind, TransactionalId, WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::defects::Defect;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, ProducerEpoch, ProducerId, Sequence};
use crate::node::ListenerKind;
use crate::node::broker::{MarkerOrder, sent_to};
use crate::record::{BatchBuilder, batches};

use super::cluster::{Client, Cluster};
use super::requests::topic_name;

/// A producer id and an epoch.
pub(super) type Identity = (i64, i16);

pub(super) fn id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str("tx"))
}

fn coordinator(cluster: &mut Cluster) -> NodeId {
    let client = cluster.connect(NodeId(1));
    for _ in 0..100 {
        let request = FindCoordinatorRequest::default().with_key(id().0).with_key_type(1);
        let answer = cluster.ask(client, ApiKey::FindCoordinator, 2, request);
        let ResponseKind::FindCoordinator(answer) = answer else { panic!("{answer:?}") };
        if answer.error_code == 0 {
            return NodeId(answer.node_id.0);
        }
        cluster.run_ms(50);
    }
    panic!("no coordinator");
}

pub(super) fn init(cluster: &mut Cluster, client: Client) -> Identity {
    for _ in 0..100 {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id()))
            .with_transaction_timeout_ms(30_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let answer = cluster.ask(client, ApiKey::InitProducerId, 4, request);
        let ResponseKind::InitProducerId(answer) = answer else { panic!("{answer:?}") };
        if answer.error_code == 0 {
            return (answer.producer_id.0, answer.producer_epoch);
        }
        cluster.run_ms(20);
    }
    panic!("cannot start");
}

pub(super) fn add(cluster: &mut Cluster, client: Client, producer: Identity) -> i16 {
    for _ in 0..100 {
        let topic =
            AddPartitionsToTxnTopic::default().with_name(topic_name("orders")).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id())
            .with_v3_and_below_producer_id(producer.0.into())
            .with_v3_and_below_producer_epoch(producer.1)
            .with_v3_and_below_topics(vec![topic]);
        let answer = cluster.ask(client, ApiKey::AddPartitionsToTxn, 0, request);
        let ResponseKind::AddPartitionsToTxn(answer) = answer else { panic!("{answer:?}") };
        let code = answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code;
        if code != ResponseError::ConcurrentTransactions.code() {
            return code;
        }
        cluster.run_ms(20);
    }
    panic!("the transaction before does not end");
}

fn end(cluster: &mut Cluster, client: Client, producer: Identity, commit: bool) -> i16 {
    let request = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_committed(commit);
    let answer = cluster.ask(client, ApiKey::EndTxn, 1, request);
    let ResponseKind::EndTxn(answer) = answer else { panic!("{answer:?}") };
    answer.error_code
}

pub(super) fn batch(producer: Identity, sequence: i32, value: &str) -> Bytes {
    BatchBuilder::new(1_700_000_000_000)
        .producer(ProducerId(producer.0), ProducerEpoch(producer.1), Sequence(sequence))
        .transactional()
        .record(None, Some(value.as_bytes()))
        .build()
}

fn send(cluster: &mut Cluster, client: Client, transactional_id: Option<TransactionalId>, records: Bytes) {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name("orders")).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id)
        .with_acks(-1)
        .with_timeout_ms(1_500)
        .with_topic_data(vec![topic]);
    cluster.send(client, ApiKey::Produce, 7, request);
}

fn produced(cluster: &mut Cluster, client: Client) -> i16 {
    let answer = cluster.await_answer(client, ApiKey::Produce, 7);
    let ResponseKind::Produce(answer) = answer else { panic!("{answer:?}") };
    answer.responses[0].partition_responses[0].error_code
}

fn produce(cluster: &mut Cluster, client: Client, producer: Identity, sequence: i32, value: &str) -> i16 {
    send(cluster, client, Some(id()), batch(producer, sequence, value));
    produced(cluster, client)
}

/// What a reader of committed records is sent: the end that it may see, the values but for aborted ones, who aborted.
pub(super) fn read(cluster: &mut Cluster, client: Client) -> (i64, Vec<String>, Vec<(i64, i64)>) {
    let partition = FetchPartition::default().with_current_leader_epoch(-1).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name("orders")).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_isolation_level(1)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let answer = cluster.ask(client, ApiKey::Fetch, 11, request);
    let ResponseKind::Fetch(answer) = answer else { panic!("{answer:?}") };
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    let all = batches(partition.records.clone().unwrap_or_default()).map(Result::unwrap);
    let data = all.filter(|batch| !batch.header.is_control());
    let values = data.flat_map(|batch| batch.records().unwrap()).map(|record| record.unwrap().value.unwrap());
    let values = values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect();
    let aborted = partition.aborted_transactions.as_ref().expect("a list");
    let aborted = aborted.iter().map(|entry| (entry.producer_id.0, entry.first_offset)).collect();
    (partition.last_stable_offset, values, aborted)
}

/// The end of the partition, as ListOffsets tells it to readers of this isolation level.
fn latest(cluster: &mut Cluster, client: Client, isolation_level: i8) -> i64 {
    let partition = ListOffsetsPartition::default().with_current_leader_epoch(-1).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(isolation_level)
        .with_topics(vec![topic]);
    let answer = cluster.ask(client, ApiKey::ListOffsets, 5, request);
    let ResponseKind::ListOffsets(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    answer.topics[0].partitions[0].offset
}

/// Three brokers, the topic, and connections to its leader and to the coordinator.
pub(super) fn start(defects: &[Defect]) -> (Cluster, Client, Client) {
    let mut cluster = Cluster::start(3, |config| config.defects = defects.iter().copied().collect());
    cluster.create("orders", 3, &[]);
    let node = coordinator(&mut cluster);
    let leader = cluster.leader("orders", 0);
    let (leader, coordinator) = (cluster.connect(leader), cluster.connect(node));
    (cluster, leader, coordinator)
}

/// Lets a few rounds of replication and markers pass.
pub(super) fn pass(cluster: &mut Cluster) {
    cluster.run_ms(500);
}

#[test]
fn a_transaction_is_shown_when_it_is_committed_and_named_when_it_is_aborted() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    assert_eq!(add(&mut cluster, coordinator, producer), 0);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "a"), 0);
    assert_eq!(produce(&mut cluster, leader, producer, 1, "b"), 0);
    assert_eq!(read(&mut cluster, leader), (0, vec![], vec![]));
    assert_eq!((latest(&mut cluster, leader, 0), latest(&mut cluster, leader, 1)), (2, 0));
    assert_eq!(end(&mut cluster, coordinator, producer, true), 0);
    pass(&mut cluster);
    assert_eq!((latest(&mut cluster, leader, 0), latest(&mut cluster, leader, 1)), (3, 3));
    assert_eq!(read(&mut cluster, leader), (3, vec!["a".into(), "b".into()], vec![]));

    assert_eq!(add(&mut cluster, coordinator, producer), 0);
    assert_eq!(produce(&mut cluster, leader, producer, 2, "c"), 0);
    assert_eq!(end(&mut cluster, coordinator, producer, false), 0);
    pass(&mut cluster);
    let (stable, values, aborted) = read(&mut cluster, leader);
    assert_eq!((stable, values.len(), aborted), (5, 3, vec![(producer.0, 3)]));
}

#[test]
fn a_batch_outside_of_its_transaction_is_refused() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    let invalid = ResponseError::InvalidTxnState.code();
    assert_eq!(produce(&mut cluster, leader, producer, 0, "too soon"), invalid);
    add(&mut cluster, coordinator, producer);
    assert_eq!(end(&mut cluster, coordinator, producer, true), 0);
    pass(&mut cluster);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "too late"), invalid);
    assert_eq!(read(&mut cluster, leader), (1, vec![], vec![]), "nothing but the marker");

    send(&mut cluster, leader, None, batch(producer, 0, "anonymous"));
    assert_eq!(produced(&mut cluster, leader), ResponseError::TransactionalIdAuthorizationFailed.code());
    let marker = crate::record::Marker { commit: true, coordinator_epoch: 9 };
    let forged = marker.batch(ProducerId(producer.0), ProducerEpoch(producer.1), 1);
    send(&mut cluster, leader, Some(id()), forged);
    assert_eq!(produced(&mut cluster, leader), ResponseError::InvalidRecord.code());
}

#[test]
fn batches_that_wait_for_the_coordinator_keep_their_order() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    add(&mut cluster, coordinator, producer);
    for sequence in 0..4 {
        send(&mut cluster, leader, Some(id()), batch(producer, sequence, &sequence.to_string()));
    }
    for _ in 0..4 {
        assert_eq!(produced(&mut cluster, leader), 0);
    }
    end(&mut cluster, coordinator, producer, true);
    pass(&mut cluster);
    assert_eq!(read(&mut cluster, leader).1, ["0", "1", "2", "3"]);
}

#[test]
fn a_decision_is_carried_out_by_the_successor_of_its_coordinator() {
    let (mut cluster, leader, coordinator_client) = start(&[]);
    let producer = init(&mut cluster, coordinator_client);
    add(&mut cluster, coordinator_client, producer);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "a"), 0);
    let node = coordinator(&mut cluster);
    let partition_leader = cluster.leader("orders", 0);
    for other in [1, 2, 3].map(NodeId).into_iter().filter(|other| *other != node) {
        cluster.cut(node, other);
    }
    assert_eq!(end(&mut cluster, coordinator_client, producer, true), 0);
    cluster.kill(node);
    cluster.heal();
    cluster.boot(node);
    let reader = if node == partition_leader {
        cluster.until("somebody leads", |cluster| {
            let leader = cluster.leader("orders", 0);
            cluster.view(leader, "orders", 0).is_some_and(|view| view.is_leader && view.last_stable.0 == 2)
        });
        let leader = cluster.leader("orders", 0);
        cluster.connect(leader)
    } else {
        cluster.until("the marker is written", |cluster| {
            let leader = cluster.leader("orders", 0);
            cluster.view(leader, "orders", 0).is_some_and(|view| view.last_stable.0 == 2)
        });
        leader
    };
    assert_eq!(read(&mut cluster, reader).1, ["a"]);
}

/// Of the transaction that the producer has open, which is committed.
fn marker(producer: Identity) -> WritableTxnMarker {
    let topic =
        WritableTxnMarkerTopic::default().with_name(topic_name("orders")).with_partition_indexes(vec![0]);
    WritableTxnMarker::default()
        .with_producer_id(producer.0.into())
        .with_producer_epoch(producer.1)
        .with_transaction_result(true)
        .with_coordinator_epoch(0)
        .with_topics(vec![topic])
}

fn write_marker(cluster: &mut Cluster, peer: Client, request: WriteTxnMarkersRequest) -> i16 {
    let answer = cluster.ask(peer, ApiKey::WriteTxnMarkers, 1, request);
    let ResponseKind::WriteTxnMarkers(answer) = answer else { panic!("{answer:?}") };
    answer.markers[0].topics[0].partitions[0].error_code
}

/// Who leads again after another has led does not know what that one has written.
#[test]
fn a_marker_that_was_sent_to_another_leadership_is_not_written() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    add(&mut cluster, coordinator, producer);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "a"), 0);
    let node = cluster.leader("orders", 0);
    let epoch = cluster.view(node, "orders", 0).expect("a leader").leader_epoch;
    let peer = cluster.connect_to(node, ListenerKind::Internal);
    let before = read(&mut cluster, leader);
    for (epoch, told) in [
        (LeaderEpoch(epoch.0 - 1), ResponseError::FencedLeaderEpoch.code()),
        (LeaderEpoch(epoch.0 + 1), ResponseError::FencedLeaderEpoch.code()),
        (epoch, 0),
    ] {
        assert_eq!(read(&mut cluster, leader), before);
        let markers = vec![sent_to(marker(producer), epoch)];
        let request = WriteTxnMarkersRequest::default().with_markers(markers);
        assert_eq!(write_marker(&mut cluster, peer, request), told);
    }
    assert_eq!(read(&mut cluster, leader).1, ["a"]);
}

/// A request for a marker that was asked again on another connection, and comes when the next transaction has begun.
#[test]
fn a_late_marker_does_not_end_the_next_transaction() {
    let (mut cluster, leader, coordinator) = start(&[]);
    let producer = init(&mut cluster, coordinator);
    let mut sender = MarkerOrder::default();
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker(producer)]);
    let mut number = || sender.number(request.clone(), NodeId(9), BrokerEpoch(7));
    let (late, again) = (number(), number());
    let node = cluster.leader("orders", 0);
    let peer = cluster.connect_to(node, ListenerKind::Internal);
    add(&mut cluster, coordinator, producer);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "a"), 0);
    assert_eq!(write_marker(&mut cluster, peer, again), 0);
    assert_eq!(end(&mut cluster, coordinator, producer, true), 0);
    pass(&mut cluster);
    add(&mut cluster, coordinator, producer);
    assert_eq!(produce(&mut cluster, leader, producer, 1, "b"), 0);
    let before = read(&mut cluster, leader);
    assert_eq!(write_marker(&mut cluster, peer, late), ResponseError::TransactionCoordinatorFenced.code());
    assert_eq!(read(&mut cluster, leader), before);
    assert_eq!(before.1, ["a"]);
}

#[test]
fn a_planted_bug_shows_what_is_undecided() {
    let (mut cluster, leader, coordinator) = start(&[Defect::LsoIgnored]);
    let producer = init(&mut cluster, coordinator);
    add(&mut cluster, coordinator, producer);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "a"), 0);
    assert_eq!(read(&mut cluster, leader), (1, vec!["a".into()], vec![]));
}

#[test]
fn a_planted_bug_lets_a_late_batch_hang_for_ever() {
    // KAFKA-14402.
    let (mut cluster, leader, coordinator) = start(&[Defect::UnverifiedTransactions]);
    let producer = init(&mut cluster, coordinator);
    add(&mut cluster, coordinator, producer);
    assert_eq!(end(&mut cluster, coordinator, producer, true), 0);
    pass(&mut cluster);
    assert_eq!(produce(&mut cluster, leader, producer, 0, "late"), 0);
    cluster.run_ms(60_000);
    assert_eq!(read(&mut cluster, leader), (1, vec![], vec![]), "beyond any timeout");
}
