//! The shapes of requests, walked before a frame is decoded.
//!
//! In:  the body of a request, its API and version. Out: whether every length in it is backed by bytes.
//! Owns: one table per request. Never: keeps or copies anything.
//!
//! The codec reserves memory for as many elements as an array claims to have, so that four wrong bytes would ask
//! for gigabytes. After this walk every claimed element is known to be there.

use kafka_protocol::messages::ApiKey;

/// One field, with the versions that carry it (both inclusive).
#[derive(Clone, Copy, Debug)]
pub struct Field {
    from: i16,
    to: i16,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// So many bytes.
    Fixed(usize),
    /// A string, which may be null: 16-bit length, or a compact one.
    Text,
    /// Opaque bytes, which may be null: 32-bit length, or a compact one.
    Blob,
    /// An array of structures, which may be null.
    Structs(&'static [Field]),
    /// One structure within another.
    Struct(&'static [Field]),
    /// One structure that may be null.
    Option(&'static [Field]),
    /// An array of bare values.
    Values(&'static Field),
}

impl Field {
    const fn of(shape: Shape) -> Self {
        Self { from: 0, to: i16::MAX, shape }
    }

    const fn since(mut self, version: i16) -> Self {
        self.from = version;
        self
    }

    const fn until(mut self, version: i16) -> Self {
        self.to = version;
        self
    }
}

const I8: Field = fixed(1);
const I16: Field = fixed(2);
const I32: Field = fixed(4);
const I64: Field = fixed(8);
const UUID: Field = fixed(16);
const TEXT: Field = Field::of(Shape::Text);
const BLOB: Field = Field::of(Shape::Blob);

const fn fixed(bytes: usize) -> Field {
    Field::of(Shape::Fixed(bytes))
}

const fn structs(fields: &'static [Field]) -> Field {
    Field::of(Shape::Structs(fields))
}

const fn structure(fields: &'static [Field]) -> Field {
    Field::of(Shape::Struct(fields))
}

const fn option(fields: &'static [Field]) -> Field {
    Field::of(Shape::Option(fields))
}

const fn values(field: &'static Field) -> Field {
    Field::of(Shape::Values(field))
}

/// What is wrong with a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ShapeError {
    /// A length points past the end of the frame.
    #[error("a length points past the end of the frame")]
    TooShort,
    /// No shape is known for this API.
    #[error("the API has no shape here")]
    UnknownApi,
}

/// Walks the body of a request; returns how many bytes it takes up.
pub fn walk(api: ApiKey, version: i16, body: &[u8]) -> Result<usize, ShapeError> {
    let fields = request_fields(api).ok_or(ShapeError::UnknownApi)?;
    let flexible = api.request_header_version(version) >= 2;
    let mut walker = Walker { rest: body, version, flexible };
    walker.structure(fields)?;
    Ok(body.len() - walker.rest.len())
}

struct Walker<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl Walker<'_> {
    fn structure(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        for field in fields {
            if (field.from..=field.to).contains(&self.version) {
                self.field(field)?;
            }
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let size = self.varint()?;
                self.skip(size)?;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field) -> Result<(), ShapeError> {
        match field.shape {
            Shape::Fixed(bytes) => self.skip(bytes),
            Shape::Text => {
                let length = if self.flexible { self.varint()?.saturating_sub(1) } else { self.short()? };
                self.skip(length)
            }
            Shape::Blob => {
                let length = self.count()?;
                self.skip(length)
            }
            Shape::Structs(fields) => {
                for _ in 0..self.count()? {
                    self.structure(fields)?;
                }
                Ok(())
            }
            Shape::Struct(fields) => self.structure(fields),
            // A signed byte stands before it, and is negative if there is nothing.
            Shape::Option(fields) => match self.take(1)?[0] {
                128.. => Ok(()),
                _ => self.structure(fields),
            },
            Shape::Values(field) => {
                for _ in 0..self.count()? {
                    self.field(field)?;
                }
                Ok(())
            }
        }
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ShapeError> {
        self.take(bytes).map(|_| ())
    }

    fn take(&mut self, bytes: usize) -> Result<&[u8], ShapeError> {
        let (head, rest) = self.rest.split_at_checked(bytes).ok_or(ShapeError::TooShort)?;
        self.rest = rest;
        Ok(head)
    }

    /// Every element of an array takes at least one byte, so a count beyond what is left is a lie.
    fn count(&mut self) -> Result<usize, ShapeError> {
        let count = if self.flexible {
            self.varint()?.saturating_sub(1)
        } else {
            let bytes = self.take(4)?;
            i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).max(0) as usize
        };
        if count > self.rest.len() { Err(ShapeError::TooShort) } else { Ok(count) }
    }

    fn short(&mut self) -> Result<usize, ShapeError> {
        let bytes = self.take(2)?;
        Ok(i16::from_be_bytes([bytes[0], bytes[1]]).max(0) as usize)
    }

    fn varint(&mut self) -> Result<usize, ShapeError> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value as usize);
            }
        }
        Err(ShapeError::TooShort)
    }
}

