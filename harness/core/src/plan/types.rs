//! The data of a plan. Times are nanoseconds or milliseconds since the start of load, as the name says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::property::Property;

/// What a run of one scenario at one matrix point will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this format.
    pub schema: u32,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's sentence.
    pub about: String,
    /// Ids of the claims that it decides.
    pub decides: Vec<String>,
    /// The seed from which every random choice was drawn.
    pub seed: u64,
    /// The matrix point, as `dotted.path` → value.
    pub matrix: BTreeMap<String, String>,
    /// The cluster.
    pub topology: Topology,
    /// What an acknowledgement must mean.
    pub durability: Durability,
    /// One entry per producer instance; the index is its number.
    pub producers: Vec<ProducerPlan>,
    /// One entry per consumer group member; the index is its number.
    pub consumers: Vec<ConsumerPlan>,
    /// The faults, in the order in which they may start.
    pub faults: Vec<FaultPlan>,
    /// What is asserted.
    pub expect: BTreeMap<Property, Expectation>,
    /// How long producers are given to finish; after it the load ends.
    pub load_ms: u64,
    /// How many times slower than written its clock is.
    #[serde(default = "unstretched")]
    pub stretch: u32,
    /// How long ≥ 99 % of operations must succeed before an outage counts as over.
    pub rto_window_ms: u64,
    /// CRC-32C over identity, key and size of the first 1,000 messages of all producers, to compare plans by.
    pub workload_digest: u32,
    /// Messages that will be sent; None where the broker's speed decides.
    pub messages_expected: Option<u64>,
    /// Bytes that the run will write, history and logs of all replicas; None where the broker's speed decides.
    pub bytes_expected: Option<u64>,
}

/// Plans of before did not know of it.
fn unstretched() -> u32 {
    1
}

/// The cluster that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// Brokers are nodes 1..=brokers.
    pub brokers: u32,
    /// Controllers are the nodes after the brokers.
    pub controllers: u32,
    /// Topics by name.
    pub topics: BTreeMap<String, TopicPlan>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicPlan {
    /// Number of partitions (or of ordering shards).
    pub partitions: u32,
    /// Copies of each partition.
    pub replicas: u32,
    /// How many of them must have a record before `quorum` is acknowledged.
    pub min_in_sync: u32,
    /// When records are flushed.
    pub flush: Flush,
}

/// When a broker flushes what it appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flush {
    /// When the operating system likes.
    PageCache,
    /// At this interval.
    IntervalMs(u64),
    /// Before it acknowledges.
    BeforeAck,
}

/// What an acknowledgement must mean.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Nothing: fire and forget.
    None,
    /// One node has it in memory.
    Leader,
    /// A majority has it in memory.
    Quorum,
    /// A majority has flushed it.
    QuorumDisk,
}

impl Durability {
    /// The name as written in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Leader => "leader",
            Self::Quorum => "quorum",
            Self::QuorumDisk => "quorum-disk",
        }
    }
}

/// One producer instance: one process, one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProducerPlan {
    /// The role's name in the scenario.
    pub role: String,
    /// Which instance of the role, from 0.
    pub instance: u16,
    /// How many instances the role has.
    pub instances: u16,
    /// The topic it writes to.
    pub topic: String,
    /// How sends are paced.
    pub pace: Pace,
    /// Stops after so many messages; None: runs until `until_ns`.
    pub total: Option<u64>,
    /// When it starts.
    pub from_ns: u64,
    /// When it stops at the latest.
    pub until_ns: u64,
    /// How keys are drawn.
    pub keys: Keys,
    /// How payload sizes are drawn; at least the 64 bytes of the identity header.
    pub payload: Payload,
    /// Requests in flight per connection; 1 keeps the order without idempotence.
    pub in_flight: u32,
    /// Whether the broker is asked to drop what a retry repeats.
    pub idempotence: bool,
    /// How often the client library may send again.
    pub retries: u32,
    /// Whether, and how, messages are sent in transactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<TransactionsPlan>,
    /// Seeds keys, sizes and bytes.
    pub seed: u64,
}

/// The transactions of a producer instance, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransactionsPlan {
    /// Messages of each; the last may have fewer.
    pub messages: u32,
    /// The share that is aborted on purpose, 0 to 1.
    pub abort: f64,
    /// After so long the broker aborts a transaction by itself.
    pub timeout_ms: u64,
}

/// How sends are paced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// Message n of this instance is due at `from + n / rate`, whatever the broker does.
    Open {
        /// Messages per second of this instance.
        rate_per_s: f64,
    },
    /// The next message is sent when fewer than so many are unanswered.
    Closed {
        /// Unanswered messages at most.
        outstanding: u32,
    },
}

/// How keys are drawn. Of `count` keys, instance i of n owns those with index ≡ i modulo n.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// No key: the client spreads messages over the partitions.
    None,
    /// Each of `count` keys equally often.
    Uniform {
        /// Number of keys.
        count: u32,
    },
    /// Key k with weight 1 / (k+1)^exponent.
    Zipf {
        /// Number of keys.
        count: u32,
        /// The exponent.
        exponent: f64,
    },
}

