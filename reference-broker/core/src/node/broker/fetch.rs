//! Fetch, for consumers and for followers.
//!
//! A fetch that finds too little waits for more until its time is over. It is read again from the start then, so that
//! a role that changes meanwhile is noticed.

use std::cmp::Reverse;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::controller::{TopicId, TopicPartitionId};
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId, ProducerId};
use crate::node::ReplicaSelector;
use crate::node::connections::ReplyTo;
use crate::record::batches;
use crate::replication::Partition;
use crate::wire::{FetchResponse, FetchedPartition, FetchedTopic, TopicKey};

use super::fetch_sessions::SessionTurn;
use super::{Broker, NS_PER_MS, Turn};

/// The isolation level that asks for nothing undecided.
pub(super) const READ_COMMITTED: i8 = 1;

/// From this version on a consumer says where it is, and can be sent to another replica (KIP-392).
const RACK_VERSION: i16 = 11;

/// A fetch that waits.
#[derive(Debug)]
pub(super) struct DelayedFetch {
    reply: ReplyTo,
    session: SessionTurn,
    plan: Plan,
}

#[derive(Debug)]
struct Plan {
    /// The follower that asks, with its registration; `None` for a consumer.
    follower: Option<(NodeId, BrokerEpoch)>,
    /// The rack of a consumer that may read from followers, empty if it names none; `None` if only the leader will do.
    rack: Option<StrBytes>,
    /// Whether only records of decided transactions are wanted (KIP-98).
    read_committed: bool,
    min_bytes: usize,
    max_bytes: usize,
    topics: Vec<(TopicKey, Option<TopicId>, Vec<Part>)>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    partition: PartitionId,
    current_epoch: LeaderEpoch,
    offset: Offset,
    last_fetched_epoch: LeaderEpoch,
    /// Where the follower's log starts.
    log_start: Offset,
    max_bytes: usize,
}

impl Broker {
    /// Answers at once or parks the request.
    pub(super) fn fetch(&mut self, mut request: FetchRequest, reply: ReplyTo, turn: &mut Turn<'_>) {
        let session = match self.fetch_sessions.begin(&mut request, turn.now.mono_ns) {
            Ok(session) => session,
            Err(error) => {
                let response = FetchResponse { error: error.code(), ..FetchResponse::default() };
                return self.connections.reply(reply, response.encode(reply.asked), turn.effects);
            }
        };
        let deadline_ns = turn.now.mono_ns + request.max_wait_ms.max(0) as u64 * NS_PER_MS;
        let can_wait = request.max_wait_ms > 0;
        let plan = self.plan_fetch(request, reply.asked.version);
        if let Some((follower, epoch)) = plan.follower {
            self.note_progress(follower, epoch, &plan, turn);
        }
        let (response, complete) = self.read(&plan, turn);
        if complete || !can_wait {
            return self.answer_fetch(reply, session, response, turn);
        }
        let watches = plan.partitions().map(|(id, _)| id).collect();
        self.fetches.park(DelayedFetch { reply, session, plan }, watches, deadline_ns);
    }

    fn answer_fetch(
        &mut self,
        reply: ReplyTo,
        session: SessionTurn,
        mut response: FetchResponse,
        turn: &mut Turn<'_>,
    ) {
        self.fetch_sessions.end(session, &mut response);
        self.connections.reply(reply, response.encode(reply.asked), turn.effects);
    }

    fn plan_fetch(&self, request: FetchRequest, version: i16) -> Plan {
        let image = self.channel.image();
        let (replica, epoch) = match version {
            15.. => (request.replica_state.replica_id.0, request.replica_state.replica_epoch),
            _ => (request.replica_id.0, -1),
        };
        let selects = self.config.replica_selector == ReplicaSelector::RackAware;
        let rack = (selects && version >= RACK_VERSION && replica < 0).then_some(request.rack_id);
        let topics = request.topics.into_iter().map(|topic| {
            let (key, id) = if version >= 13 {
                let id = TopicId(topic.topic_id);
                (TopicKey::Id(*topic.topic_id.as_bytes()), image.topic(id).map(|_| id))
            } else {
                let id = image.topic_named(&topic.topic).map(|topic| topic.id);
                (TopicKey::Name(topic.topic.0), id)
            };
            let parts = topic.partitions.iter().map(|partition| Part {
                partition: PartitionId(partition.partition),
                current_epoch: LeaderEpoch(partition.current_leader_epoch),
                offset: Offset(partition.fetch_offset),
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                log_start: Offset(partition.log_start_offset),
                max_bytes: partition.partition_max_bytes.max(0) as usize,
            });
            (key, id, parts.collect())
        });
        Plan {
            follower: (replica >= 0).then_some((NodeId(replica), BrokerEpoch(epoch))),
            rack,
            read_committed: replica < 0 && request.isolation_level == READ_COMMITTED,
            min_bytes: request.min_bytes.max(0) as usize,
            max_bytes: request.max_bytes.max(0) as usize,
            topics: topics.collect(),
        }
    }

