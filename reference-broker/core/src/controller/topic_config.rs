//! The topic settings that hold here, by Kafka's names: what their values look like, and what they default to.

use std::collections::BTreeMap;

use crate::node::{FlushPolicy, NodeConfig};

/// Fewer in-sync replicas than this stop `acks=all`.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// Flush after so many messages; 1 is a flush before each acknowledgement.
pub const FLUSH_MESSAGES: &str = "flush.messages";
/// Flush after so many milliseconds.
pub const FLUSH_MS: &str = "flush.ms";
/// Whether a replica from outside the in-sync set may lead when no other is left.
pub const UNCLEAN_LEADER_ELECTION: &str = "unclean.leader.election.enable";
/// The largest batch.
pub const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
/// The size at which a segment is closed.
pub const SEGMENT_BYTES: &str = "segment.bytes";
/// The span of time stamps at which a segment is closed.
pub const SEGMENT_MS: &str = "segment.ms";
/// How far apart index entries are.
pub const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes";
/// `CreateTime` or `LogAppendTime`.
pub const MESSAGE_TIMESTAMP_TYPE: &str = "message.timestamp.type";
/// `delete`, `compact` or both.
pub const CLEANUP_POLICY: &str = "cleanup.policy";
/// Older segments are deleted; −1 is never.
pub const RETENTION_MS: &str = "retention.ms";
/// Segments are deleted while the log is larger; −1 is never.
pub const RETENTION_BYTES: &str = "retention.bytes";
/// How long compaction leaves tombstones and markers in place.
pub const DELETE_RETENTION_MS: &str = "delete.retention.ms";
/// The share of a log that was not compacted yet at which it is compacted.
pub const MIN_CLEANABLE_DIRTY_RATIO: &str = "min.cleanable.dirty.ratio";
/// Younger records are not compacted.
pub const MIN_COMPACTION_LAG_MS: &str = "min.compaction.lag.ms";
/// Older records are compacted whatever their share.
pub const MAX_COMPACTION_LAG_MS: &str = "max.compaction.lag.ms";

/// What Kafka says for "never".
const NEVER: i64 = i64::MAX;

/// What a setting's value must look like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A whole number of 32 bits, at least this.
    Int(i64),
    /// A whole number of 64 bits, at least this.
    Long(i64),
    /// From 0 to 1.
    Ratio,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words, separated by commas.
    List(&'static [&'static str]),
}

/// A setting of a topic.
#[derive(Debug)]
pub(crate) struct TopicSetting {
    pub(crate) name: &'static str,
    /// The setting of brokers that gives its default.
    pub(crate) of_broker: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: fn(&NodeConfig) -> String,
}

macro_rules! settings {
    ($($name:expr, $of_broker:literal, $kind:expr, $default:expr;)*) => {
        /// All of them, in the order of their names.
        pub(crate) const SETTINGS: &[TopicSetting] = &[
            $(TopicSetting { name: $name, of_broker: $of_broker, kind: $kind, default: $default }),*
        ];
    };
}

settings! {
    CLEANUP_POLICY, "log.cleanup.policy", Kind::List(&["delete", "compact"]), |_| "delete".into();
    // Batches are stored as they came.
    "compression.type", "compression.type", Kind::Word(&["producer"]), |_| "producer".into();
    DELETE_RETENTION_MS, "log.cleaner.delete.retention.ms", Kind::Long(0),
        |config| config.delete_retention_ms.to_string();
    FLUSH_MESSAGES, "log.flush.interval.messages", Kind::Long(1), |config| flush_words(config.flush).0;
    FLUSH_MS, "log.flush.interval.ms", Kind::Long(0), |config| flush_words(config.flush).1;
    INDEX_INTERVAL_BYTES, "log.index.interval.bytes", Kind::Int(0),
        |config| config.index_interval_bytes.to_string();
    MAX_COMPACTION_LAG_MS, "log.cleaner.max.compaction.lag.ms", Kind::Long(1),
        |config| config.max_compaction_lag_ms.to_string();
    MAX_MESSAGE_BYTES, "message.max.bytes", Kind::Int(0), |config| config.message_max_bytes.to_string();
    MESSAGE_TIMESTAMP_TYPE, "log.message.timestamp.type", Kind::Word(&["CreateTime", "LogAppendTime"]),
        |_| "CreateTime".into();
    MIN_CLEANABLE_DIRTY_RATIO, "log.cleaner.min.cleanable.ratio", Kind::Ratio,
        |config| config.min_cleanable_dirty_ratio.to_string();
    MIN_COMPACTION_LAG_MS, "log.cleaner.min.compaction.lag.ms", Kind::Long(0),
        |config| config.min_compaction_lag_ms.to_string();
    MIN_INSYNC_REPLICAS, "min.insync.replicas", Kind::Int(1), |config| config.min_insync_replicas.to_string();
    RETENTION_BYTES, "log.retention.bytes", Kind::Long(-1), |config| config.retention_bytes.to_string();
    RETENTION_MS, "log.retention.ms", Kind::Long(-1), |config| config.retention_ms.to_string();
    SEGMENT_BYTES, "log.segment.bytes", Kind::Int(1024), |config| config.segment_bytes.to_string();
    SEGMENT_MS, "log.roll.ms", Kind::Long(1), |config| config.segment_ms.to_string();
    UNCLEAN_LEADER_ELECTION, "unclean.leader.election.enable", Kind::Switch,
        |config| config.unclean_leader_election.to_string();
}