fn request_fields(api: ApiKey) -> Option<&'static [Field]> {
    Some(match api {
        ApiKey::Produce => PRODUCE,
        ApiKey::Fetch => FETCH,
        ApiKey::ListOffsets => LIST_OFFSETS,
        ApiKey::Metadata => METADATA,
        ApiKey::OffsetCommit => OFFSET_COMMIT,
        ApiKey::OffsetFetch => OFFSET_FETCH,
        ApiKey::FindCoordinator => FIND_COORDINATOR,
        ApiKey::JoinGroup => JOIN_GROUP,
        ApiKey::Heartbeat => HEARTBEAT,
        ApiKey::LeaveGroup => LEAVE_GROUP,
        ApiKey::SyncGroup => SYNC_GROUP,
        ApiKey::DescribeGroups => DESCRIBE_GROUPS,
        ApiKey::ListGroups => LIST_GROUPS,
        ApiKey::DeleteGroups => DELETE_GROUPS,
        ApiKey::OffsetDelete => OFFSET_DELETE,
        ApiKey::ConsumerGroupHeartbeat => CONSUMER_GROUP_HEARTBEAT,
        ApiKey::ConsumerGroupDescribe => CONSUMER_GROUP_DESCRIBE,
        ApiKey::SaslHandshake => SASL_HANDSHAKE,
        ApiKey::SaslAuthenticate => SASL_AUTHENTICATE,
        ApiKey::ApiVersions => API_VERSIONS,
        ApiKey::CreateTopics => CREATE_TOPICS,
        ApiKey::DeleteTopics => DELETE_TOPICS,
        ApiKey::CreatePartitions => CREATE_PARTITIONS,
        ApiKey::InitProducerId => INIT_PRODUCER_ID,
        ApiKey::OffsetForLeaderEpoch => OFFSET_FOR_LEADER_EPOCH,
        ApiKey::AddPartitionsToTxn => ADD_PARTITIONS_TO_TXN,
        ApiKey::AddOffsetsToTxn => ADD_OFFSETS_TO_TXN,
        ApiKey::EndTxn => END_TXN,
        ApiKey::WriteTxnMarkers => WRITE_TXN_MARKERS,
        ApiKey::TxnOffsetCommit => TXN_OFFSET_COMMIT,
        ApiKey::DescribeConfigs => DESCRIBE_CONFIGS,
        ApiKey::AlterConfigs => ALTER_CONFIGS,
        ApiKey::IncrementalAlterConfigs => INCREMENTAL_ALTER_CONFIGS,
        ApiKey::DeleteRecords => DELETE_RECORDS,
        ApiKey::DescribeCluster => DESCRIBE_CLUSTER,
        ApiKey::AlterPartition => ALTER_PARTITION,
        ApiKey::BrokerRegistration => BROKER_REGISTRATION,
        ApiKey::BrokerHeartbeat => BROKER_HEARTBEAT,
        ApiKey::AllocateProducerIds => ALLOCATE_PRODUCER_IDS,
        ApiKey::Vote => VOTE,
        ApiKey::BeginQuorumEpoch => BEGIN_QUORUM_EPOCH,
        ApiKey::EndQuorumEpoch => END_QUORUM_EPOCH,
        ApiKey::FetchSnapshot => FETCH_SNAPSHOT,
        ApiKey::ElectLeaders => ELECT_LEADERS,
        ApiKey::AlterPartitionReassignments => ALTER_PARTITION_REASSIGNMENTS,
        ApiKey::ListPartitionReassignments => LIST_PARTITION_REASSIGNMENTS,
        ApiKey::DescribeQuorum => DESCRIBE_QUORUM,
        ApiKey::UnregisterBroker => UNREGISTER_BROKER,
        ApiKey::DescribeTopicPartitions => DESCRIBE_TOPIC_PARTITIONS,
        _ => return None,
    })
}

