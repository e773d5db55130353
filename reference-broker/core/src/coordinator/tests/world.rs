//! A coordinator, its log, and the clients' side of the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse, TopicName, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

use crate::controller::TopicId;
use crate::coordinator::response::text;
use crate::coordinator::{
    AppendToken, ConsumerGroup, CoordinatorConfig, CoordinatorEffect, CoordinatorSnapshot, GroupCoordinator,
    GroupRequest, GroupResponse, ReplyId, RequestContext, StoredRecord, TopicView,
};
use crate::defects::Defects;
use crate::ids::{LeaderEpoch, Offset, PartitionId, ProducerId};
use crate::node::Now;

pub(super) const PARTITIONS: i32 = 3;
pub(super) const SESSION_MS: i32 = 10_000;
pub(super) const REBALANCE_MS: i32 = 60_000;
pub(super) const RETENTION_MS: u64 = 24 * 3_600_000;

pub(super) type Batch = Vec<StoredRecord>;

/// Topics with their partitions, whose high watermark is 1,000.
pub(super) struct Topics(pub(super) BTreeMap<&'static str, i32>);

impl Default for Topics {
    fn default() -> Self {
        Self(BTreeMap::from([("orders", 4)]))
    }
}

pub(super) fn topic_id(name: &str) -> TopicId {
    let number = name.bytes().fold(1u128, |number, byte| number << 8 | u128::from(byte));
    TopicId(Uuid::from_u128(number))
}

impl TopicView for Topics {
    fn contains(&self, topic: &str, partition: PartitionId) -> bool {
        self.0.get(topic).is_some_and(|count| (0..*count).contains(&partition.0))
    }

    fn high_watermark(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        self.contains(topic, partition).then_some(Offset(1_000))
    }

    fn topic(&self, name: &str) -> Option<(TopicId, i32)> {
        self.0.get(name).map(|count| (topic_id(name), *count))
    }

    fn name(&self, topic: TopicId) -> Option<String> {
        self.0.keys().find(|name| topic_id(name) == topic).map(|name| (*name).to_owned())
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().map(|name| (*name).to_owned()).collect()
    }
}

pub(super) fn config() -> CoordinatorConfig {
    CoordinatorConfig {
        seed: 7,
        offsets_topic_partitions: PARTITIONS,
        initial_rebalance_delay_ms: 0,
        min_session_timeout_ms: 100,
        max_session_timeout_ms: 300_000,
        offsets_commit_timeout_ms: 5_000,
        offset_metadata_max_bytes: 4096,
        offsets_retention_ms: RETENTION_MS,
        offsets_retention_check_interval_ms: RETENTION_MS / 10,
        consumer_session_timeout_ms: SESSION_MS as u64,
        consumer_heartbeat_interval_ms: 3_000,
        defects: Defects::NONE,
    }
}

/// One broker, as the rest of the cluster sees it.
pub(super) struct World {
    pub(super) coordinator: GroupCoordinator,
    pub(super) config: CoordinatorConfig,
    pub(super) topics: Topics,
    pub(super) now: Now,
    epoch: LeaderEpoch,
    /// What is committed, by partition.
    pub(super) log: BTreeMap<PartitionId, Batch>,
    /// What is appended and not committed, oldest first.
    pub(super) appends: VecDeque<(PartitionId, Batch, AppendToken)>,
    replies: BTreeMap<ReplyId, GroupResponse>,
    /// Requests without a reply, with their versions.
    pub(super) open: BTreeMap<ReplyId, i16>,
    seen: BTreeSet<ReplyId>,
    next_reply: u64,
}

impl World {
    pub(super) fn new(config: CoordinatorConfig) -> Self {
        let mut world = Self {
            coordinator: GroupCoordinator::new(config.clone()),
            config,
            topics: Topics::default(),
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 },
            epoch: LeaderEpoch(0),
            log: BTreeMap::new(),
            appends: VecDeque::new(),
            replies: BTreeMap::new(),
            open: BTreeMap::new(),
            seen: BTreeSet::new(),
            next_reply: 0,
        };
        world.load_all();
        world
    }

    fn load_all(&mut self) {
        let mut out = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            let records = self.log.get(&partition).cloned().unwrap_or_default();
            self.coordinator.load(self.now, partition, self.epoch, records, &mut out);
        }
        self.take(out);
    }

    /// Another broker takes over; what was appended and not committed is lost.
    pub(super) fn fail_over(&mut self) {
        let mut out = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            self.coordinator.unload(self.now, partition, &mut out);
        }
        self.take(out);
        assert!(self.open.is_empty(), "unanswered after the coordinator moved: {:?}", self.open);
        self.appends.clear();
        self.epoch.0 += 1;
        self.coordinator = GroupCoordinator::new(self.config.clone());
        self.load_all();
    }

    /// What a coordinator would be that is loaded from the committed records now.
    pub(super) fn reloaded(&self) -> CoordinatorSnapshot {
        let mut fresh = GroupCoordinator::new(self.config.clone());
        let mut out = Vec::new();
        for (partition, records) in &self.log {
            fresh.load(self.now, *partition, LeaderEpoch(9), records.clone(), &mut out);
        }
        assert!(out.is_empty());
        fresh.snapshot()
    }

    pub(super) fn assert_matches_the_log(&self) {
        let (live, reloaded) = (self.coordinator.snapshot(), self.reloaded());
        for (group, snapshot) in &live.groups {
            let shared = snapshot.consumer.as_ref().and_then(ConsumerGroup::shared_partition);
            assert_eq!(shared, None, "two members of `{group}` have it");
        }
        if let Some(group) = live.diverges_from(&reloaded) {
            panic!(
                "`{group}` is {:#?}, and from the log {:#?}",
                live.groups.get(&group),
                reloaded.groups.get(&group)
            );
        }
    }

    fn take(&mut self, out: Vec<CoordinatorEffect>) {
        for effect in out {
            match effect {
                CoordinatorEffect::Append { partition, records, producer, token } => {
                    assert!(!records.is_empty());
                    let producer = producer.map(|(id, _)| id);
                    let stored = |(key, value)| StoredRecord::Record { producer, key, value };
                    let records = records.into_iter().map(stored).collect();
                    self.appends.push_back((partition, records, token));
                }
                CoordinatorEffect::Reply { reply, response } => {
                    assert!(self.seen.insert(reply), "answered twice: {response:?}");
                    let version = self.open.remove(&reply).expect("a reply to an open request");
                    encode(&response, version);
                    self.replies.insert(reply, response);
                }
            }
        }
    }

    pub(super) fn send(&mut self, request: GroupRequest, version: i16) -> ReplyId {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.open.insert(reply, version);
        let topics = &self.topics;
        let context = RequestContext { version, client_id: "client", client_host: "/127.0.0.1", topics };
        let mut out = Vec::new();
        self.coordinator.handle(self.now, request, reply, &context, &mut out);
        self.take(out);
        reply
    }

    /// The reply, if it was given.
    pub(super) fn reply(&self, reply: ReplyId) -> Option<&GroupResponse> {
        self.replies.get(&reply)
    }

    pub(super) fn join_reply(&self, reply: ReplyId) -> JoinGroupResponse {
        match self.reply(reply) {
            Some(GroupResponse::Join(response)) => response.clone(),
            other => panic!("not a JoinGroup response: {other:?}"),
        }
    }

    pub(super) fn sync_reply(&self, reply: ReplyId) -> SyncGroupResponse {
        match self.reply(reply) {
            Some(GroupResponse::Sync(response)) => response.clone(),
            other => panic!("not a SyncGroup response: {other:?}"),
        }
    }

    /// The first error of a response; 0 is success.
    pub(super) fn error(&self, reply: ReplyId) -> i16 {
        match self.reply(reply).expect("a reply") {
            GroupResponse::Join(response) => response.error_code,
            GroupResponse::Sync(response) => response.error_code,
            GroupResponse::Heartbeat(response) => response.error_code,
            GroupResponse::Leave(response) => {
                let members = response.members.iter().map(|member| member.error_code);
                [response.error_code].into_iter().chain(members).find(|code| *code != 0).unwrap_or(0)
            }
            GroupResponse::OffsetCommit(response) => response.topics[0].partitions[0].error_code,
            GroupResponse::OffsetFetch(response) => response.groups[0].error_code,
            GroupResponse::Describe(response) => response.groups[0].error_code,
            GroupResponse::List(response) => response.error_code,
            GroupResponse::Delete(response) => response.results[0].error_code,
            GroupResponse::OffsetDelete(response) => response.error_code,
            GroupResponse::ConsumerHeartbeat(response) => response.error_code,
            GroupResponse::ConsumerDescribe(response) => response.groups[0].error_code,
            GroupResponse::TxnOffsetCommit(response) => response.topics[0].partitions[0].error_code,
        }
    }

    /// A marker of this producer is committed in the partition of a group.
    pub(super) fn end_transaction(&mut self, group: &str, producer: i64, commit: bool) {
        let (partition, producer) = (self.coordinator.partition_for(group), ProducerId(producer));
        self.log.entry(partition).or_default().push(StoredRecord::Marker { producer, commit });
        self.coordinator.transaction_ended(partition, producer, commit);
        self.assert_matches_the_log();
    }

    /// The oldest append is committed, or refused.
    pub(super) fn settle_next(&mut self, result: Result<(), ResponseError>) -> bool {
        let Some((partition, records, token)) = self.appends.pop_front() else { return false };
        if result.is_ok() {
            self.log.entry(partition).or_default().extend(records);
        }
        let mut out = Vec::new();
        self.coordinator.appended(self.now, token, result, &self.topics, &mut out);
        self.take(out);
        true
    }

    pub(super) fn settle_all(&mut self) {
        while self.settle_next(Ok(())) {}
    }

    /// Lets time pass, with all ticks that fall into it.
    pub(super) fn advance(&mut self, ms: u64) {
        let end_ns = self.now.mono_ns + ms * 1_000_000;
        loop {
            let due_ns = self.coordinator.next_tick_ns().max(self.now.mono_ns);
            if due_ns > end_ns {
                break;
            }
            self.set_time(due_ns);
            let mut out = Vec::new();
            self.coordinator.tick(self.now, &self.topics, &mut out);
            self.take(out);
            let next_ns = self.coordinator.next_tick_ns();
            assert!(next_ns > self.now.mono_ns, "the tick at {due_ns} left something that is due");
        }
        self.set_time(end_ns);
    }

    fn set_time(&mut self, mono_ns: u64) {
        self.now.wall_ms += ((mono_ns - self.now.mono_ns) / 1_000_000) as i64;
        self.now.mono_ns = mono_ns;
    }

    /// Joins as a dynamic member, with the round trip of KIP-394.
    pub(super) fn join_new(&mut self, group: &str) -> (String, ReplyId) {
        let refused = self.send(join(group, "", None), 9);
        let refused = self.join_reply(refused);
        assert_eq!(refused.error_code, ResponseError::MemberIdRequired.code());
        let member_id = refused.member_id.to_string();
        let reply = self.send(join(group, &member_id, None), 9);
        (member_id, reply)
    }

    /// A stable group of one member.
    pub(super) fn stable_one(&mut self, group: &str) -> String {
        let (member_id, reply) = self.join_new(group);
        let generation = self.join_reply(reply).generation_id;
        self.send(sync(group, &member_id, generation, &[(&member_id, "all")]), 5);
        self.settle_all();
        member_id
    }

    /// A stable group of two members in generation 2; the first is the leader.
    pub(super) fn stable_two(&mut self, group: &str) -> (String, String) {
        let first = self.stable_one(group);
        let (second, joined_second) = self.join_new(group);
        let joined_first = self.send(join(group, &first, None), 9);
        assert_eq!(self.join_reply(joined_first).generation_id, 2);
        assert_eq!(self.join_reply(joined_second).generation_id, 2);
        self.send(sync(group, &second, 2, &[]), 5);
        self.send(sync(group, &first, 2, &[(&first, "p0"), (&second, "p1")]), 5);
        self.settle_all();
        (first, second)
    }

    pub(super) fn heartbeat(&mut self, group: &str, member_id: &str, generation: i32) -> i16 {
        let reply = self.send(heartbeat(group, member_id, generation), 4);
        self.error(reply)
    }

    /// The committed offset of `orders`, as OffsetFetch tells it.
    pub(super) fn fetched(&mut self, group: &str, partition: i32) -> i64 {
        let reply = self.send(fetch(group, partition, false), 9);
        match self.reply(reply) {
            Some(GroupResponse::OffsetFetch(response)) => {
                response.groups[0].topics[0].partitions[0].committed_offset
            }
            other => panic!("not an OffsetFetch response: {other:?}"),
        }
    }
}

