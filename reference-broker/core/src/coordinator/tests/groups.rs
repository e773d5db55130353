//! What admin clients ask, and which broker they must ask.

use bytes::{BufMut, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, DeleteGroupsRequest, DescribeGroupsRequest, JoinGroupRequest,
    ListGroupsRequest, OffsetDeleteRequest, TopicName,
};
use kafka_protocol::protocol::Encodable;

use super::offsets::old_fetch;
use super::world::{PARTITIONS, World, commit, config, fetch, group_id, heartbeat, join, join_with, leave};
use crate::coordinator::response::text;
use crate::coordinator::{CoordinatorConfig, GroupCoordinator, GroupRequest, GroupResponse};
use crate::ids::{LeaderEpoch, PartitionId};

fn delete(groups: &[&str]) -> GroupRequest {
    let groups = groups.iter().map(|group| group_id(group)).collect();
    GroupRequest::Delete(DeleteGroupsRequest::default().with_groups_names(groups))
}

fn delete_offset(group: &str, partition: i32) -> GroupRequest {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![partition]);
    GroupRequest::OffsetDelete(
        OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]),
    )
}

#[test]
fn a_group_is_found_where_java_puts_it() {
    let coordinator = GroupCoordinator::new(CoordinatorConfig { offsets_topic_partitions: 50, ..config() });
    // `"polygenelubricants".hashCode()` is the smallest int, whose absolute value does not exist.
    let expected = [("", 0), ("g", 103 % 50), ("my-group", 12), ("polygenelubricants", 0), ("ü", 252 % 50)];
    for (group, partition) in expected {
        assert_eq!(coordinator.partition_for(group), PartitionId(partition), "`{group}`");
    }
}

#[test]
fn another_broker_and_one_that_still_loads_say_so() {
    let mut world = World::new(config());
    let mut out = Vec::new();
    let partition = world.coordinator.partition_for("g");
    world.coordinator.unload(world.now, partition, &mut out);
    assert_eq!(world.heartbeat("g", "m", 1), ResponseError::NotCoordinator.code());
    let fetched = world.send(fetch("g", 0, false), 9);
    assert_eq!(world.error(fetched), ResponseError::NotCoordinator.code());
    for version in [1, 7] {
        let fetched = world.send(old_fetch(Some(&[0])), version);
        let Some(GroupResponse::OffsetFetch(response)) = world.reply(fetched) else { panic!("no answer") };
        let error_code =
            if version == 1 { response.topics[0].partitions[0].error_code } else { response.error_code };
        assert_eq!(error_code, ResponseError::NotCoordinator.code(), "version {version}");
    }
    let refused = world.send(commit("g", "", -1, 0, 1), 9);
    assert_eq!(world.error(refused), ResponseError::NotCoordinator.code());
    world.coordinator.begin_load(world.now, partition, LeaderEpoch(5), &mut out);
    assert_eq!(world.heartbeat("g", "m", 1), ResponseError::CoordinatorLoadInProgress.code());
    world.coordinator.load(world.now, partition, LeaderEpoch(4), [], &mut out);
    assert_eq!(world.heartbeat("g", "m", 1), ResponseError::CoordinatorLoadInProgress.code(), "an old epoch");
    world.coordinator.load(world.now, partition, LeaderEpoch(5), [], &mut out);
    assert_eq!(world.heartbeat("g", "m", 1), ResponseError::UnknownMemberId.code());
    assert!(out.is_empty());
}

#[test]
fn describe_shows_assignments_of_a_stable_group_and_members_of_any() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    for version in 0..=6 {
        let request = DescribeGroupsRequest::default().with_groups(vec![group_id("g"), group_id("none")]);
        let reply = world.send(GroupRequest::Describe(request), version);
        let Some(GroupResponse::Describe(response)) = world.reply(reply) else { panic!("no answer") };
        let [group, none] = response.groups.as_slice() else { panic!("two groups") };
        assert_eq!((group.group_state.as_str(), group.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!(group.members[0].member_id.as_str(), member);
        assert_eq!(group.members[0].member_assignment.as_ref(), b"all");
        assert_eq!(none.group_state.as_str(), "Dead");
        let not_found = if version >= 6 { ResponseError::GroupIdNotFound.code() } else { 0 };
        assert_eq!(none.error_code, not_found);
    }
}

#[test]
fn list_filters_by_state_and_type() {
    let mut world = World::new(config());
    world.stable_one("g");
    world.send(commit("offsets-only", "", -1, 0, 1), 9);
    world.settle_all();
    let mut listed = |states: &[&str], types: &[&str], version| {
        let request = ListGroupsRequest::default()
            .with_states_filter(states.iter().map(|state| text(state)).collect())
            .with_types_filter(types.iter().map(|name| text(name)).collect());
        let reply = world.send(GroupRequest::List(request), version);
        let Some(GroupResponse::List(response)) = world.reply(reply) else { panic!("no answer") };
        let mut ids: Vec<String> = response.groups.iter().map(|group| group.group_id.to_string()).collect();
        ids.sort();
        ids
    };
    for version in 0..=5 {
        assert_eq!(listed(&[], &[], version), ["g", "offsets-only"]);
    }
    assert_eq!(listed(&["stable"], &[], 4), ["g"]);
    assert_eq!(listed(&["Empty"], &["classic"], 5), ["offsets-only"]);
    assert!(listed(&[], &["consumer"], 5).is_empty());
}

#[test]
fn only_a_group_without_members_is_deleted_and_nothing_of_it_comes_back() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    world.send(commit("g", &member, 1, 0, 42), 9);
    world.settle_all();
    let refused = world.send(delete(&["g"]), 2);
    assert_eq!(world.error(refused), ResponseError::NonEmptyGroup.code());

    world.send(leave("g", &[(&member, None)]), 5);
    world.settle_all();
    // A commit that is under way must not outlive the group.
    world.send(commit("g", "", -1, 1, 43), 9);
    let deleted = world.send(delete(&["g", "none", "g"]), 2);
    assert!(world.reply(deleted).is_none());
    let joined = world.send(join("g", "", Some("node-a")), 9);
    assert_eq!(world.error(joined), ResponseError::CoordinatorNotAvailable.code());
    world.settle_all();
    let Some(GroupResponse::Delete(response)) = world.reply(deleted) else { panic!("no answer") };
    let codes: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [0, 69, 69]);
    assert!(world.coordinator.snapshot().groups.is_empty());
    assert_eq!(world.reloaded(), world.coordinator.snapshot());
}

