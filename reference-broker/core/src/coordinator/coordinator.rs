//! All groups of one broker.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::message::{AppendToken, CoordinatorEffect, GroupRequest, ReplyId, RequestContext};
use crate::defects::Defects;
use crate::ids::{LeaderEpoch, PartitionId};
use crate::node::{NodeConfig, Now};

/// The settings of a [`GroupCoordinator`]; names follow Kafka's.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// Seeds the member ids.
    pub seed: u64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`.
    pub max_session_timeout_ms: i32,
    /// `offsets.commit.timeout.ms`: after that a commit is answered with COORDINATOR_NOT_AVAILABLE.
    pub offsets_commit_timeout_ms: u64,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_max_bytes: usize,
    /// Planted bugs.
    pub defects: Defects,
}

impl From<&NodeConfig> for CoordinatorConfig {
    /// Kafka's defaults, except that sessions may be as short as 100 ms, so that tests need not wait.
    fn from(node: &NodeConfig) -> Self {
        Self {
            seed: node.seed,
            offsets_topic_partitions: node.offsets_topic_partitions,
            initial_rebalance_delay_ms: node.group_initial_rebalance_delay_ms,
            min_session_timeout_ms: 100,
            max_session_timeout_ms: 1_800_000,
            offsets_commit_timeout_ms: 5_000,
            offset_metadata_max_bytes: 4096,
            defects: node.defects,
        }
    }
}

/// The group coordinator of one broker.
pub struct GroupCoordinator {
    config: CoordinatorConfig,
}

impl GroupCoordinator {
    /// A coordinator of no partition.
    pub fn new(config: CoordinatorConfig) -> Self {
        Self { config }
    }

    /// The partition of `__consumer_offsets` that holds a group: Java's `abs(id.hashCode()) % partitions`.
    pub fn partition_for(&self, group_id: &str) -> PartitionId {
        let hash = group_id
            .encode_utf16()
            .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
        PartitionId(hash.checked_abs().unwrap_or(0) % self.config.offsets_topic_partitions)
    }

    /// This broker leads the partition, but its high watermark does not cover the log yet: requests are answered with
    /// COORDINATOR_LOAD_IN_PROGRESS.
    pub fn begin_load(&mut self, partition: PartitionId, leader_epoch: LeaderEpoch) {
        let _ = (partition, leader_epoch);
    }

    /// Takes a partition over. `records` are all that are committed, in the order of the log, and nothing that is
    /// not committed may be in the log. Loading the same leader epoch again does nothing (KAFKA-15468).
    pub fn load(
        &mut self,
        now: Now,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        records: impl IntoIterator<Item = (Bytes, Option<Bytes>)>,
    ) {
        let _ = (now, partition, leader_epoch, records.into_iter().count());
    }

    /// This broker leads the partition no more. What waits is answered with NOT_COORDINATOR, and the tokens of its
    /// appends are forgotten.
    pub fn unload(&mut self, partition: PartitionId, out: &mut Vec<CoordinatorEffect>) {
        let _ = (partition, out);
    }

    /// Takes a request. The reply may come at once or with any later call.
    pub fn handle(
        &mut self,
        now: Now,
        request: GroupRequest,
        reply: ReplyId,
        context: RequestContext<'_>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let _ = (now, request, reply, context.version, out);
    }

    /// The outcome of an append, reported in the order of the log: `Ok` once the records are below the high
    /// watermark, `Err` only if they are not in the log and never will be. For an append whose fate is open because
    /// leadership was lost, call [`unload`](Self::unload) instead. Unknown tokens are ignored.
    pub fn appended(
        &mut self,
        now: Now,
        token: AppendToken,
        result: Result<(), ResponseError>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let _ = (now, token, result, out);
    }

    /// Does what is due: sessions, rebalances, commits that took too long.
    pub fn tick(&mut self, now: Now, out: &mut Vec<CoordinatorEffect>) {
        let _ = (now, out);
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock; `u64::MAX` if nothing waits.
    pub fn next_tick_ns(&self) -> u64 {
        u64::MAX
    }
}
