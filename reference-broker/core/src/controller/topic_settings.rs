//! What the settings of a topic come to on a broker.

use super::image::TopicImage;
use super::topic_config as keys;
use crate::log::LogConfig;
use crate::node::{FlushPolicy, NodeConfig};

impl TopicImage {
    /// `min.insync.replicas`, or the broker's default.
    pub fn min_insync_replicas(&self, default: i32) -> i32 {
        self.number(keys::MIN_INSYNC_REPLICAS).map_or(default, |n| i32::try_from(n).unwrap_or(i32::MAX))
    }

    /// `flush.messages` and `flush.ms`, or the broker's default. A flush for each message is a flush before each
    /// acknowledgement here.
    pub fn flush_policy(&self, default: FlushPolicy) -> FlushPolicy {
        if self.number(keys::FLUSH_MESSAGES) == Some(1) {
            return FlushPolicy::BeforeAck;
        }
        self.number(keys::FLUSH_MS).map_or(default, |ms| FlushPolicy::IntervalMs(ms as u64))
    }

    /// `unclean.leader.election.enable`, or the cluster's default.
    pub fn unclean_leader_election(&self, default: bool) -> bool {
        self.configs.get(keys::UNCLEAN_LEADER_ELECTION).map_or(default, |value| value == "true")
    }

    /// Whether old segments are deleted (`cleanup.policy`).
    pub fn deletes(&self) -> bool {
        self.has_policy("delete", true)
    }

    /// Whether only the newest record of each key has to be kept (`cleanup.policy`).
    pub fn compacts(&self) -> bool {
        self.has_policy("compact", false)
    }

    /// The settings of the logs of its partitions, without planted bugs.
    pub fn log_config(&self, node: &NodeConfig) -> LogConfig {
        let number = |name, default: i64| self.number(name).unwrap_or(default);
        let limit = |value: i64| u64::try_from(value).ok();
        LogConfig {
            segment_bytes: number(keys::SEGMENT_BYTES, node.segment_bytes as i64) as u64,
            // The topic may have been compacted once.
            takes_gaps: true,
            segment_ms: number(keys::SEGMENT_MS, node.segment_ms),
            index_interval_bytes: number(keys::INDEX_INTERVAL_BYTES, node.index_interval_bytes as i64) as u64,
            message_max_bytes: number(keys::MAX_MESSAGE_BYTES, node.message_max_bytes as i64) as usize,
            log_append_time: self
                .configs
                .get(keys::MESSAGE_TIMESTAMP_TYPE)
                .is_some_and(|value| value == "LogAppendTime"),
            deletes: self.deletes(),
            compacts: self.compacts(),
            retention_ms: limit(number(keys::RETENTION_MS, node.retention_ms)),
            retention_bytes: limit(number(keys::RETENTION_BYTES, node.retention_bytes)),
            delete_retention_ms: number(keys::DELETE_RETENTION_MS, node.delete_retention_ms),
            min_cleanable_dirty_ratio: self
                .configs
                .get(keys::MIN_CLEANABLE_DIRTY_RATIO)
                .and_then(|value| value.parse().ok())
                .unwrap_or(node.min_cleanable_dirty_ratio),
            min_compaction_lag_ms: number(keys::MIN_COMPACTION_LAG_MS, node.min_compaction_lag_ms),
            max_compaction_lag_ms: number(keys::MAX_COMPACTION_LAG_MS, node.max_compaction_lag_ms),
            producer_expiration_ms: node.producer_id_expiration_ms,
            ..LogConfig::default()
        }
    }

    fn has_policy(&self, policy: &str, default: bool) -> bool {
        let given = self.configs.get(keys::CLEANUP_POLICY);
        given.map_or(default, |given| keys::parts(given).any(|part| part == policy))
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.configs.get(key).and_then(|value| value.parse().ok())
    }
}
