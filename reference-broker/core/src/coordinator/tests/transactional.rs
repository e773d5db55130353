//! Offsets that are committed in transactions.

use kafka_protocol::ResponseError;

use super::world::{World, commit, commit_in_transaction, config, fetch};
use crate::coordinator::{CoordinatorConfig, GroupResponse};
use crate::defects::Defect;

const NOBODY: (&str, i32) = ("", -1);

fn stable_error(world: &mut World) -> i16 {
    let stable = world.send(fetch("g", 0, true), 9);
    let Some(GroupResponse::OffsetFetch(response)) = world.reply(stable) else { panic!("no answer") };
    response.groups[0].topics[0].partitions[0].error_code
}

#[test]
fn an_offset_in_a_transaction_counts_when_its_commit_marker_does_and_not_before() {
    let mut world = World::new(config());
    let committed = world.send(commit_in_transaction("g", (7, 0), NOBODY, 0, 42), 3);
    assert!(world.reply(committed).is_none());
    world.settle_all();
    assert_eq!((world.error(committed), world.fetched("g", 0)), (0, -1));
    assert_eq!(stable_error(&mut world), ResponseError::UnstableOffsetCommit.code());
    world.assert_matches_the_log();
    world.end_transaction("g", 8, true);
    assert_eq!(world.fetched("g", 0), -1, "somebody else's transaction");
    world.end_transaction("g", 7, true);
    assert_eq!((world.fetched("g", 0), stable_error(&mut world)), (42, 0));
}

#[test]
fn an_offset_in_an_aborted_transaction_never_counts() {
    let mut world = World::new(config());
    world.send(commit("g", "", -1, 0, 5), 9);
    world.send(commit_in_transaction("g", (7, 0), NOBODY, 0, 42), 3);
    world.settle_all();
    world.end_transaction("g", 7, false);
    assert_eq!((world.fetched("g", 0), stable_error(&mut world)), (5, 0));
    world.end_transaction("g", 7, true);
    assert_eq!(world.fetched("g", 0), 5, "a later transaction of the same producer");
}

#[test]
fn what_an_open_transaction_has_committed_outlives_the_coordinator() {
    let mut world = World::new(config());
    world.send(commit_in_transaction("g", (7, 0), NOBODY, 0, 42), 3);
    world.settle_all();
    world.fail_over();
    assert_eq!(
        (world.fetched("g", 0), stable_error(&mut world)),
        (-1, ResponseError::UnstableOffsetCommit.code())
    );
    world.end_transaction("g", 7, true);
    world.fail_over();
    assert_eq!(world.fetched("g", 0), 42);
}

#[test]
fn a_producer_that_names_a_member_must_name_one_of_this_generation() {
    // KIP-447.
    let mut world = World::new(config());
    let member = world.stable_one("g");
    let ask = |world: &mut World, member: (&str, i32)| {
        let reply = world.send(commit_in_transaction("g", (7, 0), member, 0, 42), 3);
        world.settle_all();
        world.error(reply)
    };
    assert_eq!(ask(&mut world, (&member, 1)), 0);
    assert_eq!(ask(&mut world, (&member, 0)), ResponseError::IllegalGeneration.code());
    assert_eq!(ask(&mut world, ("stranger", 1)), ResponseError::UnknownMemberId.code());
    assert_eq!(ask(&mut world, NOBODY), 0, "older producers name none");
    let reply = world.send(commit_in_transaction("none", (7, 0), (&member, 1), 0, 42), 3);
    assert_eq!(world.error(reply), ResponseError::IllegalGeneration.code());
}

#[test]
fn a_planted_bug_lets_offsets_of_aborted_transactions_count() {
    let defects = [Defect::CommitOffsetsOnAbort].into_iter().collect();
    let mut world = World::new(CoordinatorConfig { defects, ..config() });
    world.send(commit_in_transaction("g", (7, 0), NOBODY, 0, 42), 3);
    world.settle_all();
    world.end_transaction("g", 7, false);
    assert_eq!(world.fetched("g", 0), 42);
}
