//! What the planted bugs of this room do.

use super::world::*;
use crate::defects::Defect;

#[test]
fn a_planted_bug_lets_the_old_instance_go_on() {
    let mut world = World::new([Defect::ReuseProducerEpoch]);
    let old = world.start(ID);
    world.add(old, &[0]);
    assert_eq!(world.start(ID), old);
    assert_eq!(world.add(old, &[1]), 0);
}

#[test]
fn a_planted_bug_lets_a_producer_go_on_whose_transaction_took_too_long() {
    let mut world = World::new([Defect::TimeoutKeepsEpoch]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    world.advance(TIMEOUT_MS);
    world.settle_all();
    world.write_markers();
    assert_eq!((world.add(producer, &[0]), world.end(producer, true)), (0, 0));
}

#[test]
fn a_planted_bug_aborts_in_some_partitions_and_commits_in_all() {
    let mut world = World::new([Defect::AbortPartly]);
    let producer = world.start(ID);
    world.add(producer, &[0, 1, 2]);
    world.end(producer, false);
    assert_eq!(world.write_markers(), [orders(0), orders(1)]);
    world.add(producer, &[0, 1, 2]);
    world.end(producer, true);
    assert_eq!(world.write_markers(), [orders(0), orders(1), orders(2)]);
}
