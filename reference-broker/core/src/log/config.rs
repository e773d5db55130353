//! The settings of one log.

use crate::defects::Defects;

/// The settings of one log. Sizes are in bytes; names follow Kafka's.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is closed before it would grow past this.
    pub segment_bytes: u64,
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
            index_interval_bytes: 4096,
            message_max_bytes: 1 << 20,
            log_append_time: false,
            tail_bytes: 4 << 20,
            defects: Defects::NONE,
        }
    }
}
