//! What the log knows of idempotent producers (KIP-98): enough to tell a retry from a gap, and where the transaction
//! of each began.

use std::collections::{BTreeMap, VecDeque};

use super::AppendError;
use super::transactions::{EndedTransaction, TransactionEnd};
use crate::defects::{Defect, Defects};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::{BatchHeader, Marker};

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
    /// Of the last marker; −1 if there was none.
    pub(super) coordinator_epoch: i32,
    /// The first offset of its open transaction.
    pub(super) open: Option<Offset>,
    /// Of its last batch or marker (KAFKA-9144), in milliseconds since 1970.
    pub(super) last_timestamp: i64,
    /// Oldest first.
    pub(super) batches: VecDeque<StoredBatch>,
}

/// All producers in one partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerState>,
    /// The open transactions by their first offsets.
    open: BTreeMap<Offset, ProducerId>,
    /// Whether there may have been producers that are not known any more.
    forgetful: bool,
}

impl ProducerState {
    pub(super) fn new(epoch: ProducerEpoch) -> Self {
        Self { epoch, coordinator_epoch: -1, open: None, last_timestamp: -1, batches: VecDeque::new() }
    }

    fn find(&self, header: &BatchHeader) -> Option<&StoredBatch> {
        self.batches.iter().find(|batch| {
            (batch.first_sequence, batch.last_sequence) == (header.base_sequence, header.last_sequence())
        })
    }
}

impl ProducerStates {
    /// What is known at the base of a first segment without a snapshot: nothing, and if the log does not begin at 0 there may
    /// have been somebody.
    pub(super) fn before(base: Offset) -> Self {
        Self { forgetful: base > Offset(0), ..Self::default() }
    }

    /// Some producer may have been forgotten.
    pub(super) fn forget_some(&mut self) {
        self.forgetful = true;
    }

    pub(super) fn is_forgetful(&self) -> bool {
        self.forgetful
    }

