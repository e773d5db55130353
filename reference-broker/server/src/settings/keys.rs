//! Every key, what it means and where its value goes. Names and meanings follow Kafka where Kafka has them.

use std::path::PathBuf;

use broker_core::auth::Mechanism;
use broker_core::{FlushPolicy, NodeId, ReplicaSelector};

use super::value::{BadValue, Value};
use super::{Roles, Settings};
use crate::security::SecurityProtocol;

/// One key.
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    pub(super) apply: fn(&mut Settings, &Value) -> Result<(), BadValue>,
}

macro_rules! keys {
    ($($name:literal, $about:literal, $apply:expr;)*) => {
        /// All keys, in the order in which they are listed.
        pub const KEYS: &[Key] = &[$(Key { name: $name, about: $about, apply: $apply }),*];
    };
}

keys! {
    "node.id", "unique in the cluster, brokers and controllers together",
        |s, v| { s.config.node_id = NodeId(v.number(0, i32::MAX)?); Ok(()) };
    "process.roles", "`broker`, `controller`, or both",
        |s, v| { s.roles = Some(roles(v)?); Ok(()) };
    "cluster.id", "as told to clients",
        |s, v| { s.config.cluster_id = v.text()?.into(); Ok(()) };
    "log.dir", "data directory",
        |s, v| { s.data = v.text()?.into(); Ok(()) };
    "listener.client", "where producers and consumers connect",
        |s, v| { s.client_listen = v.endpoint()?; Ok(()) };
    "listener.internal", "where brokers and controllers connect; port 0 takes a free one",
        |s, v| { s.internal_listen = v.endpoint()?; Ok(()) };
    "advertised.client", "where clients are told to connect; default: `listener.client`",
        |s, v| { s.advertised_client = Some(v.endpoint()?); Ok(()) };
    "advertised.internal", "where other nodes are told to connect; default: `listener.internal`",
        |s, v| { s.advertised_internal = Some(v.endpoint()?); Ok(()) };
    "broker.rack", "where this broker stands; consumers say where they are as `client.rack`",
        |s, v| { s.config.rack = v.optional()?.map(Into::into); Ok(()) };
    "replica.selector.class", "empty: consumers read from leaders; `RackAwareReplicaSelector`: from replicas in their rack",
        |s, v| { s.config.replica_selector = selector(v)?; Ok(()) };
    "controller.quorum.voters", "the controllers, as `ID@HOST:PORT`; without them this process runs its own",
        |s, v| { s.config.controllers = v.peers()?; Ok(()) };
    "peer.routes", "how this node reaches others, where that is not what they advertise, as `ID@HOST:PORT`",
        |s, v| { s.config.peers = v.peers()?; Ok(()) };
    "security.protocol", "what clients speak: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`",
        |s, v| { s.security.clients = protocol(v)?; Ok(()) };
    "security.inter.broker.protocol", "what brokers and controllers speak; default: `security.protocol`",
        |s, v| { s.security.nodes = Some(protocol(v)?); Ok(()) };
    "sasl.enabled.mechanisms", "what clients log in with: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`",
        |s, v| { s.security.mechanisms = mechanisms(v)?; Ok(()) };
    "sasl.users.file", "who may log in, as `NAME:PASSWORD` lines",
        |s, v| { s.security.users_file = path(v)?; Ok(()) };
    "sasl.inter.broker.user", "as which of them brokers and controllers log in at each other",
        |s, v| { s.security.inter_broker_user = v.optional()?.map(Into::into); Ok(()) };
    "ssl.certificate.file", "PEM: the certificate of this node, and those between it and its authority",
        |s, v| { s.security.certificate_file = path(v)?; Ok(()) };
    "ssl.key.file", "PEM: its key",
        |s, v| { s.security.key_file = path(v)?; Ok(()) };
    "ssl.ca.file", "PEM: who signs the certificates of brokers and controllers",
        |s, v| { s.security.ca_file = path(v)?; Ok(()) };
    "ssl.client.ca.file", "PEM: who signs those of clients, which then need one",
        |s, v| { s.security.client_ca_file = path(v)?; Ok(()) };
    "num.partitions", "for topics created without a number",
        |s, v| { s.config.num_partitions = v.number(1, 10_000)?; Ok(()) };
    "default.replication.factor", "for topics created without one; default 3, and 1 in a cluster of one",
        |s, v| { s.replication_factor = Some(v.number(1, i16::MAX)?); Ok(()) };
    "min.insync.replicas", "for topics that set none",
        |s, v| { s.config.min_insync_replicas = v.number(1, i32::MAX)?; Ok(()) };
    "auto.create.topics.enable", "whether asking for a topic creates it",
        |s, v| { s.config.auto_create_topics = v.truth()?; Ok(()) };
    "unclean.leader.election.enable", "whether a replica that may lack records can lead when no other is left",
        |s, v| { s.config.unclean_leader_election = v.truth()?; Ok(()) };
    "log.flush.policy", "`page-cache`, `interval` or `before-ack`",
        |s, v| { s.config.flush = flush(v)?; Ok(()) };
    "log.flush.interval.ms", "for `log.flush.policy = \"interval\"`",
        |s, v| { s.flush_interval_ms = v.number(1, u64::from(u32::MAX))?; Ok(()) };
    "log.segment.bytes", "size at which a new segment is begun",
        |s, v| { s.config.segment_bytes = v.number(1024, 1 << 31)?; Ok(()) };
    "log.index.interval.bytes", "bytes of log between two entries of its index",
        |s, v| { s.config.index_interval_bytes = v.number(0, 1 << 31)?; Ok(()) };
    "max.connections", "how many clients may be connected at once; others are turned away",
        |s, v| { s.max_connections = v.number(1, i32::MAX as usize)?; Ok(()) };
    "max.incremental.fetch.session.cache.slots", "how many fetchers may leave it to the broker to know their partitions",
        |s, v| { s.config.fetch_session_slots = v.number(0, 1_000_000)?; Ok(()) };
    "log.roll.ms", "span of time stamps at which a new segment is begun",
        |s, v| { s.config.segment_ms = v.number(1, i64::MAX)?; Ok(()) };
    "log.retention.ms", "older segments are deleted; -1 for never",
        |s, v| { s.config.retention_ms = v.number(-1, i64::MAX)?; Ok(()) };
    "log.retention.bytes", "segments are deleted while a partition is larger; -1 for never",
        |s, v| { s.config.retention_bytes = v.number(-1, i64::MAX)?; Ok(()) };
    "log.retention.check.interval.ms", "how often logs are looked at for what can be deleted or compacted",
        |s, v| { s.config.log_retention_check_interval_ms = v.number(1, 86_400_000)?; Ok(()) };
    "log.cleaner.delete.retention.ms", "how long compaction leaves tombstones and transaction markers in place",
        |s, v| { s.config.delete_retention_ms = v.number(0, i64::MAX)?; Ok(()) };
    "log.cleaner.min.cleanable.ratio", "share of a log that was not compacted yet at which it is, from 0 to 1",
        |s, v| { s.config.min_cleanable_dirty_ratio = v.number(0.0, 1.0)?; Ok(()) };
    "log.cleaner.min.compaction.lag.ms", "younger records are not compacted",
        |s, v| { s.config.min_compaction_lag_ms = v.number(0, i64::MAX)?; Ok(()) };
    "log.cleaner.max.compaction.lag.ms", "older records are compacted whatever their share",
        |s, v| { s.config.max_compaction_lag_ms = v.number(1, i64::MAX)?; Ok(()) };
    "producer.id.expiration.ms", "an idempotent producer that was silent for so long is forgotten",
        |s, v| { s.config.producer_id_expiration_ms = v.number(1, i64::MAX)?; Ok(()) };
    "message.max.bytes", "largest batch",
        |s, v| { s.config.message_max_bytes = v.number(1, 1 << 30)?; Ok(()) };
    "socket.request.max.bytes", "largest request",
        |s, v| { s.config.request_max_bytes = v.number(1024, 1 << 30)?; Ok(()) };
    "replica.lag.time.max.ms", "a follower that has not caught up for so long leaves the ISR",
        |s, v| { s.config.replica_lag_time_max_ms = v.number(10, 3_600_000)?; Ok(()) };
    "replica.fetch.wait.max.ms", "how long a follower's fetch waits for records",
        |s, v| { s.config.replica_fetch_wait_max_ms = v.number(1, 60_000)?; Ok(()) };
    "broker.heartbeat.interval.ms", "how often a broker tells the controller that it lives",
        |s, v| { s.config.broker_heartbeat_interval_ms = v.number(1, 60_000)?; Ok(()) };
    "broker.session.timeout.ms", "a broker not heard for so long is fenced",
        |s, v| { s.config.broker_session_timeout_ms = v.number(10, 600_000)?; Ok(()) };
    "controller.quorum.election.timeout.ms", "a controller that is not elected for so long, or twice as long, tries again",
        |s, v| { s.config.quorum_election_timeout_ms = v.number(10, 600_000)?; Ok(()) };
    "controller.quorum.fetch.timeout.ms", "an active controller that others cannot fetch from for so long is replaced",
        |s, v| { s.config.quorum_fetch_timeout_ms = v.number(10, 600_000)?; Ok(()) };
    "auto.leader.rebalance.enable", "whether leaderships go back to preferred replicas by themselves",
        |s, v| { s.config.auto_leader_rebalance = v.truth()?; Ok(()) };
    "leader.imbalance.check.interval.seconds", "how often that is looked at",
        |s, v| { s.config.leader_imbalance_check_interval_ms = v.number(1, 1_000_000_u64)? * 1000; Ok(()) };
    "metadata.log.segment.bytes", "size at which a new segment of the metadata log is begun",
        |s, v| { s.config.metadata_segment_bytes = v.number(1024, 1 << 31)?; Ok(()) };
    "metadata.log.max.record.bytes.between.snapshots", "bytes of metadata after which a snapshot of it is written",
        |s, v| { s.config.metadata_snapshot_bytes = v.number(1, 1 << 40)?; Ok(()) };
    "controller.quorum.fetch.snapshot.max.bytes", "how much of a snapshot of the metadata is fetched at a time",
        |s, v| { s.config.quorum_snapshot_fetch_bytes = v.number(64, 1 << 30)?; Ok(()) };
    "group.initial.rebalance.delay.ms", "how long the first rebalance of a group waits for more members",
        |s, v| { s.config.group_initial_rebalance_delay_ms = v.number(0, 600_000)?; Ok(()) };
    "group.consumer.session.timeout.ms", "a member of the new group protocol not heard for so long is removed",
        |s, v| { s.config.group_consumer_session_timeout_ms = v.number(100, 3_600_000)?; Ok(()) };
    "group.consumer.heartbeat.interval.ms", "how often members of the new group protocol are told to be heard",
        |s, v| { s.config.group_consumer_heartbeat_interval_ms = v.number(10, 3_600_000)?; Ok(()) };
    "offsets.retention.minutes", "how long committed offsets are kept that no member of the group needs",
        |s, v| { s.config.offsets_retention_ms = v.number(1, 10_000_000)? * 60_000; Ok(()) };
    "offsets.retention.check.interval.ms", "how often such offsets are looked for",
        |s, v| { s.config.offsets_retention_check_interval_ms = v.number(1, 86_400_000)?; Ok(()) };
    "offsets.topic.num.partitions", "partitions of the topic of committed offsets",
        |s, v| { s.config.offsets_topic_partitions = v.number(1, 1000)?; Ok(()) };
    "offsets.topic.replication.factor", "its replicas; the topic is not created before so many brokers are there; 1 in a cluster of one",
        |s, v| { s.config.offsets_topic_replication_factor = v.number(1, i16::MAX)?; Ok(()) };
    "transaction.state.log.num.partitions", "partitions of the topic of transactions",
        |s, v| { s.config.transaction_topic_partitions = v.number(1, 1000)?; Ok(()) };
    "transaction.state.log.replication.factor", "its replicas, in the same way",
        |s, v| { s.config.transaction_topic_replication_factor = v.number(1, i16::MAX)?; Ok(()) };
}