    /// A follower that asks for an offset has all below it, if its log is a prefix of this one.
    fn note_progress(&mut self, follower: NodeId, epoch: BrokerEpoch, plan: &Plan, turn: &mut Turn<'_>) {
        // A fetch of an earlier process of that broker says nothing about what the present one has (KIP-903).
        let known = self.channel.image().broker(follower).map_or(BrokerEpoch(-1), |broker| broker.epoch);
        if epoch < known {
            return;
        }
        let mut expand = Vec::new();
        for (id, part) in plan.partitions() {
            let Some(partition) = self.partitions.get_mut(&id) else { continue };
            let in_range = part.offset >= partition.log.log_start_offset()
                && part.offset <= partition.log.log_end_offset();
            if !partition.is_leader()
                || check_epoch(partition, part.current_epoch).is_err()
                || !in_range
                || diverging(partition, &part).is_some()
            {
                continue;
            }
            let range = (part.log_start, part.offset);
            if partition.follower_fetched(follower, epoch, range, turn.now.mono_ns) {
                if partition.advance_high_watermark() || self.deletes.is_watched(id) {
                    self.touched.insert(id);
                }
                expand.push(id);
            }
        }
        self.expand_in_sync_sets(&expand, follower, turn);
    }

    /// Looks again at the fetches that wait for this partition.
    pub(super) fn complete_fetches(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        for ticket in self.fetches.watching(id) {
            let Some(delayed) = self.fetches.get(ticket) else { continue };
            let (reply, session) = (delayed.reply, delayed.session);
            if !self.connections.is_open(reply) {
                self.fetches.take(ticket);
                continue;
            }
            let (response, complete) = self.read(&delayed.plan, turn);
            if complete {
                self.fetches.take(ticket);
                self.answer_fetch(reply, session, response, turn);
            }
        }
    }

    pub(super) fn expire_fetches(&mut self, turn: &mut Turn<'_>) {
        for ticket in self.fetches.expired(turn.now.mono_ns) {
            if let Some(delayed) = self.fetches.take(ticket) {
                let (response, _) = self.read(&delayed.plan, turn);
                self.answer_fetch(delayed.reply, delayed.session, response, turn);
            }
        }
    }

    /// Reads what there is; complete if it is enough, or there is news that should not wait.
    fn read(&self, plan: &Plan, turn: &mut Turn<'_>) -> (FetchResponse, bool) {
        let mut size = 0;
        let mut news = false;
        let mut response = FetchResponse::default();
        for (key, id, parts) in &plan.topics {
            let mut partitions = Vec::with_capacity(parts.len());
            for part in parts {
                let left = plan.max_bytes.saturating_sub(size);
                let read = match id {
                    Some(topic) => {
                        let id = TopicPartitionId { topic: *topic, partition: part.partition };
                        self.read_partition(id, part, plan, left, size == 0, turn)
                    }
                    None if matches!(key, TopicKey::Id(_)) => {
                        FetchedPartition::error(part.partition, ResponseError::UnknownTopicId.code())
                    }
                    None => {
                        FetchedPartition::error(part.partition, ResponseError::UnknownTopicOrPartition.code())
                    }
                };
                size += read.bytes();
                news |= read.error != 0 || read.diverging.is_some() || read.preferred.is_some();
                partitions.push(read);
            }
            response.topics.push(FetchedTopic { topic: key.clone(), partitions });
        }
        let complete = news || size >= plan.min_bytes || plan.topics.is_empty();
        (response, complete)
    }

    fn read_partition(
        &self,
        id: TopicPartitionId,
        part: &Part,
        plan: &Plan,
        left: usize,
        first: bool,
        turn: &mut Turn<'_>,
    ) -> FetchedPartition {
        let error = |error: ResponseError| FetchedPartition::error(part.partition, error.code());
        let partition = match self.replica(id, part.current_epoch) {
            Ok(partition) if partition.is_leader() => partition,
            Ok(partition) if plan.rack.is_some() && self.serves_as_follower(partition) => partition,
            Ok(_) => return error(ResponseError::NotLeaderOrFollower),
            Err(code) => return error(code),
        };
        if plan.follower.is_some_and(|(node, _)| !partition.replicas().contains(&node)) {
            return error(ResponseError::NotLeaderOrFollower);
        }
        let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
        let mut fetched = FetchedPartition {
            partition: part.partition,
            error: 0,
            high_watermark: partition.high_watermark(),
            last_stable: partition.last_stable_offset(),
            log_start: start,
            aborted: plan.read_committed.then(Vec::new),
            diverging: diverging(partition, part),
            preferred: None,
            records: Vec::new(),
        };
        match fetched.diverging {
            Some((LeaderEpoch::NONE, _)) => return error(ResponseError::OffsetOutOfRange),
            Some(_) => return fetched,
            None => {}
        }
        if part.offset > end && !partition.is_leader() {
            // Its leader may have it.
            return error(ResponseError::OffsetNotAvailable);
        }
        if part.offset < start || part.offset > end {
            // A follower has to know where to begin again.
            let log_start = plan.follower.map_or(Offset(-1), |_| start);
            return FetchedPartition { log_start, ..error(ResponseError::OffsetOutOfRange) };
        }
        fetched.preferred =
            plan.rack.as_ref().and_then(|rack| self.preferred_replica(partition, rack, part.offset));
        if fetched.preferred.is_some() {
            return fetched;
        }
        let bound = match plan.follower {
            Some(_) => end,
            None if plan.read_committed => fetched.last_stable,
            None => fetched.high_watermark,
        };
        let budget = left.min(part.max_bytes);
        if part.offset < bound && (budget > 0 || first) {
            match partition.log.read(part.offset, bound, budget, first, turn.disk) {
                Ok(records) => {
                    if let Some(aborted) = &mut fetched.aborted {
                        let read_to = end_of(&records);
                        assert!(read_to <= Some(bound), "undecided up to {read_to:?}, stable up to {bound}");
                        *aborted = aborted_in(partition, part.offset, read_to);
                    }
                    fetched.records = records;
                }
                Err(trouble) => {
                    tracing::error!(topic = partition.topic(), partition = id.partition.0, %trouble, "cannot read");
                    return FetchedPartition::error(part.partition, trouble.code());
                }
            }
        }
        fetched
    }

