//! Which producers may begin a transaction in this partition: those of which the coordinator has said that the
//! partition belongs to their transaction, because they have added it (KIP-890, part 1) or because it has done so on being
//! asked (part 2).
//!
//! Without the question a batch that was delayed past the end of its transaction would begin another one, which nobody
//! ever ends (KAFKA-14402). A marker voids what was asked before it, so that an answer that comes after the end of the
//! transaction is worth nothing (KAFKA-14884).

use std::collections::BTreeMap;

use super::transactions::TransactionEnd;
use crate::ids::{ProducerEpoch, ProducerId};

/// Names one question to the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerificationGuard(u64);

#[derive(Clone, Copy, Debug)]
struct Entry {
    epoch: ProducerEpoch,
    guard: VerificationGuard,
    passed: bool,
}

/// The producers that were asked about.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    next: u64,
    entries: BTreeMap<ProducerId, Entry>,
}

impl Verifications {
    /// The coordinator is about to be asked. Questions about one transaction share their answer.
    pub(super) fn begin(&mut self, producer: ProducerId, epoch: ProducerEpoch) -> VerificationGuard {
        if let Some(entry) = self.entries.get(&producer).filter(|entry| entry.epoch == epoch) {
            return entry.guard;
        }
        let guard = VerificationGuard(self.next);
        self.next += 1;
        self.entries.insert(producer, Entry { epoch, guard, passed: false });
        guard
    }

    /// The coordinator has said yes to the question.
    pub(super) fn pass(&mut self, producer: ProducerId, guard: VerificationGuard) {
        if let Some(entry) = self.entries.get_mut(&producer).filter(|entry| entry.guard == guard) {
            entry.passed = true;
        }
    }

    pub(super) fn has_passed(&self, producer: ProducerId, epoch: ProducerEpoch) -> bool {
        self.entries.get(&producer).is_some_and(|entry| entry.epoch == epoch && entry.passed)
    }

    /// A transaction of the producer has begun here.
    pub(super) fn begun(&mut self, producer: ProducerId) {
        self.entries.remove(&producer);
    }

    /// A transaction of the producer has ended here. If its marker surely bears a newer epoch, a question under that epoch is
    /// about the next one.
    pub(super) fn ended(&mut self, end: &TransactionEnd) {
        let is_next = |entry: &Entry| end.bumped && entry.epoch >= end.producer_epoch;
        if !self.entries.get(&end.producer).is_some_and(is_next) {
            self.entries.remove(&end.producer);
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Marker;

    const PRODUCER: ProducerId = ProducerId(1);
    const EPOCH: ProducerEpoch = ProducerEpoch(3);

    fn end(producer_epoch: ProducerEpoch, bumped: bool) -> TransactionEnd {
        let marker = Marker { commit: true, coordinator_epoch: 0 };
        TransactionEnd { producer: PRODUCER, producer_epoch, bumped, marker }
    }

    #[test]
    fn an_answer_counts_for_the_epoch_that_was_asked_about() {
        let mut verifications = Verifications::default();
        let guard = verifications.begin(PRODUCER, EPOCH);
        assert!(!verifications.has_passed(PRODUCER, EPOCH));
        verifications.pass(PRODUCER, guard);
        assert!(verifications.has_passed(PRODUCER, EPOCH));
        assert!(!verifications.has_passed(PRODUCER, ProducerEpoch(4)));
        assert_eq!(verifications.begin(PRODUCER, EPOCH), guard, "the same transaction");
    }

    #[test]
    fn an_answer_that_comes_after_the_marker_is_worth_nothing() {
        let mut verifications = Verifications::default();
        let guard = verifications.begin(PRODUCER, EPOCH);
        verifications.ended(&end(EPOCH, false));
        verifications.pass(PRODUCER, guard);
        assert!(!verifications.has_passed(PRODUCER, EPOCH));
        let next = verifications.begin(PRODUCER, EPOCH);
        verifications.pass(PRODUCER, guard);
        assert!(!verifications.has_passed(PRODUCER, EPOCH), "an answer to the earlier question");
        verifications.pass(PRODUCER, next);
        assert!(verifications.has_passed(PRODUCER, EPOCH));
    }

    #[test]
    fn in_the_second_protocol_a_question_about_the_next_transaction_outlives_the_marker_of_the_one_before() {
        // Its producer was answered before the markers were written.
        let mut verifications = Verifications::default();
        let guard = verifications.begin(PRODUCER, EPOCH);
        verifications.ended(&end(EPOCH, true));
        verifications.pass(PRODUCER, guard);
        assert!(verifications.has_passed(PRODUCER, EPOCH));
        verifications.ended(&end(ProducerEpoch(4), true));
        assert!(!verifications.has_passed(PRODUCER, EPOCH), "its own marker");
    }
}
