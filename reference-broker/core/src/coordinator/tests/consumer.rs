//! The consumer protocol of KIP-848.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    DeleteGroupsRequest, ListGroupsRequest, OffsetFetchRequest, TopicName,
};

use super::world::{REBALANCE_MS, SESSION_MS, World, commit, config, group_id, join, topic_id};
use crate::coordinator::response::text;
use crate::coordinator::{ConsumerGroup, CoordinatorConfig, GroupRequest, GroupResponse, ReplyId};
use crate::defects::Defect;

/// A heartbeat that joins.
pub(super) fn joining(group: &str, member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    let names = topics.iter().map(|topic| TopicName(text(topic))).collect();
    beat(group, member, 0)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_subscribed_topic_names(Some(names))
        .with_topic_partitions(Some(Vec::new()))
}

/// A heartbeat that says nothing new.
pub(super) fn beat(group: &str, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

/// Partitions of `orders` as a member owns them.
pub(super) fn owning(
    request: ConsumerGroupHeartbeatRequest,
    partitions: &[i32],
) -> ConsumerGroupHeartbeatRequest {
    let owned =
        TopicPartitions::default().with_topic_id(topic_id("orders").0).with_partitions(partitions.to_vec());
    request.with_topic_partitions(Some(if partitions.is_empty() { Vec::new() } else { vec![owned] }))
}

/// What a member is told, once its step is stored.
fn send(world: &mut World, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    let reply = world.send(GroupRequest::ConsumerHeartbeat(request), 1);
    world.settle_all();
    world.assert_matches_the_log();
    answer(world, reply)
}

pub(super) fn answer(world: &World, reply: ReplyId) -> ConsumerGroupHeartbeatResponse {
    match world.reply(reply) {
        Some(GroupResponse::ConsumerHeartbeat(response)) => response.clone(),
        other => panic!("not a ConsumerGroupHeartbeat response: {other:?}"),
    }
}

/// The assigned partitions of a response, whatever their topic; `None` if it says nothing of them.
pub(super) fn assigned(response: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let assignment = response.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

fn group(world: &World) -> ConsumerGroup {
    world.coordinator.snapshot().groups["g"].consumer.clone().expect("a group of the consumer protocol")
}

/// A group in which `a` has 0 and 1 and `b` has 2 and 3, in epoch 2.
fn two(world: &mut World) {
    send(world, joining("g", "a", &["orders"]));
    let joined = send(world, joining("g", "b", &["orders"]));
    assert_eq!((joined.member_epoch, assigned(&joined)), (2, Some(vec![])));
    let told = send(world, beat("g", "a", 1));
    assert_eq!((told.member_epoch, assigned(&told)), (1, Some(vec![0, 1])));
    let told = send(world, owning(beat("g", "a", 1), &[0, 1]));
    assert_eq!((told.member_epoch, assigned(&told)), (2, None));
    let told = send(world, beat("g", "b", 2));
    assert_eq!((told.member_epoch, assigned(&told)), (2, Some(vec![2, 3])));
    assert_eq!(group(world).state_name(), "Stable");
}

#[test]
fn the_first_member_gets_all_partitions_when_that_is_stored() {
    let mut world = World::new(config());
    let reply = world.send(GroupRequest::ConsumerHeartbeat(joining("g", "a", &["orders"])), 1);
    assert!(world.reply(reply).is_none(), "nothing is committed yet");
    world.settle_all();
    let response = answer(&world, reply);
    assert_eq!((response.error_code, response.member_epoch), (0, 1));
    assert_eq!(assigned(&response), Some(vec![0, 1, 2, 3]));
    assert_eq!(response.heartbeat_interval_ms, 3_000);
    let again = world.send(GroupRequest::ConsumerHeartbeat(beat("g", "a", 1)), 1);
    assert_eq!(assigned(&answer(&world, again)), None, "nothing has changed, and nothing is stored");
}

#[test]
fn a_partition_goes_to_its_new_owner_when_the_old_one_has_let_go() {
    two(&mut World::new(config()));
}

#[test]
fn partitions_of_a_member_that_leaves_are_free_at_once() {
    let mut world = World::new(config());
    two(&mut world);
    assert_eq!(send(&mut world, beat("g", "a", -1)).member_epoch, -1);
    assert_eq!(send(&mut world, beat("g", "a", 2)).error_code, ResponseError::UnknownMemberId.code());
    let told = send(&mut world, beat("g", "b", 2));
    assert_eq!((told.member_epoch, assigned(&told)), (3, Some(vec![0, 1, 2, 3])));
}

#[test]
fn a_member_that_is_not_heard_is_removed() {
    let mut world = World::new(config());
    two(&mut world);
    for _ in 0..SESSION_MS / 1_000 {
        world.advance(1_000);
        world.settle_all();
        send(&mut world, beat("g", "b", 2));
    }
    assert_eq!(group(&world).members.keys().collect::<Vec<_>>(), ["b"]);
    let fenced = send(&mut world, beat("g", "a", 2));
    assert_eq!(fenced.error_code, ResponseError::UnknownMemberId.code());
    let back = send(&mut world, joining("g", "a", &["orders"]));
    assert_eq!(back.error_code, 0);
}

#[test]
fn a_member_that_does_not_let_go_in_its_time_is_removed() {
    let mut world = World::new(config());
    send(&mut world, joining("g", "a", &["orders"]));
    send(&mut world, joining("g", "b", &["orders"]));
    for _ in 0..REBALANCE_MS / 5_000 {
        send(&mut world, owning(beat("g", "a", 1), &[0, 1, 2, 3]));
        send(&mut world, beat("g", "b", 2));
        world.advance(5_000);
        world.settle_all();
    }
    assert_eq!(send(&mut world, beat("g", "a", 1)).error_code, ResponseError::UnknownMemberId.code());
    assert_eq!(assigned(&send(&mut world, beat("g", "b", 2))), Some(vec![0, 1, 2, 3]));
}

#[test]
fn a_lost_answer_may_be_asked_for_again_and_an_older_epoch_is_fenced() {
    let mut world = World::new(config());
    two(&mut world);
    // It came to epoch 2 by letting go of what it had more than this.
    let again = send(&mut world, owning(beat("g", "a", 1), &[0, 1]));
    assert_eq!((again.error_code, again.member_epoch), (0, 2));
    for request in [owning(beat("g", "a", 1), &[0, 3]), beat("g", "a", 1), beat("g", "a", 3)] {
        assert_eq!(send(&mut world, request).error_code, ResponseError::FencedMemberEpoch.code());
    }
}

#[test]
fn heartbeats_wait_while_a_step_is_stored_and_are_taken_in_order() {
    let mut world = World::new(config());
    let first = world.send(GroupRequest::ConsumerHeartbeat(joining("g", "a", &["orders"])), 1);
    let second = world.send(GroupRequest::ConsumerHeartbeat(joining("g", "b", &["orders"])), 1);
    assert_eq!(world.appends.len(), 1);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.error(first), ResponseError::CoordinatorNotAvailable.code());
    assert!(world.reply(second).is_none());
    world.settle_all();
    assert_eq!(assigned(&answer(&world, second)), Some(vec![0, 1, 2, 3]), "the first never joined");
}

#[test]
fn what_waits_is_refused_when_the_coordinator_moves() {
    let mut world = World::new(config());
    let first = world.send(GroupRequest::ConsumerHeartbeat(joining("g", "a", &["orders"])), 1);
    let second = world.send(GroupRequest::ConsumerHeartbeat(joining("g", "b", &["orders"])), 1);
    world.fail_over();
    for reply in [first, second] {
        assert_eq!(world.error(reply), ResponseError::NotCoordinator.code());
    }
}

#[test]
fn a_group_goes_on_where_it_was_when_the_coordinator_moves() {
    let mut world = World::new(config());
    two(&mut world);
    world.fail_over();
    assert_eq!(send(&mut world, beat("g", "a", 2)).error_code, 0);
    assert_eq!(group(&world).state_name(), "Stable");
    // Sessions begin anew, and end.
    world.advance(SESSION_MS as u64);
    world.settle_all();
    assert_eq!(group(&world).state_name(), "Empty");
}

#[test]
fn a_static_member_comes_back_to_its_partitions_without_a_rebalance() {
    let mut world = World::new(config());
    two(&mut world);
    let instance = Some(text("node"));
    let joined = send(&mut world, joining("g", "c", &["orders"]).with_instance_id(instance.clone()));
    let epoch = joined.member_epoch;
    for _ in 0..3 {
        send(&mut world, owning(beat("g", "a", 2), &[0]));
        send(&mut world, owning(beat("g", "b", 2), &[2]));
        send(&mut world, beat("g", "a", epoch));
        send(&mut world, beat("g", "b", epoch));
        send(&mut world, beat("g", "c", epoch).with_instance_id(instance.clone()));
    }
    let before = group(&world);
    let held = before.members["c"].current.assigned.clone();
    assert!(!held.is_empty());
    let taken = send(&mut world, joining("g", "d", &["orders"]).with_instance_id(instance.clone()));
    assert_eq!(taken.error_code, ResponseError::UnreleasedInstanceId.code());
    assert_eq!(send(&mut world, beat("g", "c", -2).with_instance_id(instance.clone())).member_epoch, -2);
    let back = send(&mut world, joining("g", "d", &["orders"]).with_instance_id(instance.clone()));
    assert_eq!((back.error_code, back.member_epoch), (0, epoch));
    let after = group(&world);
    assert_eq!((after.epoch, &after.members["d"].current.assigned), (before.epoch, &held));
    let old = send(&mut world, beat("g", "c", epoch).with_instance_id(instance));
    assert_eq!(old.error_code, ResponseError::FencedInstanceId.code());
}

#[test]
fn new_partitions_are_assigned_at_the_next_heartbeat() {
    let mut world = World::new(config());
    send(&mut world, joining("g", "a", &["orders", "later"]));
    world.topics.0.insert("orders", 5);
    let told = send(&mut world, beat("g", "a", 1));
    assert_eq!((told.member_epoch, assigned(&told)), (2, Some(vec![0, 1, 2, 3, 4])));
    world.topics.0.insert("later", 1);
    let told = send(&mut world, beat("g", "a", 2));
    assert_eq!(assigned(&told).map(|all| all.len()), Some(6));
    world.topics.0.remove("orders");
    let told = send(&mut world, owning(beat("g", "a", 3), &[]));
    assert_eq!((told.member_epoch, assigned(&told)), (4, Some(vec![0])));
}

#[test]
fn an_expression_stands_for_the_topics_that_it_matches_as_a_whole() {
    let mut world = World::new(config());
    world.topics.0.extend([("orders-eu", 1), ("preorders", 1)]);
    let request = joining("g", "a", &[]).with_subscribed_topic_regex(Some(text("^orders.*")));
    assert_eq!(assigned(&send(&mut world, request)).map(|all| all.len()), Some(5));
    let request = joining("h", "a", &[]).with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(send(&mut world, request).error_code, ResponseError::InvalidRegularExpression.code());
}

#[test]
fn requests_that_say_too_little_are_refused() {
    let mut world = World::new(config());
    let invalid = [
        joining("g", "", &["orders"]),
        joining("g", "a", &["orders"]).with_rebalance_timeout_ms(-1),
        joining("g", "a", &["orders"]).with_topic_partitions(None),
        joining("g", "a", &["orders"]).with_subscribed_topic_names(None),
        beat("g", "a", -2),
        beat("g", "a", -3),
    ];
    for request in invalid {
        assert_eq!(send(&mut world, request).error_code, ResponseError::InvalidRequest.code());
    }
    let unknown = joining("g", "a", &["orders"]).with_server_assignor(Some(text("best")));
    assert_eq!(send(&mut world, unknown).error_code, ResponseError::UnsupportedAssignor.code());
    assert_eq!(send(&mut world, beat("g", "a", 1)).error_code, ResponseError::UnknownMemberId.code());
    let drawn = world.send(GroupRequest::ConsumerHeartbeat(joining("g", "", &["orders"])), 0);
    world.settle_all();
    assert!(!answer(&world, drawn).member_id.unwrap_or_default().is_empty());
}

fn fetched_as(world: &mut World, member: &str, epoch: i32) -> i16 {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(TopicName(text("orders")))
        .with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id("g"))
        .with_member_id(Some(text(member)))
        .with_member_epoch(epoch)
        .with_topics(Some(vec![topic]));
    let reply =
        world.send(GroupRequest::OffsetFetch(OffsetFetchRequest::default().with_groups(vec![group])), 9);
    world.error(reply)
}

