//! Following: fetches from leaders, and what their answers do to the logs.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic, ReplicaState};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::{ApiKey, BrokerId, RequestKind};

use crate::controller::{TopicId, TopicPartitionId};
use crate::defects::Defect;
use crate::ids::{LeaderEpoch, NodeId, Offset, PartitionId};
use crate::log::AppendError;
use crate::node::dialled::Purpose;
use crate::node::{Endpoint, FlushPolicy, Now};
use crate::record::batches;
use crate::replication::{FetchAsked, FetcherState, Partition, truncation_offset};
use crate::wire::Asked;

use super::{Broker, NS_PER_MS, Turn};

/// The version of Fetch that carries the follower's registration (KIP-903).
const FETCH_VERSION: i16 = 15;
/// How much a follower takes at once, of all partitions and of one.
const FETCH_BYTES: i32 = 10 << 20;
const FETCH_PARTITION_BYTES: i32 = 1 << 20;
/// How long a leader may take beyond the wait that it was asked for, before the connection is given up.
const PATIENCE_MS: u64 = 1_000;
/// How long to wait after a failed connection or a refused partition.
const RETRY_MS: u64 = 50;

impl Broker {
    /// A partition follows this leader from now on.
    pub(super) fn follow(&mut self, id: TopicPartitionId, leader: NodeId) {
        self.unfollow(id);
        if leader != NodeId::NONE && leader != self.config.node_id {
            self.fetchers.entry(leader).or_default().partitions.insert(id);
        }
    }

    /// A partition follows nobody.
    pub(super) fn unfollow(&mut self, id: TopicPartitionId) {
        for fetcher in self.fetchers.values_mut() {
            fetcher.partitions.remove(&id);
            fetcher.asked.remove(&id);
            fetcher.delayed.remove(&id);
        }
    }

    /// A leader has registered again, perhaps elsewhere: its connection leads to a process that may be gone.
    pub(super) fn leader_moved(&mut self, leader: NodeId, turn: &mut Turn<'_>) {
        if let Some(fetcher) = self.fetchers.get_mut(&leader)
            && matches!(fetcher.state, FetcherState::Down { .. })
        {
            fetcher.state = FetcherState::Down { retry_ns: turn.now.mono_ns };
        }
    }

    pub(super) fn leader_connected(&mut self, leader: NodeId) {
        if let Some(fetcher) = self.fetchers.get_mut(&leader) {
            fetcher.state = FetcherState::Idle;
        }
    }

    pub(super) fn leader_lost(&mut self, leader: NodeId, now: Now) {
        if let Some(fetcher) = self.fetchers.get_mut(&leader) {
            fetcher.asked.clear();
            fetcher.state = FetcherState::Down { retry_ns: now.mono_ns + RETRY_MS * NS_PER_MS };
        }
    }

    /// Dials, asks and gives up, as it is due.
    pub(super) fn drive_fetchers(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now.mono_ns;
        let leaders: Vec<_> = self.fetchers.keys().copied().collect();
        for leader in leaders {
            let Some(fetcher) = self.fetchers.get(&leader) else { continue };
            if fetcher.partitions.is_empty() && fetcher.asked.is_empty() {
                self.fetchers.remove(&leader);
                self.dialled.close(Purpose::Replication(leader), turn.effects);
                continue;
            }
            match fetcher.state {
                FetcherState::Down { retry_ns } if retry_ns <= now_ns => self.dial_leader(leader, turn),
                FetcherState::Idle => self.ask_leader(leader, turn),
                FetcherState::Dialling { until_ns } | FetcherState::Waiting { until_ns }
                    if until_ns <= now_ns =>
                {
                    tracing::info!(leader = leader.0, "no answer in time");
                    self.dialled.close(Purpose::Replication(leader), turn.effects);
                    self.leader_lost(leader, turn.now);
                }
                _ => {}
            }
        }
    }

    fn dial_leader(&mut self, leader: NodeId, turn: &mut Turn<'_>) {
        let endpoint = self.endpoint_of(leader);
        let Some(fetcher) = self.fetchers.get_mut(&leader) else { return };
        let Some(endpoint) = endpoint else {
            fetcher.state = FetcherState::Down { retry_ns: turn.now.mono_ns + RETRY_MS * NS_PER_MS };
            return;
        };
        fetcher.state = FetcherState::Dialling { until_ns: turn.now.mono_ns + PATIENCE_MS * NS_PER_MS };
        self.dialled.dial(Purpose::Replication(leader), leader, endpoint, turn.effects);
    }

