//! What of the log is decided: the last stable offset, the aborted transactions below it, and who may begin one.

use super::{AbortedTransaction, AppendError, PartitionLog, VerificationGuard};
use crate::defects::Defect;
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::record::BatchHeader;

impl PartitionLog {
    /// The end of what a reader of committed records may see, below this high watermark: everything before the first
    /// record of a transaction that is open, or whose marker is not committed (KIP-98). The high watermark is read
    /// once, by the caller (KAFKA-9807). What is deleted needs no decision.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let undecided =
            self.ended.iter().find(|(_, marker)| **marker >= high_watermark).map(|(first, _)| *first);
        let open = self.producers.first_open();
        [Some(high_watermark), open, undecided]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(high_watermark)
            .max(self.start)
    }

    /// All below is committed: markers there decide for good.
    pub fn decided_up_to(&mut self, high_watermark: Offset) {
        self.ended.retain(|_, marker| *marker >= high_watermark);
    }

    /// The aborted transactions with records in `from` (inclusive) to `to` (exclusive), in the order of their ends.
    pub fn aborted_in(&self, from: Offset, to: Offset) -> Vec<AbortedTransaction> {
        let segments = &self.segments[self.segment_of(from)..];
        let mut found = Vec::new();
        for entry in segments.iter().flat_map(|segment| segment.aborted.entries()) {
            if entry.marker >= from && entry.first < to {
                found.push(*entry);
            }
            if entry.stable_end >= to {
                break;
            }
        }
        found
    }

    /// Whether this producer has a transaction open here under this epoch.
    pub fn has_open_transaction(&self, producer: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers.has_open(producer, epoch)
    }

    /// Whether the coordinator has to be asked before this batch is appended, since it would begin a transaction
    /// here (KIP-890). The answer is brought by [`Self::verified`].
    pub fn begin_verification(&mut self, header: &BatchHeader) -> Option<VerificationGuard> {
        if !header.is_transactional() || header.is_control() || self.producers.has_stored(header) {
            return None;
        }
        self.begin_verification_of(header.producer_id, header.producer_epoch)
    }

    /// The same for records of the broker itself in this producer's transaction.
    pub fn begin_verification_of(
        &mut self,
        producer: ProducerId,
        epoch: ProducerEpoch,
    ) -> Option<VerificationGuard> {
        let asks = self.verifies() && !self.producers.has_open(producer, epoch);
        asks.then(|| self.verifications.begin(producer, epoch))
    }

    /// The coordinator has said that this partition belongs to the open transaction of the producer.
    pub fn verified(&mut self, producer: ProducerId, guard: VerificationGuard) {
        self.verifications.pass(producer, guard);
    }

    /// A batch may begin a transaction only if the coordinator knows of it.
    pub(super) fn check_transaction(&self, header: &BatchHeader) -> Result<(), AppendError> {
        let (producer, epoch) = (header.producer_id, header.producer_epoch);
        let begins = header.is_transactional() && !self.producers.has_open(producer, epoch);
        if begins && self.verifies() && !self.verifications.has_passed(producer, epoch) {
            return Err(AppendError::InvalidTransactionState { producer });
        }
        Ok(())
    }

    fn verifies(&self) -> bool {
        !self.config.defects.has(Defect::UnverifiedTransactions)
    }
}
