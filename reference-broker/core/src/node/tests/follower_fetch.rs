//! Consumers that read from followers (KIP-392).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{
    ApiKey, BrokerId, DeleteRecordsRequest, FetchRequest, MetadataRequest, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;

use crate::ids::{NodeId, Offset};
use crate::node::{NodeConfig, ReplicaSelector};

use super::cluster::{Client, Cluster};
use super::requests::{topic_name, values};

/// Three brokers in racks of their own, and a topic with a replica on each; its leader and the two followers.
fn cluster(adapt: impl Fn(&mut NodeConfig)) -> (Cluster, NodeId, [NodeId; 2]) {
    let mut cluster = Cluster::start(3, |config| {
        config.rack = Some(rack(config.node_id));
        config.replica_selector = ReplicaSelector::RackAware;
        config.replica_lag_time_max_ms = 60_000;
        adapt(config);
    });
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    let mut followers = (1..=3).map(NodeId).filter(|node| *node != leader);
    let followers = [followers.next().expect("one"), followers.next().expect("two")];
    (cluster, leader, followers)
}

fn rack(node: NodeId) -> String {
    format!("rack-{node}")
}

#[derive(Clone)]
struct Asked {
    version: i16,
    rack: String,
    offset: i64,
    epoch: i32,
    wait_ms: i32,
}

/// By somebody in the rack of this node.
fn from(node: NodeId, offset: i64) -> Asked {
    Asked { version: 12, rack: rack(node), offset, epoch: -1, wait_ms: 0 }
}

fn send(cluster: &mut Cluster, client: Client, asked: &Asked) {
    let partition = FetchPartition::default()
        .with_fetch_offset(asked.offset)
        .with_current_leader_epoch(asked.epoch)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name("orders")).with_partitions(vec![partition]);
    let mut request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(asked.wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    if asked.version >= 11 {
        request.rack_id = StrBytes::from_string(asked.rack.clone());
    }
    cluster.send(client, ApiKey::Fetch, asked.version, request);
}

fn taken(answer: ResponseKind) -> PartitionData {
    let ResponseKind::Fetch(mut answer) = answer else { panic!("{answer:?}") };
    answer.responses.remove(0).partitions.remove(0)
}

/// Error code, preferred replica and values.
fn fetch(cluster: &mut Cluster, client: Client, asked: &Asked) -> (i16, i32, Vec<String>) {
    send(cluster, client, asked);
    let data = taken(cluster.await_answer(client, ApiKey::Fetch, asked.version));
    (data.error_code, data.preferred_read_replica.0, values(data.records.unwrap_or_default()))
}

fn high_watermark(cluster: &mut Cluster, node: NodeId) -> Offset {
    cluster.view(node, "orders", 0).expect("a replica").high_watermark
}

fn until_committed(cluster: &mut Cluster, node: NodeId, end: i64) {
    cluster.until("the follower knows what is committed", |cluster| {
        high_watermark(cluster, node) == Offset(end)
    });
}

#[test]
fn a_leader_sends_consumers_to_the_replica_in_their_rack_and_that_one_answers() {
    let (mut cluster, leader, [near, _]) = cluster(|_| {});
    let at_leader = cluster.connect(leader);
    cluster.produce(at_leader, "orders", -1, &["a", "b"]);
    until_committed(&mut cluster, near, 2);
    assert_eq!(fetch(&mut cluster, at_leader, &from(near, 0)), (0, near.0, vec![]));
    let at_follower = cluster.connect(near);
    let all = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 0)), (0, -1, all.clone()));
    assert_eq!(fetch(&mut cluster, at_leader, &from(leader, 0)), (0, -1, all.clone()));
    let nowhere = Asked { rack: "rack-9".into(), ..from(near, 0) };
    assert_eq!(fetch(&mut cluster, at_leader, &nowhere), (0, -1, all.clone()));
    let unnamed = Asked { rack: String::new(), ..from(near, 0) };
    assert_eq!(fetch(&mut cluster, at_leader, &unnamed), (0, -1, all));
}

#[test]
fn what_is_not_in_the_request_or_not_in_the_settings_stays_with_the_leader() {
    let old = |node| Asked { version: 10, ..from(node, 0) };
    let refused = (ResponseError::NotLeaderOrFollower.code(), -1, vec![]);
    let (mut cluster, leader, [near, _]) = cluster(|_| {});
    let (at_leader, at_follower) = (cluster.connect(leader), cluster.connect(near));
    cluster.produce(at_leader, "orders", -1, &["a"]);
    until_committed(&mut cluster, near, 1);
    assert_eq!(fetch(&mut cluster, at_follower, &old(near)), refused);
    assert_eq!(fetch(&mut cluster, at_leader, &old(near)).2, ["a"]);

    let (mut cluster, leader, [near, _]) =
        self::cluster(|config| config.replica_selector = ReplicaSelector::Leader);
    let (at_leader, at_follower) = (cluster.connect(leader), cluster.connect(near));
    cluster.produce(at_leader, "orders", -1, &["a"]);
    until_committed(&mut cluster, near, 1);
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 0)), refused);
    assert_eq!(fetch(&mut cluster, at_leader, &from(near, 0)), (0, -1, vec!["a".into()]));
}

