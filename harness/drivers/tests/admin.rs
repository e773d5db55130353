//! The admin against librdkafka's mock cluster, as far as that answers.
#![cfg(feature = "kafka")]

use std::time::Duration;

use mqproof_drivers::admin::Admin;
use mqproof_drivers::kafka::{Connection, KafkaAdmin, LibraryLog};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn leaders_replicas_bounds_and_offsets_are_read_from_the_cluster() {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic("orders", 2, 3).unwrap();
    cluster.create_topic("other", 1, 1).unwrap();
    cluster.partition_leader("orders", 1, Some(2)).unwrap();
    let bootstrap = cluster.bootstrap_servers();
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
    for _ in 0..5 {
        producer.send(BaseRecord::<(), str>::to("orders").partition(1).payload("x")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();

    let connection = Connection { bootstrap, ..Connection::default() };
    let admin = KafkaAdmin::new(connection, LibraryLog::to_tracing()).unwrap();
    let info = admin.describe(&["orders".to_owned()], PATIENCE).unwrap();
    assert_eq!(info.brokers.iter().map(|broker| broker.id).collect::<Vec<_>>().len(), 3);
    assert_eq!(info.partitions.iter().map(|partition| partition.partition).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(info.partitions[1].leader, Some(2));
    assert_eq!(info.partitions[1].isr.len(), 3);
    let both = admin.describe(&["orders".to_owned(), "other".to_owned()], PATIENCE).unwrap();
    assert_eq!(both.partitions.len(), 3);

    assert_eq!(admin.log_bounds("orders", 1, PATIENCE).unwrap(), (0, 5));
    assert_eq!(admin.committed("nobody", "orders", 2, PATIENCE).unwrap(), [None, None]);
    assert!(admin.library().starts_with("librdkafka 2."));
}

#[test]
fn a_cluster_that_is_not_there_is_an_error_within_the_time_out() {
    let connection = Connection { bootstrap: "127.0.0.1:1".to_owned(), ..Connection::default() };
    let admin = KafkaAdmin::new(connection, LibraryLog::to_tracing()).unwrap();
    let began = std::time::Instant::now();
    let patience = Duration::from_millis(500);
    assert!(admin.describe(&[], patience).is_err());
    assert!(admin.log_bounds("orders", 0, patience).is_err());
    assert!(admin.committed("group", "orders", 1, patience).is_err());
    assert!(admin.topic_settings("orders", patience).is_err());
    assert!(admin.create_topics(&[], patience).is_err());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
