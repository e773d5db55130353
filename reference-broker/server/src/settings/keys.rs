//! Every key, what it means and where its value goes. Names and meanings follow Kafka where Kafka has them.

use broker_core::{FlushPolicy, NodeId};

use super::value::{BadValue, Value};
use super::{Roles, Settings};

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
    "controller.quorum.voters", "the controllers, as `ID@HOST:PORT`; without them this process runs its own",
        |s, v| { s.config.controllers = v.peers()?; Ok(()) };
    "peer.routes", "how this node reaches others, where that is not what they advertise, as `ID@HOST:PORT`",
        |s, v| { s.config.peers = v.peers()?; Ok(()) };
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
    "group.initial.rebalance.delay.ms", "how long the first rebalance of a group waits for more members",
        |s, v| { s.config.group_initial_rebalance_delay_ms = v.number(0, 600_000)?; Ok(()) };
    "offsets.topic.num.partitions", "partitions of the topic of committed offsets",
        |s, v| { s.config.offsets_topic_partitions = v.number(1, 1000)?; Ok(()) };
    "offsets.topic.replication.factor", "its replicas; fewer if fewer brokers live when it is created",
        |s, v| { s.config.offsets_topic_replication_factor = v.number(1, i16::MAX)?; Ok(()) };
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