#[test]
fn groups_of_many_partitions_are_deleted_with_one_answer() {
    let mut world = World::new(config());
    let groups: Vec<String> = (0..PARTITIONS * 2).map(|i| format!("group-{i}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    for group in &groups {
        world.send(commit(group, "", -1, 0, 1), 9);
    }
    world.settle_all();
    let deleted = world.send(delete(&groups), 1);
    for _ in 1..groups.len() {
        world.settle_next(Ok(()));
        assert!(world.reply(deleted).is_none());
    }
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    let Some(GroupResponse::Delete(response)) = world.reply(deleted) else { panic!("no answer") };
    let (last, others) = response.results.split_last().unwrap();
    assert!(others.iter().all(|result| result.error_code == 0));
    assert_eq!(last.error_code, ResponseError::CoordinatorNotAvailable.code());
    assert_eq!(world.fetched(groups[groups.len() - 1], 0), 1, "it is as it was");
    world.assert_matches_the_log();
}

#[test]
fn offsets_of_a_subscribed_topic_stay() {
    let mut world = World::new(config());
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text("orders")]);
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    subscription.encode(&mut metadata, 1).unwrap();
    let GroupRequest::Join(mut request) = join_with("g", "", None, &[("range", "")]) else { unreachable!() };
    request.protocols[0].metadata = metadata.freeze();
    let joined = world.send(GroupRequest::Join(request), 3);
    let member = world.join_reply(joined).member_id;
    let commit_now = world.send(commit("g", &member, 1, 0, 42), 9);
    assert_eq!(world.error(commit_now), ResponseError::RebalanceInProgress.code());
    let refused = world.send(delete_offset("g", 0), 0);
    let Some(GroupResponse::OffsetDelete(response)) = world.reply(refused) else { panic!("no answer") };
    assert_eq!(response.topics[0].partitions[0].error_code, ResponseError::GroupSubscribedToTopic.code());
}

#[test]
fn a_deleted_offset_is_gone_once_its_tombstone_is_committed() {
    let mut world = World::new(config());
    let none = world.send(delete_offset("g", 0), 0);
    assert_eq!(world.error(none), ResponseError::GroupIdNotFound.code());
    world.send(commit("g", "", -1, 0, 42), 9);
    world.send(commit("g", "", -1, 1, 43), 9);
    world.settle_all();
    let deleted = world.send(delete_offset("g", 0), 0);
    assert!(world.reply(deleted).is_none());
    assert_eq!(world.fetched("g", 0), 42);
    world.settle_all();
    assert_eq!(world.error(deleted), 0);
    assert_eq!((world.fetched("g", 0), world.fetched("g", 1)), (-1, 43));
    world.assert_matches_the_log();
}

#[test]
fn a_string_that_no_record_can_hold_is_refused() {
    let mut world = World::new(config());
    let long = "x".repeat(40_000);
    let joined = world.send(join(&long, "", None), 9);
    assert_eq!(world.error(joined), ResponseError::InvalidGroupId.code());
    let joined = world.send(join("g", "", Some(&long)), 9);
    assert_eq!(world.error(joined), ResponseError::InvalidRequest.code());
    let committed = world.send(commit(&long, "", -1, 0, 1), 9);
    assert_eq!(world.error(committed), ResponseError::InvalidGroupId.code());
    let request = JoinGroupRequest::default().with_group_id(group_id("g")).with_session_timeout_ms(1_000);
    let joined = world.send(GroupRequest::Join(request.with_protocol_type(text(&long))), 9);
    assert_eq!(world.error(joined), ResponseError::InvalidRequest.code());
    let beat = world.send(heartbeat(&long, "m", 1), 4);
    assert_eq!(world.error(beat), ResponseError::InvalidGroupId.code());
    assert!(world.appends.is_empty());
}
