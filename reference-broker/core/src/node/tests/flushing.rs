//! What counts as stored when a flush has to come first.

use crate::ids::{NodeId, Offset};
use crate::node::FlushPolicy;

use super::cluster::Cluster;
use super::requests::batch;

#[test]
fn an_ack_waits_for_the_flush_and_appends_share_the_next_one() {
    let mut cluster = Cluster::start(1, |config| config.flush = FlushPolicy::BeforeAck);
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(NodeId(1));
    cluster.hold_syncs = true;
    for value in ["a", "b", "c"] {
        cluster.send_produce(client, "orders", 1, batch(&[value]));
    }
    cluster.run_ms(50);
    assert_eq!(cluster.try_produced(client), None);
    cluster.finish_syncs(NodeId(1));
    assert_eq!(cluster.try_produced(client), Some((0, 0)), "the first flush began after the first append");
    assert_eq!(cluster.try_produced(client), None);
    cluster.finish_syncs(NodeId(1));
    assert_eq!((cluster.try_produced(client), cluster.try_produced(client)), (Some((0, 1)), Some((0, 2))));
}

#[test]
fn a_follower_counts_only_when_it_has_flushed() {
    let mut cluster = Cluster::start(2, |config| config.flush = FlushPolicy::BeforeAck);
    cluster.create("orders", 2, &[]);
    let leader = cluster.leader("orders", 0);
    let follower = NodeId(3 - leader.0);
    let client = cluster.connect(leader);
    cluster.hold_syncs = true;
    cluster.send_produce(client, "orders", -1, batch(&["a"]));
    cluster.run_ms(300);
    assert_eq!(cluster.view(follower, "orders", 0).map(|view| view.log_end), Some(Offset(1)));
    cluster.finish_syncs(leader);
    cluster.run_ms(300);
    assert_eq!(cluster.try_produced(client), None, "the follower has not flushed");
    cluster.finish_syncs(follower);
    assert_eq!(cluster.await_produced(client), (0, 0));
}

#[test]
fn a_timed_flush_makes_the_log_durable() {
    let mut cluster = Cluster::start(1, |config| config.flush = FlushPolicy::IntervalMs(100));
    cluster.create("orders", 1, &[]);
    let client = cluster.connect(NodeId(1));
    assert_eq!(cluster.produce(client, "orders", 1, &["a"]), (0, 0));
    assert_eq!(cluster.view(NodeId(1), "orders", 0).map(|view| view.flushed_end), Some(Offset(0)));
    cluster.run_ms(150);
    assert_eq!(cluster.view(NodeId(1), "orders", 0).map(|view| view.flushed_end), Some(Offset(1)));
}