/// The setting of this name.
pub(crate) fn setting(name: &str) -> Option<&'static TopicSetting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Messages and milliseconds between flushes.
pub(crate) fn flush_words(policy: FlushPolicy) -> (String, String) {
    match policy {
        FlushPolicy::PageCache => (NEVER.to_string(), NEVER.to_string()),
        FlushPolicy::IntervalMs(interval) => (NEVER.to_string(), interval.to_string()),
        FlushPolicy::BeforeAck => ("1".into(), NEVER.to_string()),
    }
}

impl Kind {
    fn fits(self, value: &str) -> bool {
        match self {
            Self::Int(least) => value.parse::<i32>().is_ok_and(|number| i64::from(number) >= least),
            Self::Long(least) => value.parse::<i64>().is_ok_and(|number| number >= least),
            Self::Ratio => value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
            Self::Switch => matches!(value, "true" | "false"),
            Self::Word(words) => words.contains(&value),
            Self::List(words) => !value.is_empty() && parts(value).all(|part| words.contains(&part)),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Int(least) | Self::Long(least) => format!("a whole number from {least}"),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Word(words) => format!("one of `{}`", words.join("`, `")),
            Self::List(words) => format!("some of `{}`, with commas between", words.join("`, `")),
        }
    }
}

/// The words of a list.
pub(crate) fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Checks one setting.
pub(super) fn check(name: &str, value: &str) -> Result<(), String> {
    let setting = setting(name).ok_or_else(|| format!("unknown topic config `{name}`"))?;
    if setting.kind.fits(value) {
        return Ok(());
    }
    Err(format!("topic config `{name}` is `{value}`, expected {}", setting.kind.expected()))
}

/// Checks settings as a client gave them; an absent value means the default and is dropped.
pub(super) fn validate<'a>(
    given: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<BTreeMap<String, String>, String> {
    let mut configs = BTreeMap::new();
    for (name, value) in given {
        let Some(value) = value else {
            setting(name).ok_or_else(|| format!("unknown topic config `{name}`"))?;
            continue;
        };
        check(name, value)?;
        configs.insert(name.to_owned(), value.to_owned());
    }
    Ok(configs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_their_kind() {
        let good = [
            (CLEANUP_POLICY, "compact,delete"),
            (CLEANUP_POLICY, "compact"),
            (RETENTION_MS, "-1"),
            (RETENTION_BYTES, "9223372036854775807"),
            (MIN_CLEANABLE_DIRTY_RATIO, "0.01"),
            (MESSAGE_TIMESTAMP_TYPE, "LogAppendTime"),
            (UNCLEAN_LEADER_ELECTION, "true"),
        ];
        for (name, value) in good {
            assert_eq!(check(name, value), Ok(()), "{name} {value}");
        }
        let bad = [
            (CLEANUP_POLICY, ""),
            (CLEANUP_POLICY, "compact,forget"),
            (RETENTION_MS, "-2"),
            (SEGMENT_BYTES, "2147483648"),
            (SEGMENT_BYTES, "1023"),
            (MIN_CLEANABLE_DIRTY_RATIO, "1.5"),
            (MIN_CLEANABLE_DIRTY_RATIO, "NaN"),
            (UNCLEAN_LEADER_ELECTION, "yes"),
            ("compression.type", "gzip"),
            ("retention.hours", "1"),
        ];
        for (name, value) in bad {
            assert!(check(name, value).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn every_default_is_a_value_that_may_be_given_and_names_are_in_order() {
        let endpoint = || crate::node::Endpoint { host: "n".into(), port: 1 };
        let role = crate::node::Role::Broker;
        let config = NodeConfig::new(crate::ids::NodeId(1), role, endpoint(), endpoint());
        for setting in SETTINGS {
            assert_eq!(check(setting.name, &(setting.default)(&config)), Ok(()), "{}", setting.name);
        }
        assert!(SETTINGS.is_sorted_by_key(|setting| setting.name));
    }
}