/// A response that the wire cannot carry in its version is a bug.
fn encode(response: &GroupResponse, version: i16) {
    let buffer = &mut BytesMut::new();
    let result = match response {
        GroupResponse::Join(response) => response.encode(buffer, version),
        GroupResponse::Sync(response) => response.encode(buffer, version),
        GroupResponse::Heartbeat(response) => response.encode(buffer, version),
        GroupResponse::Leave(response) => response.encode(buffer, version),
        GroupResponse::OffsetCommit(response) => response.encode(buffer, version),
        GroupResponse::OffsetFetch(response) => response.encode(buffer, version),
        GroupResponse::Describe(response) => response.encode(buffer, version),
        GroupResponse::List(response) => response.encode(buffer, version),
        GroupResponse::Delete(response) => response.encode(buffer, version),
        GroupResponse::OffsetDelete(response) => response.encode(buffer, version),
        GroupResponse::ConsumerHeartbeat(response) => response.encode(buffer, version),
        GroupResponse::ConsumerDescribe(response) => response.encode(buffer, version),
        GroupResponse::TxnOffsetCommit(response) => response.encode(buffer, version),
    };
    if let Err(error) = result {
        panic!("version {version} cannot carry {response:?}: {error}");
    }
}

pub(super) fn group_id(group: &str) -> GroupId {
    GroupId(text(group))
}

