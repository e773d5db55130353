//! One client, one partition.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::{ApiKey, BrokerId, InitProducerIdRequest, RequestKind, ResponseKind};

use crate::ids::NodeId;

use super::cluster::Cluster;
use super::requests::{batch, topic_name};

const B1: NodeId = NodeId(1);

#[test]
fn what_is_produced_is_fetched() {
    let mut cluster = Cluster::start(1, |_| {});
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(B1);
    assert_eq!(cluster.produce(client, "orders", 1, &["a", "b"]), (0, 0));
    assert_eq!(cluster.produce(client, "orders", -1, &["c"]), (0, 2));
    assert_eq!(cluster.fetch(client, "orders", 0), (0, 3, vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(cluster.fetch(client, "orders", 3), (0, 3, vec![]));
    assert_eq!(cluster.fetch(client, "orders", 4).0, ResponseError::OffsetOutOfRange.code());
}

#[test]
fn a_fetch_at_the_end_waits_for_the_next_record() {
    let mut cluster = Cluster::start(1, |_| {});
    cluster.create("orders", 1, &[]);
    let (reader, writer) = (cluster.connect(B1), cluster.connect(B1));
    cluster.send_fetch(reader, "orders", 0, 1_000, -1);
    cluster.run_ms(500);
    assert!(cluster.answer(reader, ApiKey::Fetch, 11).is_none());
    cluster.produce(writer, "orders", 1, &["a"]);
    assert_eq!(cluster.await_fetched(reader).2, ["a"]);
    cluster.send_fetch(reader, "orders", 1, 1_000, -1);
    assert_eq!(cluster.await_fetched(reader), (0, 1, vec![]), "its time is over");
}

#[test]
fn without_acks_nothing_is_answered_and_an_error_closes_the_connection() {
    let mut cluster = Cluster::start(1, |_| {});
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(B1);
    cluster.send_produce(client, "orders", 0, batch(&["a"]));
    assert_eq!(cluster.fetch(client, "orders", 0).2, ["a"], "the fetch gets the first answer");
    cluster.send_produce(client, "nowhere", 0, batch(&["a"]));
    assert!(cluster.closed.contains(&client));
}

#[test]
fn strange_acks_and_strange_records_are_refused() {
    let mut cluster = Cluster::start(1, |_| {});
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(B1);
    assert_eq!(cluster.produce(client, "orders", 2, &["a"]).0, ResponseError::InvalidRequiredAcks.code());
    assert_eq!(
        cluster.produce(client, "nowhere", 1, &["a"]).0,
        ResponseError::UnknownTopicOrPartition.code()
    );
    let mut bad = batch(&["a"]).to_vec();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    cluster.send_produce(client, "orders", 1, bad.into());
    assert_eq!(cluster.await_produced(client).0, ResponseError::CorruptMessage.code());
    assert_eq!(cluster.fetch(client, "orders", 0), (0, 0, vec![]));
}

#[test]
fn a_topic_that_is_named_in_metadata_comes_into_being() {
    let mut cluster = Cluster::start(1, |_| {});
    let client = cluster.connect(B1);
    let ask = |cluster: &mut Cluster| {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name("fresh")));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
        let answer = cluster.ask(client, ApiKey::Metadata, 12, RequestKind::Metadata(request));
        let ResponseKind::Metadata(answer) = answer else { panic!("{answer:?}") };
        answer
    };
    assert_eq!(ask(&mut cluster).topics[0].error_code, ResponseError::LeaderNotAvailable.code());
    cluster.run_ms(100);
    let answer = ask(&mut cluster);
    assert_eq!((answer.topics[0].error_code, answer.brokers.len(), answer.brokers[0].port), (0, 1, 9092));
    assert_eq!(answer.topics[0].partitions[0].leader_id, BrokerId(1));
}

#[test]
fn offsets_are_listed_by_position_and_by_time() {
    let mut cluster = Cluster::start(1, |_| {});
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(B1);
    cluster.produce(client, "orders", 1, &["a", "b"]);
    let mut list = |timestamp: i64| {
        let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(timestamp);
        let topic =
            ListOffsetsTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
        let answer = cluster.ask(client, ApiKey::ListOffsets, 7, RequestKind::ListOffsets(request));
        let ResponseKind::ListOffsets(answer) = answer else { panic!("{answer:?}") };
        let partition = &answer.topics[0].partitions[0];
        (partition.error_code, partition.offset, partition.leader_epoch)
    };
    assert_eq!(list(-2), (0, 0, 0));
    assert_eq!(list(-1), (0, 2, 0));
    assert_eq!(list(1_700_000_000_000).1, 0);
    assert_eq!(list(1_800_000_000_000).1, -1);
}

#[test]
fn producer_ids_differ() {
    let mut cluster = Cluster::start(2, |_| {});
    let mut ids = Vec::new();
    for node in [1, 1, 2] {
        let client = cluster.connect(NodeId(node));
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(1_000);
        let answer = cluster.ask(client, ApiKey::InitProducerId, 4, RequestKind::InitProducerId(request));
        let ResponseKind::InitProducerId(answer) = answer else { panic!("{answer:?}") };
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        ids.push(answer.producer_id.0);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}
