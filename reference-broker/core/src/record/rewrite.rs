//! A batch with fewer records, as compaction leaves it behind.

use bytes::Bytes;

use super::builder::put_record;
use super::header::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, COMPRESSION_MASK, DELETE_HORIZON, HEADER_BYTES, MAX_TIMESTAMP_AT,
    RECORD_COUNT_AT, seal,
};
use super::{Batch, Record};

/// The batch with only these records, perhaps none. Offsets, epochs, sequence and producer stay what they were, so that
/// followers, and producers that send it again, take it for the same one. A `horizon` that the batch has already stays.
pub fn rewrite(batch: &Batch, kept: &[Record], horizon: Option<i64>) -> Bytes {
    let header = &batch.header;
    let mut bytes = batch.bytes[..HEADER_BYTES].to_vec();
    let mut attributes = header.attributes & !COMPRESSION_MASK;
    let mut base_timestamp = header.base_timestamp;
    if let (Some(horizon), None) = (horizon, header.delete_horizon()) {
        attributes |= DELETE_HORIZON;
        base_timestamp = horizon;
    }
    let newest = kept.iter().map(|record| record.timestamp).max();
    // The append's time is in the header only; a batch without records keeps the time for the sake of its producer.
    let max_timestamp = newest.filter(|_| !header.is_log_append_time()).unwrap_or(header.max_timestamp);
    put(&mut bytes, ATTRIBUTES_AT, &attributes.to_be_bytes());
    put(&mut bytes, BASE_TIMESTAMP_AT, &base_timestamp.to_be_bytes());
    put(&mut bytes, MAX_TIMESTAMP_AT, &max_timestamp.to_be_bytes());
    put(&mut bytes, RECORD_COUNT_AT, &(kept.len() as i32).to_be_bytes());
    let mut scratch = Vec::new();
    for record in kept {
        let deltas = (record.timestamp.wrapping_sub(base_timestamp), record.offset.0 - header.base_offset.0);
        let pair = (record.key.as_deref(), record.value.as_deref());
        let headers = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref()));
        put_record(&mut bytes, &mut scratch, deltas, pair, headers);
    }
    seal(&mut bytes);
    bytes.into()
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ProducerEpoch, ProducerId, Sequence};
    use crate::record::{BatchBuilder, BatchHeader, batches};

    fn batch() -> Batch {
        let mut builder =
            BatchBuilder::new(1000).producer(ProducerId(7), ProducerEpoch(2), Sequence(40)).transactional();
        builder.push(1000, Some(b"a"), Some(b"1"), &[(b"h", None)]);
        builder.push(1005, Some(b"b"), None, &[]);
        builder.push(1003, Some(b"c"), Some(b"3"), &[]);
        batches(builder.build()).next().unwrap().unwrap()
    }

    fn records(batch: &Batch) -> Vec<Record> {
        batch.records().unwrap().map(Result::unwrap).collect()
    }

    fn rewritten(kept: &[Record], horizon: Option<i64>) -> Batch {
        let bytes = rewrite(&batch(), kept, horizon);
        assert!(BatchHeader::validate(&bytes).is_ok());
        batches(bytes).next().unwrap().unwrap()
    }

    #[test]
    fn what_is_kept_is_the_same_and_the_batch_spans_the_same_offsets() {
        let all = records(&batch());
        let new = rewritten(&all[..1], None);
        assert_eq!(records(&new), all[..1]);
        let (old, new) = (batch().header, new.header);
        assert_eq!((new.base_offset, new.last_offset()), (old.base_offset, old.last_offset()));
        assert_eq!((new.last_sequence(), new.producer_epoch), (old.last_sequence(), old.producer_epoch));
        assert_eq!((new.attributes, new.record_count, new.max_timestamp), (old.attributes, 1, 1000));
    }

    #[test]
    fn a_horizon_takes_the_place_of_the_base_time_stamp_once() {
        let all = records(&batch());
        let new = rewritten(&all[1..], Some(9_000));
        assert_eq!(new.header.delete_horizon(), Some(9_000));
        assert_eq!(records(&new), all[1..]);
        let again = batches(rewrite(&new, &all[1..2], Some(20_000))).next().unwrap().unwrap();
        assert_eq!((again.header.delete_horizon(), records(&again)), (Some(9_000), all[1..2].to_vec()));
    }

    #[test]
    fn a_batch_can_be_empty() {
        let new = rewritten(&[], None);
        assert_eq!((records(&new).len(), new.header.record_count, new.header.max_timestamp), (0, 0, 1005));
        assert_eq!(new.header.last_offset_delta, 2);
    }
}
