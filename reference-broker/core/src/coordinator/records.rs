//! The records of `__consumer_offsets`, in Kafka's own schemas, so that other tools can read the topic.
//!
//! Written and read: `OffsetCommitKey` 1 with `OffsetCommitValue` 3, `GroupMetadataKey` 2 with `GroupMetadataValue` 3, and
//! those of the consumer protocol (KIP-848).

use bytes::{BufMut, Bytes, BytesMut};

use super::consumer::ConsumerRecord;
use super::schema::{Reader, RecordError, put_bytes, put_nullable, put_string};
use crate::ids::{LeaderEpoch, Offset, PartitionId};

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const VALUE_VERSION: i16 = 3;

/// Where a consumer goes on in a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The next offset to be read.
    pub offset: Offset,
    /// The leader epoch of the last record read (KIP-320), or −1.
    pub leader_epoch: LeaderEpoch,
    /// Anything the consumer wishes to keep with it.
    pub metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub commit_timestamp_ms: i64,
}

/// A generation of a group, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupMetadata {
    pub(super) protocol_type: String,
    pub(super) generation: i32,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) state_timestamp_ms: i64,
    pub(super) members: Vec<MemberMetadata>,
}

/// A member of a stored generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MemberMetadata {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    pub(super) subscription: Bytes,
    pub(super) assignment: Bytes,
}

/// What one record says; a value of `None` is a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    Offset { group: String, topic: String, partition: PartitionId, value: Option<CommittedOffset> },
    Group { group: String, value: Option<GroupMetadata> },
    Consumer { group: String, record: ConsumerRecord },
}

pub(super) fn offset_key(group: &str, topic: &str, partition: PartitionId) -> Bytes {
    let mut key = BytesMut::new();
    key.put_i16(OFFSET_KEY_VERSION);
    put_string(&mut key, group);
    put_string(&mut key, topic);
    key.put_i32(partition.0);
    key.freeze()
}

pub(super) fn offset_value(committed: &CommittedOffset) -> Bytes {
    let mut value = BytesMut::new();
    value.put_i16(VALUE_VERSION);
    value.put_i64(committed.offset.0);
    value.put_i32(committed.leader_epoch.0);
    put_string(&mut value, &committed.metadata);
    value.put_i64(committed.commit_timestamp_ms);
    value.freeze()
}

pub(super) fn group_key(group: &str) -> Bytes {
    let mut key = BytesMut::new();
    key.put_i16(GROUP_KEY_VERSION);
    put_string(&mut key, group);
    key.freeze()
}

pub(super) fn group_value(metadata: &GroupMetadata) -> Bytes {
    let mut value = BytesMut::new();
    value.put_i16(VALUE_VERSION);
    put_string(&mut value, &metadata.protocol_type);
    value.put_i32(metadata.generation);
    put_nullable(&mut value, metadata.protocol.as_deref());
    put_nullable(&mut value, metadata.leader.as_deref());
    value.put_i64(metadata.state_timestamp_ms);
    value.put_i32(metadata.members.len() as i32);
    for member in &metadata.members {
        put_string(&mut value, &member.member_id);
        put_nullable(&mut value, member.instance_id.as_deref());
        put_string(&mut value, &member.client_id);
        put_string(&mut value, &member.client_host);
        value.put_i32(member.rebalance_timeout_ms);
        value.put_i32(member.session_timeout_ms);
        put_bytes(&mut value, &member.subscription);
        put_bytes(&mut value, &member.assignment);
    }
    value.freeze()
}

/// Reads one record.
pub(super) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Record, RecordError> {
    let mut key = Reader(key);
    match key.i16()? {
        0 | OFFSET_KEY_VERSION => Ok(Record::Offset {
            group: key.string()?,
            topic: key.string()?,
            partition: PartitionId(key.i32()?),
            value: value.map(decode_offset).transpose()?,
        }),
        GROUP_KEY_VERSION => {
            Ok(Record::Group { group: key.string()?, value: value.map(decode_group).transpose()? })
        }
        version if ConsumerRecord::has_key(version) => {
            let (group, record) = ConsumerRecord::decode(version, key, value)?;
            Ok(Record::Consumer { group, record })
        }
        version => Err(RecordError::KeyVersion(version)),
    }
}