const PRODUCE: &[Field] = &[TEXT.since(3), I16, I32, structs(&[TEXT, structs(&[I32, BLOB])])];

const FETCH: &[Field] = &[
    I32.until(14),
    I32,
    I32,
    I32,
    I8,
    fixed(8).since(7),
    structs(&[
        TEXT.until(12),
        UUID.since(13),
        structs(&[I32, I32.since(9), I64, I32.since(12), I64.since(5), I32]),
    ]),
    structs(&[TEXT.until(12), UUID.since(13), values(&I32)]).since(7),
    TEXT.since(11),
];

const LIST_OFFSETS: &[Field] =
    &[I32, I8.since(2), structs(&[TEXT, structs(&[I32, I32.since(4), I64])]), I32.since(10)];

const METADATA: &[Field] =
    &[structs(&[UUID.since(10), TEXT]), I8.since(4), I8.since(8).until(10), I8.since(8)];

const OFFSET_COMMIT: &[Field] = &[
    TEXT,
    I32,
    TEXT,
    TEXT.since(7),
    I64.until(4),
    structs(&[TEXT, structs(&[I32, I64, I32.since(6), TEXT])]),
];

const OFFSET_FETCH: &[Field] = &[
    TEXT.until(7),
    structs(&[TEXT, values(&I32)]).until(7),
    structs(&[TEXT, TEXT.since(9), I32.since(9), structs(&[TEXT, values(&I32)])]).since(8),
    I8.since(7),
];

const FIND_COORDINATOR: &[Field] = &[TEXT.until(3), I8.since(1), values(&TEXT).since(4)];

const JOIN_GROUP: &[Field] =
    &[TEXT, I32, I32.since(1), TEXT, TEXT.since(5), TEXT, structs(&[TEXT, BLOB]), TEXT.since(8)];

const HEARTBEAT: &[Field] = &[TEXT, I32, TEXT, TEXT.since(3)];

const LEAVE_GROUP: &[Field] = &[TEXT, TEXT.until(2), structs(&[TEXT, TEXT, TEXT.since(5)]).since(3)];

const SYNC_GROUP: &[Field] =
    &[TEXT, I32, TEXT, TEXT.since(3), TEXT.since(5), TEXT.since(5), structs(&[TEXT, BLOB])];

const DESCRIBE_GROUPS: &[Field] = &[values(&TEXT), I8.since(3)];

const LIST_GROUPS: &[Field] = &[values(&TEXT).since(4), values(&TEXT).since(5)];

const DELETE_GROUPS: &[Field] = &[values(&TEXT)];

const OFFSET_DELETE: &[Field] = &[TEXT, structs(&[TEXT, structs(&[I32])])];

const CONSUMER_GROUP_HEARTBEAT: &[Field] =
    &[TEXT, TEXT, I32, TEXT, TEXT, I32, values(&TEXT), TEXT.since(1), TEXT, structs(&[UUID, values(&I32)])];

const CONSUMER_GROUP_DESCRIBE: &[Field] = &[values(&TEXT), I8];

const SASL_HANDSHAKE: &[Field] = &[TEXT];

const SASL_AUTHENTICATE: &[Field] = &[BLOB];

const API_VERSIONS: &[Field] = &[TEXT.since(3), TEXT.since(3)];

const CREATE_TOPICS: &[Field] =
    &[structs(&[TEXT, I32, I16, structs(&[I32, values(&I32)]), structs(&[TEXT, TEXT])]), I32, I8];

const DELETE_TOPICS: &[Field] = &[structs(&[TEXT, UUID]).since(6), values(&TEXT).until(5), I32];

const CREATE_PARTITIONS: &[Field] = &[structs(&[TEXT, I32, structs(&[values(&I32)])]), I32, I8];

const INIT_PRODUCER_ID: &[Field] = &[TEXT, I32, I64.since(3), I16.since(3)];

