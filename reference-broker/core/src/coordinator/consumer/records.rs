//! The records of groups of the consumer protocol, in Kafka's own schemas: keys 3 and 5 to 8 of `__consumer_offsets`.

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::member::{Current, MemberState, Subscription};
use super::partitions::{Partitions, by_topic};
use crate::controller::TopicId;
use crate::coordinator::schema::{
    Reader, RecordError, put_compact, put_compact_nullable, put_count, put_no_tags, put_string, put_varint,
};
use crate::ids::PartitionId;

/// The version of all values.
const VALUE_VERSION: i16 = 0;
/// The tagged field of the group's value that holds the hash of its topics (KIP-1101).
const METADATA_HASH: u32 = 0;

/// What one record says of a group; a value of `None` is a tombstone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::coordinator) enum ConsumerRecord {
    /// The group epoch, and the hash of the topics.
    Group(Option<(i32, i64)>),
    Member {
        member_id: String,
        value: Option<Subscription>,
    },
    TargetEpoch(Option<i32>),
    Target {
        member_id: String,
        value: Option<Partitions>,
    },
    Current {
        member_id: String,
        value: Option<Current>,
    },
}

impl ConsumerRecord {
    fn key_version(&self) -> i16 {
        match self {
            Self::Group(_) => 3,
            Self::Member { .. } => 5,
            Self::TargetEpoch(_) => 6,
            Self::Target { .. } => 7,
            Self::Current { .. } => 8,
        }
    }

    /// Whether a key of this version is one of these.
    pub(in crate::coordinator) fn has_key(version: i16) -> bool {
        matches!(version, 3 | 5..=8)
    }

    /// Key and value.
    pub(in crate::coordinator) fn encode(&self, group: &str) -> (Bytes, Option<Bytes>) {
        let mut key = BytesMut::new();
        key.put_i16(self.key_version());
        put_string(&mut key, group);
        let value = match self {
            Self::Group(value) => value.map(group_value),
            Self::Member { member_id, value } => {
                put_string(&mut key, member_id);
                value.as_ref().map(member_value)
            }
            Self::TargetEpoch(value) => value.map(|epoch| {
                let mut value = begin();
                value.put_i32(epoch);
                end(value)
            }),
            Self::Target { member_id, value } => {
                put_string(&mut key, member_id);
                value.as_ref().map(|partitions| {
                    let mut value = begin();
                    put_partitions(&mut value, partitions);
                    end(value)
                })
            }
            Self::Current { member_id, value } => {
                put_string(&mut key, member_id);
                value.as_ref().map(current_value)
            }
        };
        (key.freeze(), value)
    }

    /// Reads what follows the version of a key; also the id of the group.
    pub(in crate::coordinator) fn decode(
        version: i16,
        mut key: Reader<'_>,
        value: Option<&[u8]>,
    ) -> Result<(String, Self), RecordError> {
        let group = key.string()?;
        let record = match version {
            3 => Self::Group(read(value, |value| {
                let epoch = value.i32()?;
                let hash = value.tagged(METADATA_HASH)?.map_or(Ok(0), |hash| Reader(hash).i64())?;
                Ok((epoch, hash))
            })?),
            5 => Self::Member { member_id: key.string()?, value: read(value, read_member)? },
            6 => Self::TargetEpoch(read(value, read_epoch)?),
            7 => Self::Target { member_id: key.string()?, value: read(value, read_partitions)? },
            8 => Self::Current { member_id: key.string()?, value: read(value, read_current)? },
            version => return Err(RecordError::KeyVersion(version)),
        };
        Ok((group, record))
    }
}

fn begin() -> BytesMut {
    let mut value = BytesMut::new();
    value.put_i16(VALUE_VERSION);
    value
}

fn end(mut value: BytesMut) -> Bytes {
    put_no_tags(&mut value);
    value.freeze()
}

fn group_value((epoch, hash): (i32, i64)) -> Bytes {
    let mut value = begin();
    value.put_i32(epoch);
    if hash == 0 {
        return end(value);
    }
    put_varint(&mut value, 1);
    put_varint(&mut value, METADATA_HASH);
    put_varint(&mut value, 8);
    value.put_i64(hash);
    value.freeze()
}

fn member_value(member: &Subscription) -> Bytes {
    let mut value = begin();
    put_compact_nullable(&mut value, member.instance_id.as_deref());
    put_compact_nullable(&mut value, member.rack_id.as_deref());
    put_compact(&mut value, &member.client_id);
    put_compact(&mut value, &member.client_host);
    put_count(&mut value, member.topics.len());
    for topic in &member.topics {
        put_compact(&mut value, topic);
    }
    put_compact_nullable(&mut value, member.regex.as_deref());
    value.put_i32(member.rebalance_timeout_ms);
    put_compact_nullable(&mut value, member.assignor.as_deref());
    end(value)
}

fn current_value(current: &Current) -> Bytes {
    let mut value = begin();
    value.put_i32(current.epoch);
    value.put_i32(current.previous_epoch);
    value.put_i8(current.state.code());
    put_partitions(&mut value, &current.assigned);
    put_partitions(&mut value, &current.revoking);
    end(value)
}

