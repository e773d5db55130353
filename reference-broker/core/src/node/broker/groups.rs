//! Consumer groups: what the coordinator asks for, and when it takes over a partition of the offsets topic.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use crate::controller::{MetadataImage, TopicPartitionId};
use crate::coordinator::{
    AppendToken, CoordinatorEffect, GroupRequest, GroupResponse, ReplyId, RequestContext, TopicView,
};
use crate::ids::{LeaderEpoch, Offset, PartitionId};
use crate::log::LogError;
use crate::node::Endpoint;
use crate::node::connections::ReplyTo;
use crate::record::{BatchBuilder, batches};
use crate::replication::Partition;

use super::{Broker, OFFSETS_TOPIC, Turn};

/// What a coordinator is asked for: of groups, not of transactions.
const GROUP_KEY: i8 = 0;

/// How much of an offsets partition is read at once while it is loaded.
const LOAD_BYTES: usize = 1 << 20;

/// The requests that the coordinator has not answered yet.
#[derive(Debug, Default)]
pub(super) struct GroupReplies {
    next: u64,
    waiting: BTreeMap<ReplyId, ReplyTo>,
}

impl GroupReplies {
    fn expect(&mut self, reply: ReplyTo) -> ReplyId {
        let id = ReplyId(self.next);
        self.next += 1;
        self.waiting.insert(id, reply);
        id
    }
}

/// The topics as the coordinator may see them.
struct Topics<'a> {
    image: &'a MetadataImage,
    partitions: &'a BTreeMap<TopicPartitionId, Partition>,
}

impl TopicView for Topics<'_> {
    fn contains(&self, topic: &str, partition: PartitionId) -> bool {
        self.image.topic_named(topic).is_some_and(|topic| topic.partitions.contains_key(&partition))
    }

    fn high_watermark(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        let topic = self.image.topic_named(topic)?.id;
        self.partitions.get(&TopicPartitionId { topic, partition }).map(Partition::high_watermark)
    }
}

impl Broker {
    /// Hands a request to the coordinator.
    pub(super) fn group_request(
        &mut self,
        request: GroupRequest,
        client_id: &str,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let id = self.group_replies.expect(reply);
        let topics = Topics { image: self.channel.image(), partitions: &self.partitions };
        let context = RequestContext {
            version: reply.asked.version,
            client_id,
            client_host: "/127.0.0.1",
            topics: &topics,
        };
        let mut out = Vec::new();
        self.coordinator.handle(turn.now, request, id, &context, &mut out);
        self.carry_out_groups(out, turn);
    }

