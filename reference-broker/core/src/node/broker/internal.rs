//! The brokers' own topics: when a coordinator takes one of their partitions over, and how its records get there.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest};
use kafka_protocol::protocol::StrBytes;

use crate::controller::TopicPartitionId;
use crate::coordinator::{ReplyId, StoredRecord};
use crate::ids::{LeaderEpoch, PartitionId};
use crate::log::LogError;
use crate::node::Endpoint;
use crate::node::connections::ReplyTo;
use crate::record::{Marker, batches};
use crate::replication::Partition;

use super::{Broker, OFFSETS_TOPIC, TRANSACTION_TOPIC, Turn};

/// What a coordinator is asked for.
const GROUP_KEY: i8 = 0;
const TRANSACTION_KEY: i8 = 1;

/// How much of a partition is read at once while it is loaded.
const LOAD_BYTES: usize = 1 << 20;

/// Between two tries to load what cannot be read.
const RELOAD_NS: u64 = 500_000_000;

/// The requests that a coordinator has not answered yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    next: u64,
    waiting: BTreeMap<ReplyId, ReplyTo>,
}

impl Replies {
    pub(super) fn expect(&mut self, reply: ReplyTo) -> ReplyId {
        let id = self.reserve();
        self.waiting.insert(id, reply);
        id
    }

    /// A name for what is answered otherwise.
    pub(super) fn reserve(&mut self) -> ReplyId {
        let id = ReplyId(self.next);
        self.next += 1;
        id
    }

    pub(super) fn take(&mut self, id: ReplyId) -> Option<ReplyTo> {
        self.waiting.remove(&id)
    }
}

impl Broker {
    /// A partition of one of the brokers' own topics.
    pub(super) fn internal_partition(&self, topic: &str, partition: PartitionId) -> Option<TopicPartitionId> {
        let topic = self.channel.image().topic_named(topic)?;
        Some(TopicPartitionId { topic: topic.id, partition })
    }

    /// This broker leads a partition from now on; what a coordinator keeps there is loaded when all of it is committed.
    pub(super) fn partition_won(
        &mut self,
        id: TopicPartitionId,
        topic: &str,
        epoch: LeaderEpoch,
        turn: &mut Turn<'_>,
    ) {
        match topic {
            OFFSETS_TOPIC => {
                let mut out = Vec::new();
                self.coordinator.begin_load(turn.now, id.partition, epoch, &mut out);
                self.carry_out_groups(out, turn);
            }
            TRANSACTION_TOPIC => {
                let mut out = Vec::new();
                self.transactions.begin_load(id.partition, epoch, &mut out);
                self.carry_out_transactions(out, turn);
            }
            _ => return,
        }
        self.loading.insert(id, epoch);
        self.reloads.remove(&id);
        self.touched.insert(id);
    }

    /// Another broker does.
    pub(super) fn partition_lost(&mut self, id: TopicPartitionId, topic: &str, turn: &mut Turn<'_>) {
        self.loading.remove(&id);
        self.reloads.remove(&id);
        match topic {
            OFFSETS_TOPIC => {
                let mut out = Vec::new();
                self.coordinator.unload(turn.now, id.partition, &mut out);
                self.carry_out_groups(out, turn);
            }
            TRANSACTION_TOPIC => {
                let mut out = Vec::new();
                self.transactions.unload(id.partition, &mut out);
                self.carry_out_transactions(out, turn);
            }
            _ => {}
        }
    }

    /// Tries again to load what could not be read.
    pub(super) fn reload(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now.mono_ns;
        for (id, (_, epoch)) in self.reloads.extract_if(.., |_, (due_ns, _)| *due_ns <= now_ns) {
            self.loading.insert(id, epoch);
            self.touched.insert(id);
        }
    }

