//! What a coordinator does that takes over.

use kafka_protocol::ResponseError;

use super::world::*;
use crate::coordinator::ReplyId;
use crate::ids::{LeaderEpoch, PartitionId};
use crate::transaction::{TransactionConfig, TransactionCoordinator, TransactionEffect, TransactionState};

#[test]
fn a_decision_outlives_its_coordinator() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0, 1]);
    world.end(producer, true);
    let before = world.due();
    world.written(&before[0]);
    world.fail_over();
    let due = world.due();
    assert_eq!(due.len(), 2, "who has its marker already is not known, and does no harm");
    assert!(due.iter().all(|marker| marker.marker.commit && marker.marker.coordinator_epoch == 1));
    for marker in &due {
        world.written(marker);
    }
    world.settle_all();
    assert_eq!((world.end(producer, true), world.state()), (0, TransactionState::CompleteCommit));
}

#[test]
fn a_decision_that_was_not_committed_was_never_taken() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    let reply = world.send(end(ID, producer, true), 3);
    world.fail_over();
    assert_eq!(world.error(reply), ResponseError::NotCoordinator.code());
    assert_eq!((world.state(), world.due()), (TransactionState::Ongoing, Vec::new()));
    assert_eq!(world.end(producer, false), 0);
    assert_eq!(world.write_markers(), [orders(0)]);
}

#[test]
fn an_open_transaction_gets_its_whole_time_again() {
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    world.advance(TIMEOUT_MS - 1);
    world.fail_over();
    world.advance(TIMEOUT_MS - 1);
    assert!(world.appends.is_empty());
    world.advance(1);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::PrepareAbort);
}

#[test]
fn an_answer_to_an_earlier_order_touches_no_later_one() {
    // KAFKA-16352. 1. The markers of a transaction are ordered twice, since the coordinator was away. 2. They are
    // written, and the next transaction is decided. 3. The answer to the first order comes.
    let mut world = World::new([]);
    let producer = world.start(ID);
    world.add(producer, &[0]);
    world.end(producer, true);
    let first = world.due();
    world.written(&first[0]);
    world.settle_all();
    world.add(producer, &[0]);
    world.end(producer, false);
    let second = world.due();
    world.written(&first[0]);
    assert!(world.appends.is_empty());
    world.written(&second[0]);
    world.settle_all();
    assert_eq!(world.state(), TransactionState::CompleteAbort);
}

#[test]
fn who_does_not_lead_or_has_not_loaded_yet_says_so() {
    let config =
        TransactionConfig { topic_partitions: 1, max_timeout_ms: 60_000, defects: crate::Defects::NONE };
    let mut coordinator = TransactionCoordinator::new(config);
    let now = crate::node::Now::default();
    let mut out = Vec::new();
    coordinator.handle(now, init(ID, None), 4, ReplyId(1), &mut out);
    coordinator.begin_load(PartitionId(0), LeaderEpoch(3), &mut out);
    coordinator.handle(now, init(ID, None), 4, ReplyId(2), &mut out);
    coordinator.load(now, PartitionId(0), LeaderEpoch(2), [], &mut out);
    coordinator.handle(now, init(ID, None), 4, ReplyId(3), &mut out);
    let errors: Vec<_> = out
        .iter()
        .map(|effect| match effect {
            TransactionEffect::Reply {
                response: crate::transaction::TransactionResponse::InitProducerId(response),
                ..
            } => response.error_code,
            other => panic!("{other:?}"),
        })
        .collect();
    let loading = ResponseError::CoordinatorLoadInProgress.code();
    assert_eq!(errors, [ResponseError::NotCoordinator.code(), loading, loading]);
    out.clear();
    coordinator.load(now, PartitionId(0), LeaderEpoch(3), [], &mut out);
    coordinator.handle(now, init(ID, None), 4, ReplyId(4), &mut out);
    assert_eq!(out, [TransactionEffect::AllocateProducerId { reply: ReplyId(4) }]);
}
