//! The records of the metadata log, in our own compact encoding.
//!
//! In:  what the controller decided. Out: bytes of a record's value, and back.
//! Never: a record says what *is* from now on, not what changes, so that applying it needs no arithmetic.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::image::{BrokerImage, BrokerState, PartitionImage};
use super::topic_id::TopicId;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, ProducerId};
use crate::node::Endpoint;

/// One step in the life of a cluster's metadata.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataRecord {
    /// A voter has become the active controller; opens each epoch of the log (KAFKA-12619).
    LeaderChange {
        /// The active controller.
        leader: NodeId,
        /// The epoch of the metadata log.
        epoch: LeaderEpoch,
    },
    /// A broker has registered; it is fenced until it has caught up. Its broker epoch is this record's offset.
    RegisterBroker {
        /// The broker.
        broker: NodeId,
        /// Drawn by each process of the broker when it starts.
        incarnation: Uuid,
        /// Where clients reach it.
        client: Endpoint,
        /// Where other brokers reach it.
        internal: Endpoint,
        /// Where it stands, if that is known.
        rack: Option<String>,
    },
    /// A broker was fenced or unfenced, or is about to stop.
    BrokerChange {
        /// The broker.
        broker: NodeId,
        /// The registration this is about.
        epoch: BrokerEpoch,
        /// From now on.
        state: BrokerState,
    },
    /// A topic was created. Its partitions follow in the same batch.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: String,
        /// Its overrides of the brokers' settings, by Kafka's names.
        configs: BTreeMap<String, String>,
    },
    /// A partition was created.
    Partition {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        partition: PartitionId,
        /// The brokers that hold it, the preferred leader first.
        replicas: Vec<NodeId>,
        /// What may change later.
        state: PartitionState,
    },
    /// A partition has another leader or in-sync set.
    PartitionChange {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        partition: PartitionId,
        /// From now on.
        state: PartitionState,
    },
    /// A topic was deleted, with its partitions.
    RemoveTopic {
        /// Its id.
        id: TopicId,
    },
    /// All producer ids below this one are given away.
    ProducerIds {
        /// The first free id.
        next: ProducerId,
    },
    /// A partition begins to move to other replicas, has arrived there, or goes back.
    Reassignment {
        /// Its topic.
        topic: TopicId,
        /// Its index.
        partition: PartitionId,
        /// From now on.
        image: PartitionImage,
    },
    /// A broker is known no more.
    UnregisterBroker {
        /// The broker.
        broker: NodeId,
    },
    /// A broker as it was when a snapshot was written; in snapshots only.
    Broker {
        /// The broker.
        broker: NodeId,
        /// All that is known of it.
        image: BrokerImage,
    },
    /// A topic has other settings.
    Config {
        /// The topic.
        topic: TopicId,
        /// All its overrides of the brokers' settings from now on, by Kafka's names.
        configs: BTreeMap<String, String>,
    },
}

/// The part of a partition's metadata that elections and its leader change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// The in-sync replicas, in the order of the replicas; never empty.
    pub isr: Vec<NodeId>,
    /// Replicas outside that set that have all that is committed, too (KIP-966); none while the set is not too small.
    pub elr: Vec<NodeId>,
    /// The leader, or [`NodeId::NONE`].
    pub leader: NodeId,
    /// Counts the leaders (KIP-101), leaderless times too.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes of this state (KIP-497).
    pub partition_epoch: i32,
}

/// Why a record's value cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// It ends in the middle of a field.
    #[error("metadata record ends early")]
    Truncated,
    /// A newer or damaged record.
    #[error("metadata record of kind `{kind}`, version `{version}` is unknown")]
    Unknown {
        /// The first byte.
        kind: u8,
        /// The second byte.
        version: u8,
    },
    /// A field holds what it cannot hold.
    #[error("metadata record has a bad `{0}`")]
    Bad(&'static str),
}

const VERSION: u8 = 1;
/// Of records about a broker that has a rack; one without is written as before.
const VERSION_WITH_RACK: u8 = 2;

