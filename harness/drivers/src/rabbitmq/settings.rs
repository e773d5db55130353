//! What a connection's settings mean.

use std::collections::BTreeMap;
use std::time::Duration;

use mqproof_core::history::Level;
use mqproof_core::plan::Durability;

use super::error;
use crate::connection::Connection;
use crate::role::DriverError;

const KNOWN: [&str; 9] = [
    "cookie",
    "heartbeat",
    "message-timeout",
    "nodes",
    "outstanding",
    "password",
    "prefetch",
    "queue-type",
    "user",
];

/// How a queue is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum QueueType {
    /// On one node.
    Classic,
    /// Replicated by Raft, flushed before it is acknowledged.
    Quorum,
    /// A replicated log, never flushed before it is acknowledged.
    Stream,
}

impl QueueType {
    /// As in `x-queue-type`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }

    pub(super) fn parse(name: &str) -> Result<Self, DriverError> {
        [Self::Classic, Self::Quorum, Self::Stream]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| error(format!("queue type `{name}`"), "known are `classic`, `quorum`, `stream`"))
    }

    /// What its confirm stands for.
    fn confirms(self) -> Level {
        match self {
            Self::Classic => Level::Leader,
            Self::Quorum => Level::QuorumDisk,
            Self::Stream => Level::Quorum,
        }
    }
}

/// A cluster, and how to behave towards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// Where AMQP is spoken.
    pub(super) addresses: Vec<(String, u16)>,
    pub(super) queue_type: Option<QueueType>,
    /// Hosts of the Erlang nodes, by number.
    pub(super) nodes: BTreeMap<i32, String>,
    pub(super) cookie: String,
    pub(super) user: String,
    pub(super) password: String,
    /// A peer that was silent for twice as long is given up.
    pub(super) heartbeat_s: u16,
    /// Deliveries that a queue may have unsettled at one member.
    pub(super) prefetch: u16,
    /// Publishes that may wait for their confirm.
    pub(super) outstanding: usize,
    /// How long a publish may take.
    pub(super) message_timeout: Duration,
}

impl Settings {
    pub(super) fn new(connection: &Connection) -> Result<Self, DriverError> {
        let given = &connection.settings;
        if let Some(unknown) = given.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(error(format!("setting `{unknown}`"), format!("known are `{}`", KNOWN.join("`, `"))));
        }
        let text = |name: &str, default: &str| given.get(name).cloned().unwrap_or_else(|| default.to_owned());
        Ok(Self {
            addresses: addresses(&connection.bootstrap)?,
            queue_type: given.get("queue-type").map(|name| QueueType::parse(name)).transpose()?,
            nodes: nodes(given.get("nodes").map_or("", String::as_str))?,
            cookie: text("cookie", ""),
            user: text("user", "guest"),
            password: text("password", "guest"),
            heartbeat_s: number(given, "heartbeat", 3)?,
            prefetch: number(given, "prefetch", 500)?,
            outstanding: number(given, "outstanding", 2_000)?,
            message_timeout: Duration::from_millis(number(given, "message-timeout", 10_000)?),
        })
    }

    /// What a confirm stands for in a class. An unequal pair is the caller's mistake, not a weaker result.
    pub(super) fn level(&self, durability: Durability) -> Result<Level, DriverError> {
        let asked = match durability {
            Durability::None => return Ok(Level::Sent),
            Durability::Leader => Level::Leader,
            Durability::Quorum => Level::Quorum,
            Durability::QuorumDisk => Level::QuorumDisk,
        };
        match self.queue_type.map(QueueType::confirms) {
            Some(offered) if offered < asked => Err(error(
                format!("durability `{durability:?}`"),
                format!("the confirm of a {} queue says less", self.queue_type.map_or("", QueueType::name)),
            )),
            Some(offered) => Ok(offered),
            None => Ok(asked),
        }
    }
}

fn addresses(bootstrap: &str) -> Result<Vec<(String, u16)>, DriverError> {
    let address = |text: &str| {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, "5672"));
        let port = port.parse().map_err(|_| error(format!("address `{text}`"), "not `host:port`"))?;
        Ok((host.to_owned(), port))
    };
    let all: Result<Vec<_>, _> =
        bootstrap.split(',').map(str::trim).filter(|text| !text.is_empty()).map(address).collect();
    match all {
        Ok(all) if all.is_empty() => Err(error("addresses", "none is given")),
        all => all,
    }
}

fn nodes(text: &str) -> Result<BTreeMap<i32, String>, DriverError> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.split_once('=')
                .and_then(|(number, host)| Some((number.trim().parse().ok()?, host.trim().to_owned())))
                .ok_or_else(|| error(format!("setting `nodes`: `{part}`"), "not `NUMBER=HOST`"))
        })
        .collect()
}

fn number<N: std::str::FromStr>(
    given: &BTreeMap<String, String>,
    name: &str,
    default: N,
) -> Result<N, DriverError> {
    given.get(name).map_or(Ok(default), |text| {
        text.parse().map_err(|_| error(format!("setting `{name}`"), format!("`{text}` is no such number")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(bootstrap: &str, given: &[(&str, &str)]) -> Result<Settings, DriverError> {
        let settings = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::new(&Connection { bootstrap: bootstrap.to_owned(), settings })
    }

    #[test]
    fn addresses_and_nodes_are_read_and_the_rest_has_defaults() {
        let settings =
            settings("10.0.0.1:5672, 10.0.0.2:5673,", &[("nodes", "1=10.0.0.1,3=10.0.0.3")]).expect("valid");
        assert_eq!(settings.addresses, [("10.0.0.1".to_owned(), 5672), ("10.0.0.2".to_owned(), 5673)]);
        assert_eq!(settings.nodes.get(&3).map(String::as_str), Some("10.0.0.3"));
        assert_eq!((settings.user.as_str(), settings.queue_type), ("guest", None));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(settings("", &[]).is_err());
        assert!(settings("h:x", &[]).is_err());
        assert!(settings("h:1", &[("quue-type", "classic")]).is_err());
        assert!(settings("h:1", &[("queue-type", "mirrored")]).is_err());
        assert!(settings("h:1", &[("nodes", "one=h")]).is_err());
        assert!(settings("h:1", &[("prefetch", "-1")]).is_err());
    }

    #[test]
    fn a_queue_type_never_confirms_at_a_class_above_its_own() {
        use Durability::{Leader, None, Quorum, QuorumDisk};
        let levels = |kind: &str| {
            let settings = settings("h:1", &[("queue-type", kind)]).expect("valid");
            [None, Leader, Quorum, QuorumDisk].map(|class| settings.level(class).ok())
        };
        let sent = Some(Level::Sent);
        assert_eq!(levels("classic"), [sent, Some(Level::Leader), Option::None, Option::None]);
        assert_eq!(levels("stream"), [sent, Some(Level::Quorum), Some(Level::Quorum), Option::None]);
        let disk = Some(Level::QuorumDisk);
        assert_eq!(levels("quorum"), [sent, disk, disk, disk]);
    }
}
