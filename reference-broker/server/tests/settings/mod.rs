//! The settings of nodes on free ports.

use std::path::Path;

use broker_core::{Endpoint, NodeConfig, NodeId, Peer, Role};
use reference_broker::{NodeOptions, SecurityOptions};

pub fn options(dir: &Path, node: i32, role: Role, controllers: Vec<Peer>) -> NodeOptions {
    let any = Endpoint { host: "127.0.0.1".into(), port: 0 };
    let config = NodeConfig {
        controllers,
        default_replication_factor: 1,
        offsets_topic_replication_factor: 1,
        transaction_topic_replication_factor: 1,
        ..NodeConfig::new(NodeId(node), role, any.clone(), any.clone()).with_quick_failover()
    };
    let client_listen = (role == Role::Broker).then(|| any.clone());
    NodeOptions {
        config,
        data_dir: dir.join(node.to_string()),
        client_listen,
        internal_listen: any,
        max_connections: usize::MAX,
        security: SecurityOptions::default(),
        handle_signals: false,
    }
}
