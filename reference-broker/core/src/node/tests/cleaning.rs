//! What leaves the logs of a cluster, and settings that change while it runs.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId, DeleteRecordsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListOffsetsRequest, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;

use crate::defects::{Defect, Defects};
use crate::ids::{NodeId, Offset};
use crate::record::BatchBuilder;

use super::cluster::{Client, Cluster};
use super::requests::topic_name;

const OUT_OF_RANGE: i16 = 1;
const TIMED_OUT: i16 = 7;

fn others(leader: NodeId) -> Vec<NodeId> {
    (1..=3).map(NodeId).filter(|node| *node != leader).collect()
}

fn keyed(key: &str, value: &str) -> Bytes {
    BatchBuilder::new(1_700_000_000_000).record(Some(key.as_bytes()), Some(value.as_bytes())).build()
}

fn deletion(topic: &str, offset: i64) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000)
}

/// Error code and low watermark.
fn deleted(answer: &ResponseKind) -> (i16, i64) {
    let ResponseKind::DeleteRecords(answer) = answer else { panic!("{answer:?}") };
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.low_watermark)
}

fn earliest(cluster: &mut Cluster, client: Client, topic: &str) -> i64 {
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-2);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let answer = cluster.ask(client, ApiKey::ListOffsets, 2, request);
    let ResponseKind::ListOffsets(answer) = answer else { panic!("{answer:?}") };
    answer.topics[0].partitions[0].offset
}

fn start_of(cluster: &mut Cluster, node: NodeId, topic: &str) -> Option<i64> {
    cluster.view(node, topic, 0).map(|view| view.log_start.0)
}

#[test]
fn deleted_records_are_gone_on_all_replicas_before_it_is_said() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    for value in ["a", "b", "c", "d"] {
        cluster.produce(client, "orders", -1, &[value]);
    }
    let laggard = others(leader)[0];
    cluster.cut(laggard, leader);
    cluster.send(client, ApiKey::DeleteRecords, 2, deletion("orders", 2));
    cluster.run_ms(300);
    assert!(cluster.answer(client, ApiKey::DeleteRecords, 2).is_none(), "{laggard} has them still");
    let reader = cluster.connect(leader);
    assert_eq!(cluster.fetch(reader, "orders", 1).0, OUT_OF_RANGE);
    cluster.heal();
    let answer = cluster.await_answer(client, ApiKey::DeleteRecords, 2);
    assert_eq!(deleted(&answer), (0, 2));
    for node in 1..=3 {
        assert_eq!(start_of(&mut cluster, NodeId(node), "orders"), Some(2));
    }
    assert_eq!(earliest(&mut cluster, client, "orders"), 2);
    assert_eq!(cluster.fetch(client, "orders", 2).2, ["c", "d"]);
    let all = cluster.ask(client, ApiKey::DeleteRecords, 2, deletion("orders", -1));
    assert_eq!(deleted(&all), (0, 4));
    cluster.kill(leader);
    cluster.boot(leader);
    cluster.until("it is back", |cluster| start_of(cluster, leader, "orders").is_some());
    assert_eq!(start_of(&mut cluster, leader, "orders"), Some(4));
}