#[test]
fn a_member_commits_and_fetches_in_its_own_epoch_only() {
    let mut world = World::new(config());
    two(&mut world);
    let ok = world.send(commit("g", "a", 2, 0, 42), 9);
    let stale = world.send(commit("g", "a", 1, 0, 7), 9);
    let unknown = world.send(commit("g", "z", 2, 0, 7), 9);
    let old = world.send(commit("g", "a", 2, 0, 7), 8);
    let admin = world.send(commit("g", "", -1, 0, 7), 9);
    world.settle_all();
    let errors = [ok, stale, unknown, old, admin].map(|reply| world.error(reply));
    let expected = [
        0,
        ResponseError::StaleMemberEpoch.code(),
        ResponseError::UnknownMemberId.code(),
        ResponseError::UnsupportedVersion.code(),
        ResponseError::UnknownMemberId.code(),
    ];
    assert_eq!(errors, expected);
    assert_eq!(world.fetched("g", 0), 42);
    assert_eq!(fetched_as(&mut world, "a", 2), 0);
    assert_eq!(fetched_as(&mut world, "a", 1), ResponseError::StaleMemberEpoch.code());
}

#[test]
fn a_member_that_is_behind_and_commits_all_the_same_takes_offsets_back() {
    let defects = [Defect::StaleMemberCommits].into_iter().collect();
    let mut world = World::new(CoordinatorConfig { defects, ..config() });
    two(&mut world);
    world.send(commit("g", "a", 2, 0, 42), 9);
    world.send(commit("g", "a", 1, 0, 7), 9);
    world.settle_all();
    assert_eq!(world.fetched("g", 0), 7);
}

