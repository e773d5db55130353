use kafka_protocol::ResponseError;
use kafka_protocol::messages::AlterPartitionResponse;

use super::fixture::{Fixture, state};
use crate::controller::refusal;
use crate::ids::LeaderEpoch;

fn error_of(answer: &AlterPartitionResponse) -> i16 {
    answer.topics[0].partitions[0].error_code
}

fn leader_one() -> Fixture {
    let mut it = Fixture::new();
    for id in 1..=4 {
        it.join(id, id as u128);
    }
    it.create("t", 1, 3);
    assert_eq!(it.state("t", 0), state(1, &[1, 2, 3], 0, 0));
    it
}

#[test]
fn the_leader_shrinks_and_grows_its_in_sync_set() {
    let mut it = leader_one();
    let answer = it.alter(1, "t", (0, 0), &[1, 3]);
    let partition = &answer.topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.partition_epoch, partition.leader_id.0), (0, 1, 1));
    assert_eq!(partition.isr, [1, 3]);
    assert_eq!(it.state("t", 0), state(1, &[1, 3], 0, 1));
    it.alter(1, "t", (0, 1), &[3, 2, 1]);
    assert_eq!(it.state("t", 0), state(1, &[1, 2, 3], 0, 2), "kept in the order of the replicas");
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_proposal_that_changes_nothing_keeps_the_partition_epoch() {
    let mut it = leader_one();
    let answer = it.alter(1, "t", (0, 0), &[1, 2, 3]);
    assert_eq!((error_of(&answer), answer.topics[0].partitions[0].partition_epoch), (0, 0));
}

#[test]
fn stale_epochs_are_refused_before_anything_else() {
    let mut it = leader_one();
    it.alter(1, "t", (0, 0), &[1, 2]);
    assert_eq!(error_of(&it.alter(1, "t", (0, 0), &[1])), ResponseError::InvalidUpdateVersion.code());
    it.pass(300, &[2, 3, 4]);
    assert_eq!(it.state("t", 0), state(2, &[2], 1, 2));
    it.beat(1, false);
    assert_eq!(error_of(&it.alter(1, "t", (0, 1), &[1])), ResponseError::FencedLeaderEpoch.code());
    assert_eq!(it.state("t", 0), state(2, &[2], 1, 2));
}

#[test]
fn a_leader_that_is_ahead_of_this_controller_talks_to_the_wrong_one() {
    let mut it = leader_one();
    assert_eq!(error_of(&it.alter(1, "t", (0, 1), &[1])), ResponseError::NotController.code());
    assert_eq!(error_of(&it.alter(1, "t", (1, 0), &[1])), ResponseError::NotController.code());
}

#[test]
fn only_the_leader_may_propose_and_only_replicas_and_itself() {
    let mut it = leader_one();
    for (sender, isr) in [(2, &[1, 2][..]), (1, &[1, 4]), (1, &[2, 3]), (1, &[])] {
        let answer = it.alter(sender, "t", (0, 0), isr);
        assert_eq!(error_of(&answer), ResponseError::InvalidRequest.code(), "{sender} proposes {isr:?}");
    }
}

#[test]
fn fenced_and_rebooted_brokers_are_not_eligible() {
    let mut it = leader_one();
    let old = it.epoch(3);
    it.pass(300, &[1, 2, 4]);
    assert_eq!(it.state("t", 0), state(1, &[1, 2], 0, 1));
    let ineligible = ResponseError::IneligibleReplica.code();
    assert_eq!(error_of(&it.alter(1, "t", (0, 1), &[1, 2, 3])), ineligible, "fenced");
    it.join(3, 33);
    let (one, two) = (it.epoch(1), it.epoch(2));
    let rebooted = it.alter_with(1, "t", (0, 1), &[(1, one), (2, two), (3, old)]);
    assert_eq!(error_of(&rebooted), ineligible, "its former process was caught up, not this one");
    assert_eq!(error_of(&it.alter(1, "t", (0, 1), &[1, 2, 3])), 0);
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_sender_with_an_old_broker_epoch_is_refused_whole() {
    let mut it = leader_one();
    let request = kafka_protocol::messages::AlterPartitionRequest::default()
        .with_broker_id(1.into())
        .with_broker_epoch(it.epoch(1) + 1);
    let crate::controller::ControllerResponse::AlterPartition(answer) = it.ask(request) else { panic!() };
    assert_eq!(answer.error_code, ResponseError::StaleBrokerEpoch.code());
}

#[test]
fn a_voter_that_does_not_lead_refuses_and_a_fetch_names_who_does() {
    let mut it = leader_one();
    it.controller.quorum.depose(crate::ids::NodeId(101));
    let answer = it.alter(1, "t", (0, 0), &[1]);
    assert_eq!(answer.error_code, ResponseError::NotController.code());
    let created = it.create("u", 1, 1);
    assert_eq!(created, ResponseError::NotController.code());
    let partition = it.fetch(0, -1).responses[0].partitions[0].clone();
    assert_eq!(partition.error_code, ResponseError::NotLeaderOrFollower.code());
    assert_eq!((partition.current_leader.leader_id.0, partition.current_leader.leader_epoch), (101, 0));
    let refusal = refusal::not_controller(&Fixture::fetch_request(0, -1, 0).into(), None, LeaderEpoch(3));
    assert!(refusal::is_not_controller(&refusal));
}