impl MetadataRecord {
    /// The bytes of a record's value: kind, version, fields in big-endian.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        out.put_u8(self.kind());
        out.put_u8(self.version());
        match self {
            Self::LeaderChange { leader, epoch } => {
                out.put_i32(leader.0);
                out.put_i32(epoch.0);
            }
            Self::RegisterBroker { broker, incarnation, client, internal, rack } => {
                out.put_i32(broker.0);
                out.put_slice(incarnation.as_bytes());
                put_endpoint(&mut out, client);
                put_endpoint(&mut out, internal);
                put_rack(&mut out, rack.as_deref());
            }
            Self::BrokerChange { broker, epoch, state } => {
                out.put_i32(broker.0);
                out.put_i64(epoch.0);
                out.put_u8(*state as u8);
            }
            Self::Topic { id, name, configs } => {
                out.put_slice(id.0.as_bytes());
                put_string(&mut out, name);
                put_configs(&mut out, configs);
            }
            Self::Partition { topic, partition, replicas, state } => {
                out.put_slice(topic.0.as_bytes());
                out.put_i32(partition.0);
                put_nodes(&mut out, replicas);
                put_state(&mut out, state);
            }
            Self::PartitionChange { topic, partition, state } => {
                out.put_slice(topic.0.as_bytes());
                out.put_i32(partition.0);
                put_state(&mut out, state);
            }
            Self::RemoveTopic { id } => out.put_slice(id.0.as_bytes()),
            Self::ProducerIds { next } => out.put_i64(next.0),
            Self::Reassignment { topic, partition, image } => {
                out.put_slice(topic.0.as_bytes());
                out.put_i32(partition.0);
                put_nodes(&mut out, &image.replicas);
                put_nodes(&mut out, &image.adding);
                put_nodes(&mut out, &image.removing);
                put_state(&mut out, &image.state);
            }
            Self::UnregisterBroker { broker } => out.put_i32(broker.0),
            Self::Broker { broker, image } => {
                out.put_i32(broker.0);
                out.put_i64(image.epoch.0);
                out.put_slice(image.incarnation.as_bytes());
                put_endpoint(&mut out, &image.client);
                put_endpoint(&mut out, &image.internal);
                out.put_u8(image.state as u8);
                out.put_i64(image.since.0);
                put_rack(&mut out, image.rack.as_deref());
            }
            Self::Config { topic, configs } => {
                out.put_slice(topic.0.as_bytes());
                put_configs(&mut out, configs);
            }
        }
        out.freeze()
    }

    /// Reads a record's value.
    pub fn decode(value: &[u8]) -> Result<Self, RecordError> {
        let mut input = Input(value);
        let (kind, version) = (input.u8()?, input.u8()?);
        let has_rack = version == VERSION_WITH_RACK && matches!(kind, 1 | 8);
        if version != VERSION && !has_rack {
            return Err(RecordError::Unknown { kind, version });
        }
        let record = match kind {
            0 => Self::LeaderChange { leader: input.node()?, epoch: LeaderEpoch(input.i32()?) },
            1 => Self::RegisterBroker {
                broker: input.node()?,
                incarnation: input.uuid()?,
                client: input.endpoint()?,
                internal: input.endpoint()?,
                rack: input.rack(has_rack)?,
            },
            2 => Self::BrokerChange {
                broker: input.node()?,
                epoch: BrokerEpoch(input.i64()?),
                state: input.broker_state()?,
            },
            3 => Self::Topic { id: TopicId(input.uuid()?), name: input.string()?, configs: input.configs()? },
            4 => Self::Partition {
                topic: TopicId(input.uuid()?),
                partition: PartitionId(input.i32()?),
                replicas: input.nodes()?,
                state: input.partition_state()?,
            },
            5 => Self::PartitionChange {
                topic: TopicId(input.uuid()?),
                partition: PartitionId(input.i32()?),
                state: input.partition_state()?,
            },
            6 => Self::RemoveTopic { id: TopicId(input.uuid()?) },
            7 => Self::ProducerIds { next: ProducerId(input.i64()?) },
            8 => Self::Broker {
                broker: input.node()?,
                image: BrokerImage {
                    epoch: BrokerEpoch(input.i64()?),
                    incarnation: input.uuid()?,
                    client: input.endpoint()?,
                    internal: input.endpoint()?,
                    state: input.broker_state()?,
                    since: Offset(input.i64()?),
                    rack: input.rack(has_rack)?,
                },
            },
            9 => Self::UnregisterBroker { broker: input.node()? },
            10 => Self::Reassignment {
                topic: TopicId(input.uuid()?),
                partition: PartitionId(input.i32()?),
                image: PartitionImage {
                    replicas: input.nodes()?,
                    adding: input.nodes()?,
                    removing: input.nodes()?,
                    state: input.partition_state()?,
                },
            },
            11 => Self::Config { topic: TopicId(input.uuid()?), configs: input.configs()? },
            _ => return Err(RecordError::Unknown { kind, version }),
        };
        if input.0.is_empty() { Ok(record) } else { Err(RecordError::Bad("length")) }
    }

    fn version(&self) -> u8 {
        let rack = match self {
            Self::RegisterBroker { rack, .. } => rack.as_ref(),
            Self::Broker { image, .. } => image.rack.as_ref(),
            _ => None,
        };
        if rack.is_some() { VERSION_WITH_RACK } else { VERSION }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::LeaderChange { .. } => 0,
            Self::RegisterBroker { .. } => 1,
            Self::BrokerChange { .. } => 2,
            Self::Topic { .. } => 3,
            Self::Partition { .. } => 4,
            Self::PartitionChange { .. } => 5,
            Self::RemoveTopic { .. } => 6,
            Self::ProducerIds { .. } => 7,
            Self::Broker { .. } => 8,
            Self::UnregisterBroker { .. } => 9,
            Self::Reassignment { .. } => 10,
            Self::Config { .. } => 11,
        }
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

