//! What the log knows of idempotent producers (KIP-98): enough to tell a retry from a gap.

use std::collections::{BTreeMap, VecDeque};

use super::AppendError;
use crate::defects::{Defect, Defects};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::BatchHeader;

/// How many batches of a producer are remembered. A producer must not have more in flight.
const REMEMBERED_BATCHES: usize = 5;

/// A batch that was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StoredBatch {
    pub(super) first_sequence: Sequence,
    pub(super) last_sequence: Sequence,
    pub(super) first_offset: Offset,
    pub(super) last_offset: Offset,
    pub(super) timestamp: i64,
}

/// One producer in one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ProducerState {
    pub(super) epoch: ProducerEpoch,
    /// Oldest first.
    pub(super) batches: VecDeque<StoredBatch>,
}

/// All producers in one partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerState>,
}

impl ProducerState {
    fn find(&self, header: &BatchHeader) -> Option<&StoredBatch> {
        self.batches.iter().find(|batch| {
            (batch.first_sequence, batch.last_sequence) == (header.base_sequence, header.last_sequence())
        })
    }
}

impl ProducerStates {
    pub(super) fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(id, state)| (*id, state))
    }

    pub(super) fn insert(&mut self, id: ProducerId, state: ProducerState) {
        self.producers.insert(id, state);
    }

    pub(super) fn get_mut(&mut self, id: ProducerId) -> Option<&mut ProducerState> {
        self.producers.get_mut(&id)
    }

    /// Whether a leader may append this batch: `Some` is where it was stored before.
    ///
    /// A producer that is not known here must begin with sequence 0. Kafka takes any sequence then, and so lets a
    /// producer's second batch in when its first was rejected (KAFKA-14359). The answer is "out of order" and not
    /// "unknown producer id", since to that one librdkafka gives up for good while it has other batches in flight.
    pub(super) fn check(
        &self,
        header: &BatchHeader,
        defects: Defects,
    ) -> Result<Option<StoredBatch>, AppendError> {
        if !header.is_idempotent() || header.is_control() {
            return Ok(None);
        }
        let expected = match self.producers.get(&header.producer_id) {
            None => Sequence(0),
            Some(known) if header.producer_epoch < known.epoch => {
                return Err(AppendError::InvalidProducerEpoch {
                    producer: header.producer_id,
                    known: known.epoch,
                    found: header.producer_epoch,
                });
            }
            Some(known) if header.producer_epoch > known.epoch => Sequence(0),
            Some(known) => {
                if let Some(stored) = known.find(header) {
                    return Ok((!defects.has(Defect::DedupeOff)).then_some(*stored));
                }
                known.batches.back().map_or(header.base_sequence, |last| last.last_sequence.plus(1))
            }
        };
        if header.base_sequence == expected || defects.has(Defect::SkipSequenceCheck) {
            return Ok(None);
        }
        Err(AppendError::OutOfOrderSequence {
            producer: header.producer_id,
            expected,
            found: header.base_sequence,
        })
    }

    /// Notes a batch that is in the log, whatever its sequence: what the leader took, a follower takes (KAFKA-6003).
    pub(super) fn update(&mut self, header: &BatchHeader) {
        if !header.is_idempotent() {
            return;
        }
        let state = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerState { epoch: header.producer_epoch, batches: VecDeque::new() });
        if header.producer_epoch > state.epoch {
            state.epoch = header.producer_epoch;
            state.batches.clear();
        }
        // A second copy of a remembered batch must not turn the sequence back. Only a planted bug stores one.
        if header.is_control() || header.producer_epoch < state.epoch || state.find(header).is_some() {
            return;
        }
        if state.batches.len() == REMEMBERED_BATCHES {
            state.batches.pop_front();
        }
        state.batches.push_back(StoredBatch {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            first_offset: header.base_offset,
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchBuilder;

    fn header(id: i64, epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
        let mut builder =
            BatchBuilder::new(0).producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence));
        for _ in 0..count {
            builder.push(0, None, Some(b"v"), &[]);
        }
        let mut header = BatchHeader::parse(&builder.build()).unwrap();
        header.base_offset = Offset(offset);
        header
    }

    fn offered(states: &mut ProducerStates, header: BatchHeader) -> Result<Option<i64>, AppendError> {
        let stored = states.check(&header, Defects::NONE)?;
        if stored.is_none() {
            states.update(&header);
        }
        Ok(stored.map(|batch| batch.first_offset.0))
    }

    fn out_of_order(expected: i32, found: i32) -> AppendError {
        AppendError::OutOfOrderSequence {
            producer: ProducerId(1),
            expected: Sequence(expected),
            found: Sequence(found),
        }
    }

    #[test]
    fn the_last_five_batches_are_known_again_and_the_sixth_is_not() {
        let mut states = ProducerStates::default();
        for batch in 0..6 {
            assert_eq!(offered(&mut states, header(1, 0, batch * 10, 10, i64::from(batch) * 100)), Ok(None));
        }
        for batch in 1..6 {
            let again = offered(&mut states, header(1, 0, batch * 10, 10, 999));
            assert_eq!(again, Ok(Some(i64::from(batch) * 100)));
        }
        assert_eq!(offered(&mut states, header(1, 0, 0, 10, 999)), Err(out_of_order(60, 0)));
    }

    #[test]
    fn a_gap_is_out_of_order() {
        let mut states = ProducerStates::default();
        assert_eq!(offered(&mut states, header(1, 0, 0, 3, 0)), Ok(None));
        assert_eq!(offered(&mut states, header(1, 0, 4, 1, 3)), Err(out_of_order(3, 4)));
        assert_eq!(offered(&mut states, header(1, 0, 3, 1, 3)), Ok(None));
    }

    #[test]
    fn a_part_of_a_stored_batch_is_no_duplicate() {
        let mut states = ProducerStates::default();
        assert_eq!(offered(&mut states, header(1, 0, 0, 3, 0)), Ok(None));
        assert_eq!(offered(&mut states, header(1, 0, 0, 2, 3)), Err(out_of_order(3, 0)));
    }

    #[test]
    fn an_unknown_producer_begins_with_sequence_zero_on_a_leader_and_anywhere_on_a_follower() {
        let mut states = ProducerStates::default();
        assert_eq!(offered(&mut states, header(1, 0, 7, 1, 0)), Err(out_of_order(0, 7)));
        states.update(&header(1, 0, 7, 1, 0));
        assert_eq!(offered(&mut states, header(1, 0, 8, 1, 1)), Ok(None));
    }

    #[test]
    fn a_newer_epoch_starts_over_and_fences_the_older() {
        let mut states = ProducerStates::default();
        assert_eq!(offered(&mut states, header(1, 3, 0, 3, 0)), Ok(None));
        assert_eq!(offered(&mut states, header(1, 4, 3, 1, 3)), Err(out_of_order(0, 3)));
        assert_eq!(offered(&mut states, header(1, 4, 0, 3, 3)), Ok(None));
        assert_eq!(
            offered(&mut states, header(1, 4, 0, 3, 9)),
            Ok(Some(3)),
            "not the batch of the older epoch"
        );
        let fenced = AppendError::InvalidProducerEpoch {
            producer: ProducerId(1),
            known: ProducerEpoch(4),
            found: ProducerEpoch(3),
        };
        assert_eq!(offered(&mut states, header(1, 3, 0, 3, 4)), Err(fenced));
    }

    #[test]
    fn sequences_wrap_after_two_to_the_31_minus_1() {
        let mut states = ProducerStates::default();
        states.update(&header(1, 0, i32::MAX - 2, 2, 0));
        // Two records at 2³¹−1 and 0, then 1.
        assert_eq!(offered(&mut states, header(1, 0, i32::MAX, 2, 2)), Ok(None));
        assert_eq!(offered(&mut states, header(1, 0, i32::MAX, 2, 9)), Ok(Some(2)));
        assert_eq!(offered(&mut states, header(1, 0, 0, 1, 4)), Err(out_of_order(1, 0)));
        assert_eq!(offered(&mut states, header(1, 0, 1, 1, 4)), Ok(None));
    }

    #[test]
    fn planted_bugs_let_duplicates_and_gaps_in() {
        let mut states = ProducerStates::default();
        states.update(&header(1, 0, 0, 1, 0));
        let dedupe_off: Defects = [Defect::DedupeOff].into_iter().collect();
        assert_eq!(states.check(&header(1, 0, 0, 1, 1), dedupe_off), Ok(None));
        states.update(&header(1, 0, 0, 1, 1));
        assert_eq!(
            offered(&mut states, header(1, 0, 1, 1, 2)),
            Ok(None),
            "the sequence goes on after the copy"
        );
        let unchecked: Defects = [Defect::SkipSequenceCheck].into_iter().collect();
        assert_eq!(states.check(&header(1, 0, 9, 1, 3), unchecked), Ok(None));
    }
}
