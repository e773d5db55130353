//! Members that join, sync, beat, leave and die.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, LeaveGroupRequest};

use super::world::{
    REBALANCE_MS, SESSION_MS, World, config, group_id, heartbeat, join, join_with, leave, sync,
};
use crate::coordinator::response::text;
use crate::coordinator::{CoordinatorConfig, GroupRequest, GroupState};

fn state(world: &World, group: &str) -> Option<GroupState> {
    world.coordinator.snapshot().groups[group].membership.as_ref().map(|membership| membership.state)
}

/// The usual settings with an initial rebalance delay.
fn delayed(ms: u64) -> CoordinatorConfig {
    CoordinatorConfig { initial_rebalance_delay_ms: ms, ..config() }
}

#[test]
fn two_members_join_sync_and_the_death_of_one_gives_its_partitions_to_the_other() {
    let mut world = World::new(config());
    let (first, joined_first) = world.join_new("g");
    let alone = world.join_reply(joined_first);
    assert_eq!((alone.generation_id, alone.leader.as_str()), (1, first.as_str()));
    assert_eq!(alone.members.len(), 1);

    let synced = world.send(sync("g", &first, 1, &[(&first, "p0,p1")]), 5);
    assert!(world.reply(synced).is_none(), "the assignment is not committed yet");
    world.settle_all();
    assert_eq!(world.sync_reply(synced).assignment.as_ref(), b"p0,p1");
    assert_eq!(world.heartbeat("g", &first, 1), 0);

    let (second, joined_second) = world.join_new("g");
    assert_eq!(world.heartbeat("g", &first, 1), ResponseError::RebalanceInProgress.code());
    assert!(world.reply(joined_second).is_none(), "the first has not joined again");
    let joined_first = world.send(join("g", &first, None), 9);
    let (leader, follower) = (world.join_reply(joined_first), world.join_reply(joined_second));
    assert_eq!((leader.generation_id, follower.generation_id), (2, 2));
    assert_eq!(leader.leader.as_str(), first, "the leader stays");
    assert_eq!(leader.members.len(), 2);
    assert!(follower.members.is_empty(), "only the leader learns the members");

    let follower_sync = world.send(sync("g", &second, 2, &[]), 5);
    let leader_sync = world.send(sync("g", &first, 2, &[(&first, "p0"), (&second, "p1")]), 5);
    world.settle_all();
    assert_eq!(world.sync_reply(leader_sync).assignment.as_ref(), b"p0");
    assert_eq!(world.sync_reply(follower_sync).assignment.as_ref(), b"p1");

    // The second falls silent; the first goes on beating.
    for _ in 0..3 {
        world.advance(SESSION_MS as u64 / 3);
        world.heartbeat("g", &first, 2);
    }
    world.advance(SESSION_MS as u64 / 3);
    assert_eq!(world.heartbeat("g", &first, 2), ResponseError::RebalanceInProgress.code());
    assert_eq!(world.heartbeat("g", &second, 2), ResponseError::UnknownMemberId.code());
    let joined = world.send(join("g", &first, None), 9);
    assert_eq!(world.join_reply(joined).generation_id, 3);
    assert_eq!(world.join_reply(joined).members.len(), 1);
    world.assert_matches_the_log();
}

#[test]
fn a_member_that_does_not_join_again_within_the_rebalance_timeout_is_removed() {
    let mut world = World::new(config());
    let (first, second) = world.stable_two("g");
    let joined = world.send(join("g", &first, None), 9);
    let mut waited_ms = 0;
    while world.reply(joined).is_none() {
        // It beats, but never joins.
        assert_eq!(world.heartbeat("g", &second, 2), ResponseError::RebalanceInProgress.code());
        world.advance(1_000);
        waited_ms += 1_000;
    }
    assert_eq!(waited_ms, REBALANCE_MS);
    assert_eq!(world.join_reply(joined).members.len(), 1);
    assert_eq!(world.heartbeat("g", &second, 2), ResponseError::UnknownMemberId.code());
}

