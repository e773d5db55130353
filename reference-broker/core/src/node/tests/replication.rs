//! Followers, leader changes, in-sync sets.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ResponseKind};

use crate::defects::{Defect, Defects};
use crate::ids::{NodeId, Offset};

use super::cluster::{CONTROLLER, Cluster};
use super::requests::batch;

fn others(leader: NodeId) -> Vec<NodeId> {
    (1..=3).map(NodeId).filter(|node| *node != leader).collect()
}

#[test]
fn acks_all_waits_for_the_followers() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[("min.insync.replicas", "2")]);
    let leader = cluster.leader("orders", 0);
    for follower in others(leader) {
        cluster.cut(follower, leader);
    }
    let client = cluster.connect(leader);
    cluster.send_produce(client, "orders", -1, batch(&["a"]));
    cluster.run_ms(200);
    assert_eq!(cluster.try_produced(client), None);
    assert_eq!(cluster.view(leader, "orders", 0).map(|view| view.high_watermark), Some(Offset(0)));
    cluster.heal();
    assert_eq!(cluster.await_produced(client), (0, 0));
    for node in others(leader) {
        cluster.until("followers learn that it is committed", |cluster| {
            cluster.view(node, "orders", 0).is_some_and(|view| view.high_watermark == Offset(1))
        });
    }
}

#[test]
fn acks_all_that_takes_too_long_times_out() {
    let mut cluster = Cluster::start(3, |config| config.replica_lag_time_max_ms = 60_000);
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    cluster.cut(others(leader)[0], leader);
    let client = cluster.connect(leader);
    assert_eq!(cluster.produce(client, "orders", -1, &["a"]).0, ResponseError::RequestTimedOut.code());
}

#[test]
fn a_shrunken_in_sync_set_lets_acks_all_go_on_until_it_is_too_small() {
    let mut cluster = Cluster::start(3, |config| config.replica_lag_time_max_ms = 500);
    cluster.create("orders", 3, &[("min.insync.replicas", "2")]);
    let leader = cluster.leader("orders", 0);
    let followers = others(leader);
    let client = cluster.connect(leader);
    cluster.cut(followers[0], leader);
    assert_eq!(cluster.produce(client, "orders", -1, &["a"]), (0, 0), "after the laggard has left");
    assert_eq!(cluster.view(leader, "orders", 0).map(|view| view.isr.len()), Some(2));
    cluster.cut(followers[1], leader);
    let late = cluster.produce(client, "orders", -1, &["b"]).0;
    assert_eq!(late, ResponseError::RequestTimedOut.code());
    assert_eq!(
        cluster.view(leader, "orders", 0).map(|view| (view.isr.len(), view.high_watermark.0)),
        Some((1, 1))
    );
    assert_eq!(cluster.produce(client, "orders", -1, &["c"]).0, ResponseError::NotEnoughReplicas.code());
    cluster.heal();
    cluster.until("both are back", |cluster| {
        cluster
            .view(leader, "orders", 0)
            .is_some_and(|view| view.isr.len() == 3 && view.high_watermark == Offset(2))
    });
    assert_eq!(cluster.produce(client, "orders", -1, &["d"]), (0, 2));
}

#[test]
fn a_diverging_follower_cuts_what_its_new_leader_lacks() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    let old = cluster.leader("orders", 0);
    let client = cluster.connect(old);
    assert_eq!(cluster.produce(client, "orders", -1, &["a"]), (0, 0));
    for follower in others(old) {
        cluster.cut(follower, old);
    }
    assert_eq!(cluster.produce(client, "orders", 1, &["lost"]), (0, 1));
    cluster.kill(old);
    cluster.until("another leads", |cluster| ![old, NodeId::NONE].contains(&cluster.leader("orders", 0)));
    let new = cluster.leader("orders", 0);
    cluster.until("it knows", |cluster| cluster.view(new, "orders", 0).is_some_and(|view| view.is_leader));
    let client = cluster.connect(new);
    assert_eq!(cluster.produce(client, "orders", 1, &["kept", "too"]), (0, 1));
    cluster.heal();
    cluster.boot(old);
    cluster.until("the old leader is back", |cluster| {
        cluster.view(new, "orders", 0).is_some_and(|view| view.isr.contains(&old))
            && cluster.view(old, "orders", 0).is_some_and(|view| view.high_watermark == Offset(3))
    });
    assert_eq!(cluster.committed(old, "orders", 0), cluster.committed(new, "orders", 0));
    assert_eq!(cluster.fetch(client, "orders", 0).2, ["a", "kept", "too"]);
}

#[test]
fn the_acks_of_a_deposed_leader_fail() {
    let mut cluster = Cluster::start(3, |config| config.replica_lag_time_max_ms = 60_000);
    cluster.create("orders", 3, &[]);
    let old = cluster.leader("orders", 0);
    for follower in others(old) {
        cluster.cut(follower, old);
    }
    let client = cluster.connect(old);
    cluster.send_produce(client, "orders", -1, batch(&["a"]));
    // The leader is out of the controller's sight long enough to be fenced, and learns of it afterwards.
    cluster.cut(old, CONTROLLER);
    cluster.until("another leads", |cluster| ![old, NodeId::NONE].contains(&cluster.leader("orders", 0)));
    assert_eq!(cluster.try_produced(client), None);
    cluster.heal();
    let (error, _) = cluster.await_produced(client);
    assert!(
        [ResponseError::NotLeaderOrFollower.code(), ResponseError::RequestTimedOut.code()].contains(&error),
        "{error}"
    );
    cluster.until("it follows", |cluster| cluster.view(old, "orders", 0).is_some_and(|view| !view.is_leader));
    assert_eq!(cluster.produce(client, "orders", -1, &["b"]).0, ResponseError::NotLeaderOrFollower.code());
}

