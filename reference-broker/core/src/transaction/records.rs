//! The records of `__transaction_state`, in Kafka's own schemas, so that other tools can read the topic.
//!
//! Written and read: `TransactionLogKey` 0 with `TransactionLogValue` 0 and 1. Version 1 is written where it has to be: for
//! what is of the second protocol (KIP-890).

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use super::message::TopicPartition;
use super::metadata::{TransactionMetadata, TransactionState};
use super::version::TransactionVersion;
use crate::coordinator::schema::{
    Reader, RecordError, put_compact, put_count, put_no_tags, put_string, put_varint,
};
use crate::ids::{PartitionId, ProducerEpoch, ProducerId};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 0;
/// The one with tagged fields.
const FLEXIBLE_VERSION: i16 = 1;

const PREVIOUS_ID_TAG: u32 = 0;
const NEXT_ID_TAG: u32 = 1;
const CLIENT_VERSION_TAG: u32 = 2;
/// How the second protocol is called in records.
const SECOND: i16 = 2;

const STATES: [(i8, TransactionState); 6] = [
    (0, TransactionState::Empty),
    (1, TransactionState::Ongoing),
    (2, TransactionState::PrepareCommit),
    (3, TransactionState::PrepareAbort),
    (4, TransactionState::CompleteCommit),
    (5, TransactionState::CompleteAbort),
];

pub(super) fn key(transactional_id: &str) -> Bytes {
    let mut key = BytesMut::new();
    key.put_i16(KEY_VERSION);
    put_string(&mut key, transactional_id);
    key.freeze()
}

pub(super) fn value(metadata: &TransactionMetadata) -> Bytes {
    let tags = tags(metadata);
    let flexible = !tags.is_empty();
    let mut value = BytesMut::new();
    value.put_i16(if flexible { FLEXIBLE_VERSION } else { VALUE_VERSION });
    value.put_i64(metadata.producer_id.0);
    value.put_i16(metadata.producer_epoch.0);
    value.put_i32(metadata.timeout_ms);
    let status = STATES.iter().find(|(_, state)| *state == metadata.state).map_or(0, |(status, _)| *status);
    value.put_i8(status);
    put_partitions(&mut value, metadata, flexible);
    value.put_i64(metadata.updated_ms);
    value.put_i64(metadata.started_ms);
    if flexible {
        put_varint(&mut value, tags.len() as u32);
        for (tag, field) in tags {
            put_varint(&mut value, tag);
            put_varint(&mut value, field.len() as u32);
            value.put_slice(&field);
        }
    }
    value.freeze()
}

/// What only the flexible version has a place for; what has its default is left out.
fn tags(metadata: &TransactionMetadata) -> Vec<(u32, Vec<u8>)> {
    let mut tags = Vec::new();
    for (tag, id) in [(PREVIOUS_ID_TAG, metadata.previous_id), (NEXT_ID_TAG, metadata.next_id)] {
        if id != ProducerId::NONE {
            tags.push((tag, id.0.to_be_bytes().to_vec()));
        }
    }
    if metadata.version == TransactionVersion::Second {
        tags.push((CLIENT_VERSION_TAG, SECOND.to_be_bytes().to_vec()));
    }
    tags
}

fn put_partitions(value: &mut BytesMut, metadata: &TransactionMetadata, flexible: bool) {
    let put_length = |value: &mut BytesMut, length: usize| {
        if flexible { put_count(value, length) } else { value.put_i32(length as i32) }
    };
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in &metadata.partitions {
        topics.entry(topic).or_default().push(partition.0);
    }
    put_length(value, topics.len());
    for (topic, partitions) in topics {
        if flexible {
            put_compact(value, topic);
        } else {
            put_string(value, topic);
        }
        put_length(value, partitions.len());
        for partition in partitions {
            value.put_i32(partition);
        }
        if flexible {
            put_no_tags(value);
        }
    }
}