    /// Forgets producers without an open transaction that have sent nothing since `before`
    /// (`producer.id.expiration.ms`); says whether there were any.
    pub(super) fn expire(&mut self, before: i64) -> bool {
        let known = self.producers.len();
        self.producers.retain(|_, state| state.open.is_some() || state.last_timestamp >= before);
        let expired = self.producers.len() < known;
        self.forgetful |= expired;
        expired
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(id, state)| (*id, state))
    }

    pub(super) fn insert(&mut self, id: ProducerId, state: ProducerState) {
        if let Some(first) = state.open {
            self.open.insert(first, id);
        }
        self.producers.insert(id, state);
    }

    /// Where the oldest open transaction began.
    pub(super) fn first_open(&self) -> Option<Offset> {
        self.open.first_key_value().map(|(first, _)| *first)
    }

    /// Whether this producer has a transaction open under this epoch.
    pub(super) fn has_open(&self, id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers.get(&id).is_some_and(|known| known.open.is_some() && known.epoch == epoch)
    }

    /// Whether this batch was stored before.
    pub(super) fn has_stored(&self, header: &BatchHeader) -> bool {
        self.producers
            .get(&header.producer_id)
            .is_some_and(|known| known.epoch == header.producer_epoch && known.find(header).is_some())
    }

    /// Whether a leader may append this marker. One that ends no transaction is taken all the same: it is a retry. One
    /// whose transaction was ended before must not end the next one (KIP-1228).
    pub(super) fn check_marker(&self, end: &TransactionEnd) -> Result<(), AppendError> {
        let TransactionEnd { producer, producer_epoch: epoch, bumped, marker } = *end;
        match self.producers.get(&producer) {
            Some(known)
                if epoch < known.epoch || (bumped && epoch == known.epoch && known.open.is_some()) =>
            {
                Err(AppendError::InvalidProducerEpoch { producer, known: known.epoch, found: epoch })
            }
            Some(known) if marker.coordinator_epoch < known.coordinator_epoch => {
                Err(AppendError::CoordinatorFenced {
                    producer,
                    known: known.coordinator_epoch,
                    found: marker.coordinator_epoch,
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn get_mut(&mut self, id: ProducerId) -> Option<&mut ProducerState> {
        self.producers.get_mut(&id)
    }

    /// Whether a leader may append this batch: `Some` is where it was stored before.
    ///
    /// A producer that is not known here must begin with sequence 0, unless it may have been forgotten. Kafka always takes any
    /// sequence then, and so lets a producer's second batch in when its first was rejected (KAFKA-14359). The answer is "out of order" and not
    /// "unknown producer id", since to that one librdkafka gives up for good while it has other batches in flight.
    pub(super) fn check(
        &self,
        header: &BatchHeader,
        defects: Defects,
    ) -> Result<Option<StoredBatch>, AppendError> {
        if !header.is_idempotent() || header.is_control() {
            return Ok(None);
        }
        let producer = header.producer_id;
        let expected = match self.producers.get(&producer) {
            None if self.forgetful => return Ok(None),
            None => Sequence(0),
            Some(known) if header.producer_epoch < known.epoch => {
                let (known, found) = (known.epoch, header.producer_epoch);
                return Err(AppendError::InvalidProducerEpoch { producer, known, found });
            }
            Some(known) if known.open.is_some() && !header.is_transactional() => {
                return Err(AppendError::InvalidTransactionState { producer });
            }
            Some(known) if header.producer_epoch > known.epoch => Sequence(0),
            Some(known) => {
                if let Some(stored) = known.find(header) {
                    return Ok((!defects.has(Defect::DedupeOff)).then_some(*stored));
                }
                known.batches.back().map_or(Sequence(0), |last| last.last_sequence.plus(1))
            }
        };
        // The broker's own records in a transaction, committed offsets, are not numbered.
        let numbered = header.base_sequence.0 >= 0;
        if !numbered || header.base_sequence == expected || defects.has(Defect::SkipSequenceCheck) {
            return Ok(None);
        }
        Err(AppendError::OutOfOrderSequence {
            producer: header.producer_id,
            expected,
            found: header.base_sequence,
        })
    }

    /// Notes a batch that is in the log, whatever its sequence: what the leader took, a follower takes (KAFKA-6003).
    /// `marker` is what it says if it is one; returned is the transaction that it has ended.
    pub(super) fn update(
        &mut self,
        header: &BatchHeader,
        marker: Option<Marker>,
    ) -> Option<EndedTransaction> {
        if !header.is_idempotent() {
            return None;
        }
        let state = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| ProducerState::new(header.producer_epoch));
        if header.producer_epoch > state.epoch {
            state.epoch = header.producer_epoch;
            state.batches.clear();
        }
        state.last_timestamp = state.last_timestamp.max(header.max_timestamp);
        if let Some(marker) = marker {
            state.coordinator_epoch = state.coordinator_epoch.max(marker.coordinator_epoch);
            let first = state.open.take()?;
            self.open.remove(&first);
            let marker_at = header.base_offset;
            return Some(EndedTransaction {
                producer: header.producer_id,
                first,
                marker: marker_at,
                committed: marker.commit,
                stable_end: self.first_open().unwrap_or(marker_at.next()),
            });
        }
        if header.is_control() || header.producer_epoch < state.epoch {
            return None;
        }
        if header.is_transactional() && state.open.is_none() {
            state.open = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
        // A second copy of a remembered batch must not turn the sequence back. Only a planted bug stores one.
        if header.base_sequence.0 < 0 || state.find(header).is_some() {
            return None;
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
        None
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
            states.update(&header, None);
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
        states.update(&header(1, 0, 7, 1, 0), None);
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
        states.update(&header(1, 0, i32::MAX - 2, 2, 0), None);
        // Two records at 2³¹−1 and 0, then 1.
        assert_eq!(offered(&mut states, header(1, 0, i32::MAX, 2, 2)), Ok(None));
        assert_eq!(offered(&mut states, header(1, 0, i32::MAX, 2, 9)), Ok(Some(2)));
        assert_eq!(offered(&mut states, header(1, 0, 0, 1, 4)), Err(out_of_order(1, 0)));
        assert_eq!(offered(&mut states, header(1, 0, 1, 1, 4)), Ok(None));
    }

    #[test]
    fn a_producer_that_has_been_silent_for_too_long_is_forgotten_and_may_go_on_anywhere() {
        let mut states = ProducerStates::default();
        states.update(&header(1, 0, 0, 1, 0), None);
        let mut open = ProducerState::new(ProducerEpoch(0));
        open.open = Some(Offset(9));
        states.insert(ProducerId(2), open);
        assert!(!states.expire(0), "its time stamp is 0");
        assert_eq!(
            offered(&mut states, header(3, 0, 5, 1, 1)),
            Err(AppendError::OutOfOrderSequence {
                producer: ProducerId(3),
                expected: Sequence(0),
                found: Sequence(5),
            })
        );
        assert!(states.expire(1));
        assert!(!states.expire(1), "an open transaction is not forgotten");
        assert_eq!(offered(&mut states, header(1, 0, 7, 1, 1)), Ok(None));
    }

    #[test]
    fn planted_bugs_let_duplicates_and_gaps_in() {
        let mut states = ProducerStates::default();
        states.update(&header(1, 0, 0, 1, 0), None);
        let dedupe_off: Defects = [Defect::DedupeOff].into_iter().collect();
        assert_eq!(states.check(&header(1, 0, 0, 1, 1), dedupe_off), Ok(None));
        states.update(&header(1, 0, 0, 1, 1), None);
        assert_eq!(
            offered(&mut states, header(1, 0, 1, 1, 2)),
            Ok(None),
            "the sequence goes on after the copy"
        );
        let unchecked: Defects = [Defect::SkipSequenceCheck].into_iter().collect();
        assert_eq!(states.check(&header(1, 0, 9, 1, 3), unchecked), Ok(None));
    }
}
