//! Random lives of two producers of one transactional id, who speak either protocol, with lost appends, lost markers and moves of the coordinator.
//!
//! Checked on the way: a decision is never taken back, no marker comes without a committed decision, and in the end
//! every decision is complete.

use kafka_protocol::ResponseError;
use proptest::prelude::*;

use super::world::*;
use crate::coordinator::ReplyId;
use crate::transaction::TransactionState;

#[derive(Clone, Copy, Debug)]
enum Step {
    Start { slot: usize },
    Add { slot: usize, partition: i32 },
    Join { slot: usize, partition: i32 },
    End { slot: usize, commit: bool, version: i16 },
    Settle,
    Refuse,
    Mark { lost: bool },
    Pass { ms: u64 },
    FailOver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..2_usize).prop_map(|slot| Step::Start { slot }),
        5 => (0..2_usize, 0..3_i32).prop_map(|(slot, partition)| Step::Add { slot, partition }),
        5 => (0..2_usize, 0..3_i32).prop_map(|(slot, partition)| Step::Join { slot, partition }),
        4 => (0..2_usize, any::<bool>(), prop_oneof![Just(3_i16), Just(SECOND)])
            .prop_map(|(slot, commit, version)| Step::End { slot, commit, version }),
        9 => Just(Step::Settle),
        1 => Just(Step::Refuse),
        5 => any::<bool>().prop_map(|lost| Step::Mark { lost }),
        2 => (1..TIMEOUT_MS).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::FailOver),
    ]
}

#[derive(Default)]
struct Judge {
    /// The decision that is being carried out.
    decided: Option<TransactionState>,
    last: Option<(TransactionState, i64)>,
}

impl Judge {
    fn look(&mut self, world: &World) {
        let Some(stored) = world.coordinator.snapshot().remove(ID) else { return };
        let epoch = i64::from(stored.producer_epoch.0);
        if let Some((before, epoch_before)) = self.last
            && stored.producer_id.0 == 501
        {
            assert!(epoch >= epoch_before, "the epoch went back");
            let complete =
                matches!(stored.state, TransactionState::CompleteCommit | TransactionState::CompleteAbort);
            match before.prepared() {
                Some(_) if stored.state == before => {}
                Some(commit) => {
                    let expected = if commit {
                        TransactionState::CompleteCommit
                    } else {
                        TransactionState::CompleteAbort
                    };
                    assert_eq!(stored.state, expected, "a decision was taken back");
                }
                None => assert!(!complete || stored.state == before, "complete without a decision"),
            }
        }
        let decision = stored.state.prepared().map(|_| stored.state);
        assert!(self.decided.is_none() || decision.is_none() || self.decided == decision, "{decision:?}");
        self.decided = decision;
        self.last = Some((stored.state, epoch));
    }
}

/// A producer: what it has, and the end of a transaction that it waits for.
#[derive(Clone, Copy)]
struct Producer {
    identity: Identity,
    ending: Option<ReplyId>,
}

impl Producer {
    /// An end of the second protocol may have brought it another epoch.
    fn hear(&mut self, world: &World) {
        if let Some(reply) = self.ending.filter(|reply| world.is_answered(*reply)) {
            self.ending = None;
            self.identity = world.bumped(reply).unwrap_or(self.identity);
        }
    }
}

fn settle(world: &mut World, judge: &mut Judge) {
    while world.settle_next(Ok(())) {
        judge.look(world);
    }
}

fn carry_out(world: &mut World, judge: &mut Judge, producers: &mut [Producer; 2], step: Step) {
    match step {
        Step::Start { slot } => {
            let reply = world.send(init(ID, None), 4);
            settle(world, judge);
            if world.error(reply) == 0 {
                let stored = world.coordinator.snapshot()[ID].clone();
                let identity = (stored.producer_id.0, stored.producer_epoch.0);
                producers[slot] = Producer { identity, ending: None };
            }
        }
        Step::Add { slot, partition } => {
            world.send(add(ID, producers[slot].identity, &[partition]), 3);
        }
        Step::Join { slot, partition } => {
            world.send(join(ID, producers[slot].identity, &[partition]), 0);
        }
        Step::End { slot, commit, version } => {
            let reply = world.send(end(ID, producers[slot].identity, commit), version);
            producers[slot].ending = Some(reply).filter(|_| version == SECOND);
        }
        Step::Settle => {
            world.settle_next(Ok(()));
        }
        Step::Refuse => {
            world.settle_next(Err(ResponseError::NotEnoughReplicas));
        }
        Step::Mark { lost } => {
            for due in world.due() {
                let stored = world.coordinator.snapshot()[ID].clone();
                assert_eq!(stored.state.prepared(), Some(due.marker.commit), "a marker without its decision");
                assert!(stored.partitions.contains(&due.target));
                if lost {
                    world.coordinator.marker_failed(world.now, due.order, &due.target);
                } else {
                    world.written(&due);
                }
            }
        }
        Step::Pass { ms } => world.advance(ms),
        Step::FailOver => world.fail_over(),
    }
    judge.look(world);
    for producer in producers {
        producer.hear(world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn decisions_stand_and_are_carried_out(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new([]);
        let mut judge = Judge::default();
        let mut producers = [Producer { identity: (-1, -1), ending: None }; 2];
        for step in steps {
            carry_out(&mut world, &mut judge, &mut producers, step);
        }
        for _ in 0..3 {
            settle(&mut world, &mut judge);
            world.advance(TIMEOUT_MS);
            settle(&mut world, &mut judge);
            for due in world.due() {
                world.written(&due);
            }
            settle(&mut world, &mut judge);
        }
        prop_assert!(world.open.is_empty(), "unanswered: {:?}", world.open);
        let stored = world.coordinator.snapshot();
        prop_assert!(stored.get(ID).is_none_or(|stored| stored.state.prepared().is_none()));
    }
}