    /// Loads a partition as soon as all that its log holds is committed.
    pub(super) fn load_if_ready(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        let Some(epoch) = self.loading.get(&id).copied() else { return };
        let Some(partition) = self.partitions.get(&id) else { return };
        if partition.high_watermark() < partition.log.log_end_offset() {
            return;
        }
        self.loading.remove(&id);
        let records = match read_all(partition, turn) {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(topic = partition.topic(), partition = id.partition.0, %error, "cannot load, tries again");
                let due_ns = turn.now.mono_ns + RELOAD_NS;
                self.reloads.insert(id, (due_ns, epoch));
                return;
            }
        };
        if partition.topic() == OFFSETS_TOPIC {
            let mut out = Vec::new();
            self.coordinator.load(turn.now, id.partition, epoch, records, &mut out);
            self.carry_out_groups(out, turn);
        } else {
            let records = records.into_iter().filter_map(|record| match record {
                StoredRecord::Record { key, value, .. } => Some((key, value)),
                StoredRecord::Marker { .. } => None,
            });
            let mut out = Vec::new();
            self.transactions.load(turn.now, id.partition, epoch, records, &mut out);
            self.carry_out_transactions(out, turn);
        }
    }

    /// Says which broker coordinates a group or a transactional id; asks for the topic of their state if there is none.
    pub(super) fn find_coordinator(
        &mut self,
        request: &FindCoordinatorRequest,
        version: i16,
        turn: &mut Turn<'_>,
    ) -> FindCoordinatorResponse {
        let topic = match request.key_type {
            GROUP_KEY => Some(OFFSETS_TOPIC),
            TRANSACTION_KEY => Some(TRANSACTION_TOPIC),
            _ => None,
        };
        if let Some(topic) = topic.filter(|topic| self.channel.image().topic_named(topic).is_none()) {
            self.create_automatically(topic, turn);
        }
        let find = |key: &StrBytes| -> Result<(BrokerId, Endpoint), ResponseError> {
            let partition = match request.key_type {
                TRANSACTION_KEY => self.transactions.partition_for(key),
                _ => self.coordinator.partition_for(key),
            };
            let topic = topic.ok_or(ResponseError::InvalidRequest)?;
            let image = self.channel.image();
            let unavailable = ResponseError::CoordinatorNotAvailable;
            let partition = self.internal_partition(topic, partition).ok_or(unavailable)?;
            let leader = image.partition(partition).ok_or(unavailable)?.state.leader;
            let broker = image.broker(leader).ok_or(unavailable)?;
            Ok((BrokerId(leader.0), broker.client.clone()))
        };
        if version >= 4 {
            let coordinators = request.coordinator_keys.iter().map(|key| {
                let answer = Coordinator::default().with_key(key.clone());
                match find(key) {
                    Ok((node, endpoint)) => answer
                        .with_node_id(node)
                        .with_host(StrBytes::from_string(endpoint.host))
                        .with_port(i32::from(endpoint.port)),
                    Err(error) => {
                        answer.with_node_id(BrokerId(-1)).with_port(-1).with_error_code(error.code())
                    }
                }
            });
            return FindCoordinatorResponse::default().with_coordinators(coordinators.collect());
        }
        let answer = FindCoordinatorResponse::default();
        match find(&request.key) {
            Ok((node, endpoint)) => answer
                .with_node_id(node)
                .with_host(StrBytes::from_string(endpoint.host))
                .with_port(i32::from(endpoint.port)),
            Err(error) => answer.with_node_id(BrokerId(-1)).with_port(-1).with_error_code(error.code()),
        }
    }
}

/// The records of a whole partition. Compressed batches are not ours.
fn read_all(partition: &Partition, turn: &mut Turn<'_>) -> Result<Vec<StoredRecord>, LogError> {
    let mut found = Vec::new();
    let mut from = partition.log.log_start_offset();
    let to = partition.high_watermark();
    while from < to {
        let chunk = partition.log.read(from, to, LOAD_BYTES, true, turn.disk)?;
        let before = from;
        for batch in chunk.into_iter().flat_map(batches).map_while(Result::ok) {
            from = batch.header.last_offset().next();
            let producer = batch.header.producer_id;
            if batch.header.is_control() {
                let marker = Marker::of(&batch);
                found.extend(marker.map(|Marker { commit, .. }| StoredRecord::Marker { producer, commit }));
                continue;
            }
            let producer = batch.header.is_transactional().then_some(producer);
            let records = batch.records().into_iter().flatten().map_while(Result::ok);
            let stored = |key: Bytes, value| StoredRecord::Record { producer, key, value };
            found.extend(records.filter_map(|record| Some(stored(record.key?, record.value))));
        }
        if from == before {
            break;
        }
    }
    Ok(found)
}