#[test]
fn a_deletion_that_cannot_be_carried_out_is_refused_or_times_out() {
    let mut cluster = Cluster::start(3, |config| config.replica_lag_time_max_ms = 60_000);
    cluster.create("orders", 3, &[]);
    cluster.create("latest", 3, &[("cleanup.policy", "compact")]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    cluster.produce(client, "orders", -1, &["a"]);
    let ask = |cluster: &mut Cluster, client, topic: &str, offset| {
        deleted(&cluster.ask(client, ApiKey::DeleteRecords, 2, deletion(topic, offset)))
    };
    assert_eq!(ask(&mut cluster, client, "orders", 2), (OUT_OF_RANGE, -1));
    assert_eq!(ask(&mut cluster, client, "nothing", 0).0, ResponseError::UnknownTopicOrPartition.code());
    let elsewhere = cluster.connect(others(leader)[0]);
    assert_eq!(ask(&mut cluster, elsewhere, "orders", 0).0, ResponseError::NotLeaderOrFollower.code());
    let of_compacted = cluster.leader("latest", 0);
    let of_compacted = cluster.connect(of_compacted);
    assert_eq!(ask(&mut cluster, of_compacted, "latest", 0).0, ResponseError::PolicyViolation.code());
    cluster.cut(others(leader)[0], leader);
    assert_eq!(ask(&mut cluster, client, "orders", 1), (TIMED_OUT, -1));
}

#[test]
fn a_follower_that_has_missed_a_deletion_begins_again_at_its_leaders_start() {
    let mut cluster = Cluster::start(3, |config| config.replica_lag_time_max_ms = 300);
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    cluster.produce(client, "orders", -1, &["a"]);
    let laggard = others(leader)[0];
    cluster.kill(laggard);
    cluster.produce(client, "orders", -1, &["b", "c"]);
    cluster.produce(client, "orders", -1, &["d"]);
    // Inside a batch, which the follower is given whole.
    let answer = cluster.ask(client, ApiKey::DeleteRecords, 2, deletion("orders", 2));
    assert_eq!(deleted(&answer), (0, 2));
    cluster.boot(laggard);
    cluster.until("it has what is left", |cluster| {
        cluster.view(laggard, "orders", 0).is_some_and(|view| {
            (view.log_start, view.high_watermark, view.isr.len()) == (Offset(2), Offset(4), 3)
        })
    });
    assert_eq!(cluster.view(laggard, "orders", 0).map(|view| view.log_events.restarts > 0), Some(true));
    assert_eq!(cluster.committed(laggard, "orders", 0), cluster.committed(leader, "orders", 0));
}

fn alter(name: &'static str, value: &str) -> IncrementalAlterConfigsRequest {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(StrBytes::from_string(value.to_owned())));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("orders"))
        .with_configs(vec![config]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

/// Value, source and whether it cannot be changed.
fn described(cluster: &mut Cluster, client: Client, name: &'static str) -> (String, i8, bool) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("orders"))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str(name)]));
    let request =
        DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let answer = cluster.ask(client, ApiKey::DescribeConfigs, 4, request);
    let ResponseKind::DescribeConfigs(answer) = answer else { panic!("{answer:?}") };
    let config = &answer.results[0].configs[0];
    assert_eq!(config.synonyms[0].value, config.value);
    (config.value.clone().unwrap().to_string(), config.config_source, config.read_only)
}

#[test]
fn untouched_the_largest_batch_is_kafkas() {
    let mut cluster = Cluster::start(1, |_| ());
    cluster.create("orders", 1, &[]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    assert_eq!(described(&mut cluster, client, "max.message.bytes"), ("1048588".into(), 5, false));
}

#[test]
fn settings_change_while_the_cluster_runs_and_outlive_it() {
    let mut cluster = Cluster::start(3, |config| {
        config.segment_bytes = 1024;
        config.log_retention_check_interval_ms = 100;
    });
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    for _ in 0..40 {
        cluster.produce(client, "orders", -1, &[&"v".repeat(100)]);
    }
    assert_eq!(described(&mut cluster, client, "segment.bytes"), ("1024".into(), 4, false));
    assert_eq!(described(&mut cluster, client, "retention.bytes"), ("-1".into(), 5, false));
    cluster.run_ms(300);
    assert_eq!(start_of(&mut cluster, leader, "orders"), Some(0));
    for (name, value, error) in [
        ("retention.bytes", "2000", 0),
        ("retention.bytes", "-2", ResponseError::InvalidConfig.code()),
        ("no.such.setting", "1", ResponseError::InvalidConfig.code()),
    ] {
        let answer = cluster.ask(client, ApiKey::IncrementalAlterConfigs, 1, alter(name, value));
        let ResponseKind::IncrementalAlterConfigs(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.responses[0].error_code, error, "{name}");
    }
    cluster.until("the oldest segments are deleted", |cluster| {
        (1..=3).all(|node| {
            cluster
                .view(NodeId(node), "orders", 0)
                .is_some_and(|view| view.log_start > Offset(0) && (2000..3100).contains(&view.log_bytes))
        })
    });
    assert_eq!(described(&mut cluster, client, "retention.bytes"), ("2000".into(), 1, false));
    cluster.kill(leader);
    cluster.boot(leader);
    cluster.until("it is back", |cluster| start_of(cluster, leader, "orders").is_some());
    let client = cluster.connect(leader);
    assert_eq!(described(&mut cluster, client, "retention.bytes").0, "2000");
}

#[test]
fn retention_of_what_is_not_committed_breaks_an_invariant() {
    // KAFKA-5634.
    for planted in [false, true] {
        let mut cluster = Cluster::start(3, |config| {
            config.segment_bytes = 1024;
            config.log_retention_check_interval_ms = 100;
            config.replica_lag_time_max_ms = 60_000;
            config.defects = Defects::from_iter(planted.then_some(Defect::RetainPastHighWatermark));
        });
        cluster.create("orders", 3, &[("retention.bytes", "1000")]);
        let leader = cluster.leader("orders", 0);
        let client = cluster.connect(leader);
        for follower in others(leader) {
            cluster.cut(follower, leader);
        }
        for _ in 0..30 {
            cluster.produce(client, "orders", 1, &[&"v".repeat(100)]);
        }
        cluster.run_ms(300);
        assert_eq!(cluster.broken.contains("start <= high watermark <= end"), planted);
    }
}

#[test]
fn a_compacted_topic_names_the_records_that_have_no_key() {
    let mut cluster = Cluster::start(1, |_| {});
    cluster.create("orders", 1, &[("cleanup.policy", "compact")]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    let keys = [Some(b"a".as_slice()), None, Some(b"b"), None];
    let mixed = keys
        .into_iter()
        .fold(BatchBuilder::new(1_700_000_000_000), |batch, key| batch.record(key, Some(b"v")));
    cluster.send_produce(client, "orders", -1, mixed.build());
    let ResponseKind::Produce(answer) = cluster.await_answer(client, ApiKey::Produce, 9) else { panic!() };
    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, ResponseError::InvalidRecord.code());
    assert_eq!(partition.record_errors.iter().map(|it| it.batch_index).collect::<Vec<_>>(), [1, 3]);
    assert!(partition.error_message.as_ref().is_some_and(|words| words.contains('2')), "{answer:?}");
    cluster.send_produce(client, "orders", -1, keyed("a", "v"));
    assert_eq!(cluster.await_produced(client), (0, 0), "nothing of the batch was stored");
}

#[test]
fn a_compacted_topic_keeps_the_newest_value_of_each_key_on_all_replicas() {
    let mut cluster = Cluster::start(3, |config| config.log_retention_check_interval_ms = 100);
    let configs =
        [("cleanup.policy", "compact"), ("segment.bytes", "1024"), ("min.cleanable.dirty.ratio", "0")];
    cluster.create("orders", 3, &configs);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    for number in 0..60 {
        let value = format!("{number:0>60}");
        cluster.send_produce(client, "orders", -1, keyed(&format!("{}", number % 5), &value));
        assert_eq!(cluster.await_produced(client), (0, number));
    }
    cluster.send_produce(client, "orders", -1, super::requests::batch(&["no key"]));
    assert_eq!(cluster.await_produced(client).0, ResponseError::InvalidRecord.code());
    cluster.until("all replicas are compacted", |cluster| {
        (1..=3).all(|node| {
            let view = cluster.view(NodeId(node), "orders", 0);
            view.is_some_and(|view| view.log_events.compactions > 0 && view.log_bytes < 3000)
        })
    });
    for node in 1..=3 {
        let values = super::requests::values(cluster.committed(NodeId(node), "orders", 0));
        for number in 55..60 {
            assert!(values.contains(&format!("{number:0>60}")), "{number} is gone from {node}");
        }
    }
    let late = others(leader)[0];
    cluster.kill(late);
    cluster.boot(late);
    cluster.until("it serves again", |cluster| {
        cluster.view(leader, "orders", 0).is_some_and(|view| view.isr.len() == 3)
    });
}
