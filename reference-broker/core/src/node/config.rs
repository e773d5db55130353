//! The settings of one node.

use crate::auth::AuthConfig;
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

/// Who says which replica a consumer reads from; Kafka's `replica.selector.class` (KIP-392).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicaSelector {
    /// Nobody: consumers read from leaders.
    Leader,
    /// The leader sends consumers to an in-sync replica in their rack, and followers answer them.
    RackAware,
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
    /// `broker.rack`: where this broker stands.
    pub rack: Option<String>,
    /// `replica.selector.class`.
    pub replica_selector: ReplicaSelector,
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
    /// `max.incremental.fetch.session.cache.slots` (KIP-227).
    pub fetch_session_slots: usize,
    /// `log.roll.ms`: a segment is closed when its records span more.
    pub segment_ms: i64,
    /// `log.retention.ms`; −1 is for ever.
    pub retention_ms: i64,
    /// `log.retention.bytes`, of one partition; −1 is no limit.
    pub retention_bytes: i64,
    /// `log.retention.check.interval.ms`: how often logs are looked at for what can be deleted or compacted.
    pub log_retention_check_interval_ms: u64,
    /// `log.cleaner.delete.retention.ms`: how long compaction leaves tombstones and markers in place.
    pub delete_retention_ms: i64,
    /// `log.cleaner.min.cleanable.ratio`: the share of a log that was not compacted yet at which it is.
    pub min_cleanable_dirty_ratio: f64,
    /// `log.cleaner.min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `log.cleaner.max.compaction.lag.ms`: older records are compacted whatever their share.
    pub max_compaction_lag_ms: i64,
    /// `producer.id.expiration.ms`: a producer that was silent for so long is forgotten.
    pub producer_id_expiration_ms: i64,
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
    /// `controller.quorum.election.timeout.ms`: a voter that gets no majority for so long, or up to twice as long, tries
    /// again.
    pub quorum_election_timeout_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`: a leader of the metadata log that could not be fetched from for so long
    /// counts as gone.
    pub quorum_fetch_timeout_ms: u64,
    /// `auto.leader.rebalance.enable`: whether the controller gives leaderships back to preferred replicas by itself.
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`, in milliseconds.
    pub leader_imbalance_check_interval_ms: u64,
    /// `metadata.log.segment.bytes`.
    pub metadata_segment_bytes: u64,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub metadata_snapshot_bytes: u64,
    /// `controller.quorum.fetch.snapshot.max.bytes`: how much of a snapshot is asked for at a time, by brokers too.
    pub quorum_snapshot_fetch_bytes: i32,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay_ms: u64,
    /// `group.consumer.session.timeout.ms`, of members that speak the protocol of KIP-848.
    pub group_consumer_session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`, which such members are told.
    pub group_consumer_heartbeat_interval_ms: i32,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `offsets.topic.num.partitions`.
    pub offsets_topic_partitions: i32,
    /// `offsets.topic.replication.factor`; the topic is not created before so many brokers have registered.
    pub offsets_topic_replication_factor: i16,
    /// `transaction.state.log.num.partitions`.
    pub transaction_topic_partitions: i32,
    /// `transaction.state.log.replication.factor`, in the same way.
    pub transaction_topic_replication_factor: i16,
    /// Who may log in; by default nobody is asked.
    pub auth: AuthConfig,
    /// Planted bugs.
    pub defects: Defects,
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl NodeConfig {
    /// A node with Kafka's defaults, except that what waits waits for less: brokers are heard four times as often, followers ask five
    /// times as often, an election is tried again within fractions of a second, and logs are looked after every second.
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
            rack: None,
            replica_selector: ReplicaSelector::Leader,
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
            fetch_session_slots: 1_000,
            segment_ms: 7 * DAY_MS,
            retention_ms: 7 * DAY_MS,
            retention_bytes: -1,
            log_retention_check_interval_ms: 1_000,
            delete_retention_ms: DAY_MS,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            producer_id_expiration_ms: DAY_MS,
            // Kafka's: a MiB, and the 12 bytes of offset and length before it.
            message_max_bytes: (1 << 20) + 12,
            request_max_bytes: 100 << 20,
            replica_lag_time_max_ms: 30_000,
            replica_fetch_wait_max_ms: 100,
            broker_heartbeat_interval_ms: 500,
            broker_session_timeout_ms: 9_000,
            quorum_election_timeout_ms: 200,
            quorum_fetch_timeout_ms: 2_000,
            auto_leader_rebalance: true,
            leader_imbalance_check_interval_ms: 300_000,
            metadata_segment_bytes: 64 << 20,
            metadata_snapshot_bytes: 20 << 20,
            quorum_snapshot_fetch_bytes: 8 << 20,
            group_initial_rebalance_delay_ms: 0,
            group_consumer_session_timeout_ms: 45_000,
            group_consumer_heartbeat_interval_ms: 5_000,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            offsets_retention_check_interval_ms: 600_000,
            offsets_topic_partitions: 8,
            offsets_topic_replication_factor: 3,
            transaction_topic_partitions: 8,
            transaction_topic_replication_factor: 3,
            auth: AuthConfig::default(),
            defects: Defects::NONE,
        }
    }

    /// Failures are noticed within fractions of a second, for tests: on a busy machine a healthy node may be silent for longer.
    #[must_use]
    pub fn with_quick_failover(self) -> Self {
        Self {
            replica_lag_time_max_ms: 2_000,
            broker_heartbeat_interval_ms: 50,
            broker_session_timeout_ms: 300,
            quorum_fetch_timeout_ms: 400,
            ..self
        }
    }
}
