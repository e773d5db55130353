//! The settings of one node.

use crate::defects::Defects;
use crate::ids::NodeId;

use super::event::Endpoint;

/// What a node does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Stores partitions and serves clients.
    Broker,
    /// Votes on the cluster's metadata and elects leaders.
    Controller,
}

/// When appended records are flushed to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlushPolicy {
    /// Never asked for: the operating system writes when it likes. Kafka's default.
    PageCache,
    /// Every so many milliseconds.
    IntervalMs(u64),
    /// Before a record counts as replicated or acknowledged; flushes of concurrent appends are grouped.
    BeforeAck,
}

/// Another node, and where this one reaches it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its id.
    pub node: NodeId,
    /// Where to dial it, which may be a proxy.
    pub endpoint: Endpoint,
}

/// The settings of one node. Times are in milliseconds, sizes in bytes; names follow Kafka's.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster, as told to clients.
    pub cluster_id: String,
    /// Unique in the cluster, brokers and controllers together.
    pub node_id: NodeId,
    /// What it does.
    pub role: Role,
    /// Seeds everything random in the node (member ids, back-off).
    pub seed: u64,
    /// Where clients are told to reach this broker; may be a proxy.
    pub advertised_client: Endpoint,
    /// Where other brokers are told to reach this broker on its internal listener.
    pub advertised_internal: Endpoint,
    /// All voters of the metadata quorum, this node too if it is one.
    pub controllers: Vec<Peer>,
    /// Overrides of the advertised internal endpoints, per peer: how *this* node reaches that one.
    pub peers: Vec<Peer>,
    /// `num.partitions`: for topics created without a number.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `min.insync.replicas` for topics that set none.
    pub min_insync_replicas: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election: bool,
    /// When appends are flushed.
    pub flush: FlushPolicy,
    /// `log.segment.bytes`.
    pub segment_bytes: u64,
    /// `log.index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// `message.max.bytes`, of one batch.
    pub message_max_bytes: usize,
    /// `socket.request.max.bytes`.
    pub request_max_bytes: usize,
    /// `replica.lag.time.max.ms`: a follower that was not caught up for so long leaves the ISR.
    pub replica_lag_time_max_ms: u64,
    /// `replica.fetch.wait.max.ms`.
    pub replica_fetch_wait_max_ms: u64,
    /// `broker.heartbeat.interval.ms`.
    pub broker_heartbeat_interval_ms: u64,
    /// `broker.session.timeout.ms`: a broker that was not heard for so long is fenced.
    pub broker_session_timeout_ms: u64,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay_ms: u64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`; clamped to the live brokers when the topic is created.
    pub offsets_topic_replication_factor: i16,
    /// Planted bugs.
    pub defects: Defects,
}

impl NodeConfig {
    /// A node with Kafka's defaults, except that failures are detected in fractions of a second.
    pub fn new(
        node_id: NodeId,
        role: Role,
        advertised_client: Endpoint,
        advertised_internal: Endpoint,
    ) -> Self {
        Self {
            cluster_id: "mqproof-reference".into(),
            node_id,
            role,
            seed: node_id.0 as u64,
            advertised_client,
            advertised_internal,
            controllers: Vec::new(),
            peers: Vec::new(),
            num_partitions: 1,
            default_replication_factor: 3,
            min_insync_replicas: 1,
            auto_create_topics: true,
            unclean_leader_election: false,
            flush: FlushPolicy::PageCache,
            segment_bytes: 64 << 20,
            index_interval_bytes: 4096,
            message_max_bytes: 1 << 20,
            request_max_bytes: 100 << 20,
            replica_lag_time_max_ms: 2_000,
            replica_fetch_wait_max_ms: 100,
            broker_heartbeat_interval_ms: 50,
            broker_session_timeout_ms: 300,
            group_initial_rebalance_delay_ms: 0,
            offsets_topic_partitions: 8,
            offsets_topic_replication_factor: 3,
            defects: Defects::NONE,
        }
    }
}
