//! The settings of one log.

use crate::defects::Defects;

/// The settings of one log. Sizes are in bytes; names follow Kafka's.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it would grow past this.
    pub segment_bytes: u64,
    /// Whether a follower takes batches with offsets missing between them, as compaction leaves them behind.
    pub takes_gaps: bool,
    /// `segment.ms`: a segment is closed when its time stamps would span more.
    pub segment_ms: i64,
    /// Whether old segments are deleted (`cleanup.policy=delete`).
    pub deletes: bool,
    /// Whether only the newest record of each key has to be kept (`cleanup.policy=compact`).
    pub compacts: bool,
    /// `retention.ms`, or no limit.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`, or no limit.
    pub retention_bytes: Option<u64>,
    /// `delete.retention.ms`: how long compaction leaves tombstones and markers in place.
    pub delete_retention_ms: i64,
    /// `min.cleanable.dirty.ratio`.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: older records are compacted whatever their share.
    pub max_compaction_lag_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// `index.interval.bytes`: how far apart index entries are.
    pub index_interval_bytes: u64,
    /// `max.message.bytes`, of one batch that a leader appends.
    pub message_max_bytes: usize,
    /// Whether records get the time of the append (`message.timestamp.type=LogAppendTime`).
    pub log_append_time: bool,
    /// How much of the end of the log is kept in memory.
    pub tail_bytes: usize,
    /// Planted bugs. None of them touches a log of the broker's own: leave it empty there.
    pub defects: Defects,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            takes_gaps: false,
            segment_ms: i64::MAX,
            deletes: true,
            compacts: false,
            retention_ms: None,
            retention_bytes: None,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            producer_expiration_ms: i64::MAX,
            index_interval_bytes: 4096,
            // Kafka's: a MiB, and the 12 bytes of offset and length before it.
            message_max_bytes: (1 << 20) + 12,
            log_append_time: false,
            tail_bytes: 4 << 20,
            defects: Defects::NONE,
        }
    }
}