fn put_configs(out: &mut BytesMut, configs: &BTreeMap<String, String>) {
    out.put_u16(configs.len() as u16);
    for (key, value) in configs {
        put_string(out, key);
        put_string(out, value);
    }
}

fn put_endpoint(out: &mut BytesMut, endpoint: &Endpoint) {
    put_string(out, &endpoint.host);
    out.put_u16(endpoint.port);
}

fn put_rack(out: &mut BytesMut, rack: Option<&str>) {
    if let Some(rack) = rack {
        put_string(out, rack);
    }
}

fn put_nodes(out: &mut BytesMut, nodes: &[NodeId]) {
    out.put_u16(nodes.len() as u16);
    for node in nodes {
        out.put_i32(node.0);
    }
}

fn put_state(out: &mut BytesMut, state: &PartitionState) {
    put_nodes(out, &state.isr);
    put_nodes(out, &state.elr);
    out.put_i32(state.leader.0);
    out.put_i32(state.leader_epoch.0);
    out.put_i32(state.partition_epoch);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], RecordError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(RecordError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        Ok(self.take(1)?.get_u8())
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        Ok(self.take(2)?.get_u16())
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        Ok(self.take(4)?.get_i32())
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        Ok(self.take(8)?.get_i64())
    }

    fn node(&mut self) -> Result<NodeId, RecordError> {
        self.i32().map(NodeId)
    }

    fn uuid(&mut self) -> Result<Uuid, RecordError> {
        Ok(Uuid::from_u128(self.take(16)?.get_u128()))
    }

    fn string(&mut self) -> Result<String, RecordError> {
        let length = self.u16()?;
        let text = std::str::from_utf8(self.take(length.into())?).map_err(|_| RecordError::Bad("string"))?;
        Ok(text.to_owned())
    }

    fn endpoint(&mut self) -> Result<Endpoint, RecordError> {
        Ok(Endpoint { host: self.string()?, port: self.u16()? })
    }

    fn rack(&mut self, is_there: bool) -> Result<Option<String>, RecordError> {
        is_there.then(|| self.string()).transpose()
    }

    fn nodes(&mut self) -> Result<Vec<NodeId>, RecordError> {
        let count = self.u16()?;
        (0..count).map(|_| self.node()).collect()
    }

    fn configs(&mut self) -> Result<BTreeMap<String, String>, RecordError> {
        let count = self.u16()?;
        (0..count).map(|_| Ok((self.string()?, self.string()?))).collect()
    }

    fn broker_state(&mut self) -> Result<BrokerState, RecordError> {
        match self.u8()? {
            0 => Ok(BrokerState::Fenced),
            1 => Ok(BrokerState::Active),
            2 => Ok(BrokerState::ShuttingDown),
            _ => Err(RecordError::Bad("broker state")),
        }
    }

    fn partition_state(&mut self) -> Result<PartitionState, RecordError> {
        Ok(PartitionState {
            isr: self.nodes()?,
            elr: self.nodes()?,
            leader: self.node()?,
            leader_epoch: LeaderEpoch(self.i32()?),
            partition_epoch: self.i32()?,
        })
    }
}
