//! Builds the broker's own batches: committed offsets, the metadata log, control records.

use bytes::Bytes;

use super::header::{CONTROL, TRANSACTIONAL, seal};
use super::varint;
use crate::ids::{ProducerEpoch, ProducerId, Sequence};

/// Builds one uncompressed batch with base offset 0 and no leader epoch; the log fills in both.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    attributes: i16,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: Sequence,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
    records: Vec<u8>,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch; `timestamp` is that of its first record, in milliseconds since 1970.
    pub fn new(timestamp: i64) -> Self {
        Self {
            attributes: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch(-1),
            base_sequence: Sequence(-1),
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            count: 0,
            records: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Comes from an idempotent producer; `sequence` is that of the first record.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, sequence: Sequence) -> Self {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, sequence);
        self
    }

    /// Is part of a transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Holds control records, which consumers never see.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= CONTROL;
        self
    }

    /// Adds a record with the time stamp of the batch.
    #[must_use]
    pub fn record(mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        self.push(self.base_timestamp, key, value, &[]);
        self
    }

    /// Adds a record.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        let deltas = (timestamp - self.base_timestamp, i64::from(self.count));
        put_record(&mut self.records, &mut self.scratch, deltas, (key, value), headers.iter().copied());
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// Number of records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the records so far.
    pub fn record_bytes(&self) -> usize {
        self.records.len()
    }

    /// The batch.
    pub fn build(self) -> Bytes {
        assert!(self.count > 0, "a batch has at least one record");
        let mut batch = Vec::with_capacity(super::HEADER_BYTES + self.records.len());
        batch.extend_from_slice(&0_i64.to_be_bytes());
        batch.extend_from_slice(&0_i32.to_be_bytes());
        batch.extend_from_slice(&(-1_i32).to_be_bytes());
        batch.push(2);
        batch.extend_from_slice(&0_u32.to_be_bytes());
        batch.extend_from_slice(&self.attributes.to_be_bytes());
        batch.extend_from_slice(&(self.count - 1).to_be_bytes());
        batch.extend_from_slice(&self.base_timestamp.to_be_bytes());
        batch.extend_from_slice(&self.max_timestamp.to_be_bytes());
        batch.extend_from_slice(&self.producer_id.0.to_be_bytes());
        batch.extend_from_slice(&self.producer_epoch.0.to_be_bytes());
        batch.extend_from_slice(&self.base_sequence.0.to_be_bytes());
        batch.extend_from_slice(&self.count.to_be_bytes());
        batch.extend_from_slice(&self.records);
        seal(&mut batch);
        batch.into()
    }
}

/// Appends a record with its length; `deltas` are those of its time stamp and offset.
pub(super) fn put_record<'a>(
    records: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    (timestamp_delta, offset_delta): (i64, i64),
    (key, value): (Option<&[u8]>, Option<&[u8]>),
    headers: impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) {
    scratch.clear();
    scratch.push(0);
    varint::put(scratch, timestamp_delta);
    varint::put(scratch, offset_delta);
    put_nullable(scratch, key);
    put_nullable(scratch, value);
    varint::put(scratch, headers.len() as i64);
    for (key, value) in headers {
        put_nullable(scratch, Some(key));
        put_nullable(scratch, value);
    }
    varint::put(records, scratch.len() as i64);
    records.extend_from_slice(scratch);
}

fn put_nullable(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(buffer, -1),
        Some(bytes) => {
            varint::put(buffer, bytes.len() as i64);
            buffer.extend_from_slice(bytes);
        }
    }
}