fn put_partitions(value: &mut BytesMut, partitions: &Partitions) {
    let topics = by_topic(partitions);
    put_count(value, topics.len());
    for (topic, indexes) in topics {
        value.put_slice(topic.0.as_bytes());
        put_count(value, indexes.len());
        for index in indexes {
            value.put_i32(index);
        }
        put_no_tags(value);
    }
}

fn read<T>(
    value: Option<&[u8]>,
    fields: impl FnOnce(&mut Reader<'_>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let Some(value) = value else { return Ok(None) };
    let mut value = Reader(value);
    value.expect_version(VALUE_VERSION)?;
    fields(&mut value).map(Some)
}

fn read_epoch(value: &mut Reader<'_>) -> Result<i32, RecordError> {
    value.i32()
}

fn read_member(value: &mut Reader<'_>) -> Result<Subscription, RecordError> {
    Ok(Subscription {
        instance_id: value.compact_nullable()?,
        rack_id: value.compact_nullable()?,
        client_id: value.compact()?,
        client_host: value.compact()?,
        topics: (0..value.count()?).map(|_| value.compact()).collect::<Result<_, _>>()?,
        regex: value.compact_nullable()?,
        rebalance_timeout_ms: value.i32()?,
        assignor: value.compact_nullable()?,
    })
}

fn read_current(value: &mut Reader<'_>) -> Result<Current, RecordError> {
    let (epoch, previous_epoch, state) = (value.i32()?, value.i32()?, value.i8()?);
    Ok(Current {
        epoch,
        previous_epoch,
        state: MemberState::of(state).ok_or(RecordError::State(state))?,
        assigned: read_partitions(value)?,
        revoking: read_partitions(value)?,
    })
}

fn read_partitions(value: &mut Reader<'_>) -> Result<Partitions, RecordError> {
    let mut partitions = Partitions::new();
    for _ in 0..value.count()? {
        let topic = TopicId(Uuid::from_bytes(value.uuid()?));
        for _ in 0..value.count()? {
            partitions.insert((topic, PartitionId(value.i32()?)));
        }
        value.skip_tags()?;
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(topic: u128, indexes: &[i32]) -> Partitions {
        indexes.iter().map(|index| (TopicId(Uuid::from_u128(topic)), PartitionId(*index))).collect()
    }

    fn samples() -> Vec<ConsumerRecord> {
        let subscription = Subscription {
            instance_id: Some("i".into()),
            rack_id: None,
            client_id: "c".into(),
            client_host: "/h".into(),
            topics: ["a".to_owned(), "b".to_owned()].into(),
            regex: Some("^x".into()),
            rebalance_timeout_ms: 300_000,
            assignor: Some("range".into()),
        };
        let current = Current {
            epoch: 5,
            previous_epoch: 4,
            state: MemberState::UnrevokedPartitions,
            assigned: &set(1, &[0, 2]) | &set(2, &[1]),
            revoking: set(1, &[7]),
        };
        let member_id = "m".to_owned();
        vec![
            ConsumerRecord::Group(Some((3, -9))),
            ConsumerRecord::Group(Some((3, 0))),
            ConsumerRecord::Group(None),
            ConsumerRecord::Member { member_id: member_id.clone(), value: Some(subscription) },
            ConsumerRecord::Member { member_id: member_id.clone(), value: None },
            ConsumerRecord::TargetEpoch(Some(3)),
            ConsumerRecord::Target { member_id: member_id.clone(), value: Some(set(1, &[0])) },
            ConsumerRecord::Current { member_id, value: Some(current) },
        ]
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<(String, ConsumerRecord), RecordError> {
        let mut key = Reader(key);
        let version = key.i16()?;
        ConsumerRecord::decode(version, key, value)
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for record in samples() {
            let (key, value) = record.encode("g");
            assert_eq!(decode(&key, value.as_deref()), Ok(("g".to_owned(), record)));
        }
    }

    #[test]
    fn the_records_have_the_bytes_that_kafka_writes() {
        let (key, value) = ConsumerRecord::Group(Some((3, 1))).encode("g");
        assert_eq!(key.as_ref(), b"\0\x03\0\x01g");
        assert_eq!(value.unwrap().as_ref(), b"\0\0\0\0\0\x03\x01\0\x08\0\0\0\0\0\0\0\x01");
        let record = ConsumerRecord::Target { member_id: "m".into(), value: Some(set(1, &[2])) };
        let (key, value) = record.encode("g");
        assert_eq!(key.as_ref(), b"\0\x07\0\x01g\0\x01m");
        let expected = b"\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\0\x02\0\0";
        assert_eq!(value.unwrap().as_ref(), expected);
    }

    #[test]
    fn a_record_cut_anywhere_is_refused_and_not_a_panic() {
        for record in samples() {
            let (key, Some(value)) = record.encode("g") else { continue };
            // The hash is a tagged field at the end of the value: all of it must be there.
            for length in 0..value.len() {
                let cut = decode(&key, Some(&value[..length]));
                let untagged = matches!(record, ConsumerRecord::Group(_)) || length + 1 < value.len();
                assert!(cut.is_err() || !untagged, "{record:?} cut at {length}");
            }
        }
    }
}
