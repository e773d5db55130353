//! One producer per transactional id.

use kafka_protocol::ResponseError;

use super::world::*;
use crate::ids::ProducerEpoch;
use crate::transaction::TransactionState;

#[test]
fn a_new_instance_aborts_what_the_old_one_left_open_and_fences_it() {
    let mut world = World::new([]);
    let old = world.start(ID);
    world.add(old, &[0]);
    let reply = world.send(init(ID, None), 4);
    world.settle_all();
    assert_eq!(world.error(reply), ResponseError::ConcurrentTransactions.code());
    let due = world.due();
    assert_eq!(
        (due[0].marker.commit, due[0].producer_epoch.0),
        (false, 1),
        "the marker fences it at the leaders"
    );
    world.written(&due[0]);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::CompleteAbort);
    assert_eq!(world.start(ID), (old.0, 2));
    let fenced = ResponseError::ProducerFenced.code();
    assert_eq!((world.add(old, &[0]), world.end(old, true)), (fenced, fenced));
}

#[test]
fn versions_that_do_not_know_fencing_are_told_of_the_epoch() {
    let mut world = World::new([]);
    let old = world.start(ID);
    world.start(ID);
    let epoch = ResponseError::InvalidProducerEpoch.code();
    assert_eq!(world.ask(add(ID, old, &[0]), 1), epoch);
    assert_eq!(world.ask(add_offsets(ID, old), 1), epoch);
    assert_eq!(world.ask(end(ID, old, true), 1), epoch);
    assert_eq!(world.ask(init(ID, Some(old)), 3), epoch);
    assert_eq!(world.ask(init(ID, Some(old)), 4), ResponseError::ProducerFenced.code());
}

#[test]
fn a_producer_that_bumps_its_own_epoch_may_repeat_itself() {
    // KIP-360.
    let mut world = World::new([]);
    let first = world.start(ID);
    let second = world.start_with(ID, Some(first));
    assert_eq!(second, (first.0, 1));
    assert_eq!(world.start_with(ID, Some(first)), second, "the answer was lost");
    assert_eq!(world.start_with(ID, Some(second)), (first.0, 2));
    let fenced = ResponseError::ProducerFenced.code();
    assert_eq!(world.ask(init(ID, Some(first)), 4), fenced);
}

#[test]
fn a_zombie_that_bumps_its_epoch_does_not_abort_the_transaction_of_its_successor() {
    let mut world = World::new([]);
    let old = world.start(ID);
    let new = world.start(ID);
    world.add(new, &[0]);
    assert_eq!(world.ask(init(ID, Some(old)), 4), ResponseError::ProducerFenced.code());
    assert_eq!(world.state(), TransactionState::Ongoing);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_under_a_newer_epoch() {
    // KAFKA-6119: without the newer epoch the producer would go on in the next transaction.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    world.advance(TIMEOUT_MS / 2);
    world.add(producer, &[1]);
    world.advance(TIMEOUT_MS / 2 - 1);
    assert!(world.appends.is_empty());
    world.advance(1);
    assert_eq!(world.appends.len(), 1, "the time counts from the beginning");
    world.settle_all();
    let due = world.due();
    assert_eq!((due.len(), due[0].producer_epoch.0), (2, 1));
    for marker in &due {
        world.written(marker);
    }
    world.settle_all();
    let fenced = ResponseError::ProducerFenced.code();
    assert_eq!((world.end(producer, true), world.add(producer, &[0])), (fenced, fenced));
    assert_eq!(world.start(ID), (producer.0, 2));
}

#[test]
fn an_abort_for_age_that_cannot_be_stored_is_tried_again_and_burns_no_epoch() {
    // KAFKA-9666.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    world.advance(TIMEOUT_MS);
    for _ in 0..5 {
        world.settle_next(Err(ResponseError::NotEnoughReplicas));
        world.advance(500);
    }
    world.settle_all();
    assert_eq!(world.due()[0].producer_epoch.0, 1);
}

#[test]
fn a_producer_whose_epochs_are_used_up_gets_another_id() {
    let mut world = World::new([]);
    let id = world.start(ID).0;
    let mut stored = world.coordinator.snapshot()[ID].clone();
    stored.producer_epoch = ProducerEpoch(i16::MAX - 2);
    world.overwrite(&stored);
    let producer = world.start_with(ID, Some((id, i16::MAX - 2)));
    assert_eq!(producer, (id, i16::MAX - 1));
    let next = world.start_with(ID, Some(producer));
    assert_eq!(next, (id + 1, 0));
    assert_eq!(world.start_with(ID, Some(producer)), next, "the answer was lost");
    assert_eq!(world.add(producer, &[0]), ResponseError::InvalidProducerIdMapping.code());
}