const OFFSET_FOR_LEADER_EPOCH: &[Field] = &[I32.since(3), structs(&[TEXT, structs(&[I32, I32, I32])])];

const ADD_PARTITIONS_TO_TXN: &[Field] = &[
    structs(&[TEXT, I64, I16, I8, structs(&[TEXT, values(&I32)])]).since(4),
    TEXT.until(3),
    I64.until(3),
    I16.until(3),
    structs(&[TEXT, values(&I32)]).until(3),
];

const ADD_OFFSETS_TO_TXN: &[Field] = &[TEXT, I64, I16, TEXT];

const END_TXN: &[Field] = &[TEXT, I64, I16, I8];

const WRITE_TXN_MARKERS: &[Field] =
    &[structs(&[I64, I16, I8, structs(&[TEXT, values(&I32)]), I32, I8.since(2)])];

const TXN_OFFSET_COMMIT: &[Field] = &[
    TEXT,
    TEXT,
    I64,
    I16,
    I32.since(3),
    TEXT.since(3),
    TEXT.since(3),
    structs(&[TEXT, structs(&[I32, I64, I32.since(2), TEXT])]),
];

const DESCRIBE_CONFIGS: &[Field] = &[structs(&[I8, TEXT, values(&TEXT)]), I8, I8.since(3)];

const ALTER_CONFIGS: &[Field] = &[structs(&[I8, TEXT, structs(&[TEXT, TEXT])]), I8];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[structs(&[I8, TEXT, structs(&[TEXT, I8, TEXT])]), I8];

const DELETE_RECORDS: &[Field] = &[structs(&[TEXT, structs(&[I32, I64])]), I32];

const DESCRIBE_CLUSTER: &[Field] = &[I8, I8.since(1), I8.since(2)];

const ALTER_PARTITION: &[Field] = &[
    I32,
    I64,
    structs(&[UUID, structs(&[I32, I32, values(&I32).until(2), structs(&[I32, I64]).since(3), I8, I32])]),
];

const BROKER_REGISTRATION: &[Field] = &[
    I32,
    TEXT,
    UUID,
    structs(&[TEXT, TEXT, I16, I16]),
    structs(&[TEXT, I16, I16]),
    TEXT,
    I8.since(1),
    values(&UUID).since(2),
    I64.since(3),
];

const BROKER_HEARTBEAT: &[Field] = &[I32, I64, I64, I8, I8];

const ALLOCATE_PRODUCER_IDS: &[Field] = &[I32, I64];

const VOTE: &[Field] = &[
    TEXT,
    I32.since(1),
    structs(&[TEXT, structs(&[I32, I32, I32, UUID.since(1), UUID.since(1), I32, I64, I8.since(2)])]),
];

const BEGIN_QUORUM_EPOCH: &[Field] = &[
    TEXT,
    I32.since(1),
    structs(&[TEXT, structs(&[I32, UUID.since(1), I32, I32])]),
    structs(&[TEXT, TEXT, I16]).since(1),
];

const END_QUORUM_EPOCH: &[Field] = &[
    TEXT,
    structs(&[TEXT, structs(&[I32, I32, I32, values(&I32).until(0), structs(&[I32, UUID]).since(1)])]),
    structs(&[TEXT, TEXT, I16]).since(1),
];

const FETCH_SNAPSHOT: &[Field] =
    &[I32, I32, structs(&[TEXT, structs(&[I32, I32, structure(&[I64, I32]), I64])])];

const ELECT_LEADERS: &[Field] = &[I8.since(1), structs(&[TEXT, values(&I32)]), I32];

const DESCRIBE_QUORUM: &[Field] = &[structs(&[TEXT, structs(&[I32])])];

const UNREGISTER_BROKER: &[Field] = &[I32];

const DESCRIBE_TOPIC_PARTITIONS: &[Field] = &[structs(&[TEXT]), I32, option(&[TEXT, I32])];

const ALTER_PARTITION_REASSIGNMENTS: &[Field] =
    &[I32, I8.since(1), structs(&[TEXT, structs(&[I32, values(&I32)])])];

const LIST_PARTITION_REASSIGNMENTS: &[Field] = &[I32, structs(&[TEXT, values(&I32)])];
