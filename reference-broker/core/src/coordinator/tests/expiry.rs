//! Offsets that nobody needs any more (KIP-211).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{DescribeGroupsRequest, ListGroupsRequest};

use super::world::{RETENTION_MS, World, commit, commit_in_transaction, config, group_id, leave};
use crate::coordinator::{CoordinatorConfig, GroupRequest, GroupResponse};
use crate::defects::{Defect, Defects};

/// Past the retention and the next look for what it is over for.
const EXPIRED_MS: u64 = RETENTION_MS + RETENTION_MS / 5;

fn exists(world: &mut World, group: &str) -> bool {
    let list = world.send(GroupRequest::List(ListGroupsRequest::default()), 5);
    let Some(GroupResponse::List(response)) = world.reply(list) else { panic!("no list") };
    response.groups.iter().any(|listed| listed.group_id == group_id(group))
}

#[test]
fn a_group_without_members_is_forgotten_when_its_offsets_are_too_old() {
    let mut world = World::new(config());
    world.send(commit("g", "", -1, 0, 42), 9);
    world.settle_all();
    world.advance(RETENTION_MS - 1);
    assert_eq!(world.fetched("g", 0), 42);
    world.advance(EXPIRED_MS - RETENTION_MS);
    let describe = DescribeGroupsRequest::default().with_groups(vec![group_id("g")]);
    let describe = world.send(GroupRequest::Describe(describe), 6);
    assert_eq!(world.error(describe), 0, "it is there until its tombstones are committed");
    world.settle_all();
    assert!(!exists(&mut world, "g"));
    assert_eq!(world.fetched("g", 0), -1);
    world.assert_matches_the_log();
}

#[test]
fn the_time_of_an_empty_group_begins_when_its_last_member_goes() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    world.send(commit("g", &member, 1, 0, 42), 9);
    world.settle_all();
    world.fail_over();
    for _ in 0..RETENTION_MS / 2 / 5_000 {
        world.advance(5_000);
        assert_eq!(world.heartbeat("g", &member, 1), 0);
    }
    world.send(leave("g", &[(&member, None)]), 5);
    world.settle_all();
    world.fail_over();
    world.advance(RETENTION_MS - 1);
    world.settle_all();
    assert_eq!(world.fetched("g", 0), 42);
    world.advance(EXPIRED_MS - RETENTION_MS);
    world.settle_all();
    assert!(!exists(&mut world, "g"));
    world.assert_matches_the_log();
}

#[test]
fn an_offset_in_an_open_transaction_keeps_its_group() {
    let mut world = World::new(config());
    world.send(commit("g", "", -1, 0, 42), 9);
    world.send(commit_in_transaction("g", (9, 0), ("", -1), 0, 50), 3);
    world.settle_all();
    world.advance(EXPIRED_MS);
    world.settle_all();
    assert_eq!(world.fetched("g", 0), 42);
    world.end_transaction("g", 9, true);
    assert_eq!(world.fetched("g", 0), 50);
}

#[test]
fn a_group_whose_tombstones_cannot_be_stored_stays() {
    let mut world = World::new(config());
    world.send(commit("g", "", -1, 0, 42), 9);
    world.settle_all();
    world.advance(EXPIRED_MS);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.fetched("g", 0), 42);
    world.advance(EXPIRED_MS);
    world.settle_all();
    assert_eq!(world.fetched("g", 0), -1);
}

/// What is left of an offset that is too old when a rebalance is under way at the time of the look.
fn offset_after_a_look_during_a_rebalance(defects: Defects) -> i64 {
    let mut world = World::new(CoordinatorConfig { defects, offsets_retention_ms: 1_000, ..config() });
    let look_ms = world.config.offsets_retention_check_interval_ms;
    world.send(commit("g", "", -1, 0, 42), 9);
    world.settle_all();
    world.advance(look_ms - 5_000);
    let member = world.stable_one("g");
    // A second one joins, and the first is awaited.
    world.join_new("g");
    for _ in 0..3 {
        world.advance(2_000);
        world.heartbeat("g", &member, 1);
    }
    world.settle_all();
    world.fetched("g", 0)
}

#[test]
fn offsets_of_a_group_that_rebalances_are_kept() {
    assert_eq!(offset_after_a_look_during_a_rebalance(Defects::NONE), 42);
}

#[test]
fn offsets_that_expire_during_a_rebalance_are_missed() {
    let defects = [Defect::ExpireWhileRebalancing].into_iter().collect();
    assert_eq!(offset_after_a_look_during_a_rebalance(defects), -1);
}