    /// The in-sync replica in the rack of a consumer that has come furthest, unless the leader is there itself (KIP-392).
    fn preferred_replica(&self, partition: &Partition, rack: &str, offset: Offset) -> Option<NodeId> {
        if rack.is_empty() || self.config.rack.as_deref() == Some(rack) {
            return None;
        }
        let image = self.channel.image();
        let is_there = |node| image.broker(node).is_some_and(|broker| broker.rack.as_deref() == Some(rack));
        let near =
            partition.followers_with(offset).filter(|(node, _)| image.is_active(*node) && is_there(*node));
        near.max_by_key(|(node, end)| (*end, Reverse(*node))).map(|(node, _)| node)
    }

    /// Whether consumers may read here what this follower knows to be committed.
    fn serves_as_follower(&self, partition: &Partition) -> bool {
        !self.channel.is_fenced() && partition.follows_in_sync()
    }

    /// A partition that this broker leads in the epoch that the client knows of (KIP-320).
    pub(super) fn readable(
        &self,
        id: TopicPartitionId,
        epoch: LeaderEpoch,
    ) -> Result<&Partition, ResponseError> {
        match self.replica(id, epoch) {
            Ok(partition) if !partition.is_leader() => Err(ResponseError::NotLeaderOrFollower),
            found => found,
        }
    }

    /// A partition that this broker holds, in the epoch that the client knows of. The epoch comes before the role: a client with an
    /// old one must learn of the new one (KAFKA-14078).
    fn replica(&self, id: TopicPartitionId, epoch: LeaderEpoch) -> Result<&Partition, ResponseError> {
        let known = self.channel.image().partition(id).is_some();
        match self.partitions.get(&id) {
            Some(partition) => check_epoch(partition, epoch).map(|()| partition),
            None if self.is_offline(id) => Err(ResponseError::KafkaStorageError),
            None if known => Err(ResponseError::NotLeaderOrFollower),
            None => Err(ResponseError::UnknownTopicOrPartition),
        }
    }
}

/// Who aborted transactions with records in what was read, and where they began.
fn aborted_in(partition: &Partition, from: Offset, to: Option<Offset>) -> Vec<(ProducerId, Offset)> {
    let aborted = to.map(|to| partition.log.aborted_in(from, to)).unwrap_or_default();
    aborted.iter().map(|transaction| (transaction.producer, transaction.first)).collect()
}

/// The end of the last batch that was read.
fn end_of(records: &[Bytes]) -> Option<Offset> {
    let last = batches(records.last()?.clone()).map_while(Result::ok).last()?;
    Some(last.header.last_offset().next())
}

impl Plan {
    /// All partitions of topics that are known.
    fn partitions(&self) -> impl Iterator<Item = (TopicPartitionId, Part)> {
        self.topics.iter().flat_map(|(_, id, parts)| {
            let topic = id.unwrap_or(TopicId(Uuid::nil()));
            let parts = if id.is_some() { parts.as_slice() } else { &[] };
            parts.iter().map(move |part| (TopicPartitionId { topic, partition: part.partition }, *part))
        })
    }
}

fn check_epoch(partition: &Partition, epoch: LeaderEpoch) -> Result<(), ResponseError> {
    let current = partition.state().leader_epoch;
    if epoch != LeaderEpoch::NONE && epoch < current {
        Err(ResponseError::FencedLeaderEpoch)
    } else if epoch != LeaderEpoch::NONE && epoch > current {
        Err(ResponseError::UnknownLeaderEpoch)
    } else {
        Ok(())
    }
}

/// Where the log of whoever asks leaves this one, if it does (KIP-595).
fn diverging(partition: &Partition, part: &Part) -> Option<(LeaderEpoch, Offset)> {
    if part.last_fetched_epoch == LeaderEpoch::NONE {
        return None;
    }
    let (epoch, end) = partition.log.end_offset_for_epoch(part.last_fetched_epoch);
    (epoch < part.last_fetched_epoch || end < part.offset).then_some((epoch, end))
}
