//! The response to a Fetch, written by hand so that stored batches go out without a copy.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;

use crate::ids::{LeaderEpoch, NodeId, Offset, PartitionId, ProducerId};

use super::frame::{Asked, response_header};

/// How a request named a topic: by name up to version 12, by id from 13.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TopicKey {
    /// By name.
    Name(StrBytes),
    /// By id (KIP-516).
    Id([u8; 16]),
}

/// The whole response.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FetchResponse {
    /// What is wrong with the session (KIP-227), as a Kafka error code; 0 is nothing.
    pub error: i16,
    /// The session; 0 is none.
    pub session_id: i32,
    /// In the order of the request.
    pub topics: Vec<FetchedTopic>,
}

/// The partitions of one topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedTopic {
    /// As in the request.
    pub topic: TopicKey,
    /// In the order of the request.
    pub partitions: Vec<FetchedPartition>,
}

/// What was read from one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedPartition {
    /// Which one.
    pub partition: PartitionId,
    /// A Kafka error code; 0 is none.
    pub error: i16,
    /// The high watermark, −1 with an error.
    pub high_watermark: Offset,
    /// The last stable offset (KIP-98), −1 with an error.
    pub last_stable: Offset,
    /// Where the log starts, −1 with an error.
    pub log_start: Offset,
    /// Who aborted transactions in what was read, and from which offset on; `None` if undecided records were asked for.
    pub aborted: Option<Vec<(ProducerId, Offset)>>,
    /// Where the follower's log leaves the leader's: the leader's largest epoch that is not above the follower's
    /// last one, and its end (KIP-595).
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The replica that the consumer is to read from instead (KIP-392).
    pub preferred: Option<NodeId>,
    /// Whole batches, one after another.
    pub records: Vec<Bytes>,
}

impl FetchedPartition {
    /// A partition that cannot be read.
    pub fn error(partition: PartitionId, error: i16) -> Self {
        let none = Offset(-1);
        Self {
            partition,
            error,
            high_watermark: none,
            last_stable: none,
            log_start: none,
            aborted: None,
            diverging: None,
            preferred: None,
            records: Vec::new(),
        }
    }

    /// The bytes of all batches.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

impl FetchResponse {
    /// Encodes header and body; the records stay the slices that they are.
    pub fn encode(self, asked: Asked) -> Vec<Bytes> {
        let version = asked.version;
        let flexible = version >= 12;
        let mut parts = Vec::new();
        let mut buffer = response_header(asked, 128);
        buffer.put_i32(0);
        if version >= 7 {
            buffer.put_i16(self.error);
            buffer.put_i32(self.session_id);
        }
        put_count(&mut buffer, self.topics.len(), flexible);
        for topic in self.topics {
            match &topic.topic {
                TopicKey::Id(id) => buffer.put_slice(id),
                TopicKey::Name(name) if flexible => {
                    put_varint(&mut buffer, name.len() as u32 + 1);
                    buffer.put_slice(name.as_bytes());
                }
                TopicKey::Name(name) => {
                    buffer.put_i16(name.len() as i16);
                    buffer.put_slice(name.as_bytes());
                }
            }
            put_count(&mut buffer, topic.partitions.len(), flexible);
            for partition in topic.partitions {
                put_partition(partition, version, &mut buffer, &mut parts);
            }
            put_no_tags(&mut buffer, flexible);
        }
        put_no_tags(&mut buffer, flexible);
        if !buffer.is_empty() {
            parts.push(buffer.freeze());
        }
        parts
    }
}

fn put_partition(partition: FetchedPartition, version: i16, buffer: &mut BytesMut, parts: &mut Vec<Bytes>) {
    let flexible = version >= 12;
    buffer.put_i32(partition.partition.0);
    buffer.put_i16(partition.error);
    buffer.put_i64(partition.high_watermark.0);
    buffer.put_i64(partition.last_stable.0);
    if version >= 5 {
        buffer.put_i64(partition.log_start.0);
    }
    put_aborted(buffer, partition.aborted.as_deref(), flexible);
    if version >= 11 {
        buffer.put_i32(partition.preferred.unwrap_or(NodeId::NONE).0);
    }
    let size = partition.bytes();
    if flexible {
        put_varint(buffer, size as u32 + 1);
    } else {
        buffer.put_i32(size as i32);
    }
    if size > 0 {
        parts.push(buffer.split().freeze());
        parts.extend(partition.records.into_iter().filter(|records| !records.is_empty()));
    }
    if let (true, Some((epoch, end))) = (flexible, partition.diverging) {
        buffer.put_slice(&[1, 0, 13]);
        buffer.put_i32(epoch.0);
        buffer.put_i64(end.0);
        buffer.put_u8(0);
    } else {
        put_no_tags(buffer, flexible);
    }
}

fn put_aborted(buffer: &mut BytesMut, aborted: Option<&[(ProducerId, Offset)]>, flexible: bool) {
    let Some(aborted) = aborted else {
        return if flexible { put_varint(buffer, 0) } else { buffer.put_i32(-1) };
    };
    put_count(buffer, aborted.len(), flexible);
    for (producer, first) in aborted {
        buffer.put_i64(producer.0);
        buffer.put_i64(first.0);
        put_no_tags(buffer, flexible);
    }
}

fn put_count(buffer: &mut BytesMut, count: usize, flexible: bool) {
    if flexible {
        put_varint(buffer, count as u32 + 1);
    } else {
        buffer.put_i32(count as i32);
    }
}

fn put_no_tags(buffer: &mut BytesMut, flexible: bool) {
    if flexible {
        buffer.put_u8(0);
    }
}

fn put_varint(buffer: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}
