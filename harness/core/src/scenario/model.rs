//! What a scenario file says, typed. The doc comments are the reference page and the texts of the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expect::Expect;
use super::fault::Fault;
use super::units::{Duration, Percent, Rate, Size};
use crate::plan::{Durability, Isolation, Settle, Start};
use crate::property::Property;

/// A scenario: one workload and its faults on one cluster, and what is asserted of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mqproof scenario, version 1")]
pub struct Document {
    /// Version of the scenario language: 1.
    #[schemars(extend("const" = 1))]
    pub schema: u32,
    /// The name, as in reports and cell ids: lower-case letters, digits and `-`.
    pub name: String,
    /// One sentence: what the scenario shows.
    pub about: String,
    /// Ids of the claims of `claims.yaml` that its verdict decides.
    #[serde(default)]
    pub decides: Vec<String>,
    /// The cluster.
    pub topology: Cluster,
    /// What an acknowledgement must mean.
    pub durability: Durability,
    /// Who writes, by role.
    pub producers: BTreeMap<String, Producer>,
    /// Who reads, by role.
    #[serde(default)]
    pub consumers: BTreeMap<String, Consumer>,
    /// What is done to the cluster while the load runs.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What is asserted, by property.
    #[schemars(extend("propertyNames" = {"enum": Property::ALL.map(Property::name)}))]
    pub expect: BTreeMap<Property, Expect>,
    /// How recovery is measured.
    #[serde(default)]
    pub rto: Rto,
    /// Dotted paths of this file, each with the values to run with; every combination is a cell.
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<Scalar>>,
}

/// The cluster that is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Number of brokers: nodes 1, 2, ….
    pub brokers: u32,
    /// Number of controllers: the nodes after the brokers. Default: 1.
    #[serde(default = "one")]
    pub controllers: u32,
    /// Topics by name.
    pub topics: BTreeMap<String, Topic>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Number of partitions (or of ordering shards, whatever the product calls them).
    pub partitions: u32,
    /// Copies of each partition, at most one a broker. Default: 1.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Copies that must exist before `quorum` is acknowledged. Default: 1.
    #[serde(default = "one")]
    pub min_in_sync: u32,
    /// When records are flushed. Default: `page-cache`, and `before-ack` in class `quorum-disk`, which means it.
    #[serde(default)]
    pub flush: FlushPolicy,
}

/// When a broker flushes what it appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlushPolicy {
    /// When the operating system likes.
    #[default]
    PageCache,
    /// At this interval.
    Interval(Duration),
    /// Before it acknowledges.
    BeforeAck,
}

/// A role that writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// The topic it writes to.
    pub topic: String,
    /// Number of instances, each a process of its own. Default: 1.
    #[serde(default = "one")]
    pub count: u32,
    /// Open loop: messages a second of the whole role, whatever the broker does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Closed loop: unanswered messages of each instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outstanding: Option<u32>,
    /// Messages of the whole role, after which it stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// How long it writes. Required unless there is a `total`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
    /// When it starts, counted from the start of load. Default: `0s`.
    #[serde(default)]
    pub start: Duration,
    /// How keys are drawn. Default: `none`.
    #[serde(default)]
    pub keys: Keys,
    /// How payload sizes are drawn. Default: `{fixed: 256B}`.
    #[serde(default)]
    pub payload: PayloadSize,
    /// Requests in flight per connection. Default: 5, and 1 where order is asserted without idempotence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Whether the broker is asked to drop what a retry repeats. Default: true where the durability class allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotence: Option<bool>,
    /// How often the client library sends again. Default: as often as its time limit allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Messages are sent in transactions, each instance under a transactional id of its own. Needs durability `quorum` or
    /// more. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<Transactions>,
}

/// The transactions of a producer, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transactions {
    /// Messages of each transaction.
    pub messages: u32,
    /// The share of transactions that is aborted on purpose. Default: `0%`.
    #[serde(default)]
    pub abort: Percent,
    /// After how long the broker aborts a transaction by itself. Default: `60s`.
    #[serde(default = "a_minute")]
    pub timeout: Duration,
}

/// How keys are drawn. Instances of a role own disjoint keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keys {
    /// No key: the client spreads messages over the partitions.
    #[default]
    None,
    /// Each key equally often.
    Uniform(UniformKeys),
    /// A few keys often, many keys seldom.
    Zipf(ZipfKeys),
}

/// Each key equally often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformKeys {
    /// Number of keys.
    pub count: u32,
}

/// The k-th key with weight 1 / k^exponent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZipfKeys {
    /// Number of keys.
    pub count: u32,
    /// The exponent. Default: 1.
    #[serde(default = "unit")]
    pub exponent: f64,
}

/// How payload sizes are drawn; at least 64B, which identify a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadSize {
    /// Always the same.
    Fixed(Size),
    /// Uniform between two bounds, both inclusive.
    Uniform(SizeRange),
}

impl Default for PayloadSize {
    fn default() -> Self {
        Self::Fixed(Size(256))
    }
}

/// Two sizes, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeRange {
    /// At least.
    pub min: Size,
    /// At most.
    pub max: Size,
}

/// A role that reads, as one consumer group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The topic it reads.
    pub topic: String,
    /// The group. Default: the role's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Number of members, each a client of its own. Default: 1.
    #[serde(default = "one")]
    pub members: u32,
    /// When a message is settled (committed, acknowledged): before processing is at most once, after processing at
    /// least once, auto is the client library's interval. Default: `after`.
    #[serde(default = "after")]
    pub settle: Settle,
    /// How long each message is worked on. Default: `0s`.
    #[serde(default)]
    pub processing: Duration,
    /// Where a group without a committed offset starts. Default: `earliest`.
    #[serde(default = "earliest")]
    pub start: Start,
    /// When the members start, counted from the start of load. Default: `0s`.
    #[serde(default)]
    pub begin: Duration,
    /// When the process of a member is killed, and for how long it stays away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crashes: Vec<Crash>,
    /// What it sees of transactions: `read_committed`, or also what is undecided or aborted. Default: `read_uncommitted`.
    #[serde(default)]
    pub isolation: Isolation,
}

/// SIGKILL of the process of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// When, counted from the start of load.
    pub at: Duration,
    /// When its next incarnation starts, counted from the kill.
    #[serde(rename = "for")]
    pub lasts: Duration,
    /// Which member, from 0. Default: 0.
    #[serde(default)]
    pub member: u32,
}

/// How recovery is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rto {
    /// How long 99 % of the operations must succeed before an outage counts as over. Default: `10s`.
    pub window: Duration,
}

impl Default for Rto {
    fn default() -> Self {
        Self { window: Duration(10_000) }
    }
}

/// One value of a matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(f64),
    /// Anything else.
    Text(String),
}

fn one() -> u32 {
    1
}

fn a_minute() -> Duration {
    Duration(60_000)
}

fn unit() -> f64 {
    1.0
}

fn after() -> Settle {
    Settle::After
}

fn earliest() -> Start {
    Start::Earliest
}