/// How payload sizes are drawn, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// Always the same.
    Fixed(u32),
    /// Uniform between two bounds, both inclusive.
    Uniform {
        /// At least.
        min: u32,
        /// At most.
        max: u32,
    },
}

/// When a consumer settles (commits, acknowledges) what it was handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Settle {
    /// Before processing: at most once.
    Before,
    /// After processing: at least once.
    After,
    /// By the client library, at an interval.
    Auto,
}

/// Where a group without a committed offset starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// At the oldest record.
    Earliest,
    /// At the records that come after it joined.
    Latest,
}

/// One member of a consumer group: one process, one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsumerPlan {
    /// The role's name in the scenario.
    pub role: String,
    /// Which member of the group, from 0.
    pub member: u16,
    /// The group.
    pub group: String,
    /// The topic it reads.
    pub topic: String,
    /// When it settles.
    pub settle: Settle,
    /// Where it starts.
    pub start: Start,
    /// How long each message is worked on.
    pub processing_ns: u64,
    /// When it starts.
    pub from_ns: u64,
    /// When its process is killed, and for how long it stays away.
    pub crashes: Vec<CrashPlan>,
    /// Whether it sees what is undecided or aborted.
    #[serde(default)]
    pub isolation: Isolation,
}

/// What a consumer sees of transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Every record, as it is stored.
    #[default]
    ReadUncommitted,
    /// Records of committed transactions, and those that were sent outside of any.
    ReadCommitted,
}

/// A SIGKILL of a client process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashPlan {
    /// When.
    pub at_ms: u64,
    /// When the next incarnation starts, counted from the kill.
    pub for_ms: u64,
}

/// One fault: installed once, undone once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// What is done.
    pub kind: FaultKind,
    /// To whom.
    pub target: FaultTarget,
    /// When.
    pub trigger: Trigger,
    /// How long until it is undone; None: until the end of load.
    pub for_ms: Option<u64>,
    /// Skipped where the harness has no hand on the nodes, instead of not running the scenario there.
    #[serde(default)]
    pub optional: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The process dies: SIGKILL, and a restart when it is undone. Its connections are closed for it at once.
    Kill,
    /// The machine dies: its packets are dropped first, so that nobody is told, then SIGKILL; a restart when it is undone.
    KillHost,
    /// The process dies: SIGKILL, and its disk with it; it comes back empty when it is undone.
    KillDisk,
    /// The machine's power fails: the process is gone, and what it had not flushed; a restart when it is undone.
    KillPower,
    /// SIGSTOP, and SIGCONT when it is undone.
    Pause,
    /// An orderly stop, and a restart when it is undone.
    Stop,
    /// Connections are reset and refused.
    Cut,
    /// Bytes are taken and held, and nothing is said; discarded when a connection ends.
    Stall,
    /// Bytes arrive late, or at most so many a second.
    Slow {
        /// Added to each direction.
        latency_ms: u64,
        /// Bytes per second and direction; 0 is unlimited.
        bytes_per_s: u64,
    },
}

impl FaultKind {
    /// Whether a process ends from one moment to the next, whatever its peers are told.
    pub fn is_kill(self) -> bool {
        matches!(self, Self::Kill | Self::KillHost | Self::KillDisk | Self::KillPower)
    }

    /// The name as written in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillHost => "kill host",
            Self::KillDisk => "kill disk",
            Self::KillPower => "kill power",
            Self::Pause => "pause",
            Self::Stop => "stop",
            Self::Cut => "cut",
            Self::Stall => "stall",
            Self::Slow { .. } => "slow",
        }
    }
}

/// To whom a fault is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultTarget {
    /// Processes.
    Nodes(Role),
    /// Links between two sets of processes, in both directions.
    Link(Role, Role),
}

/// A set of processes by what they are, resolved when the fault starts unless it was drawn in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The leader of a partition; without a number, of the one with the most bytes in the last second.
    LeaderOf {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Option<u32>,
    },
    /// The replicas of a partition other than its leader. In a link opposite to `leader-of` it is the same partition.
    FollowersOf {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Option<u32>,
    },
    /// The active controller.
    Controller,
    /// These nodes; what `random` and `minority` were drawn to, too.
    Nodes(Vec<NodeId>),
    /// Every broker.
    All,
    /// Every producer and consumer (links only).
    Clients,
}

/// When a fault starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// At this time after the start of load.
    AtMs(u64),
    /// When so many messages were acknowledged.
    AfterAcked(u64),
}

/// What is asserted of a property.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// Seen and claimed is a violation.
    Never,
    /// Reported only.
    Allowed,
    /// Must be seen at least once, else the check was not exercised.
    Demonstrated,
    /// A metric within bounds, in the metric's own unit.
    Bound {
        /// At least.
        min: Option<f64>,
        /// At most.
        max: Option<f64>,
    },
}
