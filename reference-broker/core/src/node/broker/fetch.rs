//! Fetch, for consumers and for followers.
//!
//! A fetch that finds too little waits for more until its time is over. It is read again from the start then, so that
//! a role that changes meanwhile is noticed.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchRequest;
use uuid::Uuid;

use crate::controller::{TopicId, TopicPartitionId};
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionId};
use crate::node::connections::ReplyTo;
use crate::replication::Partition;
use crate::wire::{FetchResponse, FetchedPartition, FetchedTopic, TopicKey};

use super::{Broker, NS_PER_MS, Turn};

/// A fetch that waits.
#[derive(Debug)]
pub(super) struct DelayedFetch {
    reply: ReplyTo,
    plan: Plan,
}

#[derive(Debug)]
struct Plan {
    /// The follower that asks, with its registration; `None` for a consumer.
    follower: Option<(NodeId, BrokerEpoch)>,
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
    max_bytes: usize,
}

impl Broker {
    /// Answers at once or parks the request.
    pub(super) fn fetch(&mut self, request: FetchRequest, reply: ReplyTo, turn: &mut Turn<'_>) {
        let deadline_ns = turn.now.mono_ns + request.max_wait_ms.max(0) as u64 * NS_PER_MS;
        let can_wait = request.max_wait_ms > 0;
        let plan = self.plan_fetch(request, reply.asked.version);
        if let Some((follower, epoch)) = plan.follower {
            self.note_progress(follower, epoch, &plan, turn);
        }
        let (response, complete) = self.read(&plan, turn);
        if complete || !can_wait {
            self.connections.reply(reply, response.encode(reply.asked), turn.effects);
            return;
        }
        let watches = plan.partitions().map(|(id, _)| id).collect();
        self.fetches.park(DelayedFetch { reply, plan }, watches, deadline_ns);
    }

    fn plan_fetch(&self, request: FetchRequest, version: i16) -> Plan {
        let image = self.channel.image();
        let (replica, epoch) = match version {
            15.. => (request.replica_state.replica_id.0, request.replica_state.replica_epoch),
            _ => (request.replica_id.0, -1),
        };
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
                max_bytes: partition.partition_max_bytes.max(0) as usize,
            });
            (key, id, parts.collect())
        });
        Plan {
            follower: (replica >= 0).then_some((NodeId(replica), BrokerEpoch(epoch))),
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
            if check_epoch(partition, part.current_epoch).is_err()
                || !in_range
                || diverging(partition, &part).is_some()
            {
                continue;
            }
            if partition.follower_fetched(follower, epoch, part.offset, turn.now.mono_ns) {
                if partition.advance_high_watermark() {
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
            let reply = delayed.reply;
            if !self.connections.is_open(reply) {
                self.fetches.take(ticket);
                continue;
            }
            let (response, complete) = self.read(&delayed.plan, turn);
            if complete {
                self.fetches.take(ticket);
                self.connections.reply(reply, response.encode(reply.asked), turn.effects);
            }
        }
    }

    pub(super) fn expire_fetches(&mut self, turn: &mut Turn<'_>) {
        for ticket in self.fetches.expired(turn.now.mono_ns) {
            if let Some(delayed) = self.fetches.take(ticket) {
                let (response, _) = self.read(&delayed.plan, turn);
                self.connections.reply(delayed.reply, response.encode(delayed.reply.asked), turn.effects);
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
                        self.read_partition(id, part, plan.follower, left, size == 0, turn)
                    }
                    None if matches!(key, TopicKey::Id(_)) => {
                        FetchedPartition::error(part.partition, ResponseError::UnknownTopicId.code())
                    }
                    None => {
                        FetchedPartition::error(part.partition, ResponseError::UnknownTopicOrPartition.code())
                    }
                };
                size += read.bytes();
                news |= read.error != 0 || read.diverging.is_some();
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
        follower: Option<(NodeId, BrokerEpoch)>,
        left: usize,
        first: bool,
        turn: &mut Turn<'_>,
    ) -> FetchedPartition {
        let error = |error: ResponseError| FetchedPartition::error(part.partition, error.code());
        let partition = match self.readable(id, part.current_epoch) {
            Ok(partition) => partition,
            Err(code) => return error(code),
        };
        if follower.is_some_and(|(node, _)| !partition.replicas().contains(&node)) {
            return error(ResponseError::NotLeaderOrFollower);
        }
        let (start, end) = (partition.log.log_start_offset(), partition.log.log_end_offset());
        let mut fetched = FetchedPartition {
            partition: part.partition,
            error: 0,
            high_watermark: partition.high_watermark(),
            log_start: start,
            diverging: diverging(partition, part),
            records: Vec::new(),
        };
        match fetched.diverging {
            Some((LeaderEpoch::NONE, _)) => return error(ResponseError::OffsetOutOfRange),
            Some(_) => return fetched,
            None => {}
        }
        if part.offset < start || part.offset > end {
            return error(ResponseError::OffsetOutOfRange);
        }
        let bound = if follower.is_some() { end } else { partition.high_watermark() };
        let budget = left.min(part.max_bytes);
        if part.offset < bound && (budget > 0 || first) {
            match partition.log.read(part.offset, bound, budget, first, turn.disk) {
                Ok(records) => fetched.records = records,
                Err(trouble) => {
                    tracing::error!(topic = partition.topic(), partition = id.partition.0, %trouble, "cannot read");
                    return FetchedPartition::error(part.partition, trouble.code());
                }
            }
        }
        fetched
    }

    /// A partition that this broker leads in the epoch that the client knows of (KIP-320).
    pub(super) fn readable(
        &self,
        id: TopicPartitionId,
        epoch: LeaderEpoch,
    ) -> Result<&Partition, ResponseError> {
        let known = self.channel.image().partition(id).is_some();
        match self.partitions.get(&id) {
            Some(partition) => check_epoch(partition, epoch).map(|()| partition),
            None if known => Err(ResponseError::NotLeaderOrFollower),
            None => Err(ResponseError::UnknownTopicOrPartition),
        }
    }
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

/// First the epoch, then the role: a client with an old epoch must learn of the new one (KAFKA-14078).
fn check_epoch(partition: &Partition, epoch: LeaderEpoch) -> Result<(), ResponseError> {
    let current = partition.state().leader_epoch;
    if epoch != LeaderEpoch::NONE && epoch < current {
        Err(ResponseError::FencedLeaderEpoch)
    } else if epoch != LeaderEpoch::NONE && epoch > current {
        Err(ResponseError::UnknownLeaderEpoch)
    } else if partition.is_leader() {
        Ok(())
    } else {
        Err(ResponseError::NotLeaderOrFollower)
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