    pub(super) fn carry_out_groups(&mut self, effects: Vec<CoordinatorEffect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                CoordinatorEffect::Reply { reply, response } => {
                    if let Some(to) = self.group_replies.waiting.remove(&reply) {
                        self.respond(to, &wire_response(response), turn);
                    }
                }
                CoordinatorEffect::Append { partition, records, token } => {
                    let batch =
                        records.iter().fold(BatchBuilder::new(turn.now.wall_ms), |batch, (key, value)| {
                            batch.record(Some(key), value.as_deref())
                        });
                    if let Some(id) = self.offsets_partition(partition) {
                        self.append_for_groups(id, batch.build(), token, turn);
                    } else {
                        self.group_append_ended(token, Err(ResponseError::UnknownTopicOrPartition), turn);
                    }
                }
            }
        }
    }

    pub(super) fn group_append_ended(
        &mut self,
        token: AppendToken,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        let mut out = Vec::new();
        self.coordinator.appended(turn.now, token, result, &mut out);
        self.carry_out_groups(out, turn);
    }

    fn offsets_partition(&self, partition: PartitionId) -> Option<TopicPartitionId> {
        let topic = self.channel.image().topic_named(OFFSETS_TOPIC)?;
        Some(TopicPartitionId { topic: topic.id, partition })
    }

    /// This broker leads a partition of the offsets topic from now on.
    pub(super) fn offsets_partition_won(
        &mut self,
        id: TopicPartitionId,
        epoch: LeaderEpoch,
        turn: &mut Turn<'_>,
    ) {
        let mut out = Vec::new();
        self.coordinator.begin_load(turn.now, id.partition, epoch, &mut out);
        self.carry_out_groups(out, turn);
        self.loading.insert(id, epoch);
        self.touched.insert(id);
    }

    /// Another broker does.
    pub(super) fn offsets_partition_lost(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        self.loading.remove(&id);
        let mut out = Vec::new();
        self.coordinator.unload(turn.now, id.partition, &mut out);
        self.carry_out_groups(out, turn);
    }

    /// Loads a partition as soon as all that its log holds is committed.
    pub(super) fn load_groups_if_ready(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        let Some(epoch) = self.loading.get(&id).copied() else { return };
        let Some(partition) = self.partitions.get(&id) else { return };
        if partition.high_watermark() < partition.log.log_end_offset() {
            return;
        }
        self.loading.remove(&id);
        match read_all(partition, turn) {
            Ok(records) => {
                let mut out = Vec::new();
                self.coordinator.load(turn.now, id.partition, epoch, records, &mut out);
                self.carry_out_groups(out, turn);
            }
            Err(error) => tracing::error!(partition = id.partition.0, %error, "cannot load groups"),
        }
    }

    /// Says which broker coordinates a group; asks for the offsets topic if there is none yet.
    pub(super) fn find_coordinator(
        &mut self,
        request: &FindCoordinatorRequest,
        version: i16,
        turn: &mut Turn<'_>,
    ) -> FindCoordinatorResponse {
        if self.channel.image().topic_named(OFFSETS_TOPIC).is_none() {
            self.create_automatically(OFFSETS_TOPIC, turn);
        }
        let find = |key: &StrBytes| -> Result<(BrokerId, Endpoint), ResponseError> {
            if request.key_type != GROUP_KEY {
                return Err(ResponseError::InvalidRequest);
            }
            let image = self.channel.image();
            let unavailable = ResponseError::CoordinatorNotAvailable;
            let partition = self.offsets_partition(self.coordinator.partition_for(key)).ok_or(unavailable)?;
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

/// The keys and values of a whole partition. Compressed batches are not ours.
fn read_all(partition: &Partition, turn: &mut Turn<'_>) -> Result<Vec<(Bytes, Option<Bytes>)>, LogError> {
    let mut found = Vec::new();
    let mut from = partition.log.log_start_offset();
    let to = partition.high_watermark();
    while from < to {
        let chunk = partition.log.read(from, to, LOAD_BYTES, true, turn.disk)?;
        let before = from;
        for batch in chunk.into_iter().flat_map(batches).map_while(Result::ok) {
            from = batch.header.last_offset().next();
            let records = batch.records().into_iter().flatten().map_while(Result::ok);
            found.extend(records.filter_map(|record| Some((record.key?, record.value))));
        }
        if from == before {
            break;
        }
    }
    Ok(found)
}

fn wire_response(response: GroupResponse) -> ResponseKind {
    match response {
        GroupResponse::Join(body) => ResponseKind::JoinGroup(body),
        GroupResponse::Sync(body) => ResponseKind::SyncGroup(body),
        GroupResponse::Heartbeat(body) => ResponseKind::Heartbeat(body),
        GroupResponse::Leave(body) => ResponseKind::LeaveGroup(body),
        GroupResponse::OffsetCommit(body) => ResponseKind::OffsetCommit(body),
        GroupResponse::OffsetFetch(body) => ResponseKind::OffsetFetch(body),
        GroupResponse::Describe(body) => ResponseKind::DescribeGroups(body),
        GroupResponse::List(body) => ResponseKind::ListGroups(body),
        GroupResponse::Delete(body) => ResponseKind::DeleteGroups(body),
        GroupResponse::OffsetDelete(body) => ResponseKind::OffsetDelete(body),
    }
}