pub(super) fn join(group: &str, member_id: &str, instance_id: Option<&str>) -> GroupRequest {
    join_with(group, member_id, instance_id, &[("range", "sub")])
}

pub(super) fn join_with(
    group: &str,
    member_id: &str,
    instance_id: Option<&str>,
    protocols: &[(&str, &str)],
) -> GroupRequest {
    let protocols = protocols.iter().map(|(name, metadata)| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(Bytes::copy_from_slice(metadata.as_bytes()))
    });
    GroupRequest::Join(
        JoinGroupRequest::default()
            .with_group_id(group_id(group))
            .with_session_timeout_ms(SESSION_MS)
            .with_rebalance_timeout_ms(REBALANCE_MS)
            .with_member_id(text(member_id))
            .with_group_instance_id(instance_id.map(text))
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(protocols.collect()),
    )
}

pub(super) fn sync(
    group: &str,
    member_id: &str,
    generation: i32,
    assignments: &[(&str, &str)],
) -> GroupRequest {
    let assignments = assignments.iter().map(|(member_id, assignment)| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member_id))
            .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
    });
    GroupRequest::Sync(
        SyncGroupRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id(generation)
            .with_member_id(text(member_id))
            .with_assignments(assignments.collect()),
    )
}

pub(super) fn heartbeat(group: &str, member_id: &str, generation: i32) -> GroupRequest {
    GroupRequest::Heartbeat(
        HeartbeatRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id(generation)
            .with_member_id(text(member_id)),
    )
}

