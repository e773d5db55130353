//! RabbitMQ: every node is a peer, found by a fixed list of names.

use std::collections::BTreeMap;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::Plan;

use super::product::{ClusterNet, NodeFile, NodeSpec, Product, lines};

const CLIENT: u16 = 5672;
/// Between Erlang nodes: Raft, and the ticks that keep a node a member.
const DISTRIBUTION: u16 = 25672;
const DATA: &str = "/var/lib/rabbitmq";
const COOKIE: &str = "mqproof";
/// What streams replicate through, one port per copy; narrowed from 6000–6500 so that a filter can name them.
const STREAMS: &str = "[{osiris,[{port_range,{6000,6013}}]}].\n";
/// The distribution and the ports of streams.
const REPLICATION: [u16; 15] = {
    let mut ports = [DISTRIBUTION; 15];
    let mut i = 1;
    while i < ports.len() {
        ports[i] = 5999 + i as u16;
        i += 1;
    }
    ports
};
/// Versions that still have strategies for partitions, by profile.
const OLD: [&str; 2] = ["4.0", "3.10"];
const PARTITION_HANDLING: [&str; 3] = ["ignore", "pause_minority", "autoheal"];

/// RabbitMQ.
pub struct RabbitMq;

impl Product for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn variant(&self, profile: &[&str]) -> &'static str {
        OLD.into_iter().find(|version| profile.contains(version)).unwrap_or("4.3")
    }

    fn node(&self, node: NodeId, net: &ClusterNet, _: &Plan, profile: &[&str]) -> NodeSpec {
        let file = |name: &str, text: String| NodeFile { path: format!("/etc/rabbitmq/{name}"), text };
        NodeSpec {
            // A node's name and its data directory depend on it.
            host_name: host_name(node),
            // The entry point of the image makes the volume the broker's own and steps down from root.
            command: vec!["docker-entrypoint.sh".into(), "rabbitmq-server".into()],
            user: Some("root".into()),
            env: vec![("RABBITMQ_ERLANG_COOKIE".into(), COOKIE.into())],
            files: vec![
                file("rabbitmq.conf", settings(net, profile)),
                file("advanced.config", STREAMS.to_owned()),
                file("enabled_plugins", "[].\n".to_owned()),
            ],
            data: DATA.into(),
            memory_bytes: 768 << 20,
        }
    }

    fn bootstrap(&self, net: &ClusterNet) -> String {
        net.addresses(CLIENT, ",")
    }

    fn client_ports(&self) -> &'static [u16] {
        &[CLIENT]
    }

    fn replication_ports(&self) -> &'static [u16] {
        &REPLICATION
    }

    fn client_settings(&self, nodes: &str) -> BTreeMap<String, String> {
        [("nodes", nodes), ("cookie", COOKIE)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn ready_within_s(&self) -> u64 {
        60
    }
}

fn host_name(node: NodeId) -> String {
    format!("rmq{node}")
}

fn settings(net: &ClusterNet, profile: &[&str]) -> String {
    let peers: Vec<(String, String)> = (1..)
        .zip(net.nodes.keys())
        .map(|(place, node)| {
            let name = format!("cluster_formation.classic_config.nodes.{place}");
            (name, format!("rabbit@{}", host_name(*node)))
        })
        .collect();
    let mut settings = vec![
        // Clients come from the host.
        ("loopback_users.guest", "false".to_owned()),
        ("log.console", "true".to_owned()),
        ("cluster_formation.peer_discovery_backend", "classic_config".to_owned()),
        ("raft.wal_max_size_bytes", "64000000".to_owned()),
        ("disk_free_limit.absolute", "50MB".to_owned()),
        ("vm_memory_high_watermark.absolute", "300MB".to_owned()),
    ];
    settings.extend(peers.iter().map(|(name, value)| (name.as_str(), value.clone())));
    if profile.contains(&"tuned") {
        settings.push(("net_ticktime", "15".to_owned()));
    }
    // Since 4.3 the metadata are a Raft log and nothing is left to choose: the setting is unknown.
    if OLD.iter().any(|version| profile.contains(version))
        && let Some(strategy) = PARTITION_HANDLING.into_iter().find(|name| profile.contains(name))
    {
        settings.push(("cluster_partition_handling", strategy.to_owned()));
    }
    lines(&settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(profile: &[&str]) -> String {
        let nodes = (1..=3).map(|n| (NodeId(n), std::net::Ipv4Addr::new(10, 0, 0, n as u8))).collect();
        let net = ClusterNet {
            subnet: "10.0.0.0/24".into(),
            gateway: std::net::Ipv4Addr::new(10, 0, 0, 254),
            nodes,
        };
        settings(&net, profile)
    }

    #[test]
    fn every_node_knows_all_of_them_by_name() {
        for node in 1..=3 {
            assert!(text(&[]).contains(&format!("classic_config.nodes.{node}=rabbit@rmq{node}\n")));
        }
    }

    #[test]
    fn partitions_are_handled_only_where_the_version_still_knows_how() {
        assert!(!text(&["pause_minority"]).contains("partition_handling"));
        assert!(text(&["3.10", "pause_minority"]).contains("cluster_partition_handling=pause_minority\n"));
        assert!(!text(&["4.0"]).contains("partition_handling"));
        assert!(text(&["tuned"]).contains("net_ticktime=15\n") && !text(&[]).contains("net_ticktime"));
    }
}
