use kafka_protocol::ResponseError;

use super::fixture::{Fixture, state};
use crate::controller::{BrokerState, PartitionState, TopicId};
use crate::defects::{Defect, Defects};
use crate::ids::NodeId;
use crate::node::FlushPolicy;

fn three_brokers_one_topic() -> Fixture {
    let mut it = Fixture::new();
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    assert_eq!(it.create("t", 1, 3), 0);
    assert_eq!(it.state("t", 0), state(1, &[1, 2, 3], 0, 0));
    it
}

#[test]
fn a_broker_registers_catches_up_and_is_unfenced() {
    let mut it = Fixture::new();
    let registration = it.register(1, 7);
    // Offset 0 holds the change of the controller.
    assert_eq!((registration.error_code, registration.broker_epoch), (0, 1));
    let behind = it.beat_at(1, 0, false);
    assert!(behind.is_fenced && !behind.is_caught_up);
    assert_eq!(it.create("t", 1, 1), ResponseError::InvalidReplicationFactor.code());
    let caught_up = it.beat_at(1, 1, false);
    assert!(!caught_up.is_fenced && caught_up.is_caught_up);
    assert_eq!(it.create("t", 1, 1), 0);
    assert_eq!(it.state("t", 0), state(1, &[1], 0, 0));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_repeated_registration_of_one_process_keeps_its_epoch() {
    let mut it = Fixture::new();
    let first = it.register(1, 7).broker_epoch;
    assert_eq!(it.register(1, 7).broker_epoch, first);
}

#[test]
fn a_second_process_under_the_same_id_waits_until_the_first_is_silent() {
    let mut it = Fixture::new();
    it.join(1, 7);
    assert_eq!(it.register(1, 8).error_code, ResponseError::DuplicateBrokerRegistration.code());
    it.pass(300, &[]);
    let second = it.register(1, 8);
    assert_eq!(second.error_code, 0);
    assert_eq!(it.epoch(1), second.broker_epoch);
}

#[test]
fn a_process_that_starts_with_its_controller_waits_for_nobody() {
    let mut it = Fixture::new();
    it.join(1, 7);
    it.restart();
    it.pass(100, &[]);
    assert_eq!(it.register(1, 8).error_code, 0);
    it.restart();
    it.pass(100, &[1]);
    assert_eq!(it.register(1, 9).error_code, ResponseError::DuplicateBrokerRegistration.code());
}

#[test]
fn a_heartbeat_under_an_old_epoch_or_an_unknown_id_is_refused() {
    let mut it = Fixture::new();
    assert_eq!(it.beat(1, false).error_code, ResponseError::BrokerIdNotRegistered.code());
    it.join(1, 7);
    let old = it.epoch(1);
    it.pass(300, &[]);
    it.register(1, 8);
    let request = kafka_protocol::messages::BrokerHeartbeatRequest::default()
        .with_broker_id(1.into())
        .with_broker_epoch(old);
    let crate::controller::ControllerResponse::BrokerHeartbeat(answer) = it.ask(request) else { panic!() };
    assert_eq!(answer.error_code, ResponseError::StaleBrokerEpoch.code());
}

#[test]
fn a_broker_of_another_cluster_is_refused() {
    let mut it = Fixture::new();
    it.config.cluster_id = "another".into();
    assert_eq!(it.register(1, 7).error_code, ResponseError::InconsistentClusterId.code());
}

#[test]
fn a_silent_leader_is_fenced_and_the_next_in_sync_replica_leads() {
    let mut it = three_brokers_one_topic();
    it.pass(250, &[2, 3]);
    assert_eq!(it.state("t", 0), state(1, &[1, 2, 3], 0, 0));
    it.pass(50, &[2, 3]);
    assert_eq!(it.state("t", 0), state(2, &[2, 3], 1, 1));
    assert_eq!(it.controller.image().broker(NodeId(1)).unwrap().state, BrokerState::Fenced);
    // Back in the cluster it leads nothing, and is in sync again only when the leader says so.
    assert!(!it.beat(1, false).is_fenced);
    assert_eq!(it.state("t", 0), state(2, &[2, 3], 1, 1));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_silent_follower_leaves_the_in_sync_set_under_the_same_leader() {
    let mut it = three_brokers_one_topic();
    it.pass(300, &[1, 2]);
    assert_eq!(it.state("t", 0), state(1, &[1, 2], 0, 1));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_fenced_broker_is_unfenced_only_when_it_knows_who_took_over() {
    let mut it = three_brokers_one_topic();
    let before = it.controller.image().next_offset().0 - 1;
    it.pass(300, &[2, 3]);
    assert!(it.beat_at(1, before, false).is_fenced);
    assert!(!it.beat(1, false).is_fenced);
}

#[test]
fn when_all_replicas_die_the_last_of_the_last_in_sync_set_to_return_leads() {
    let mut it = three_brokers_one_topic();
    it.pass(300, &[2, 3]);
    it.pass(300, &[]);
    assert_eq!(it.state("t", 0), state(-1, &[2, 3], 2, 2));
    it.pass(300, &[1]);
    assert_eq!(it.state("t", 0), state(-1, &[2, 3], 2, 2), "1 was not in sync and may not lead");
    // 3 was killed, so that it may have lost what it had not flushed; 2 is the last that may not have.
    it.join(3, 33);
    assert_eq!(it.state("t", 0), state(-1, &[2], 2, 3));
    it.join(2, 22);
    assert_eq!(it.state("t", 0), state(2, &[2], 3, 4), "the best there is");
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn after_an_orderly_stop_or_with_a_flush_before_each_acknowledgement_the_first_to_return_leads() {
    for orderly in [false, true] {
        let mut it = Fixture::with(|config| {
            config.flush = if orderly { FlushPolicy::PageCache } else { FlushPolicy::BeforeAck };
        });
        for id in 1..=3 {
            it.join(id, id as u128);
        }
        it.create("t", 1, 3);
        it.pass(300, &[]);
        let previous = if orderly { it.epoch(3) } else { -1 };
        assert_eq!(it.register_after(3, 33, previous).error_code, 0);
        it.beat(3, false);
        assert_eq!(it.state("t", 0), state(3, &[3], 2, 2));
        assert_eq!(it.violations(), [""; 0]);
    }
}

#[test]
fn an_eligible_replica_leads_when_no_in_sync_one_is_left() {
    // 1. With `min.insync.replicas` 2, 3 and then 2 leave the in-sync set: 2 still has all that is committed. 2. 1 loses its power.
    let mut it = Fixture::with(|config| config.min_insync_replicas = 2);
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    it.create("t", 1, 3);
    it.alter(1, "t", (0, 0), &[1, 2]);
    it.alter(1, "t", (0, 1), &[1]);
    let eligible = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
    assert_eq!(it.state("t", 0), PartitionState { elr: eligible(&[2]), ..state(1, &[1], 0, 2) });
    it.pass(300, &[2, 3]);
    assert_eq!(it.state("t", 0), PartitionState { elr: eligible(&[1]), ..state(2, &[2], 1, 3) });
    it.join(1, 11);
    assert_eq!(it.state("t", 0), state(2, &[2], 1, 4), "1 may have lost what it had");
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn when_only_eligible_replicas_are_left_they_are_waited_for() {
    let mut it = Fixture::with(|config| config.min_insync_replicas = 2);
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    it.create("t", 1, 3);
    it.alter(1, "t", (0, 0), &[1]);
    it.pass(300, &[]);
    it.join(1, 11);
    assert_eq!(it.state("t", 0), state(-1, &[2, 3], 1, 3));
    it.pass(300, &[1, 3]);
    assert_eq!(it.state("t", 0).leader, NodeId(3), "its process lives, it was only not heard");
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn unclean_election_lets_an_outsider_lead_and_forgets_the_in_sync_set() {
    let mut it = Fixture::new();
    for id in 1..=2 {
        it.join(id, id as u128);
    }
    it.create_with("t", 1, 2, &[("unclean.leader.election.enable", "true")]);
    it.pass(300, &[1]);
    assert_eq!(it.state("t", 0), state(1, &[1], 0, 1));
    it.beat(2, false);
    it.pass(300, &[2]);
    assert_eq!(it.state("t", 0), state(2, &[2], 1, 2));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn the_defect_elects_a_live_replica_from_outside_the_in_sync_set() {
    let mut it = Fixture::with(|config| config.defects = Defects::from_iter([Defect::ElectOutsideIsr]));
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    it.create("t", 1, 3);
    it.alter(1, "t", (0, 0), &[1, 2]);
    it.pass(300, &[2, 3]);
    assert_eq!(it.state("t", 0), state(3, &[3], 1, 2));
    let topic = it.topic_id("t");
    let offset = it.controller.image().next_offset().0 - 1;
    let expected = format!(
        "metadata offset {offset}, topic {topic} partition 0: 3 is elected from outside the in-sync set \
         [NodeId(1), NodeId(2)] and the eligible []"
    );
    let violations = it.violations();
    assert!(violations.contains(&expected), "{violations:?}");
}

#[test]
fn a_broker_that_stops_hands_over_and_may_stop_when_the_others_know() {
    let mut it = three_brokers_one_topic();
    let before = it.controller.image().next_offset().0 - 1;
    let asked = it.beat(1, true);
    assert!(!asked.should_shut_down);
    assert_eq!(it.state("t", 0), state(2, &[2, 3], 1, 1));
    it.beat(2, false);
    it.beat_at(3, before, false);
    assert!(!it.beat(1, true).should_shut_down, "3 still thinks that 1 leads");
    it.beat(3, false);
    let answer = it.beat(1, true);
    assert!(answer.should_shut_down && answer.is_fenced);
    // Its next process need not wait for the session to end.
    assert_eq!(it.register(1, 11).error_code, 0);
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_broker_that_stops_may_not_join_an_in_sync_set() {
    let mut it = three_brokers_one_topic();
    it.beat(3, true);
    assert_eq!(it.state("t", 0), state(1, &[1, 2], 0, 1));
    let answer = it.alter(1, "t", (0, 1), &[1, 2, 3]);
    assert_eq!(answer.topics[0].partitions[0].error_code, ResponseError::IneligibleReplica.code());
}

#[test]
fn a_new_process_that_registers_before_its_old_session_was_fenced_leads_nothing() {
    let mut it = three_brokers_one_topic();
    // Time passes, but no tick comes before the request.
    it.ms += 300;
    for id in 2..=3 {
        it.beat(id, false);
    }
    assert_eq!(it.register(1, 11).error_code, 0);
    assert_eq!(it.state("t", 0), state(2, &[2, 3], 1, 1));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_topic_that_is_created_again_is_another_topic() {
    let first = TopicId::derive("c", "t", crate::ids::Offset(4));
    assert_ne!(first, TopicId::derive("c", "t", crate::ids::Offset(5)));
    assert_eq!(first, TopicId::derive("c", "t", crate::ids::Offset(4)));
}
