use super::*;
use crate::defects::{Defect, Defects};

const PAYLOAD_BYTES: usize = 100;

/// A payload as the harness builds it: a header of 64 bytes with the number at 16..20 and the checksum at 60..64.
fn payload(sequence: u32) -> Vec<u8> {
    let mut payload = vec![3; PAYLOAD_BYTES];
    payload[16..20].copy_from_slice(&sequence.to_le_bytes());
    let checksum = checksum(&payload);
    payload[60..64].copy_from_slice(&checksum.to_le_bytes());
    payload
}

fn checksum(payload: &[u8]) -> u32 {
    crc32c::crc32c(&[&payload[..60], &payload[64..]].concat())
}

/// What is stored when 100 messages are appended to a log with this bug.
fn stored(defect: Defect, control: bool) -> Vec<(ProducerId, Vec<u8>)> {
    let mut disk = MemDisk::new();
    let mut log =
        open(&LogConfig { defects: Defects::from_iter([defect]), ..LogConfig::default() }, &mut disk);
    for sequence in 0..100 {
        let builder = BatchBuilder::new(5).producer(ProducerId(1), ProducerEpoch(0), Sequence(sequence));
        let builder = if control { builder.control() } else { builder };
        let batch = builder.record(Some(b"key"), Some(&payload(sequence as u32))).build();
        append(&mut log, batch, 1, &mut disk).unwrap();
    }
    record::batches(contents(&log, &mut disk).into())
        .map(|batch| {
            let batch = batch.unwrap();
            record::BatchHeader::validate(&batch.bytes).expect("the batch is valid for Kafka");
            let mut records: Vec<_> = batch.records().unwrap().map(Result::unwrap).collect();
            assert_eq!(records[0].key.as_deref(), Some(&b"key"[..]));
            (batch.header.producer_id, records.remove(0).value.unwrap().to_vec())
        })
        .collect()
}

fn number(payload: &[u8]) -> u32 {
    u32::from_le_bytes(payload[16..20].try_into().unwrap())
}

fn intact(payload: &[u8]) -> bool {
    payload[60..64] == checksum(payload).to_le_bytes()
}

#[test]
fn a_flipped_byte_breaks_the_payload_and_leaves_its_identity() {
    let stored = stored(Defect::FlipByte, false);
    let broken: Vec<u32> =
        stored.iter().filter(|(_, value)| !intact(value)).map(|(_, v)| number(v)).collect();
    assert_eq!((stored.len(), broken), (100, vec![15, 79]));
}

#[test]
fn a_phantom_is_an_intact_message_under_a_number_that_was_never_given_out() {
    let stored = stored(Defect::PhantomRecord, false);
    assert!(stored.iter().all(|(_, value)| intact(value)));
    let phantoms: Vec<(ProducerId, u32)> =
        stored.iter().map(|(id, value)| (*id, number(value))).filter(|(_, number)| *number >= 100).collect();
    assert_eq!(phantoms, [(ProducerId::NONE, 1_000_000_015), (ProducerId::NONE, 1_000_000_079)]);
    assert_eq!(stored.len(), 102);
}

#[test]
fn control_batches_are_never_struck() {
    for defect in [Defect::FlipByte, Defect::PhantomRecord] {
        let stored = stored(defect, true);
        assert!(stored.len() == 100 && stored.iter().all(|(_, value)| intact(value)));
    }
}

#[test]
fn without_dedupe_a_retry_is_stored_twice_and_the_producer_goes_on() {
    let mut disk = MemDisk::new();
    let config = LogConfig { defects: Defects::from_iter([Defect::DedupeOff]), ..LogConfig::default() };
    let mut log = open(&config, &mut disk);
    for sequence in [0, 1, 0, 2] {
        assert!(!append(&mut log, from_producer(1, 0, sequence), 1, &mut disk).unwrap().duplicate);
    }
    assert_eq!(end(&log), 4);
    disk.close_all();
    let mut log = open(&config, &mut disk);
    assert!(append(&mut log, from_producer(1, 0, 3), 1, &mut disk).is_ok());
}
