//! Transactions from their beginning to their end.

use kafka_protocol::ResponseError;

use super::world::*;
use crate::transaction::TransactionState;

#[test]
fn a_transaction_is_decided_when_its_record_is_committed_and_complete_when_all_markers_are_written() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    assert_eq!(producer, (501, 0));
    assert_eq!((world.add(producer, &[0, 1]), world.state()), (0, TransactionState::Ongoing));
    assert_eq!(world.ask(add_offsets(ID, producer), 3), 0);

    let reply = world.send(end(ID, producer, true), 3);
    assert!(
        world.open.contains_key(&reply) && world.due().is_empty(),
        "nothing before the decision is committed"
    );
    world.settle_all();
    assert_eq!((world.error(reply), world.state()), (0, TransactionState::PrepareCommit));

    let due = world.due();
    let targets: Vec<_> = due.iter().map(|marker| (marker.target.0.as_str(), marker.target.1.0)).collect();
    assert_eq!(targets, [("__consumer_offsets", 2), ("orders", 0), ("orders", 1)]);
    assert!(due.iter().all(|marker| marker.marker.commit && marker.producer_epoch.0 == 0));
    world.written(&due[0]);
    world.written(&due[1]);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    world.written(&due[2]);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::CompleteCommit);
    assert!(world.coordinator.snapshot()[ID].partitions.is_empty());

    assert_eq!((world.add(producer, &[3]), world.state()), (0, TransactionState::Ongoing));
    assert_eq!(world.coordinator.snapshot()[ID].partitions, [orders(3)].into());
}

#[test]
fn a_marker_that_failed_is_due_again_after_a_while_and_only_that_one() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0, 1]);
    world.end(producer, false);
    let due = world.due();
    assert!(!due[0].marker.commit);
    world.written(&due[0]);
    world.coordinator.marker_failed(world.now, due[1].order, &due[1].target);
    assert!(world.due().is_empty());
    assert_eq!(world.coordinator.next_tick_ns(), world.now.mono_ns + 50_000_000);
    world.advance(50);
    assert_eq!(world.write_markers(), [orders(1)]);
    assert_eq!(world.state(), TransactionState::CompleteAbort);
}

#[test]
fn a_decision_can_be_asked_for_again_and_not_for_the_contrary() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    let invalid = ResponseError::InvalidTxnState.code();
    assert_eq!(world.end(producer, true), invalid, "nothing to end");
    world.add(producer, &[0]);
    world.end(producer, true);
    let concurrent = ResponseError::ConcurrentTransactions.code();
    assert_eq!((world.end(producer, true), world.end(producer, false)), (concurrent, invalid));
    assert_eq!(world.add(producer, &[1]), concurrent);
    world.write_markers();
    assert_eq!((world.end(producer, true), world.end(producer, false)), (0, invalid));
}

#[test]
fn while_a_record_is_on_its_way_there_is_no_other() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    let first = world.send(add(ID, producer, &[0]), 3);
    let concurrent = ResponseError::ConcurrentTransactions.code();
    for request in [add(ID, producer, &[1]), end(ID, producer, true), init(ID, None)] {
        let reply = world.send(request, 3);
        assert_eq!(world.error(reply), concurrent);
    }
    world.settle_all();
    assert_eq!(world.error(first), 0);
    assert_eq!((world.add(producer, &[0]), world.appends.len()), (0, 0), "it is there already");
}

#[test]
fn a_record_that_is_refused_changes_nothing() {
    let mut world = World::new([]);
    let reply = world.send(init(ID, None), 4);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.error(reply), ResponseError::CoordinatorNotAvailable.code());
    assert!(world.coordinator.snapshot().is_empty());

    let producer = world.start(ID);
    world.add(producer, &[0]);
    let reply = world.send(end(ID, producer, true), 3);
    world.settle_next(Err(ResponseError::NotLeaderOrFollower));
    assert_eq!(world.error(reply), ResponseError::NotCoordinator.code());
    assert_eq!((world.state(), world.due()), (TransactionState::Ongoing, Vec::new()));

    assert_eq!(world.end(producer, true), 0);
    let due = world.due();
    world.written(&due[0]);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.state(), TransactionState::PrepareCommit);
    world.advance(500);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::CompleteCommit, "the coordinator's own step is tried again");
}

#[test]
fn a_transaction_without_partitions_needs_no_markers() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.send(add(ID, producer, &[]), 3);
    world.settle_all();
    assert_eq!(world.end(producer, true), 0);
    world.advance(0);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::CompleteCommit);
}

#[test]
fn a_partition_is_vouched_for_while_its_transaction_is_open_and_under_its_epoch() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    let invalid = ResponseError::InvalidTxnState.code();
    assert_eq!(world.verify(producer, 0), invalid);
    world.add(producer, &[0]);
    assert_eq!((world.verify(producer, 0), world.verify(producer, 1)), (0, invalid));
    assert_eq!(world.verify((producer.0, 7), 0), ResponseError::ProducerFenced.code());
    assert_eq!(world.verify((7, 0), 0), ResponseError::InvalidProducerIdMapping.code());
    world.end(producer, true);
    assert_eq!(world.verify(producer, 0), ResponseError::ConcurrentTransactions.code());
    world.write_markers();
    assert_eq!(world.verify(producer, 0), invalid, "late");
}

#[test]
fn a_transactional_id_and_a_timeout_must_make_sense() {
    let mut world = World::new([]);
    assert_eq!(world.ask(init("", None), 4), ResponseError::InvalidRequest.code());
    let crate::transaction::TransactionRequest::InitProducerId(request) = init(ID, None) else { panic!() };
    for timeout_ms in [0, -1, 60_001] {
        let request = request.clone().with_transaction_timeout_ms(timeout_ms);
        let request = crate::transaction::TransactionRequest::InitProducerId(request);
        assert_eq!(world.ask(request, 4), ResponseError::InvalidTransactionTimeout.code());
    }
    assert_eq!(world.add((501, 0), &[0]), ResponseError::InvalidProducerIdMapping.code());
    world.ids_refused = true;
    assert_eq!(world.ask(init(ID, None), 4), ResponseError::CoordinatorLoadInProgress.code());
}

#[test]
fn in_this_version_of_the_protocol_an_end_that_was_delayed_decides_the_next_transaction() {
    // KAFKA-17754: the epoch is the same in both, so that nothing tells them apart. 1. The producer sends its end and has
    // no answer. 2. It sends it again, and that one is answered. 3. In its next transaction the first one arrives.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    let delayed = end(ID, producer, true);
    assert_eq!(world.ask(delayed.clone(), 3), 0);
    world.write_markers();
    assert_eq!(world.add(producer, &[1]), 0);
    assert_eq!(world.ask(delayed, 3), 0);
    assert_eq!(world.write_markers(), [orders(1)]);
    assert_eq!(world.end(producer, false), ResponseError::InvalidTxnState.code(), "it can abort no more");
}
