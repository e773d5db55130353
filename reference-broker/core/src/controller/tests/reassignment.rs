//! Partitions move, arrive, and go back.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, ListPartitionReassignmentsRequest, TopicName,
};

use super::fixture::{Fixture, state};
use crate::controller::{ControllerResponse, PartitionImage};
use crate::ids::{NodeId, PartitionId};

/// Brokers 1 to 5, and a partition on the first three of them.
fn three_of_five() -> Fixture {
    five(Fixture::new())
}

fn five(mut it: Fixture) -> Fixture {
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    assert_eq!(it.create("t", 1, 3), 0);
    for id in 4..=5 {
        it.join(id, id as u128);
    }
    it
}

fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn request(target: Option<&[i32]>) -> AlterPartitionReassignmentsRequest {
    of_topic("t", target)
}

/// The first partition of a topic is to move, or to go back.
pub(super) fn of_topic(name: &str, target: Option<&[i32]>) -> AlterPartitionReassignmentsRequest {
    let replicas = target.map(|ids| ids.iter().copied().map(BrokerId).collect());
    let partition = ReassignablePartition::default().with_replicas(replicas);
    let topic = ReassignableTopic::default().with_name(TopicName(name.to_owned().into()));
    AlterPartitionReassignmentsRequest::default().with_topics(vec![topic.with_partitions(vec![partition])])
}

fn send(it: &mut Fixture, request: AlterPartitionReassignmentsRequest) -> i16 {
    match it.ask(request) {
        ControllerResponse::AlterPartitionReassignments(response) => {
            response.responses[0].partitions[0].error_code
        }
        other => panic!("{other:?}"),
    }
}

fn assign(it: &mut Fixture, target: &[i32]) -> i16 {
    send(it, request(Some(target)))
}

fn cancel(it: &mut Fixture) -> i16 {
    send(it, request(None))
}

fn partition(it: &Fixture) -> PartitionImage {
    let topic = it.controller.image().topic_named("t").expect("the topic exists");
    topic.partitions[&PartitionId(0)].clone()
}

