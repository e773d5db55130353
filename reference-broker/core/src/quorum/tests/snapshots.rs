//! Voters that have fallen behind the beginning of their leader's log.

use bytes::Bytes;

use super::network::Network;
use crate::ids::{NodeId, Offset};
use crate::quorum::decode_snapshot;

fn followers(leader: NodeId) -> [NodeId; 2] {
    let others: Vec<_> = (1..=3).map(NodeId).filter(|node| *node != leader).collect();
    [others[0], others[1]]
}

/// Many records, and two snapshots at some of their offsets, so that the log begins at the first of these.
fn grow(network: &mut Network, leader: NodeId) -> Offset {
    let mut ends = Vec::new();
    for part in 0..3 {
        for n in 0..30 {
            network.append(leader, &format!("{part} {n}"));
        }
        network.run_ms(150);
        ends.push(network.snapshot(leader, &[&format!("all up to part {part}")]));
    }
    network.run_ms(100);
    assert!(network.quorum(leader).log_start() > Offset(0));
    ends[2]
}

fn newest(network: &mut Network, node: NodeId) -> (Offset, Vec<Bytes>) {
    let (id, bytes) = network.read_snapshot(node).expect("a snapshot");
    (id.end, decode_snapshot(id, bytes).expect("a whole one"))
}

#[test]
fn a_voter_that_was_away_takes_the_snapshot_and_then_the_rest_of_the_log() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let [_, away] = followers(leader);
    network.kill(away);
    let end = grow(&mut network, leader);
    network.append(leader, "later");
    network.boot(away);
    network.until("it has all", |network| {
        network.quorum(away).high_watermark() == network.quorum(leader).end_offset()
    });
    let expected = (end, vec![Bytes::from("all up to part 2")]);
    assert_eq!(newest(&mut network, away), expected);
    assert_eq!(network.quorum(away).log_start(), end);
    assert_eq!(network.values(away), ["later"]);
    network.kill(away);
    network.boot(away);
    assert_eq!((newest(&mut network, away), network.quorum(away).high_watermark()), (expected, end));
    assert_eq!(network.failures, []);
}

#[test]
fn a_snapshot_is_not_taken_by_who_finds_all_in_the_log() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let [near, _] = followers(leader);
    grow(&mut network, leader);
    assert!(network.read_snapshot(near).is_none());
    assert_eq!(network.quorum(near).log_start(), Offset(0));
}

#[test]
fn what_only_a_deposed_leader_had_goes_although_the_log_before_is_gone() {
    let mut network = Network::of(3);
    let old = network.elect(None);
    network.cut_off(old);
    for n in 0..300 {
        network.append(old, &format!("lost {n}"));
    }
    let new = network.elect(Some(old));
    let end = grow(&mut network, new);
    assert!(network.quorum(old).end_offset() > end, "its log is longer than the snapshot");
    network.heal();
    network.until("all are alike", |network| {
        network.quorum(old).high_watermark() == network.quorum(new).end_offset()
    });
    assert_eq!(newest(&mut network, old).0, end);
    assert!(!network.values(old).iter().any(|value| value.starts_with("lost")));
    assert_eq!(network.failures, []);
}

#[test]
fn a_process_that_dies_between_the_snapshot_and_its_log_goes_on_from_the_snapshot() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let [_, away] = followers(leader);
    network.kill(away);
    let end = grow(&mut network, leader);
    // As if the snapshot had come, and nothing after it had been done.
    let (id, bytes) = network.read_snapshot(leader).expect("a snapshot");
    network.put_snapshot(away, id, &bytes);
    network.boot(away);
    let quorum = network.quorum(away);
    assert_eq!((quorum.log_start(), quorum.end_offset(), quorum.high_watermark()), (end, end, end));
    network.kill(leader);
    let next = network.elect(Some(leader));
    assert_ne!(next, leader, "the other two have all that was committed");
}

#[test]
fn a_snapshot_in_small_parts_is_resumed_when_its_connection_breaks() {
    let mut network = Network::of(3);
    network.chunk_bytes(20);
    let leader = network.elect(None);
    let [_, away] = followers(leader);
    network.kill(away);
    grow(&mut network, leader);
    network.boot(away);
    network.until("a part has come", |network| {
        network.quorum(away).view().receives.is_some_and(|receives| receives.position > 40)
    });
    network.hang_up(away, leader);
    network.until("it goes on", |network| {
        network.quorum(away).view().receives.is_some_and(|receives| receives.resumed == 1)
    });
    network.until("it has all", |network| {
        network.quorum(away).high_watermark() == network.quorum(leader).end_offset()
    });
    assert_eq!(network.failures, []);
}