#[test]
fn a_follower_shows_only_what_it_knows_to_be_committed_and_wakes_who_waits_for_it() {
    let (mut cluster, leader, [near, far]) = cluster(|_| {});
    let (at_leader, at_follower) = (cluster.connect(leader), cluster.connect(near));
    cluster.produce(at_leader, "orders", -1, &["a"]);
    until_committed(&mut cluster, near, 1);
    cluster.cut(far, leader);
    cluster.produce(at_leader, "orders", 1, &["b"]);
    cluster.until("the follower has it", |cluster| {
        cluster.view(near, "orders", 0).is_some_and(|view| view.log_end == Offset(2))
    });
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 0)), (0, -1, vec!["a".into()]));
    for offset in [1, 2] {
        assert_eq!(fetch(&mut cluster, at_follower, &from(near, offset)), (0, -1, vec![]), "at {offset}");
    }
    let beyond = ResponseError::OffsetNotAvailable.code();
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 3)).0, beyond);

    let waiting = Asked { wait_ms: 60_000, ..from(near, 1) };
    send(&mut cluster, at_follower, &waiting);
    cluster.run_ms(300);
    assert!(cluster.raw_answer(at_follower).is_none());
    cluster.heal();
    let woken = taken(cluster.await_answer(at_follower, ApiKey::Fetch, 12));
    assert_eq!(values(woken.records.unwrap_or_default()), ["b"]);
}

#[test]
fn a_leader_does_not_name_a_replica_that_lacks_the_offset_or_is_not_in_sync() {
    let (mut cluster, leader, [near, _]) = cluster(|config| config.replica_lag_time_max_ms = 500);
    let at_leader = cluster.connect(leader);
    cluster.produce(at_leader, "orders", -1, &["a"]);
    until_committed(&mut cluster, near, 1);
    cluster.cut(near, leader);
    // Its last fetch is still with the leader, and is answered into the void.
    cluster.produce(at_leader, "orders", 1, &["b"]);
    assert_eq!(fetch(&mut cluster, at_leader, &from(near, 0)).1, near.0);
    assert_eq!(fetch(&mut cluster, at_leader, &from(near, 2)), (0, -1, vec![]));
    let at_follower = cluster.connect(near);
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 0)).2, ["a"]);
    cluster.until("it has left the in-sync set", |cluster| {
        cluster.view(leader, "orders", 0).is_some_and(|view| !view.isr.contains(&near))
    });
    cluster.run_ms(100);
    assert_eq!(fetch(&mut cluster, at_leader, &from(near, 0)).2, ["a", "b"]);
    let refused = ResponseError::NotLeaderOrFollower.code();
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 0)).0, refused, "it sends the consumer back");
}

#[test]
fn a_follower_checks_epochs_and_the_start_of_its_log() {
    let (mut cluster, leader, [near, _]) = cluster(|_| {});
    let (at_leader, at_follower) = (cluster.connect(leader), cluster.connect(near));
    cluster.produce(at_leader, "orders", -1, &["a"]);
    cluster.produce(at_leader, "orders", -1, &["b"]);
    until_committed(&mut cluster, near, 2);
    let epoch = cluster.view(near, "orders", 0).expect("a replica").leader_epoch.0;
    let under = |epoch| Asked { epoch, ..from(near, 0) };
    assert_eq!(fetch(&mut cluster, at_follower, &under(epoch)).2, ["a", "b"]);
    let newer = ResponseError::UnknownLeaderEpoch.code();
    assert_eq!(fetch(&mut cluster, at_follower, &under(epoch + 1)).0, newer);

    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(1);
    let topic =
        DeleteRecordsTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    cluster.ask(at_leader, ApiKey::DeleteRecords, 1, request);
    cluster.until("the follower has deleted it, too", |cluster| {
        cluster.view(near, "orders", 0).is_some_and(|view| view.log_start == Offset(1))
    });
    let gone = ResponseError::OffsetOutOfRange.code();
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 0)).0, gone);
    assert_eq!(fetch(&mut cluster, at_follower, &from(near, 1)).2, ["b"]);

    cluster.kill(leader);
    cluster.until("another leads", |cluster| ![leader, NodeId::NONE].contains(&cluster.leader("orders", 0)));
    cluster.run_ms(200);
    let old = ResponseError::FencedLeaderEpoch.code();
    assert_eq!(fetch(&mut cluster, at_follower, &under(epoch)).0, old);
}

#[test]
fn clients_are_told_the_racks_of_brokers() {
    let (mut cluster, leader, _) = cluster(|_| {});
    let client = cluster.connect(leader);
    for version in [0, 1, 12] {
        let answer = cluster.ask(client, ApiKey::Metadata, version, MetadataRequest::default());
        let ResponseKind::Metadata(answer) = answer else { panic!("{answer:?}") };
        for broker in &answer.brokers {
            let expected = (version >= 1).then(|| rack(NodeId(broker.node_id.0)));
            assert_eq!(broker.rack.as_ref().map(ToString::to_string), expected, "version {version}");
        }
    }
}
