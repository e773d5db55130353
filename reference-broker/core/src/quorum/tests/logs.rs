//! What is in the logs, and what of it is committed.

use super::network::Network;
use crate::disk::DiskError;
use crate::ids::{NodeId, Offset};
use crate::quorum::QuorumError;

fn followers(leader: NodeId) -> [NodeId; 2] {
    let others: Vec<_> = (1..=3).map(NodeId).filter(|node| *node != leader).collect();
    [others[0], others[1]]
}

#[test]
fn what_a_majority_has_is_committed_and_reaches_all() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let [near, far] = followers(leader);
    network.cut_off(far);
    network.append(leader, "a");
    network.run_ms(150);
    let end = network.quorum(leader).end_offset();
    assert_eq!(network.quorum(leader).high_watermark(), end);
    assert_eq!(network.quorum(near).high_watermark(), end);
    network.heal();
    network.until("the other one too", |network| network.quorum(far).high_watermark() == end);
    assert_eq!(network.values(far), network.values(leader));
}

#[test]
fn a_leader_alone_commits_nothing() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let before = network.quorum(leader).high_watermark();
    for follower in followers(leader) {
        network.cut_off(follower);
    }
    network.append(leader, "a");
    network.run_ms(100);
    assert!(network.quorum(leader).is_leader());
    assert_eq!(network.quorum(leader).high_watermark(), before);
}

#[test]
fn what_only_a_deposed_leader_had_is_cut_away() {
    let mut network = Network::of(3);
    let old = network.elect(None);
    network.append(old, "kept");
    network.run_ms(150);
    network.cut_off(old);
    for value in ["lost 1", "lost 2", "lost 3"] {
        network.append(old, value);
    }
    let new = network.elect(Some(old));
    network.append(new, "new");
    network.heal();
    network.until("all are alike", |network| {
        (1..=3).all(|node| network.quorum(NodeId(node)).high_watermark() == network.quorum(new).end_offset())
    });
    let values = network.values(new);
    assert_eq!(network.values(old), values);
    assert!(values.contains(&"kept".to_owned()) && values.contains(&"new".to_owned()), "{values:?}");
    assert!(!values.iter().any(|value| value.starts_with("lost")), "{values:?}");
    assert_eq!(network.failures, []);
}

#[test]
fn what_is_committed_survives_the_death_of_every_voter() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    network.append(leader, "a");
    network.run_ms(150);
    for node in 1..=3 {
        network.kill(NodeId(node));
    }
    for node in 1..=3 {
        network.boot(NodeId(node));
        assert_eq!(
            network.quorum(NodeId(node)).high_watermark(),
            Offset(0),
            "a leader has to say what is committed"
        );
    }
    let leader = network.elect(None);
    assert!(network.values(leader).contains(&"a".to_owned()));
}

#[test]
fn a_voter_whose_disk_fails_says_nothing_more() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let [one, _] = followers(leader);
    network.disk(one).fail_writes(Some(DiskError::Full("x".into())));
    network.append(leader, "a");
    network.until("it fails", |network| !network.failures.is_empty());
    assert!(matches!(network.failures[..], [(node, QuorumError::Append(_))] if node == one));
    let end = network.quorum(leader).end_offset();
    network
        .until("the other one is majority enough", |network| network.quorum(leader).high_watermark() == end);
}