/// Reads one record: the transactional id, and its state or `None` if it was deleted.
pub(super) fn decode(
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(String, Option<TransactionMetadata>), RecordError> {
    let mut key = Reader(key);
    match key.i16()? {
        KEY_VERSION => Ok((key.string()?, value.map(decode_value).transpose()?)),
        version => Err(RecordError::KeyVersion(version)),
    }
}

fn decode_value(value: &[u8]) -> Result<TransactionMetadata, RecordError> {
    let mut value = Reader(value);
    let flexible = match value.i16()? {
        VALUE_VERSION => false,
        FLEXIBLE_VERSION => true,
        found => return Err(RecordError::ValueVersion { found, expected: FLEXIBLE_VERSION }),
    };
    let producer_id = ProducerId(value.i64()?);
    let producer_epoch = ProducerEpoch(value.i16()?);
    let timeout_ms = value.i32()?;
    let status = value.i8()?;
    let known = STATES.iter().find(|(known, _)| *known == status);
    let (_, state) = *known.ok_or(RecordError::State(status))?;
    let partitions = partitions(&mut value, flexible)?;
    let (updated_ms, started_ms) = (value.i64()?, value.i64()?);
    let mut metadata = TransactionMetadata {
        producer_id,
        producer_epoch,
        timeout_ms,
        state,
        partitions,
        updated_ms,
        started_ms,
        ..TransactionMetadata::unknown()
    };
    if flexible {
        // The tags are walked once for each.
        let tagged = |tag| Reader(value.0).tagged(tag).map(|field| field.map(Reader));
        if let Some(mut field) = tagged(PREVIOUS_ID_TAG)? {
            metadata.previous_id = ProducerId(field.i64()?);
        }
        if let Some(mut field) = tagged(NEXT_ID_TAG)? {
            metadata.next_id = ProducerId(field.i64()?);
        }
        if let Some(mut field) = tagged(CLIENT_VERSION_TAG)?
            && field.i16()? >= SECOND
        {
            metadata.version = TransactionVersion::Second;
        }
    }
    Ok(metadata)
}

fn partitions(value: &mut Reader<'_>, flexible: bool) -> Result<BTreeSet<TopicPartition>, RecordError> {
    // Null, −1, stands for none.
    let length = |value: &mut Reader<'_>| {
        if flexible { value.count() } else { Ok(usize::try_from(value.i32()?).unwrap_or(0)) }
    };
    let mut partitions = BTreeSet::new();
    for _ in 0..length(value)? {
        let topic = if flexible { value.compact()? } else { value.string()? };
        for _ in 0..length(value)? {
            partitions.insert((topic.clone(), PartitionId(value.i32()?)));
        }
        if flexible {
            value.skip_tags()?;
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> TransactionMetadata {
        TransactionMetadata {
            producer_id: ProducerId(900),
            producer_epoch: ProducerEpoch(2),
            timeout_ms: 60_000,
            state: TransactionState::PrepareCommit,
            partitions: [("a", 1), ("a", 3), ("b", 0)]
                .map(|(topic, partition)| (topic.to_owned(), PartitionId(partition)))
                .into(),
            updated_ms: 5,
            started_ms: 4,
            ..TransactionMetadata::unknown()
        }
    }

    fn of_the_second_protocol() -> TransactionMetadata {
        TransactionMetadata {
            previous_id: ProducerId(7),
            next_id: ProducerId(901),
            version: TransactionVersion::Second,
            ..metadata()
        }
    }

    #[test]
    fn a_transaction_has_the_bytes_that_kafka_writes() {
        assert_eq!(key("tx").as_ref(), b"\0\0\0\x02tx");
        let expected: &[u8] = b"\0\0\0\0\0\0\0\0\x03\x84\0\x02\0\0\xea\x60\x02\0\0\0\x02\
            \0\x01a\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\x01b\0\0\0\x01\0\0\0\0\
            \0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x04";
        assert_eq!(value(&metadata()).as_ref(), expected);
        assert_eq!(decode(&key("tx"), Some(expected)), Ok(("tx".into(), Some(metadata()))));
        assert_eq!(decode(&key("tx"), None), Ok(("tx".into(), None)));
    }

    #[test]
    fn what_is_of_the_second_protocol_stands_in_tagged_fields() {
        let expected: &[u8] = b"\0\x01\0\0\0\0\0\0\x03\x84\0\x02\0\0\xea\x60\x02\x03\
            \x02a\x03\0\0\0\x01\0\0\0\x03\0\x02b\x02\0\0\0\0\0\
            \0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x04\
            \x03\0\x08\0\0\0\0\0\0\0\x07\x01\x08\0\0\0\0\0\0\x03\x85\x02\x02\0\x02";
        assert_eq!(value(&of_the_second_protocol()).as_ref(), expected);
        let decoded = decode(&key("tx"), Some(expected));
        assert_eq!(decoded, Ok(("tx".into(), Some(of_the_second_protocol()))));
        // A null array, as Kafka writes it in `Empty`, and a tag of times to come.
        let empty: &[u8] = b"\0\x01\0\0\0\0\0\0\x03\x84\0\x02\0\0\xea\x60\0\0\
            \0\0\0\0\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff\x01\x03\x02\0\x07";
        let (_, decoded) = decode(&key("tx"), Some(empty)).expect("a record");
        let decoded = decoded.expect("not a tombstone");
        assert_eq!((decoded.version, decoded.next_id), (TransactionVersion::First, ProducerId::NONE));
        assert_eq!((decoded.state, decoded.started_ms), (TransactionState::Empty, -1));
    }

    #[test]
    fn a_record_cut_anywhere_is_refused_and_not_a_panic() {
        for metadata in [metadata(), of_the_second_protocol()] {
            let value = value(&metadata);
            for length in 0..value.len() {
                assert!(decode(&key("tx"), Some(&value[..length])).is_err(), "cut at {length}");
            }
            let mut strange = value.to_vec();
            strange[16] = 6;
            assert_eq!(decode(&key("tx"), Some(&strange)), Err(RecordError::State(6)));
            strange[1] = 2;
            let version = RecordError::ValueVersion { found: 2, expected: FLEXIBLE_VERSION };
            assert_eq!(decode(&key("tx"), Some(&strange)), Err(version));
        }
    }
}
