//! The second protocol (KIP-890, part 2): leaders have their partitions join, and every end raises the epoch.

use kafka_protocol::ResponseError;

use super::world::*;
use crate::coordinator::ReplyId;
use crate::ids::{ProducerEpoch, ProducerId};
use crate::transaction::{TransactionMetadata, TransactionState, TransactionVersion};

const FENCED: i16 = ResponseError::ProducerFenced.code();
const INVALID: i16 = ResponseError::InvalidTxnState.code();
const CONCURRENT: i16 = ResponseError::ConcurrentTransactions.code();

fn stored(world: &World) -> TransactionMetadata {
    world.coordinator.snapshot()[ID].clone()
}

/// A producer with the last epoch but the one that fences it.
fn exhausted(world: &mut World) -> Identity {
    world.start(ID);
    let producer_epoch = ProducerEpoch(i16::MAX - 1);
    world.overwrite(&TransactionMetadata { producer_epoch, ..stored(world) });
    (stored(world).producer_id.0, producer_epoch.0)
}

/// Joins whose answers have not come yet.
fn ask_to_join(world: &mut World, producer: Identity, partition: i32) -> ReplyId {
    world.send(join(ID, producer, &[partition]), 0)
}

#[test]
fn an_end_answers_the_next_epoch_which_is_that_of_the_markers() {
    let mut world = World::new([]);
    let first = world.start(ID);
    assert_eq!((world.join(first, &[0, 1]), world.state()), (0, TransactionState::Ongoing));
    assert_eq!(stored(&world).version, TransactionVersion::Second);
    let second = world.end_and_bump(first, true).expect("a commit");
    assert_eq!(second, (first.0, first.1 + 1));
    let due = world.due();
    assert_eq!(due.len(), 2);
    for marker in due {
        let epoch = marker.producer_epoch.0;
        assert_eq!(
            (marker.marker.commit, epoch, marker.version),
            (true, second.1, TransactionVersion::Second)
        );
        world.written(&marker);
    }
    world.settle_all();
    assert_eq!(world.state(), TransactionState::CompleteCommit);

    assert_eq!(world.join(second, &[2]), 0);
    assert_eq!(stored(&world).partitions, [orders(2)].into());
    assert_eq!(world.end_and_bump(second, false), Ok((first.0, first.1 + 2)));
    assert_eq!(world.write_markers(), [orders(2)]);
    assert_eq!(world.state(), TransactionState::CompleteAbort);
}

#[test]
fn an_end_that_is_asked_for_again_is_answered_as_before() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    let next = world.end_and_bump(producer, true).expect("a commit");
    assert_eq!(world.end_and_bump(producer, true), Err(CONCURRENT), "its markers are not written");
    assert_eq!(world.end_and_bump(producer, false), Err(INVALID));
    assert_eq!(world.end_and_bump(next, true), Err(FENCED), "there is nothing yet under the next epoch");
    world.write_markers();
    assert_eq!(world.end_and_bump(producer, true), Ok(next));
    assert_eq!(world.end_and_bump(producer, false), Err(INVALID));
    world.fail_over();
    assert_eq!(world.end_and_bump(producer, true), Ok(next), "also by another coordinator");
    assert!(world.appends.is_empty());
}

#[test]
fn an_end_that_was_delayed_does_not_decide_the_next_transaction() {
    // KAFKA-17754, as in the test of the first protocol.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    let delayed = end(ID, producer, true);
    assert_eq!(world.ask(delayed.clone(), SECOND), 0);
    world.write_markers();
    let next = (producer.0, producer.1 + 1);
    assert_eq!(world.join(next, &[1]), 0);
    assert_eq!(world.ask(delayed, SECOND), FENCED);
    assert_eq!(world.state(), TransactionState::Ongoing);
    assert!(world.end_and_bump(next, false).is_ok());
}

#[test]
fn a_batch_that_was_delayed_begins_no_transaction() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    world.end_and_bump(producer, false).expect("an abort");
    assert_eq!(world.join(producer, &[1]), FENCED);
    world.write_markers();
    assert_eq!(world.join(producer, &[1]), FENCED);
    assert_eq!(world.join((producer.0 + 1, 0), &[1]), ResponseError::InvalidProducerIdMapping.code());
}

#[test]
fn joins_that_come_too_soon_wait_for_what_is_before_them() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    let joins = [0, 1, 2].map(|partition| ask_to_join(&mut world, producer, partition));
    assert_eq!(world.appends.len(), 1, "one record at a time");
    world.settle_all();
    assert_eq!(joins.map(|reply| world.error(reply)), [0, 0, 0]);
    assert_eq!(stored(&world).partitions.len(), 3);

    let next = world.end_and_bump(producer, true).expect("a commit");
    let early = ask_to_join(&mut world, next, 1);
    assert!(!world.is_answered(early) && world.state() == TransactionState::PrepareCommit);
    world.write_markers();
    assert_eq!((world.error(early), world.state()), (0, TransactionState::Ongoing));
    assert_eq!(stored(&world).partitions, [orders(1)].into());
}

