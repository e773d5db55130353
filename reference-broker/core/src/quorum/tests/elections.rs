//! Who leads, and who does not.

use super::network::Network;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::Now;
use crate::quorum::messages::{VoteAsked, vote_request, voted};

#[test]
fn three_voters_elect_one_whom_all_follow() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    for node in 1..=3 {
        assert_eq!(network.quorum(NodeId(node)).leader(), Some(leader));
        assert_eq!(network.quorum(NodeId(node)).epoch(), network.quorum(leader).epoch());
    }
    let epoch = network.quorum(leader).epoch();
    network.run_ms(5_000);
    assert_eq!((network.leader(), network.quorum(leader).epoch()), (Some(leader), epoch), "it stays");
}

#[test]
fn the_others_replace_a_leader_that_dies_and_it_follows_when_it_comes_back() {
    let mut network = Network::of(3);
    let old = network.elect(None);
    network.kill(old);
    let new = network.elect(Some(old));
    assert!(network.quorum(new).epoch() > LeaderEpoch(0));
    network.boot(old);
    network.until("the old one follows", |network| network.quorum(old).leader() == Some(new));
    assert_eq!(network.leader(), Some(new));
}

#[test]
fn a_leader_without_a_majority_steps_down() {
    let mut network = Network::of(3);
    let old = network.elect(None);
    network.cut_off(old);
    network.elect(Some(old));
    network.until("the old one resigns", |network| !network.quorum(old).is_leader());
    assert_eq!(network.quorum(old).leader(), None);
}

#[test]
fn a_voter_that_was_cut_off_does_not_depose_the_leader_when_it_is_back() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    let epoch = network.quorum(leader).epoch();
    let lonely = (1..=3).map(NodeId).find(|node| *node != leader).expect("a follower");
    network.cut_off(lonely);
    network.run_ms(5_000);
    assert_eq!(network.quorum(lonely).leader(), None);
    assert_eq!(network.quorum(lonely).epoch(), epoch, "it has only asked whether it would be elected");
    network.heal();
    network.until("it follows again", |network| network.quorum(lonely).leader() == Some(leader));
    assert_eq!(network.quorum(leader).epoch(), epoch);
}

#[test]
fn a_leader_that_stops_is_replaced_at_once() {
    let mut network = Network::of(3);
    let old = network.elect(None);
    let before = network.now.mono_ns;
    network.step(old, |quorum, now, _, out| {
        quorum.resign(now);
        quorum.drive(now, out);
        Ok(())
    });
    network.kill(old);
    network.elect(Some(old));
    assert!(network.now.mono_ns - before < 200_000_000, "without waiting for a time-out");
}

#[test]
fn a_minority_elects_nobody() {
    let mut network = Network::of(5);
    let leader = network.elect(None);
    for node in [leader, NodeId(leader.0 % 5 + 1), NodeId((leader.0 + 1) % 5 + 1)] {
        network.kill(node);
    }
    network.run_ms(10_000);
    assert_eq!(network.leader(), None);
}

fn asks(candidate: i32, epoch: i32, last_epoch: i32, end: i64, pre_vote: bool) -> VoteAsked {
    VoteAsked {
        candidate: NodeId(candidate),
        epoch: LeaderEpoch(epoch),
        last_epoch: LeaderEpoch(last_epoch),
        end: Offset(end),
        pre_vote,
    }
}

/// Whether voter 1 grants it.
fn grants(network: &mut Network, asked: VoteAsked) -> bool {
    let request = vote_request("mqproof-reference", NodeId(1), asked);
    let mut granted = false;
    network.step(NodeId(1), |quorum, now, disk, _| {
        granted = voted(&quorum.vote(now, &request, disk)?).expect("an answer").1;
        Ok(())
    });
    granted
}

/// One voter that knows of the others and hears nobody.
fn alone() -> Network {
    let mut network = Network::of(3);
    network.cut_off(NodeId(1));
    network.kill(NodeId(2));
    network.kill(NodeId(3));
    network
}

#[test]
fn a_vote_is_given_once_in_an_epoch_and_remembered_over_a_restart() {
    let mut network = alone();
    assert!(grants(&mut network, asks(2, 7, -1, 0, false)));
    assert!(grants(&mut network, asks(2, 7, -1, 0, false)), "the same again");
    assert!(!grants(&mut network, asks(3, 7, -1, 0, false)));
    network.kill(NodeId(1));
    network.boot(NodeId(1));
    assert_eq!(network.quorum(NodeId(1)).epoch(), LeaderEpoch(7));
    assert!(!grants(&mut network, asks(3, 7, -1, 0, false)));
    assert!(!grants(&mut network, asks(3, 6, 5, 99, false)), "an older epoch");
    assert!(grants(&mut network, asks(3, 8, -1, 0, false)));
}

#[test]
fn a_pre_vote_binds_nobody_and_changes_no_epoch() {
    let mut network = alone();
    let epoch = network.quorum(NodeId(1)).epoch();
    assert!(grants(&mut network, asks(2, epoch.0, -1, 0, true)));
    assert!(grants(&mut network, asks(3, epoch.0, -1, 0, true)));
    assert_eq!(network.quorum(NodeId(1)).view().voted, None);
    assert_eq!(network.quorum(NodeId(1)).epoch(), epoch);
}

#[test]
fn a_candidate_with_an_older_log_gets_no_vote() {
    let mut network = Network::of(3);
    let leader = network.elect(None);
    network.append(leader, "a");
    network.run_ms(200);
    for node in 1..=3 {
        network.cut_off(NodeId(node));
    }
    network.until("nobody leads", |network| network.leader().is_none());
    let (end, epoch) = (network.quorum(NodeId(1)).end_offset().0, network.quorum(NodeId(1)).epoch().0);
    for (asked, granted) in [
        (asks(2, epoch + 1, 0, end - 1, false), false),
        (asks(2, epoch + 2, -1, end + 9, false), false),
        (asks(2, epoch + 3, epoch, end, true), true),
        (asks(2, epoch + 3, epoch, end, false), true),
        (asks(3, epoch + 4, epoch + 3, 1, false), true),
    ] {
        assert_eq!(grants(&mut network, asked), granted, "{asked:?}");
    }
}

#[test]
fn a_voter_of_another_cluster_or_an_unknown_one_is_refused() {
    let mut network = alone();
    let refused = |network: &mut Network, cluster: &str, asked: VoteAsked| {
        let request = vote_request(cluster, NodeId(1), asked);
        let mut error = 0;
        network.step(NodeId(1), |quorum, now: Now, disk, _| {
            error = quorum.vote(now, &request, disk)?.error_code;
            Ok(())
        });
        error
    };
    let unknown = kafka_protocol::ResponseError::InconsistentVoterSet.code();
    assert_eq!(refused(&mut network, "mqproof-reference", asks(9, 7, -1, 0, false)), unknown);
    let foreign = kafka_protocol::ResponseError::InconsistentClusterId.code();
    assert_eq!(refused(&mut network, "another", asks(2, 7, -1, 0, false)), foreign);
    assert!(network.quorum(NodeId(1)).epoch() < LeaderEpoch(7));
}
