//! Apache Kafka in KRaft mode: every node is broker and controller, with static voters.

use std::collections::BTreeMap;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::{Flush, Plan};

use super::product::{ClusterNet, NodeFile, NodeSpec, Product, lines};

const CLIENT: u16 = 9092;
const CONTROLLER: u16 = 9093;
const INTERNAL: u16 = 19092;
/// A cluster id that its storage is formatted with; each run has volumes of its own.
const CLUSTER_ID: &str = "bXFwcm9vZi1jbHVzdGVyLQ";
const CONFIG: &str = "/mnt/shared/config/server.properties";
const DATA: &str = "/var/lib/kafka/data";

/// Apache Kafka.
pub struct Kafka;

impl Product for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn variant(&self, _: &[&str]) -> &'static str {
        "4.3.1"
    }

    fn node(&self, node: NodeId, net: &ClusterNet, plan: &Plan, profile: &[&str]) -> NodeSpec {
        // Formatting is skipped where the volume is formatted. Process 1 becomes the broker.
        let java = "java -cp '/opt/kafka/libs/*'";
        let script = format!(
            "set -e; mkdir -p {DATA}/log; \
             {java} -Xmx128m -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format -t {CLUSTER_ID} -c {CONFIG} \
             --ignore-formatted; \
             exec {java} -Xms256m -Xmx256m -XX:+UseG1GC -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml \
             kafka.Kafka {CONFIG}"
        );
        NodeSpec {
            host_name: format!("kafka{node}"),
            command: vec!["sh".into(), "-c".into(), script],
            user: Some("root".into()),
            env: Vec::new(),
            files: vec![NodeFile { path: CONFIG.into(), text: properties(node, net, plan, profile) }],
            data: DATA.into(),
            memory_bytes: 1 << 30,
        }
    }

    fn bootstrap(&self, net: &ClusterNet) -> String {
        net.addresses(CLIENT, ",")
    }

    fn client_ports(&self) -> &'static [u16] {
        &[CLIENT]
    }

    fn replication_ports(&self) -> &'static [u16] {
        &[INTERNAL]
    }

    /// Its protocol tells everything.
    fn client_settings(&self, _: &str) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn ready_within_s(&self) -> u64 {
        60
    }
}

fn properties(node: NodeId, net: &ClusterNet, plan: &Plan, profile: &[&str]) -> String {
    let own = net.nodes[&node];
    let voters: Vec<String> = net.nodes.iter().map(|(id, ip)| format!("{id}@{ip}:{CONTROLLER}")).collect();
    let copies = net.nodes.len().min(3).to_string();
    let min_isr = net.nodes.len().min(2).to_string();
    let mut settings = vec![
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", node.to_string()),
        ("controller.quorum.voters", voters.join(",")),
        (
            "listeners",
            format!("INTERNAL://{own}:{INTERNAL},CLIENT://{own}:{CLIENT},CONTROLLER://{own}:{CONTROLLER}"),
        ),
        ("advertised.listeners", format!("INTERNAL://{own}:{INTERNAL},CLIENT://{own}:{CLIENT}")),
        (
            "listener.security.protocol.map",
            "INTERNAL:PLAINTEXT,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ),
        ("inter.broker.listener.name", "INTERNAL".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", format!("{DATA}/log")),
        ("offsets.topic.replication.factor", copies.clone()),
        ("transaction.state.log.replication.factor", copies.clone()),
        ("transaction.state.log.min.isr", min_isr.clone()),
        ("share.coordinator.state.topic.replication.factor", copies),
        ("share.coordinator.state.topic.min.isr", min_isr),
        ("offsets.topic.num.partitions", "8".to_owned()),
        ("group.initial.rebalance.delay.ms", "0".to_owned()),
        ("auto.create.topics.enable", "false".to_owned()),
        ("log.segment.bytes", "16777216".to_owned()),
    ];
    let flushes = plan.topology.topics.values().any(|topic| topic.flush == Flush::BeforeAck);
    if flushes {
        // Of the broker, so that the offsets topic is flushed too.
        settings.push(("log.flush.interval.messages", "1".to_owned()));
    }
    if profile.contains(&"tuned") {
        settings.extend([
            ("broker.session.timeout.ms", "3000".to_owned()),
            ("broker.heartbeat.interval.ms", "500".to_owned()),
            ("replica.lag.time.max.ms", "10000".to_owned()),
            ("controller.quorum.election.timeout.ms", "1000".to_owned()),
            ("controller.quorum.fetch.timeout.ms", "2000".to_owned()),
        ]);
    }
    lines(&settings)
}