    /// How this broker reaches another one: as configured, else as advertised.
    pub(super) fn endpoint_of(&self, node: NodeId) -> Option<Endpoint> {
        let configured =
            self.config.peers.iter().find(|peer| peer.node == node).map(|peer| peer.endpoint.clone());
        configured.or_else(|| self.channel.image().broker(node).map(|broker| broker.internal.clone()))
    }

    fn ask_leader(&mut self, leader: NodeId, turn: &mut Turn<'_>) {
        let (Some(epoch), Some(fetcher)) = (self.channel.broker_epoch(), self.fetchers.get_mut(&leader))
        else {
            return;
        };
        let due = fetcher.due(turn.now.mono_ns);
        // To ask for what follows says that all before is stored, so a flush on its way has to end first.
        let flushing = due.iter().filter_map(|id| self.partitions.get(id)).any(|partition| {
            partition.settings().flush == FlushPolicy::BeforeAck
                && partition.stored_end() < partition.log.log_end_offset()
        });
        if due.is_empty() || flushing {
            return;
        }
        let mut topics: Vec<FetchTopic> = Vec::new();
        for id in due {
            let Some(partition) = self.partitions.get(&id) else { continue };
            let asked = FetchAsked {
                leader_epoch: partition.state().leader_epoch,
                offset: partition.log.log_end_offset(),
            };
            fetcher.asked.insert(id, asked);
            if topics.last().is_none_or(|topic| TopicId(topic.topic_id) != id.topic) {
                topics.push(FetchTopic::default().with_topic_id(id.topic.0));
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(fetch_partition(id, partition, asked));
            }
        }
        let wait_ms = self.config.replica_fetch_wait_max_ms;
        fetcher.state =
            FetcherState::Waiting { until_ns: turn.now.mono_ns + (wait_ms + PATIENCE_MS) * NS_PER_MS };
        let state = ReplicaState::default()
            .with_replica_id(BrokerId(self.config.node_id.0))
            .with_replica_epoch(epoch.0);
        let request = FetchRequest::default()
            .with_replica_state(state)
            .with_max_wait_ms(wait_ms as i32)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES)
            .with_session_epoch(-1)
            .with_topics(topics);
        let asked = Asked { api: ApiKey::Fetch, version: FETCH_VERSION, correlation: 0 };
        self.dialled.send(Purpose::Replication(leader), &RequestKind::Fetch(request), asked, turn.effects);
    }

    pub(super) fn leader_answered(&mut self, leader: NodeId, response: FetchResponse, turn: &mut Turn<'_>) {
        let Some(fetcher) = self.fetchers.get_mut(&leader) else { return };
        fetcher.state = FetcherState::Idle;
        let asked = std::mem::take(&mut fetcher.asked);
        for topic in response.responses {
            for data in topic.partitions {
                let id = TopicPartitionId {
                    topic: TopicId(topic.topic_id),
                    partition: PartitionId(data.partition_index),
                };
                if let Some(asked) = asked.get(&id)
                    && let Err(retry) = self.partition_answered(id, *asked, data, turn)
                    && let Some(fetcher) = self.fetchers.get_mut(&leader)
                {
                    tracing::debug!(?id, %retry, "fetch refused");
                    fetcher.delayed.insert(id, turn.now.mono_ns + RETRY_MS * NS_PER_MS);
                }
            }
        }
    }

    /// Takes over what the leader has sent for one partition. An error means: not again at once.
    fn partition_answered(
        &mut self,
        id: TopicPartitionId,
        asked: FetchAsked,
        data: PartitionData,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        // The answer of a leader of another epoch, or to a log that was cut meanwhile, is void.
        let current = FetchAsked {
            leader_epoch: partition.state().leader_epoch,
            offset: partition.log.log_end_offset(),
        };
        if partition.is_leader() || current != asked {
            return Ok(());
        }
        let leaders_start = Offset(data.log_start_offset);
        match ResponseError::try_from_code(data.error_code) {
            Some(ResponseError::OffsetOutOfRange) if begins_again(partition, leaders_start) => {
                return start_again(partition, leaders_start, turn);
            }
            Some(error) => return Err(error.to_string()),
            None => {}
        }
        if data.diverging_epoch.end_offset >= 0 {
            // What else this response says is about another history (KAFKA-14704).
            let (epoch, end) =
                (LeaderEpoch(data.diverging_epoch.epoch), Offset(data.diverging_epoch.end_offset));
            return truncate(partition, epoch, end, turn).inspect_err(|error| {
                turn.effects.push(crate::node::Effect::Exit {
                    clean: false,
                    reason: format!("cannot truncate: {error}"),
                });
            });
        }
        let leaders_high_watermark = Offset(data.high_watermark);
        let mut grown = false;
        if let Some(records) = data.records.filter(|records| !records.is_empty()) {
            match append(partition, records, turn) {
                Ok(()) => grown = true,
                Err(AppendError::Disk(error)) => {
                    super::fail(&error, turn);
                    return Err(error.to_string());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let known = partition.high_watermark();
        partition.follow_high_watermark(leaders_high_watermark);
        let committed = partition.high_watermark() > known;
        let raised = partition.raise_start(leaders_start, turn.disk);
        if committed && self.fetches.is_watched(id) {
            // Consumers wait here, too (KAFKA-14334).
            self.touched.insert(id);
        }
        if grown {
            self.appended(id, turn);
        }
        if let Err(error) = raised {
            super::fail(&error, turn);
            return Err(error.to_string());
        }
        Ok(())
    }
}

fn fetch_partition(id: TopicPartitionId, partition: &Partition, asked: FetchAsked) -> FetchPartition {
    // The planted bug must not be told again and again that its log diverges.
    let hides = partition.settings().defects.has(Defect::SkipTruncation);
    let last_epoch = if hides { LeaderEpoch::NONE } else { partition.log.latest_epoch() };
    FetchPartition::default()
        .with_partition(id.partition.0)
        .with_current_leader_epoch(asked.leader_epoch.0)
        .with_fetch_offset(asked.offset.0)
        .with_last_fetched_epoch(last_epoch.0)
        .with_log_start_offset(partition.log.log_start_offset().0)
        .with_partition_max_bytes(FETCH_PARTITION_BYTES)
}

fn truncate(
    partition: &mut Partition,
    epoch: LeaderEpoch,
    end: Offset,
    turn: &mut Turn<'_>,
) -> Result<(), String> {
    let own = match partition.log.end_offset_for_epoch(epoch) {
        (LeaderEpoch::NONE, _) => None,
        (_, own_end) => Some(own_end),
    };
    let to = truncation_offset(end, own, partition.log.log_end_offset());
    tracing::info!(
        topic = partition.topic(),
        partition = partition.id().partition.0,
        from = partition.log.log_end_offset().0,
        to = to.0,
        "truncates to its leader's log"
    );
    if to < partition.log.log_start_offset() {
        // The leader has lost what was deleted here: nothing that is left goes on where its log ends.
        return partition.start_again_at(to, turn.disk).map_err(|error| error.to_string());
    }
    partition.log.truncate_to(to, turn.disk).map_err(|error| error.to_string())?;
    partition.truncated();
    Ok(())
}

/// Whether a follower whose position its leader does not have has nothing to keep: its leader's log starts behind the end of
/// its own, or its own is empty and from no epoch that the leader could compare.
fn begins_again(partition: &Partition, leaders_start: Offset) -> bool {
    let log = &partition.log;
    let unknown = log.latest_epoch() == LeaderEpoch::NONE && log.log_start_offset() == log.log_end_offset();
    leaders_start >= Offset(0) && (leaders_start > log.log_end_offset() || unknown)
}

fn start_again(partition: &mut Partition, start: Offset, turn: &mut Turn<'_>) -> Result<(), String> {
    tracing::info!(
        topic = partition.topic(),
        partition = partition.id().partition.0,
        end = partition.log.log_end_offset().0,
        start = start.0,
        "begins again where its leader's log starts"
    );
    partition.start_again_at(start, turn.disk).map_err(|error| {
        super::fail(&error, turn);
        error.to_string()
    })
}

fn append(partition: &mut Partition, records: Bytes, turn: &mut Turn<'_>) -> Result<(), AppendError> {
    let log = &partition.log;
    // The leader's log may start inside a batch, which comes whole (KAFKA-6975).
    if log.log_start_offset() == log.log_end_offset()
        && let Some(Ok(first)) = batches(records.clone()).next()
        && first.header.base_offset < log.log_end_offset()
        && first.header.last_offset() >= log.log_end_offset()
        && partition.start_again_at(first.header.base_offset, turn.disk).is_err()
    {
        return Err(AppendError::Fenced);
    }
    match partition.log.append_as_follower(records.clone(), turn.disk) {
        // With the planted bug the tail that was kept may end inside one of the leader's batches.
        Err(AppendError::NonContiguous { expected, found })
            if partition.settings().defects.has(Defect::SkipTruncation) && found < expected =>
        {
            if partition.log.truncate_to(found, turn.disk).is_err() {
                return Err(AppendError::Fenced);
            }
            partition.truncated();
            partition.log.append_as_follower(records, turn.disk).map(|_| ())
        }
        other => other.map(|_| ()),
    }
}
