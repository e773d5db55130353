//! What `mqproof broker` reads on standard input: one node of an embedded cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::Flush;
use serde::{Deserialize, Serialize};

/// How soon nodes take each other for dead.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Failover {
    /// After half a second, so that a scenario need not wait long for what follows.
    Quick {
        /// How long a follower may lag behind before it leaves the ISR, ms.
        replica_lag_time_max_ms: u64,
    },
    /// As late as Kafka does by default: no load alone makes a node a dead one.
    AsKafka,
}

/// One node of an embedded cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BrokerSpec {
    /// The process that must not be outlived.
    pub parent_pid: u32,
    /// Names the cluster in logs.
    pub cluster_id: String,
    /// Its number.
    pub node: NodeId,
    /// Broker or controller.
    pub is_controller: bool,
    /// Where it keeps its log.
    pub data_dir: PathBuf,
    /// Where clients connect; None for a controller.
    pub client_listen: Option<SocketAddr>,
    /// Where brokers and controllers connect.
    pub internal_listen: SocketAddr,
    /// Where clients are told to connect: the listener or a proxy.
    pub client_advertised: Option<SocketAddr>,
    /// The voters of the metadata quorum, and where this node reaches them.
    pub controllers: Vec<(NodeId, SocketAddr)>,
    /// Where this node reaches the other brokers, if not at their own listener.
    pub peers: Vec<(NodeId, SocketAddr)>,
    /// The flush policy of the topics.
    pub flush: Flush,
    /// Replicas of the brokers' own topics: committed offsets, transactions.
    pub internal_replicas: i16,
    /// How soon nodes take each other for dead.
    pub failover: Failover,
    /// Seeds member ids and back-off.
    pub seed: u64,
    /// Planted bugs, by name.
    pub defects: Vec<String>,
}