#[test]
fn a_member_that_joins_but_never_syncs_is_removed_after_the_rebalance_timeout() {
    let mut world = World::new(config());
    let (first, second) = world.stable_two("g");
    let joined = world.send(join_with("g", &first, None, &[("range", "other topics")]), 9);
    world.send(join("g", &second, None), 9);
    let joined = world.join_reply(joined);
    assert_eq!(joined.generation_id, 3);
    world.send(sync("g", &first, 3, &[(&first, "all")]), 5);
    world.settle_all();
    for _ in 0..REBALANCE_MS / 1_000 {
        world.heartbeat("g", &first, 3);
        world.heartbeat("g", &second, 3);
        world.advance(1_000);
    }
    assert_eq!(world.heartbeat("g", &second, 3), ResponseError::UnknownMemberId.code());
    assert_eq!(world.heartbeat("g", &first, 3), ResponseError::RebalanceInProgress.code());
}

#[test]
fn a_follower_that_joins_again_unchanged_is_told_the_same_generation() {
    let mut world = World::new(config());
    let (first, second) = world.stable_two("g");
    let again = world.send(join("g", &second, None), 9);
    assert_eq!(world.join_reply(again).generation_id, 2);
    assert_eq!(world.heartbeat("g", &first, 2), 0);
    // The leader asks for a new assignment by joining again.
    let again = world.send(join("g", &first, None), 9);
    assert!(world.reply(again).is_none());
    assert_eq!(world.heartbeat("g", &second, 2), ResponseError::RebalanceInProgress.code());
}

#[test]
fn the_last_member_that_leaves_empties_the_group_and_the_generation_goes_on() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    let left = world.send(leave("g", &[(&member, None), ("stranger", None)]), 5);
    assert_eq!(world.error(left), ResponseError::UnknownMemberId.code(), "of the stranger");
    world.settle_all();
    assert_eq!(state(&world, "g"), Some(GroupState::Empty));
    let (_, joined) = world.join_new("g");
    assert_eq!(world.join_reply(joined).generation_id, 3, "2 was the empty one");
    world.assert_matches_the_log();
}

#[test]
fn an_empty_generation_that_could_not_be_stored_is_stored_again() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    world.send(leave("g", &[(&member, None)]), 5);
    assert!(world.settle_next(Err(ResponseError::NotEnoughReplicas)));
    assert_eq!(state(&world, "g"), None, "the log still has the member");
    world.advance(1_000);
    world.settle_all();
    assert_eq!(state(&world, "g"), Some(GroupState::Empty));
    world.assert_matches_the_log();
}

#[test]
fn an_assignment_that_could_not_be_stored_starts_another_rebalance() {
    let mut world = World::new(config());
    let (member, _) = world.join_new("g");
    let synced = world.send(sync("g", &member, 1, &[(&member, "all")]), 5);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.error(synced), ResponseError::CoordinatorNotAvailable.code());
    assert_eq!(world.heartbeat("g", &member, 1), ResponseError::RebalanceInProgress.code());
    let joined = world.send(join("g", &member, None), 9);
    assert_eq!(world.join_reply(joined).generation_id, 2);
}

#[test]
fn a_rebalance_that_begins_while_the_assignment_is_stored_wins() {
    let mut world = World::new(config());
    let (member, _) = world.join_new("g");
    let synced = world.send(sync("g", &member, 1, &[(&member, "all")]), 5);
    let (_, joined) = world.join_new("g");
    assert_eq!(world.error(synced), ResponseError::RebalanceInProgress.code());
    world.settle_all();
    assert!(world.reply(joined).is_none());
    assert_eq!(world.heartbeat("g", &member, 1), ResponseError::RebalanceInProgress.code());
}

#[test]
fn members_without_a_common_protocol_cannot_share_a_group() {
    let mut world = World::new(config());
    world.stable_one("g");
    let other = world.send(join_with("g", "", None, &[("sticky", "sub")]), 9);
    assert_eq!(world.error(other), ResponseError::InconsistentGroupProtocol.code());
    let none = world.send(join_with("h", "", None, &[]), 9);
    assert_eq!(world.error(none), ResponseError::InconsistentGroupProtocol.code());
}

