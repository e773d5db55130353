//! Members that keep their place over a restart (KIP-345).

use kafka_protocol::ResponseError;

use super::world::{REBALANCE_MS, SESSION_MS, World, config, heartbeat, join, join_with, leave, sync};
use crate::coordinator::response::text;
use crate::coordinator::{GroupRequest, ReplyId};

/// A stable group of one static member; its id.
fn stable_static(world: &mut World) -> String {
    let joined = world.send(join("g", "", Some("node-a")), 9);
    let member = world.join_reply(joined).member_id.to_string();
    world.send(sync("g", &member, 1, &[(&member, "all")]), 5);
    world.settle_all();
    member
}

fn beat(world: &mut World, member: &str, instance: &str) -> i16 {
    let GroupRequest::Heartbeat(request) = heartbeat("g", member, 1) else { unreachable!() };
    let reply = world.send(GroupRequest::Heartbeat(request.with_group_instance_id(Some(text(instance)))), 4);
    world.error(reply)
}

#[test]
fn a_static_member_that_restarts_keeps_its_assignment_without_a_rebalance() {
    for version in [5, 8, 9] {
        let mut world = World::new(config());
        let old = stable_static(&mut world);
        let joined = world.send(join("g", "", Some("node-a")), version);
        assert!(world.reply(joined).is_none(), "the new id is not committed yet");
        world.settle_all();
        let response = world.join_reply(joined);
        let new = response.member_id.to_string();
        assert_ne!(new, old);
        assert_eq!((response.error_code, response.generation_id), (0, 1));
        if version >= 9 {
            assert!(response.skip_assignment);
            assert_eq!((response.leader.as_str(), response.members.len()), (new.as_str(), 1));
        } else {
            assert_eq!(response.leader.as_str(), old, "it must not think that it leads");
        }
        let synced = world.send(sync("g", &new, 1, &[]), 5);
        assert_eq!(world.sync_reply(synced).assignment.as_ref(), b"all");
        world.assert_matches_the_log();
    }
}

#[test]
fn the_former_self_of_a_static_member_is_fenced() {
    let mut world = World::new(config());
    let old = stable_static(&mut world);
    world.send(join("g", "", Some("node-a")), 9);
    world.settle_all();
    assert_eq!(beat(&mut world, &old, "node-a"), ResponseError::FencedInstanceId.code());
    assert_eq!(beat(&mut world, &old, "node-b"), ResponseError::UnknownMemberId.code());
    let zombie = world.send(join("g", &old, Some("node-a")), 9);
    assert_eq!(world.error(zombie), ResponseError::FencedInstanceId.code());
    let left = world.send(leave("g", &[(&old, Some("node-a"))]), 5);
    assert_eq!(world.error(left), ResponseError::FencedInstanceId.code());
}

#[test]
fn a_static_member_that_waits_to_join_is_fenced_when_its_successor_joins() {
    let mut world = World::new(config());
    let first = world.stable_one("g");
    let joined = world.send(join("g", "", Some("node-a")), 9);
    let successor = world.send(join("g", "", Some("node-a")), 9);
    assert_eq!(world.error(joined), ResponseError::FencedInstanceId.code());
    assert!(world.reply(successor).is_none());
    let leader = world.send(join("g", &first, None), 9);
    assert_eq!(world.join_reply(leader).members.len(), 2);
    assert_eq!(world.error(successor), 0);
}

#[test]
fn a_static_member_that_comes_back_with_another_protocol_starts_a_rebalance() {
    let mut world = World::new(config());
    stable_static(&mut world);
    // Alone, it may offer anything that it offered before.
    let both = [("sticky", "s"), ("range", "sub")];
    let joined = world.send(join_with("g", "", Some("node-a"), &both), 9);
    let response = world.join_reply(joined);
    assert_eq!((response.generation_id, response.protocol_name), (2, Some(text("sticky"))));
}

#[test]
fn a_rejoin_that_cannot_be_stored_is_refused_and_the_group_rebalances() {
    let mut world = World::new(config());
    stable_static(&mut world);
    let joined = world.send(join("g", "", Some("node-a")), 9);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.error(joined), ResponseError::CoordinatorNotAvailable.code());
    let again: ReplyId = world.send(join("g", "", Some("node-a")), 9);
    assert_eq!(world.join_reply(again).generation_id, 2);
}

#[test]
fn an_absent_static_member_keeps_its_place_until_its_session_ends() {
    let mut world = World::new(config());
    let away = world.send(join("g", "", Some("node-a")), 9);
    let away = world.join_reply(away).member_id.to_string();
    let (other, joined) = world.join_new("g");
    world.send(join("g", &away, Some("node-a")), 9);
    let generation = world.join_reply(joined).generation_id;
    assert_eq!(generation, 2);
    world.send(sync("g", &other, generation, &[]), 5);
    world.send(sync("g", &away, generation, &[(&away, "p0"), (&other, "p1")]), 5);
    world.settle_all();
    let beats = SESSION_MS / 1_000 - 1;
    for _ in 0..beats {
        world.advance(1_000);
        assert_eq!(world.heartbeat("g", &other, generation), 0);
    }
    world.advance(1_000);
    assert_eq!(world.heartbeat("g", &other, generation), ResponseError::RebalanceInProgress.code());
    world.advance(REBALANCE_MS as u64);
}

#[test]
fn an_admin_removes_a_static_member_by_its_instance_id() {
    let mut world = World::new(config());
    let member = stable_static(&mut world);
    let left = world.send(leave("g", &[("", Some("node-a"))]), 5);
    world.settle_all();
    assert_eq!(world.error(left), 0);
    assert_eq!(beat(&mut world, &member, "node-a"), ResponseError::UnknownMemberId.code());
    world.assert_matches_the_log();
}
