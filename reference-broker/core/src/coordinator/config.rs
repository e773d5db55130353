//! The settings of a coordinator.

use crate::defects::Defects;
use crate::node::NodeConfig;

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
    /// `offsets.retention.minutes`: how long offsets are kept that no member needs (KIP-211).
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `group.consumer.session.timeout.ms`: a member of the new protocol that was not heard for so long is removed.
    pub consumer_session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`: how often such a member is told to be heard.
    pub consumer_heartbeat_interval_ms: i32,
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
            offsets_retention_ms: node.offsets_retention_ms,
            offsets_retention_check_interval_ms: node.offsets_retention_check_interval_ms,
            consumer_session_timeout_ms: node.group_consumer_session_timeout_ms,
            consumer_heartbeat_interval_ms: node.group_consumer_heartbeat_interval_ms,
            defects: node.defects,
        }
    }
}