fn roles(value: &Value) -> Result<Roles, BadValue> {
    let mut roles: Vec<&str> = value.parts().collect();
    roles.sort_unstable();
    match roles[..] {
        ["broker"] => Ok(Roles::Broker),
        ["controller"] => Ok(Roles::Controller),
        ["broker", "controller"] => Ok(Roles::Both),
        _ => Err(value.bad("`broker`, `controller` or `broker,controller`")),
    }
}

fn flush(value: &Value) -> Result<FlushPolicy, BadValue> {
    match value.text()? {
        "page-cache" => Ok(FlushPolicy::PageCache),
        // The number is a key of its own, which may come earlier or later.
        "interval" => Ok(FlushPolicy::IntervalMs(0)),
        "before-ack" => Ok(FlushPolicy::BeforeAck),
        _ => Err(value.bad("`page-cache`, `interval` or `before-ack`")),
    }
}

/// Kafka's class, with or without its package.
fn selector(value: &Value) -> Result<ReplicaSelector, BadValue> {
    let class = value.optional()?.map(|class| class.trim_start_matches("org.apache.kafka.common.replica."));
    match class {
        None => Ok(ReplicaSelector::Leader),
        Some("RackAwareReplicaSelector") => Ok(ReplicaSelector::RackAware),
        Some(_) => Err(value.bad("`RackAwareReplicaSelector` or nothing")),
    }
}

fn protocol(value: &Value) -> Result<SecurityProtocol, BadValue> {
    value.text()?.parse().map_err(|()| value.bad("`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"))
}

fn mechanisms(value: &Value) -> Result<Vec<Mechanism>, BadValue> {
    let names = value.parts().filter(|name| !name.is_empty());
    names
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| value.bad("some of `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`"))
}

fn path(value: &Value) -> Result<Option<PathBuf>, BadValue> {
    value.optional().map(|path| path.map(PathBuf::from))
}
