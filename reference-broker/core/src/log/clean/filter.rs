//! Which records of a batch are kept.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::offset_map::OffsetMap;
use super::transactions::Tracker;
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::log::producers::{ProducerState, ProducerStates};
use crate::log::transactions::AbortedIndex;
use crate::record::{Batch, BatchError, BatchHeader, Marker, Record, rewrite};

/// What a retry of a producer is known again by: the ends of its last batches, or its epoch if it has only left a marker.
#[derive(Debug)]
struct Remembered {
    epoch: ProducerEpoch,
    batches: Vec<Offset>,
}

/// Decides batch by batch, from the first one of the log on.
#[derive(Debug)]
pub(super) struct Filter {
    wall_ms: i64,
    /// When what is met now for the first time may go.
    horizon: i64,
    pub(super) map: OffsetMap,
    pub(super) transactions: Tracker,
    remembered: BTreeMap<ProducerId, Remembered>,
    /// A compressed batch was met: a key in it could come to life again if a tombstone went.
    opaque: bool,
}

impl Filter {
    pub(super) fn new(wall_ms: i64, delete_retention_ms: i64, map: OffsetMap, transactions: Tracker) -> Self {
        let horizon = wall_ms.saturating_add(delete_retention_ms);
        Self { wall_ms, horizon, map, transactions, remembered: BTreeMap::new(), opaque: false }
    }

    /// From the first batch on again, with all keys noted.
    pub(super) fn begin(&mut self, transactions: Tracker, producers: &ProducerStates) {
        let remembered = |state: &ProducerState| Remembered {
            epoch: state.epoch,
            batches: state.batches.iter().map(|batch| batch.last_offset).collect(),
        };
        self.remembered = producers.iter().map(|(id, state)| (id, remembered(state))).collect();
        self.transactions = transactions;
    }

    /// Notes the keys of a batch whose records are from `from` on.
    pub(super) fn note(&mut self, batch: &Batch, from: Offset) -> Result<(), BatchError> {
        BatchHeader::validate(&batch.bytes)?;
        if let Some(marker) = Marker::of(batch) {
            self.transactions.marker(&batch.header, marker, &mut AbortedIndex::default());
        }
        if batch.header.is_control() || self.transactions.batch(&batch.header) {
            return Ok(());
        }
        for record in batch.records().into_iter().flatten() {
            let record = record?;
            if let Some(key) = record.key.as_deref().filter(|_| record.offset >= from) {
                self.map.note(key, record.offset);
            }
        }
        Ok(())
    }

    /// What is left of a batch, if anything. What has changed is checked first: a bad batch must not be sealed anew.
    pub(super) fn keep(
        &mut self,
        batch: &Batch,
        aborted: &mut AbortedIndex,
    ) -> Result<Option<Bytes>, BatchError> {
        let kept = self.decide(batch, aborted)?;
        if kept.as_ref() != Some(&batch.bytes) {
            BatchHeader::validate(&batch.bytes)?;
        }
        Ok(kept)
    }

    fn decide(&mut self, batch: &Batch, aborted: &mut AbortedIndex) -> Result<Option<Bytes>, BatchError> {
        let header = &batch.header;
        let due = header.delete_horizon().is_some_and(|horizon| horizon <= self.wall_ms);
        let whole = || Some(batch.bytes.clone());
        let nothing = |is_remembered: bool| is_remembered.then(|| rewrite(batch, &[], None));
        let is_remembered = self.is_remembered(header);
        if header.is_control() {
            let Some(marker) = Marker::of(batch) else {
                return Ok(if header.record_count > 0 { whole() } else { nothing(is_remembered) });
            };
            if !self.transactions.marker(header, marker, aborted) {
                return Ok(whole());
            }
            return match header.delete_horizon() {
                Some(_) if due => Ok(nothing(is_remembered)),
                Some(_) => Ok(whole()),
                None => {
                    let records = batch.records().into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
                    Ok(Some(rewrite(batch, &records, Some(self.horizon))))
                }
            };
        }
        let was_aborted = self.transactions.batch(header);
        let Some(records) = batch.records() else {
            self.opaque |= !was_aborted;
            return Ok(if was_aborted { nothing(is_remembered) } else { whole() });
        };
        let mut kept = Vec::new();
        for record in records {
            let record = record?;
            if !was_aborted && self.keeps(&record, due) {
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(nothing(is_remembered));
        }
        let new_tombstone =
            header.delete_horizon().is_none() && kept.iter().any(|record| record.value.is_none());
        if kept.len() == header.record_count as usize && !new_tombstone {
            return Ok(whole());
        }
        Ok(Some(rewrite(batch, &kept, new_tombstone.then_some(self.horizon))))
    }

    /// Records without a key are from before the topic was compacted.
    fn keeps(&self, record: &Record, due: bool) -> bool {
        let newest = record.key.as_deref().is_some_and(|key| self.map.is_newest(key, record.offset));
        newest && (record.value.is_some() || !due || self.opaque)
    }

    /// Kafka keeps the last batch only: a replica that is made anew from such a log does not know a retry of the others again.
    fn is_remembered(&self, header: &BatchHeader) -> bool {
        self.remembered.get(&header.producer_id).is_some_and(|Remembered { epoch, batches }| {
            batches.contains(&header.last_offset())
                || batches.is_empty() && header.is_control() && header.producer_epoch == *epoch
        })
    }
}