#[test]
#[should_panic(expected = "two members of `g` have it")]
fn a_partition_that_is_given_away_before_it_was_let_go_is_noticed() {
    let defects = [Defect::AssignBeforeRevoke].into_iter().collect();
    let mut world = World::new(CoordinatorConfig { defects, ..config() });
    send(&mut world, joining("g", "a", &["orders"]));
    send(&mut world, joining("g", "b", &["orders"]));
    send(&mut world, beat("g", "a", 1));
    send(&mut world, beat("g", "b", 2));
}

#[test]
#[should_panic(expected = "and from the log")]
fn a_member_whose_leave_is_not_stored_is_noticed() {
    let defects = [Defect::UnstoredLeave].into_iter().collect();
    let mut world = World::new(CoordinatorConfig { defects, ..config() });
    two(&mut world);
    send(&mut world, beat("g", "a", -1));
}

#[test]
fn an_empty_classic_group_becomes_one_of_the_consumer_protocol_and_back() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    let refused = send(&mut world, joining("g", "a", &["orders"]));
    assert_eq!(refused.error_code, ResponseError::GroupIdNotFound.code());
    world.send(commit("g", &member, 1, 0, 42), 9);
    world.settle_all();
    world.send(super::world::leave("g", &[(&member, None)]), 5);
    world.settle_all();
    assert_eq!(send(&mut world, joining("g", "a", &["orders"])).error_code, 0);
    assert_eq!(world.fetched("g", 0), 42);
    let classic = world.send(join("g", "", None), 9);
    assert_eq!(world.error(classic), ResponseError::InconsistentGroupProtocol.code());
    send(&mut world, beat("g", "a", -1));
    let classic = world.send(join("g", "", None), 9);
    assert_eq!(world.error(classic), ResponseError::CoordinatorLoadInProgress.code());
    world.settle_all();
    world.stable_one("g");
    assert_eq!(world.fetched("g", 0), 42);
    world.assert_matches_the_log();
}