#[test]
fn a_join_waits_for_a_second_and_not_beyond_its_coordinator() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    let next = world.end_and_bump(producer, true).expect("a commit");
    world.due();
    let first = ask_to_join(&mut world, next, 1);
    assert_eq!(world.coordinator.next_tick_ns(), world.now.mono_ns + 1_000_000_000);
    world.advance(999);
    assert!(!world.is_answered(first));
    let second = ask_to_join(&mut world, next, 1);
    world.advance(1);
    assert_eq!(world.error(first), CONCURRENT);
    assert!(!world.is_answered(second));
    world.fail_over();
    assert_eq!(world.error(second), ResponseError::NotCoordinator.code());
}

#[test]
fn a_join_is_served_when_the_record_before_it_was_refused() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    let [first, second] = [0, 1].map(|partition| ask_to_join(&mut world, producer, partition));
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.error(first), ResponseError::CoordinatorNotAvailable.code());
    world.settle_all();
    assert_eq!(world.error(second), 0);
    assert_eq!(stored(&world).partitions, [orders(1)].into());
}

#[test]
fn a_producer_whose_transaction_took_too_long_is_fenced_and_goes_on_after_an_abort() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    world.advance(TIMEOUT_MS);
    world.settle_all();
    let due = world.due();
    assert_eq!((due[0].marker.commit, due[0].producer_epoch.0), (false, producer.1 + 1), "raised once");
    assert_eq!(world.end_and_bump(producer, true), Err(INVALID), "it cannot be committed any more");
    assert_eq!(world.join(producer, &[1]), FENCED);
    world.written(&due[0]);
    world.settle_all();
    assert_eq!(world.end_and_bump(producer, true), Err(INVALID));
    assert_eq!(world.join(producer, &[1]), FENCED);
    let next = world.end_and_bump(producer, false).expect("that is what has become of it");
    assert_eq!(next, (producer.0, producer.1 + 1));
    assert_eq!(world.join(next, &[1]), 0);
}

#[test]
fn a_zombie_is_fenced_by_its_successor() {
    let mut world = World::new([]);
    let old = world.start(ID);
    world.join(old, &[0]);
    let new = world.start(ID);
    assert_eq!(new, (old.0, old.1 + 2), "one epoch for the abort, one for the new instance");
    assert_eq!(world.join(old, &[1]), FENCED);
    for commit in [true, false] {
        assert_eq!(world.end_and_bump(old, commit), Err(FENCED));
    }
    world.join(new, &[2]);
    assert_eq!(world.end_and_bump(old, false), Err(FENCED));
    assert_eq!(world.ask(init(ID, Some(old)), 5), FENCED);
    assert_eq!(world.state(), TransactionState::Ongoing);
    assert!(world.end_and_bump(new, true).is_ok());
}

#[test]
fn a_transaction_of_which_nothing_is_known_can_be_aborted_and_not_committed() {
    // Its producer may have sent records that never came.
    let mut world = World::new([]);
    let mut producer = world.start(ID);
    for _ in 0..2 {
        assert_eq!(world.end_and_bump(producer, true), Err(INVALID));
        let next = world.end_and_bump(producer, false).expect("an abort");
        assert_eq!(next, (producer.0, producer.1 + 1));
        world.advance(0);
        world.settle_all();
        assert_eq!((world.state(), world.due().len()), (TransactionState::CompleteAbort, 0));
        assert_eq!(world.end_and_bump(producer, false), Ok(next), "the answer was lost");
        producer = next;
    }
    world.join(producer, &[0]);
    let next = world.end_and_bump(producer, true).expect("a commit");
    world.write_markers();
    assert_eq!(world.end_and_bump(next, true), Err(INVALID));
    assert_eq!(world.end_and_bump(next, false), Ok((next.0, next.1 + 1)), "after a commit, too");
}

#[test]
fn a_producer_that_did_not_hear_of_its_next_epoch_may_ask_for_it_by_name() {
    // KIP-360: it starts again instead of ending its transaction once more.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    let next = world.end_and_bump(producer, true).expect("a commit");
    assert_eq!(world.start_with(ID, Some(producer)), next);
}

