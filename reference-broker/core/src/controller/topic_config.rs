//! The topic settings that may be given at creation, by Kafka's names.

use std::collections::BTreeMap;

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

/// What a setting's value must look like.
enum Kind {
    /// A whole number, at least this.
    Number(i64),
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Word(&'static [&'static str]),
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        MIN_INSYNC_REPLICAS | FLUSH_MESSAGES => Kind::Number(1),
        FLUSH_MS | MAX_MESSAGE_BYTES => Kind::Number(0),
        SEGMENT_BYTES => Kind::Number(1024),
        UNCLEAN_LEADER_ELECTION => Kind::Switch,
        // The broker keeps everything: it neither compacts nor deletes by age or size, so only these values hold.
        "cleanup.policy" => Kind::Word(&["delete"]),
        "retention.ms" | "retention.bytes" => Kind::Word(&["-1"]),
        "compression.type" => Kind::Word(&["producer"]),
        "message.timestamp.type" => Kind::Word(&["CreateTime"]),
        _ => return None,
    })
}

/// Checks settings as a client gave them; an absent value means the default and is dropped.
pub(super) fn validate<'a>(
    given: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Result<BTreeMap<String, String>, String> {
    let mut configs = BTreeMap::new();
    for (name, value) in given {
        let kind = kind(name).ok_or_else(|| format!("unknown topic config `{name}`"))?;
        let Some(value) = value else { continue };
        let fits = match &kind {
            Kind::Number(least) => value.parse::<i64>().is_ok_and(|number| number >= *least),
            Kind::Switch => matches!(value, "true" | "false"),
            Kind::Word(words) => words.contains(&value),
        };
        if !fits {
            let expected = match kind {
                Kind::Number(least) => format!("a whole number from {least}"),
                Kind::Switch => "`true` or `false`".to_owned(),
                Kind::Word(words) => format!("one of `{}`", words.join("`, `")),
            };
            return Err(format!("topic config `{name}` is `{value}`, expected {expected}"));
        }
        configs.insert(name.to_owned(), value.to_owned());
    }
    Ok(configs)
}
