//! Planted bugs of the log: stored bytes that nobody sent.
//!
//! Both leave the batch valid for Kafka, so that only what the harness puts into the payload tells. They strike every
//! so many batches of a log, uncompressed data batches only, and only values with a header of the harness: 64 bytes,
//! the message's sequence number at 16..20 (little-endian), a CRC-32C over the first 60 and all after the header at
//! 60..64.

use bytes::{Bytes, BytesMut};

use crate::defects::{Defect, Defects};
use crate::record::{Batch, BatchBuilder, BatchHeader, Record, seal};

/// How often a bug strikes, in batches.
const EVERY: u64 = 64;
/// The first batch it strikes.
const FIRST: u64 = 16;

const PAYLOAD_HEADER_BYTES: usize = 64;
const SEQUENCE_AT: usize = 16;
const CHECKSUM_AT: usize = 60;
/// Added to the sequence number of a real message: no producer gets that far.
const PHANTOM_SEQUENCE: u32 = 1_000_000_000;

/// Decides when a bug strikes.
#[derive(Clone, Debug)]
pub(super) struct Planted {
    defects: Defects,
    batches: u64,
}

impl Planted {
    pub(super) fn new(defects: Defects) -> Self {
        Self { defects, batches: 0 }
    }

    /// Now and then flips a bit in the last byte of the last value of a batch, and makes the batch's CRC fit.
    pub(super) fn flip_byte(&mut self, header: &BatchHeader, batch: &mut BytesMut) {
        if !self.defects.has(Defect::FlipByte) || header.is_control() || !self.strikes() {
            return;
        }
        let copy = Batch { header: *header, bytes: Bytes::copy_from_slice(batch) };
        let Some(value) = last_record(&copy).and_then(|record| record.value) else { return };
        if value.len() < PAYLOAD_HEADER_BYTES {
            return;
        }
        let value_at = value.as_ptr() as usize - copy.bytes.as_ptr() as usize;
        batch[value_at + value.len() - 1] ^= 1;
        seal(batch);
    }

    /// Now and then a batch to be stored behind this one: its last message once more, under a number that was never
    /// given out, and without a producer.
    pub(super) fn phantom(&mut self, batch: &Batch) -> Option<BytesMut> {
        if !self.defects.has(Defect::PhantomRecord) || batch.header.is_control() || !self.strikes() {
            return None;
        }
        let record = last_record(batch)?;
        let value = forged(record.value.as_deref()?)?;
        let mut builder = BatchBuilder::new(record.timestamp);
        let headers: Vec<_> =
            record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        builder.push(record.timestamp, record.key.as_deref(), Some(&value), &headers);
        Some(BytesMut::from(builder.build()))
    }

    fn strikes(&mut self) -> bool {
        self.batches += 1;
        self.batches % EVERY == FIRST
    }
}

fn last_record(batch: &Batch) -> Option<Record> {
    batch.records()?.last()?.ok()
}

/// The payload under another number, with a checksum that fits.
fn forged(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < PAYLOAD_HEADER_BYTES {
        return None;
    }
    let mut payload = payload.to_vec();
    let sequence = u32::from_le_bytes(payload[SEQUENCE_AT..SEQUENCE_AT + 4].try_into().ok()?);
    let forged = sequence.wrapping_add(PHANTOM_SEQUENCE);
    payload[SEQUENCE_AT..SEQUENCE_AT + 4].copy_from_slice(&forged.to_le_bytes());
    let checksum =
        crc32c::crc32c_append(crc32c::crc32c(&payload[..CHECKSUM_AT]), &payload[PAYLOAD_HEADER_BYTES..]);
    payload[CHECKSUM_AT..PAYLOAD_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Some(payload)
}