/// Replicas, adding, removing, as listed.
fn listed(it: &mut Fixture) -> Vec<(Vec<BrokerId>, Vec<BrokerId>, Vec<BrokerId>)> {
    match it.ask(ListPartitionReassignmentsRequest::default().with_topics(None)) {
        ControllerResponse::ListPartitionReassignments(response) => {
            let partitions = response.topics.into_iter().flat_map(|topic| topic.partitions);
            partitions.map(|it| (it.replicas, it.adding_replicas, it.removing_replicas)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_partition_lets_go_of_its_old_replicas_when_all_new_ones_are_in_sync() {
    let mut it = three_of_five();
    assert_eq!(assign(&mut it, &[4, 5, 1]), 0);
    let expected = PartitionImage {
        replicas: nodes(&[4, 5, 1, 2, 3]),
        adding: nodes(&[4, 5]),
        removing: nodes(&[2, 3]),
        state: state(1, &[1, 2, 3], 0, 1),
    };
    assert_eq!(partition(&it), expected);
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    assert_eq!(listed(&mut it), [(ids(&[4, 5, 1, 2, 3]), ids(&[4, 5]), ids(&[2, 3]))]);

    assert_eq!(it.alter(1, "t", (0, 1), &[1, 2, 3, 4]).topics[0].partitions[0].error_code, 0);
    assert!(partition(&it).is_reassigning(), "5 is not in sync yet");
    let answer = it.alter(1, "t", (0, 2), &[1, 2, 3, 4, 5]).topics[0].partitions[0].clone();
    assert_eq!(answer.error_code, ResponseError::NewLeaderElected.code(), "the metadata log tells the rest");
    let arrived = PartitionImage::new(nodes(&[4, 5, 1]), state(1, &[4, 5, 1], 1, 4));
    assert_eq!(partition(&it), arrived);
    assert_eq!(listed(&mut it), []);
    assert_eq!(it.violations(), [""; 0]);
    assert_eq!(it.replayed(), *it.controller.image());
}

#[test]
fn a_leader_that_is_left_behind_hands_over_to_the_first_new_replica_that_lives() {
    let mut it = three_of_five();
    assert_eq!(assign(&mut it, &[5, 4]), 0);
    it.alter(1, "t", (0, 1), &[1, 4, 5]);
    assert_eq!(partition(&it), PartitionImage::new(nodes(&[5, 4]), state(5, &[5, 4], 1, 3)));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn replicas_that_are_only_given_up_or_put_in_order_go_at_once() {
    let mut it = three_of_five();
    assert_eq!(assign(&mut it, &[3, 1]), 0);
    assert_eq!(partition(&it), PartitionImage::new(nodes(&[3, 1]), state(1, &[3, 1], 1, 1)));
    assert_eq!(assign(&mut it, &[1, 3]), 0);
    assert_eq!(partition(&it), PartitionImage::new(nodes(&[1, 3]), state(1, &[1, 3], 1, 2)));
    let before = it.controller.image().next_offset();
    assert_eq!(assign(&mut it, &[1, 3]), 0, "it is so already");
    assert_eq!(it.controller.image().next_offset(), before);
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_move_that_is_cancelled_ends_where_it_began() {
    let mut it = three_of_five();
    assert_eq!(cancel(&mut it), ResponseError::NoReassignmentInProgress.code());
    assert_eq!(assign(&mut it, &[4, 5, 1]), 0);
    it.alter(1, "t", (0, 1), &[1, 2, 3, 4]);
    assert_eq!(cancel(&mut it), 0);
    assert_eq!(partition(&it), PartitionImage::new(nodes(&[1, 2, 3]), state(1, &[1, 2, 3], 1, 3)));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_cancelled_move_keeps_the_new_replicas_until_enough_of_the_old_ones_are_in_sync() {
    // 1. The partition moves from 1 2 3 to 4 5 1, and 2 and 3 fall behind while 4 catches up: 1 and 4 have what is acknowledged.
    // 2. The move is cancelled. Without 4 there would be one copy.
    let mut it = five(Fixture::with(|config| config.min_insync_replicas = 2));
    assert_eq!(assign(&mut it, &[4, 5, 1]), 0);
    it.alter(1, "t", (0, 1), &[1, 4]);
    assert_eq!(cancel(&mut it), 0);
    let back = partition(&it);
    assert_eq!((back.replicas, back.state.isr), (nodes(&[1, 2, 3, 4]), nodes(&[1, 4])));
    assert_eq!((back.adding, back.removing), (nodes(&[4]), nodes(&[4])));
    let before = it.controller.image().next_offset();
    assert_eq!(cancel(&mut it), 0, "it goes back already");
    assert_eq!(it.controller.image().next_offset(), before);
    let now = (back.state.leader_epoch.0, back.state.partition_epoch);
    it.alter(1, "t", now, &[1, 4, 2]);
    let arrived = partition(&it);
    assert_eq!((arrived.replicas, arrived.state.isr), (nodes(&[1, 2, 3]), nodes(&[1, 2])));
    assert!(arrived.adding.is_empty() && arrived.removing.is_empty());
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_second_target_replaces_the_first_and_remembers_where_it_all_began() {
    let mut it = three_of_five();
    assert_eq!(assign(&mut it, &[4, 5, 1]), 0);
    it.alter(1, "t", (0, 1), &[1, 2, 3, 4]);
    assert_eq!(assign(&mut it, &[5, 2]), 0);
    let now = partition(&it);
    assert_eq!((now.replicas, now.adding), (nodes(&[5, 2, 1, 3]), nodes(&[5])), "4 is given up again");
    assert_eq!((now.removing, now.state.isr), (nodes(&[1, 3]), nodes(&[2, 1, 3])));
    assert_eq!(cancel(&mut it), 0);
    assert_eq!(partition(&it).replicas, nodes(&[2, 1, 3]));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_move_that_would_leave_nobody_in_sync_waits_or_is_refused() {
    let mut it = three_of_five();
    it.alter(1, "t", (0, 0), &[1]);
    assert_eq!(assign(&mut it, &[2, 3]), 0, "it waits for both");
    assert!(partition(&it).is_reassigning());
    assert_eq!(partition(&it).replicas, nodes(&[2, 3, 1]));
    assert_eq!(cancel(&mut it), 0);
    assert_eq!(partition(&it).state.isr, nodes(&[1]));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn bad_targets_are_refused() {
    let mut it = three_of_five();
    for target in [&[][..], &[1, 1, 2], &[1, 2, 9]] {
        assert_eq!(assign(&mut it, target), ResponseError::InvalidReplicaAssignment.code(), "{target:?}");
    }
    let fewer = request(Some(&[1, 2])).with_allow_replication_factor_change(false);
    assert_eq!(send(&mut it, fewer), ResponseError::InvalidReplicationFactor.code());
    let mut elsewhere = request(Some(&[1, 2]));
    elsewhere.topics[0].partitions[0].partition_index = 7;
    assert_eq!(send(&mut it, elsewhere), ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(partition(&it).state.partition_epoch, 0);
}

#[test]
fn a_snapshot_remembers_a_move() {
    let mut it = three_of_five();
    assert_eq!(assign(&mut it, &[4, 5, 1]), 0);
    let image = it.controller.image();
    let id = crate::quorum::SnapshotId { end: image.next_offset(), epoch: image.epoch() };
    let bytes = crate::quorum::encode_snapshot(id, 5, &crate::controller::snapshot::values(image));
    assert_eq!(crate::controller::load_snapshot(id, bytes).as_ref(), Ok(image));
}
