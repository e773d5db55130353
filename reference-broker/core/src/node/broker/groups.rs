//! Consumer groups: requests to their coordinator, and what it asks for.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ResponseKind;

use crate::controller::{MetadataImage, TopicId, TopicPartitionId};
use crate::coordinator::{
    AppendToken, CoordinatorEffect, GroupRequest, GroupResponse, RequestContext, TopicView,
};
use crate::ids::{Offset, PartitionId, Sequence};
use crate::node::connections::ReplyTo;
use crate::record::BatchBuilder;
use crate::replication::Partition;

use super::produce::Whom;
use super::{Broker, OFFSETS_TOPIC, Turn, is_internal};

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

    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        self.image.topic_named(name).map(|topic| (topic.id, topic.partitions.len() as i32))
    }

    fn name(&self, topic: TopicId) -> Option<String> {
        self.image.topic(topic).map(|topic| topic.name.clone())
    }

    fn names(&self) -> Vec<String> {
        let names = self.image.topics().map(|topic| &topic.name);
        names.filter(|name| !is_internal(name)).cloned().collect()
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
        let id = self.replies.expect(reply);
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
                    if let Some(to) = self.replies.take(reply) {
                        self.respond(to, &wire_response(response), turn);
                    }
                }
                CoordinatorEffect::Append { partition, records, producer, token } => {
                    let mut batch = BatchBuilder::new(turn.now.wall_ms);
                    if let Some((id, epoch)) = producer {
                        batch = batch.producer(id, epoch, Sequence(-1)).transactional();
                    }
                    let batch = records
                        .iter()
                        .fold(batch, |batch, (key, value)| batch.record(Some(key), value.as_deref()));
                    let id = self.internal_partition(OFFSETS_TOPIC, partition);
                    self.append_for_coordinator(id, batch.build(), Whom::Group(token), turn);
                }
            }
        }
    }

    pub(super) fn tick_groups(&mut self, turn: &mut Turn<'_>) {
        let topics = Topics { image: self.channel.image(), partitions: &self.partitions };
        let mut out = Vec::new();
        self.coordinator.tick(turn.now, &topics, &mut out);
        self.carry_out_groups(out, turn);
    }

    pub(super) fn group_append_ended(
        &mut self,
        token: AppendToken,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        let mut out = Vec::new();
        let topics = Topics { image: self.channel.image(), partitions: &self.partitions };
        self.coordinator.appended(turn.now, token, result, &topics, &mut out);
        self.carry_out_groups(out, turn);
    }
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
        GroupResponse::ConsumerHeartbeat(body) => ResponseKind::ConsumerGroupHeartbeat(body),
        GroupResponse::ConsumerDescribe(body) => ResponseKind::ConsumerGroupDescribe(body),
        GroupResponse::TxnOffsetCommit(body) => ResponseKind::TxnOffsetCommit(body),
    }
}