#[test]
fn the_end_that_uses_up_the_epochs_brings_another_id() {
    let mut world = World::new([]);
    let producer = exhausted(&mut world);
    world.join(producer, &[0]);
    let reply = world.send(end(ID, producer, true), SECOND);
    world.settle_all();
    let next = world.bumped(reply).expect("a commit");
    assert_eq!(next, (producer.0 + 1, 0));
    let due = world.due();
    assert_eq!((due[0].producer_id.0, due[0].producer_epoch.0), (producer.0, i16::MAX));
    assert_eq!(world.end_and_bump(producer, true), Err(CONCURRENT));
    let early = ask_to_join(&mut world, next, 1);
    assert!(!world.is_answered(early), "it is known who that is");

    world.fail_over();
    assert_eq!(world.error(early), ResponseError::NotCoordinator.code());
    assert_eq!(stored(&world).next_id, ProducerId(next.0), "the next coordinator knows it, too");
    world.write_markers();
    assert_eq!(stored(&world).identity(), (ProducerId(next.0), ProducerEpoch(0)));
    assert_eq!(world.end_and_bump(producer, true), Ok(next), "the answer was lost");
    assert_eq!(world.end_and_bump(producer, false), Err(INVALID));
    world.fail_over();
    assert_eq!(world.end_and_bump(producer, true), Ok(next));
    assert_eq!(world.join(next, &[1]), 0);
    let mapping = ResponseError::InvalidProducerIdMapping.code();
    assert_eq!(world.end_and_bump(producer, true), Err(mapping), "it has begun the next one by now");
    assert_eq!(world.end_and_bump(next, true), Ok((next.0, 1)));
}

#[test]
fn an_abort_for_age_that_uses_up_the_epochs_leaves_nobody_the_last_one() {
    // KAFKA-20090: under it a transaction could not be fenced any more.
    let mut world = World::new([]);
    let producer = exhausted(&mut world);
    world.join(producer, &[0]);
    world.advance(TIMEOUT_MS);
    world.settle_all();
    assert_eq!(world.write_markers(), [orders(0)]);
    assert_eq!(stored(&world).producer_epoch.0, i16::MAX);
    let last = (producer.0, i16::MAX);
    assert_eq!((world.join(last, &[0]), world.end_and_bump(last, false)), (FENCED, Err(FENCED)));
    let next = world.end_and_bump(producer, false).expect("that is what has become of it");
    assert_eq!(next, (producer.0 + 1, 0));
    assert_eq!(world.end_and_bump(producer, false), Ok(next), "the answer was lost");
    assert_eq!((world.join(next, &[0]), world.state()), (0, TransactionState::Ongoing));
}

#[test]
fn without_a_fresh_id_a_transaction_that_needs_one_stays_open() {
    let mut world = World::new([]);
    let producer = exhausted(&mut world);
    world.join(producer, &[0]);
    world.ids_refused = true;
    let loading = ResponseError::CoordinatorLoadInProgress.code();
    assert_eq!(world.end_and_bump(producer, true), Err(loading));
    assert_eq!(world.state(), TransactionState::Ongoing);
    world.ids_refused = false;
    assert_eq!(world.end_and_bump(producer, true), Ok((producer.0 + 1, 0)));
}

#[test]
fn a_transactional_id_changes_from_one_protocol_to_the_other_and_back() {
    let mut world = World::new([]);
    let old_client = world.start(ID);
    for commit in [true, false] {
        assert_eq!((world.add(old_client, &[0]), world.end(old_client, commit)), (0, 0));
        world.write_markers();
        assert_eq!(stored(&world).producer_epoch.0, old_client.1, "no end raises it");
    }
    let new_client = world.start(ID);
    assert_eq!(world.join(new_client, &[0]), 0);
    let next = world.end_and_bump(new_client, true).expect("a commit");
    world.write_markers();
    assert_eq!(world.add(old_client, &[0]), FENCED);

    let old_client = world.start(ID);
    assert_eq!(old_client, (next.0, next.1 + 1));
    assert_eq!(world.join(next, &[0]), FENCED);
    assert_eq!(world.add(old_client, &[1]), 0);
    assert_eq!(stored(&world).version, TransactionVersion::First);
    assert_eq!(world.end(old_client, true), 0);
    let due = world.due();
    assert_eq!((due[0].producer_epoch.0, due[0].version), (old_client.1, TransactionVersion::First));
}

#[test]
fn the_version_of_the_end_decides_how_a_transaction_ends() {
    // A client that was told of the feature in the midst of a transaction.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    let next = world.end_and_bump(producer, true).expect("a commit");
    assert_eq!(next, (producer.0, producer.1 + 1));
    world.write_markers();
    world.join(next, &[0]);
    assert_eq!(world.end(next, true), 0);
    let due = world.due();
    assert_eq!((due[0].producer_epoch.0, due[0].version), (next.1, TransactionVersion::First));
}

#[test]
fn a_coordinator_that_takes_over_writes_markers_of_the_same_protocol() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.join(producer, &[0]);
    world.end_and_bump(producer, false).expect("an abort");
    world.fail_over();
    let due = world.due();
    assert_eq!((due[0].producer_epoch.0, due[0].version), (producer.1 + 1, TransactionVersion::Second));
}
