//! Another broker takes over.

use kafka_protocol::ResponseError;

use super::world::{SESSION_MS, World, commit, config, join, sync};
use crate::coordinator::StoredRecord;

#[test]
fn members_go_on_under_a_new_coordinator() {
    let mut world = World::new(config());
    let (first, second) = world.stable_two("g");
    world.send(commit("g", &first, 2, 0, 42), 9);
    world.settle_all();
    let before = world.coordinator.snapshot();
    world.fail_over();
    assert_eq!(world.coordinator.snapshot(), before);
    assert_eq!(world.heartbeat("g", &first, 2), 0);
    assert_eq!(world.heartbeat("g", &second, 2), 0);
    let synced = world.send(sync("g", &second, 2, &[]), 5);
    assert_eq!(world.sync_reply(synced).assignment.as_ref(), b"p1");
    assert_eq!(world.fetched("g", 0), 42);
    let committed = world.send(commit("g", &second, 2, 1, 7), 9);
    world.settle_all();
    assert_eq!(world.error(committed), 0);
    world.assert_matches_the_log();
}

#[test]
fn members_that_do_not_come_back_to_the_new_coordinator_die_after_a_session() {
    let mut world = World::new(config());
    let (first, second) = world.stable_two("g");
    world.fail_over();
    world.advance(SESSION_MS as u64 - 1);
    assert_eq!(world.heartbeat("g", &first, 2), 0);
    world.advance(1);
    assert_eq!(world.heartbeat("g", &second, 2), ResponseError::UnknownMemberId.code());
    assert_eq!(world.heartbeat("g", &first, 2), ResponseError::RebalanceInProgress.code());
}

#[test]
fn what_waits_is_sent_to_the_new_coordinator() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    let committed = world.send(commit("g", &member, 1, 0, 42), 9);
    let (_, joined) = world.join_new("g");
    let (leader, _) = world.join_new("h");
    let synced = world.send(sync("h", &leader, 1, &[(&leader, "all")]), 5);
    world.fail_over();
    for reply in [committed, joined, synced] {
        assert_eq!(world.error(reply), ResponseError::NotCoordinator.code());
    }
    assert_eq!(world.fetched("g", 0), -1, "it was never committed");
}

#[test]
fn a_generation_that_was_never_stored_ends_with_its_coordinator() {
    let mut world = World::new(config());
    let first = world.stable_one("g");
    let (second, joined) = world.join_new("g");
    world.send(join("g", &first, None), 9);
    assert_eq!(world.join_reply(joined).generation_id, 2);
    world.fail_over();
    assert_eq!(world.heartbeat("g", &second, 2), ResponseError::UnknownMemberId.code());
    assert_eq!(world.heartbeat("g", &first, 2), ResponseError::IllegalGeneration.code());
    let zombie = world.send(commit("g", &second, 2, 0, 9), 9);
    assert_eq!(world.error(zombie), ResponseError::UnknownMemberId.code());
}

#[test]
fn ids_are_not_given_again_by_a_coordinator_with_the_same_seed() {
    let mut world = World::new(config());
    let (before, _) = world.join_new("g");
    world.fail_over();
    let (after, _) = world.join_new("g");
    assert_ne!(before, after);
}

#[test]
fn a_record_that_cannot_be_read_does_not_hide_the_others() {
    let mut world = World::new(config());
    world.send(commit("g", "", -1, 0, 42), 9);
    world.settle_all();
    for records in world.log.values_mut() {
        let stored = |key, value| StoredRecord::Record { producer: None, key, value };
        records.insert(0, stored(bytes::Bytes::from_static(b"\0\x09?"), None));
        records.insert(0, stored(bytes::Bytes::new(), Some(bytes::Bytes::new())));
    }
    world.fail_over();
    assert_eq!(world.fetched("g", 0), 42);
}