#[test]
fn an_old_or_future_leader_epoch_is_refused() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    let old = cluster.leader("orders", 0);
    cluster.kill(old);
    cluster.until("another leads", |cluster| ![old, NodeId::NONE].contains(&cluster.leader("orders", 0)));
    let new = cluster.leader("orders", 0);
    cluster.until("it knows", |cluster| cluster.view(new, "orders", 0).is_some_and(|view| view.is_leader));
    let epoch = cluster.view(new, "orders", 0).map_or(0, |view| view.leader_epoch.0);
    let client = cluster.connect(new);
    cluster.send_fetch(client, "orders", 0, 0, epoch - 1);
    assert_eq!(cluster.await_fetched(client).0, ResponseError::FencedLeaderEpoch.code());
    cluster.send_fetch(client, "orders", 0, 0, epoch + 1);
    assert_eq!(cluster.await_fetched(client).0, ResponseError::UnknownLeaderEpoch.code());
    cluster.send_fetch(client, "orders", 0, 0, epoch);
    assert_eq!(cluster.await_fetched(client).0, 0);
}

#[test]
fn an_orderly_stop_hands_leadership_over_first() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    let old = cluster.leader("orders", 0);
    let client = cluster.connect(old);
    cluster.produce(client, "orders", -1, &["a"]);
    cluster.shut_down(old);
    cluster.until("it has stopped", |cluster| !cluster.exits.is_empty());
    assert_eq!(cluster.exits[0].clone(), (old, true, "orderly stop".into()));
    assert_ne!(cluster.leader("orders", 0), old);
    cluster.boot(old);
    cluster.until("it is back", |cluster| {
        let leader = cluster.leader("orders", 0);
        cluster.view(leader, "orders", 0).is_some_and(|view| view.isr.contains(&old))
    });
}

#[test]
fn planted_acks_come_before_replication() {
    let planted =
        |defect| move |config: &mut crate::node::NodeConfig| config.defects = Defects::from_iter([defect]);
    let mut cluster = Cluster::start(3, planted(Defect::AckBeforeReplicate));
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    for follower in others(leader) {
        cluster.cut(follower, leader);
    }
    let client = cluster.connect(leader);
    cluster.send_produce(client, "orders", -1, batch(&["a"]));
    assert_eq!(cluster.try_produced(client), Some((0, 0)));
    assert_eq!(cluster.broken, ["ack within committed"].into());

    let mut cluster = Cluster::start(3, planted(Defect::HwAheadOfIsr));
    cluster.create("orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    for follower in others(leader) {
        cluster.cut(follower, leader);
    }
    let client = cluster.connect(leader);
    cluster.produce(client, "orders", 1, &["a"]);
    assert_eq!(cluster.fetch(client, "orders", 0).2, ["a"]);
    assert_eq!(cluster.broken, ["high watermark <= end of every in-sync replica"].into());
}

#[test]
fn a_planted_rejection_is_stored_all_the_same() {
    let mut cluster =
        Cluster::start(1, |config| config.defects = Defects::from_iter([Defect::AppendRejected]));
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(NodeId(1));
    let errors: Vec<i16> =
        (0..200).map(|_| cluster.produce(client, "orders", 1, &["a"]).0).filter(|e| *e != 0).collect();
    assert_eq!(errors, [ResponseError::TopicAuthorizationFailed.code()]);
    assert_eq!(cluster.fetch(client, "orders", 0).1, 200);
}

#[test]
fn a_planted_follower_keeps_its_diverging_tail() {
    let mut cluster =
        Cluster::start(3, |config| config.defects = Defects::from_iter([Defect::SkipTruncation]));
    cluster.create("orders", 3, &[]);
    let old = cluster.leader("orders", 0);
    let client = cluster.connect(old);
    cluster.produce(client, "orders", -1, &["a"]);
    for follower in others(old) {
        cluster.cut(follower, old);
    }
    cluster.produce(client, "orders", 1, &["wrong"]);
    cluster.kill(old);
    cluster.until("another leads", |cluster| ![old, NodeId::NONE].contains(&cluster.leader("orders", 0)));
    let new = cluster.leader("orders", 0);
    cluster.until("it knows", |cluster| cluster.view(new, "orders", 0).is_some_and(|view| view.is_leader));
    let client = cluster.connect(new);
    cluster.produce(client, "orders", 1, &["right"]);
    cluster.produce(client, "orders", 1, &["next"]);
    cluster.heal();
    cluster.boot(old);
    cluster.until("the old leader follows", |cluster| {
        cluster.view(old, "orders", 0).is_some_and(|view| view.high_watermark == Offset(3))
    });
    assert_ne!(cluster.committed(old, "orders", 0), cluster.committed(new, "orders", 0));
}

#[test]
fn metadata_of_every_broker_names_the_new_leader() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    let old = cluster.leader("orders", 0);
    cluster.kill(old);
    cluster.until("another leads", |cluster| ![old, NodeId::NONE].contains(&cluster.leader("orders", 0)));
    let new = cluster.leader("orders", 0);
    cluster.run_ms(100);
    for node in others(old) {
        let client = cluster.connect(node);
        let request = kafka_protocol::messages::MetadataRequest::default().with_topics(None);
        let answer = cluster.ask(
            client,
            ApiKey::Metadata,
            9,
            kafka_protocol::messages::RequestKind::Metadata(request),
        );
        let ResponseKind::Metadata(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.topics[0].partitions[0].leader_id.0, new.0);
        assert_eq!(answer.brokers.len(), 2, "the dead one is fenced");
    }
}
