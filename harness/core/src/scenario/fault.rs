//! Faults and their targets, as written.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::units::{Duration, Size};

/// One thing that is done to the cluster, and undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL, and a restart when it is undone.
    Kill(KillFault),
    /// SIGSTOP, and SIGCONT when it is undone.
    Pause(NodeFault),
    /// An orderly stop, and a restart when it is undone.
    Stop(NodeFault),
    /// Connections of a link are reset and refused.
    Cut(LinkFault),
    /// Bytes of a link are taken and held, and nothing is said; they are discarded when the connection ends.
    Stall(LinkFault),
    /// Bytes of a link arrive late, or at most so many a second.
    Slow(SlowFault),
}

/// A fault of processes. Exactly one of `at`, `every`, `after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeFault {
    /// Which processes; roles are resolved when the fault starts.
    pub target: Target,
    /// When, counted from the start of load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Again and again at this interval, first after one interval, until the end of load or `repeat` times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// When so many messages were acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// How long until it is undone. Default: until the end of load.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// How often, with `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// Left out where the harness has no hand on the nodes, instead of not running the scenario there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// The death of processes. Exactly one of `at`, `every`, `after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KillFault {
    /// Which processes; roles are resolved when the fault starts.
    pub target: Target,
    /// What dies: the process alone, its machine, its disk, or its power. Default: `process`.
    #[serde(default)]
    pub how: Death,
    /// When, counted from the start of load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Again and again at this interval, first after one interval, until the end of load or `repeat` times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// When so many messages were acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// How long until it is undone. Default: until the end of load.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// How often, with `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// Left out where the harness has no hand on the nodes, instead of not running the scenario there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Death {
    /// The process: SIGKILL. The operating system closes its connections, so that its peers are told at once.
    #[default]
    Process,
    /// The machine: its packets are dropped first, then SIGKILL. Its peers hear nothing, and find out by their time limits.
    Host,
    /// The process and its disk: SIGKILL, and everything that it had stored is gone. It comes back empty.
    Disk,
    /// The machine's power: the process is gone, and with it whatever its disk was not told to keep. Only the simulator has a
    /// disk that forgets.
    Power,
}

/// A fault of links. Exactly one of `at`, `every`, `after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkFault {
    /// Between which two sets of processes, in both directions.
    pub link: (Target, Target),
    /// When, counted from the start of load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Again and again at this interval, first after one interval, until the end of load or `repeat` times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// When so many messages were acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// How long until it is undone. Default: until the end of load.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// How often, with `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// Left out where the harness has no hand on the nodes, instead of not running the scenario there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// A slow link. Exactly one of `at`, `every`, `after`; at least one of `latency`, `bandwidth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlowFault {
    /// Between which two sets of processes, in both directions.
    pub link: (Target, Target),
    /// Added to each direction. Default: `0s`.
    #[serde(default)]
    pub latency: Duration,
    /// Bytes a second and direction. Default: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Size>,
    /// When, counted from the start of load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Duration>,
    /// Again and again at this interval, first after one interval, until the end of load or `repeat` times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// When so many messages were acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
    /// How long until it is undone. Default: until the end of load.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// How often, with `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u32>,
    /// Left out where the harness has no hand on the nodes, instead of not running the scenario there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Progress that starts a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Messages acknowledged by all producers together.
    pub acked: u64,
}

/// When a fault starts and how long it lasts: what all faults have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// At this time.
    pub at: Option<Duration>,
    /// At this interval.
    pub every: Option<Duration>,
    /// After this progress.
    pub after: Option<After>,
    /// How long.
    pub lasts: Option<Duration>,
    /// How often.
    pub repeat: Option<u32>,
    /// Whether it may be left out.
    pub optional: bool,
}

impl Fault {
    /// The word it is written as.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::Stop(_) => "stop",
            Self::Cut(_) => "cut",
            Self::Stall(_) => "stall",
            Self::Slow(_) => "slow",
        }
    }

    /// When it starts and how long it lasts.
    pub fn timing(&self) -> Timing {
        macro_rules! timing {
            ($fault:ident) => {
                Timing {
                    at: $fault.at,
                    every: $fault.every,
                    after: $fault.after,
                    lasts: $fault.lasts,
                    repeat: $fault.repeat,
                    optional: $fault.optional,
                }
            };
        }
        match self {
            Self::Kill(fault) => timing!(fault),
            Self::Pause(fault) | Self::Stop(fault) => timing!(fault),
            Self::Cut(fault) | Self::Stall(fault) => timing!(fault),
            Self::Slow(fault) => timing!(fault),
        }
    }

    /// The targets, each with the path of its place below the fault's word.
    pub fn targets(&self) -> Vec<(&Target, &'static [&'static str])> {
        match self {
            Self::Kill(fault) => vec![(&fault.target, &["target"])],
            Self::Pause(fault) | Self::Stop(fault) => vec![(&fault.target, &["target"])],
            Self::Cut(LinkFault { link, .. })
            | Self::Stall(LinkFault { link, .. })
            | Self::Slow(SlowFault { link, .. }) => {
                vec![(&link.0, &["link", "0"]), (&link.1, &["link", "1"])]
            }
        }
    }
}

/// Processes, by what they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The leader of `TOPIC/PARTITION`; of `TOPIC`, the leader of its busiest partition.
    LeaderOf(PartitionRef),
    /// The other replicas of `TOPIC/PARTITION`, or of the busiest partition of `TOPIC`.
    FollowersOf(PartitionRef),
    /// In a link opposite to `leader-of`: the other replicas of the same partition.
    Followers,
    /// The active controller.
    Controller,
    /// One node by its number.
    Node(u32),
    /// So many brokers, drawn in the plan.
    Random(u32),
    /// As many brokers as may fail while a majority lives, drawn in the plan.
    Minority,
    /// Every broker.
    All,
    /// Every producer and consumer, in links only.
    Clients,
}

/// A topic, or one partition of it: `orders` or `orders/2`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PartitionRef {
    /// The topic.
    pub topic: String,
    /// The partition; None is the busiest.
    pub partition: Option<u32>,
}

impl FromStr for PartitionRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((topic, partition)) = text.split_once('/') else {
            return Ok(Self { topic: text.to_owned(), partition: None });
        };
        let partition = partition
            .parse()
            .map_err(|_| format!("`{partition}` is no partition number\nwrite `{topic}` or `{topic}/0`"))?;
        Ok(Self { topic: topic.to_owned(), partition: Some(partition) })
    }
}

impl TryFrom<String> for PartitionRef {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PartitionRef> for String {
    fn from(partition: PartitionRef) -> Self {
        partition.to_string()
    }
}

impl fmt::Display for PartitionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "{}/{partition}", self.topic),
            None => f.write_str(&self.topic),
        }
    }
}

impl JsonSchema for PartitionRef {
    fn schema_name() -> Cow<'static, str> {
        "PartitionRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[^/]+(/[0-9]+)?$",
            "description": "A topic, or one partition of it: `orders` or `orders/2`."
        })
    }
}
