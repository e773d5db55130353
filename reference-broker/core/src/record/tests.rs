//! The codec of the `kafka-protocol` crate is the other opinion here.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as TheirCompression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

use super::*;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

fn theirs() -> Bytes {
    let records: Vec<TheirRecord> = (0..3)
        .map(|n| {
            let mut record = TheirRecord {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 7,
                producer_id: 900,
                producer_epoch: 2,
                timestamp_type: TimestampType::Creation,
                offset: 40 + n,
                sequence: 11 + n as i32,
                timestamp: 1_700_000_000_000 + n * 70,
                key: (n != 1).then(|| Bytes::from(format!("key {n}"))),
                value: (n != 2).then(|| Bytes::from(vec![n as u8; 200])),
                headers: kafka_protocol::indexmap::IndexMap::default(),
            };
            record.headers.insert(StrBytes::from_static_str("null"), None);
            record.headers.insert(StrBytes::from_static_str("h"), Some(Bytes::from_static(b"x")));
            record
        })
        .collect();
    let mut buffer = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: TheirCompression::None };
    RecordBatchEncoder::encode(&mut buffer, &records, &options).unwrap();
    buffer.freeze()
}

fn ours() -> BatchBuilder {
    let mut builder = BatchBuilder::new(1000).producer(ProducerId(900), ProducerEpoch(2), Sequence(11));
    builder.push(1000, Some(b"k"), None, &[(b"h", Some(b"x")), (b"null", None)]);
    builder.push(900, None, Some(b"v"), &[]);
    builder
}

#[test]
fn a_foreign_batch_is_read_as_it_was_written() {
    let batch = batches(theirs()).next().unwrap().unwrap();
    let header = BatchHeader::validate(&batch.bytes).unwrap();
    assert_eq!((header.base_offset, header.last_offset()), (Offset(40), Offset(42)));
    assert_eq!((header.leader_epoch, header.producer_id), (LeaderEpoch(7), ProducerId(900)));
    assert_eq!((header.producer_epoch, header.base_sequence), (ProducerEpoch(2), Sequence(11)));
    assert_eq!(header.max_timestamp, 1_700_000_000_140);
    assert!(!header.is_control() && !header.is_transactional() && !header.is_log_append_time());

    let records: Vec<Record> = batch.records().unwrap().map(Result::unwrap).collect();
    assert_eq!(records.iter().map(|record| record.offset.0).collect::<Vec<_>>(), [40, 41, 42]);
    assert_eq!(records[1].timestamp, 1_700_000_000_070);
    assert_eq!((records[1].key.as_ref(), records[2].value.as_ref()), (None, None));
    assert_eq!(records[0].value.as_deref(), Some(&[0; 200][..]));
    assert_eq!(records[0].headers[0], Header { key: "null".into(), value: None });
    assert_eq!(records[0].headers[1], Header { key: "h".into(), value: Some("x".into()) });
}

#[test]
fn a_batch_of_ours_is_read_by_a_foreign_codec() {
    let mut batch = BytesMut::from(ours().control().transactional().build());
    patch_base_offset(&mut batch, Offset(70));
    patch_leader_epoch(&mut batch, LeaderEpoch(3));
    let read = RecordBatchDecoder::decode(&mut batch.freeze()).unwrap().records;
    let seen: Vec<_> = read.iter().map(|record| (record.offset, record.sequence, record.timestamp)).collect();
    assert_eq!(seen, [(70, 11, 1000), (71, 12, 900)]);
    assert!(read[0].control && read[0].transactional);
    assert_eq!((read[0].partition_leader_epoch, read[0].producer_id), (3, 900));
    assert_eq!((read[0].key.as_deref(), read[0].value.as_deref()), (Some(&b"k"[..]), None));
    assert_eq!(read[0].headers.len(), 2);
}

#[test]
fn patching_offset_and_epoch_keeps_the_checksum_and_any_other_change_breaks_it() {
    let mut batch = theirs().to_vec();
    patch_base_offset(&mut batch, Offset(i64::MAX / 2));
    patch_leader_epoch(&mut batch, LeaderEpoch(i32::MAX));
    BatchHeader::validate(&batch).unwrap();
    for at in 16..batch.len() {
        let mut damaged = batch.clone();
        damaged[at] ^= 0x40;
        assert!(BatchHeader::validate(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn a_cut_batch_is_torn_at_every_length() {
    let batch = theirs();
    for length in 0..batch.len() {
        assert!(matches!(BatchHeader::validate(&batch[..length]), Err(BatchError::Torn { .. })), "{length}");
    }
    let walked: Vec<_> = batches([&theirs()[..], &theirs()[..90]].concat().into()).collect();
    assert!(matches!(walked.as_slice(), [Ok(_), Err(BatchError::Torn { have: 90, .. })]));
}

#[test]
fn records_that_do_not_decode_end_the_walk_without_a_panic() {
    let batch = theirs();
    for at in HEADER_BYTES..batch.len() {
        for value in [0x00, 0x7f, 0x80, 0xff] {
            let mut damaged = batch.to_vec();
            damaged[at] = value;
            let damaged = batches(damaged.into()).next().unwrap().unwrap();
            assert!(damaged.records().unwrap().count() <= 3);
        }
    }
}

#[test]
fn a_batch_with_log_append_time_gives_it_to_all_records() {
    let mut batch = theirs().to_vec();
    set_log_append_time(&mut batch, 5);
    let header = BatchHeader::validate(&batch).unwrap();
    let batch = Batch { header, bytes: batch.into() };
    assert!(batch.records().unwrap().all(|record| record.unwrap().timestamp == 5));
}

#[test]
fn a_compressed_batch_is_opaque() {
    let mut batch = theirs().to_vec();
    batch[22] |= 4;
    seal(&mut batch);
    let batch = batches(batch.into()).next().unwrap().unwrap();
    assert_eq!(batch.header.compression(), Compression::Codec(4));
    assert!(batch.records().is_none());
}
