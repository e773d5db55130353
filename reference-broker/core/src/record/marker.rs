//! The control record that ends a transaction in one partition (KIP-98).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Batch, BatchBuilder};
use crate::ids::{ProducerEpoch, ProducerId, Sequence};

/// The version of both schemas, key and value.
const VERSION: i16 = 0;
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// How a transaction ended, and on whose word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Marker {
    /// Committed, or aborted.
    pub commit: bool,
    /// The leader epoch of the coordinator's partition: it fences coordinators that were deposed.
    pub coordinator_epoch: i32,
}

impl Marker {
    /// The batch that is to be appended.
    pub fn batch(self, producer: ProducerId, epoch: ProducerEpoch, wall_ms: i64) -> Bytes {
        let mut key = BytesMut::with_capacity(4);
        key.put_i16(VERSION);
        key.put_i16(if self.commit { COMMIT } else { ABORT });
        let mut value = BytesMut::with_capacity(6);
        value.put_i16(VERSION);
        value.put_i32(self.coordinator_epoch);
        BatchBuilder::new(wall_ms)
            .producer(producer, epoch, Sequence(-1))
            .transactional()
            .control()
            .record(Some(&key), Some(&value))
            .build()
    }

    /// What a batch says, if it is a marker.
    pub fn of(batch: &Batch) -> Option<Self> {
        if !batch.header.is_control() {
            return None;
        }
        let record = batch.records()?.next()?.ok()?;
        let (mut key, mut value) = (record.key?, record.value?);
        let (_, kind) = (key.try_get_i16().ok()?, key.try_get_i16().ok()?);
        let (_, coordinator_epoch) = (value.try_get_i16().ok()?, value.try_get_i32().ok()?);
        // Other kinds are the metadata log's own.
        let commit = match kind {
            ABORT => false,
            COMMIT => true,
            _ => return None,
        };
        Some(Self { commit, coordinator_epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batches;

    #[test]
    fn a_marker_is_read_as_it_was_written_and_has_the_bytes_that_kafka_writes() {
        for commit in [false, true] {
            let marker = Marker { commit, coordinator_epoch: 7 };
            let batch = batches(marker.batch(ProducerId(900), ProducerEpoch(2), 5)).next().unwrap().unwrap();
            assert_eq!(Marker::of(&batch), Some(marker));
            assert!(batch.header.is_control() && batch.header.is_transactional());
            assert_eq!((batch.header.producer_id, batch.header.base_sequence.0), (ProducerId(900), -1));
            let record = batch.records().unwrap().next().unwrap().unwrap();
            assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, u8::from(commit)][..]));
            assert_eq!(record.value.as_deref(), Some(&b"\0\0\0\0\0\x07"[..]));
        }
    }

    #[test]
    fn a_batch_of_data_and_a_control_record_of_another_kind_are_no_markers() {
        let data = BatchBuilder::new(5).record(Some(b"\0\0\0\x01"), Some(b"\0\0\0\0\0\x07")).build();
        assert_eq!(Marker::of(&batches(data).next().unwrap().unwrap()), None);
        let other = BatchBuilder::new(5).control().record(Some(b"\0\0\0\x02"), Some(b"\0\0\0\0\0\x07"));
        assert_eq!(Marker::of(&batches(other.build()).next().unwrap().unwrap()), None);
    }
}