fn decode_offset(value: &[u8]) -> Result<CommittedOffset, RecordError> {
    let mut value = Reader(value);
    value.expect_version(VALUE_VERSION)?;
    Ok(CommittedOffset {
        offset: Offset(value.i64()?),
        leader_epoch: LeaderEpoch(value.i32()?),
        metadata: value.string()?,
        commit_timestamp_ms: value.i64()?,
    })
}

fn decode_group(value: &[u8]) -> Result<GroupMetadata, RecordError> {
    let mut value = Reader(value);
    value.expect_version(VALUE_VERSION)?;
    Ok(GroupMetadata {
        protocol_type: value.string()?,
        generation: value.i32()?,
        protocol: value.nullable()?,
        leader: value.nullable()?,
        state_timestamp_ms: value.i64()?,
        members: (0..value.i32()?).map(|_| decode_member(&mut value)).collect::<Result<_, _>>()?,
    })
}

fn decode_member(value: &mut Reader<'_>) -> Result<MemberMetadata, RecordError> {
    Ok(MemberMetadata {
        member_id: value.string()?,
        instance_id: value.nullable()?,
        client_id: value.string()?,
        client_host: value.string()?,
        rebalance_timeout_ms: value.i32()?,
        session_timeout_ms: value.i32()?,
        subscription: value.bytes()?,
        assignment: value.bytes()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> CommittedOffset {
        CommittedOffset {
            offset: Offset(42),
            leader_epoch: LeaderEpoch(7),
            metadata: "m".into(),
            commit_timestamp_ms: 1_000,
        }
    }

    fn metadata() -> GroupMetadata {
        GroupMetadata {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            leader: None,
            state_timestamp_ms: 5,
            members: vec![MemberMetadata {
                member_id: "a-1".into(),
                instance_id: Some("i".into()),
                client_id: "a".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout_ms: 300_000,
                session_timeout_ms: 45_000,
                subscription: Bytes::from_static(b"sub"),
                assignment: Bytes::from_static(b"part"),
            }],
        }
    }

    #[test]
    fn an_offset_commit_has_the_bytes_that_kafka_writes() {
        let key = offset_key("g", "t", PartitionId(2));
        assert_eq!(key.as_ref(), b"\0\x01\0\x01g\0\x01t\0\0\0\x02");
        let value = offset_value(&committed());
        assert_eq!(value.as_ref(), b"\0\x03\0\0\0\0\0\0\0\x2a\0\0\0\x07\0\x01m\0\0\0\0\0\0\x03\xe8");
        let record = decode(&key, Some(&value)).unwrap();
        assert_eq!(
            record,
            Record::Offset {
                group: "g".into(),
                topic: "t".into(),
                partition: PartitionId(2),
                value: Some(committed())
            }
        );
    }

    #[test]
    fn group_metadata_has_the_bytes_that_kafka_writes() {
        let key = group_key("g");
        assert_eq!(key.as_ref(), b"\0\x02\0\x01g");
        let value = group_value(&metadata());
        let expected: &[u8] =
            b"\0\x03\0\x08consumer\0\0\0\x03\0\x05range\xff\xff\0\0\0\0\0\0\0\x05\0\0\0\x01\
            \0\x03a-1\0\x01i\0\x01a\0\x0a/127.0.0.1\0\x04\x93\xe0\0\0\xaf\xc8\0\0\0\x03sub\0\0\0\x04part";
        assert_eq!(value.as_ref(), expected);
        let record = decode(&key, Some(&value)).unwrap();
        assert_eq!(record, Record::Group { group: "g".into(), value: Some(metadata()) });
    }

    #[test]
    fn a_record_cut_anywhere_is_refused_and_not_a_panic() {
        let key = group_key("g");
        let value = group_value(&metadata());
        for length in 0..value.len() {
            assert!(decode(&key, Some(&value[..length])).is_err(), "cut at {length}");
        }
        for length in 0..key.len() {
            assert!(decode(&key[..length], None).is_err(), "key cut at {length}");
        }
    }
}