#[test]
fn admins_see_and_delete_a_group() {
    let mut world = World::new(config());
    two(&mut world);
    let describe = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id("g"), group_id("h")]);
    let describe = world.send(GroupRequest::ConsumerDescribe(describe), 1);
    let Some(GroupResponse::ConsumerDescribe(response)) = world.reply(describe) else {
        panic!("no description")
    };
    let described = &response.groups[0];
    assert_eq!(
        (described.group_state.as_str(), described.group_epoch, described.assignment_epoch),
        ("Stable", 2, 2)
    );
    assert_eq!(described.assignor_name.as_str(), "uniform");
    assert_eq!(described.members[1].assignment.topic_partitions[0].partitions, [2, 3]);
    assert_eq!(response.groups[1].error_code, ResponseError::GroupIdNotFound.code());
    let list = ListGroupsRequest::default()
        .with_states_filter(vec![text("stable")])
        .with_types_filter(vec![text("consumer")]);
    let list = world.send(GroupRequest::List(list), 5);
    let Some(GroupResponse::List(response)) = world.reply(list) else { panic!("no list") };
    assert_eq!(response.groups.len(), 1);
    let delete =
        || GroupRequest::Delete(DeleteGroupsRequest::default().with_groups_names(vec![group_id("g")]));
    let refused = world.send(delete(), 2);
    assert_eq!(world.error(refused), ResponseError::NonEmptyGroup.code());
    send(&mut world, beat("g", "a", -1));
    send(&mut world, beat("g", "b", -1));
    let deleted = world.send(delete(), 2);
    world.settle_all();
    assert_eq!(world.error(deleted), 0);
    assert!(world.coordinator.snapshot().groups.is_empty());
    world.assert_matches_the_log();
}