pub(super) fn leave(group: &str, members: &[(&str, Option<&str>)]) -> GroupRequest {
    let members = members.iter().map(|(member_id, instance_id)| {
        MemberIdentity::default()
            .with_member_id(text(member_id))
            .with_group_instance_id(instance_id.map(text))
    });
    GroupRequest::Leave(
        LeaveGroupRequest::default().with_group_id(group_id(group)).with_members(members.collect()),
    )
}

pub(super) fn commit(
    group: &str,
    member_id: &str,
    generation: i32,
    partition: i32,
    offset: i64,
) -> GroupRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(4)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![partition]);
    GroupRequest::OffsetCommit(
        OffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member_id))
            .with_topics(vec![topic]),
    )
}

pub(super) fn commit_in_transaction(
    group: &str,
    (producer_id, epoch): (i64, i16),
    (member_id, generation): (&str, i32),
    partition: i32,
    offset: i64,
) -> GroupRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("note")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![partition]);
    GroupRequest::TxnOffsetCommit(
        TxnOffsetCommitRequest::default()
            .with_group_id(group_id(group))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_generation_id(generation)
            .with_member_id(text(member_id))
            .with_topics(vec![topic]),
    )
}

pub(super) fn fetch(group: &str, partition: i32, require_stable: bool) -> GroupRequest {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(TopicName(text("orders")))
        .with_partition_indexes(vec![partition]);
    let group =
        OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
    GroupRequest::OffsetFetch(
        OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(require_stable),
    )
}
