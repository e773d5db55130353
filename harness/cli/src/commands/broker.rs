//! `mqproof broker` (hidden): runs one node of an embedded cluster. The only place that names the broker's crate.

use std::io;
use std::net::SocketAddr;

use mqproof_core::plan::Flush;
use mqproof_core::verdict::ExitStatus;
use reference_broker::broker_core::{Defect, Defects, Endpoint, FlushPolicy, NodeConfig, NodeId, Peer, Role};
use reference_broker::{NodeOptions, SecurityOptions};

use crate::provision::{BrokerSpec, Failover, die_with_parent};

/// Version of the reference broker, as told in reports.
pub const REFERENCE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names of the planted bugs.
pub fn defect_names() -> Vec<&'static str> {
    Defect::ALL.into_iter().map(Defect::name).collect()
}

/// Names of the planted bugs, and what they do.
pub fn defect_descriptions() -> Vec<(&'static str, &'static str)> {
    Defect::ALL.into_iter().map(|defect| (defect.name(), defect.about())).collect()
}

/// Runs the node that standard input describes until it is stopped.
pub fn run() -> anyhow::Result<u8> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let spec: BrokerSpec = serde_json::from_str(&line)?;
    if !die_with_parent(spec.parent_pid) {
        return Ok(ExitStatus::HarnessFailure as u8);
    }
    reference_broker::init_logging();
    match reference_broker::run(options(&spec)?) {
        Ok(reason) => Ok(reason.exit_status()),
        Err(error) => {
            tracing::error!("{error}");
            Ok(error.exit_status())
        }
    }
}

fn options(spec: &BrokerSpec) -> anyhow::Result<NodeOptions> {
    let node = |id: mqproof_core::ids::NodeId| NodeId(id.0 as i32);
    let peers = |list: &[(mqproof_core::ids::NodeId, SocketAddr)]| {
        list.iter()
            .map(|(id, address)| Peer { node: node(*id), endpoint: endpoint(*address) })
            .collect::<Vec<_>>()
    };
    let role = if spec.is_controller { Role::Controller } else { Role::Broker };
    let advertised = spec.client_advertised.or(spec.client_listen).unwrap_or(spec.internal_listen);
    let defects: Defects = spec
        .defects
        .iter()
        .map(|name| name.parse::<Defect>())
        .collect::<Result<_, _>>()
        .map_err(anyhow::Error::msg)?;
    let base = NodeConfig::new(node(spec.node), role, endpoint(advertised), endpoint(spec.internal_listen));
    let base = match spec.failover {
        Failover::AsKafka => base,
        Failover::Quick { replica_lag_time_max_ms } => NodeConfig {
            // On a busy machine a healthy broker may not run for a few hundred milliseconds.
            broker_session_timeout_ms: 500,
            replica_lag_time_max_ms,
            ..base.with_quick_failover()
        },
    };
    let config = NodeConfig {
        cluster_id: spec.cluster_id.clone(),
        seed: spec.seed,
        controllers: peers(&spec.controllers),
        peers: peers(&spec.peers),
        auto_create_topics: false,
        flush: match spec.flush {
            Flush::PageCache => FlushPolicy::PageCache,
            Flush::IntervalMs(ms) => FlushPolicy::IntervalMs(ms),
            Flush::BeforeAck => FlushPolicy::BeforeAck,
        },
        offsets_topic_replication_factor: spec.internal_replicas,
        transaction_topic_replication_factor: spec.internal_replicas,
        defects,
        ..base
    };
    Ok(NodeOptions {
        config,
        data_dir: spec.data_dir.clone(),
        client_listen: spec.client_listen.map(endpoint),
        internal_listen: endpoint(spec.internal_listen),
        max_connections: usize::MAX,
        security: SecurityOptions::default(),
        handle_signals: true,
    })
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint { host: address.ip().to_string(), port: address.port() }
}