#[test]
fn the_protocol_that_most_members_prefer_is_chosen() {
    let mut world = World::new(delayed(3_000));
    let preferences: [&[_]; 3] = [
        &[("range", "r"), ("sticky", "s")],
        &[("sticky", "s"), ("range", "r")],
        &[("alone", "a"), ("sticky", "s"), ("range", "r")],
    ];
    let joined = preferences.map(|protocols| world.send(join_with("g", "", None, protocols), 3));
    world.advance(60_000);
    for reply in joined {
        assert_eq!(world.join_reply(reply).protocol_name, Some(text("sticky")));
    }
}

#[test]
fn the_first_members_of_a_group_wait_for_each_other_and_each_newcomer_extends_the_wait() {
    let mut world = World::new(delayed(3_000));
    let (_, first) = world.join_new("g");
    world.advance(2_000);
    let (_, second) = world.join_new("g");
    world.advance(3_000);
    assert!(world.reply(first).is_none(), "the second has extended the wait to six seconds");
    world.advance(1_000);
    assert_eq!(world.join_reply(first).members.len(), 2);
    assert_eq!(world.join_reply(second).generation_id, 1);
}

#[test]
fn an_id_that_is_never_used_holds_a_rebalance_up_no_longer_than_a_session() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    world.send(join("g", "", None), 9);
    let joined = world.send(join("g", &member, None), 9);
    assert!(world.reply(joined).is_none(), "an id was given that has not joined");
    world.advance(SESSION_MS as u64);
    assert_eq!(world.join_reply(joined).members.len(), 1);
}

#[test]
fn strangers_and_old_generations_are_refused() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    assert_eq!(world.heartbeat("g", &member, 0), ResponseError::IllegalGeneration.code());
    assert_eq!(world.heartbeat("g", "stranger", 1), ResponseError::UnknownMemberId.code());
    assert_eq!(world.heartbeat("nowhere", &member, 1), ResponseError::UnknownMemberId.code());
    assert_eq!(world.heartbeat("", &member, 1), ResponseError::InvalidGroupId.code());
    let synced = world.send(sync("g", &member, 2, &[]), 5);
    assert_eq!(world.error(synced), ResponseError::IllegalGeneration.code());
    let joined = world.send(join("g", "stranger", None), 9);
    assert_eq!(world.error(joined), ResponseError::UnknownMemberId.code());
    let joined = world.send(join("nowhere", "stranger", None), 9);
    assert_eq!(world.error(joined), ResponseError::UnknownMemberId.code());
    let left = world.send(leave("nowhere", &[("stranger", None)]), 5);
    assert_eq!(world.error(left), ResponseError::UnknownMemberId.code());
    let hurried = JoinGroupRequest::default().with_group_id(group_id("g")).with_session_timeout_ms(1);
    let hurried = world.send(GroupRequest::Join(hurried), 9);
    assert_eq!(world.error(hurried), ResponseError::InvalidSessionTimeout.code());
}

#[test]
fn every_version_of_the_membership_requests_works_from_join_to_leave() {
    for version in 0..=9 {
        let mut world = World::new(config());
        let mut joined = world.send(join("g", "", None), version);
        if version >= 4 {
            let member_id = world.join_reply(joined).member_id;
            joined = world.send(join("g", &member_id, None), version);
        }
        let response = world.join_reply(joined);
        assert_eq!((response.error_code, response.generation_id), (0, 1), "JoinGroup version {version}");
        let member = response.member_id.as_str();
        let synced = world.send(sync("g", member, 1, &[(member, "all")]), version.min(5));
        world.settle_all();
        assert_eq!(world.sync_reply(synced).assignment.as_ref(), b"all");
        let beat = world.send(heartbeat("g", member, 1), version.min(4));
        assert_eq!(world.error(beat), 0);
        let request = if version < 3 {
            let request = LeaveGroupRequest::default().with_group_id(group_id("g"));
            GroupRequest::Leave(request.with_member_id(text(member)))
        } else {
            leave("g", &[(member, None)])
        };
        let left = world.send(request, version.min(5));
        assert_eq!(world.error(left), 0);
        assert_eq!(world.heartbeat("g", member, 1), ResponseError::UnknownMemberId.code());
    }
}
