//! Apache RocketMQ: every node is a name server, a controller and a copy of the one broker.
//!
//! Controllers elect the master. With the profile `classic` there are none: node 1 is the master for good, and the others
//! are its slaves.

use std::net::Ipv4Addr;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::{Durability, Flush, Plan};

use super::product::{ClusterNet, NodeFile, NodeSpec, Product, lines};

const NAME_SERVER: u16 = 9876;
const CONTROLLER: u16 = 9878;
const BROKER: u16 = 10911;
const REPLICATION: u16 = 10912;
const NAME_SERVER_CONFIG: &str = "/mnt/shared/config/namesrv.conf";
const BROKER_CONFIG: &str = "/mnt/shared/config/broker.conf";
/// Below its data.
const COMMIT_LOG: &str = "store/commitlog";
const DATA: &str = "/home/rocketmq/store";

/// Apache RocketMQ.
pub struct Rocketmq;

impl Product for Rocketmq {
    fn name(&self) -> &'static str {
        "rocketmq"
    }

    fn variant(&self, profile: &[&str]) -> &'static str {
        if profile.contains(&"fastjson2") { "fastjson2" } else { "5.5.0" }
    }

    fn node(&self, node: NodeId, net: &ClusterNet, plan: &Plan, profile: &[&str]) -> NodeSpec {
        spec(node, place(node, net), net, plan, profile)
    }

    /// Without controllers nobody is promoted, and an empty master stays empty: the slave that has the most becomes the
    /// master, and the node that lost its disk its slave. SEND_OK may rest on one slave alone, so any other would lose.
    fn recovery(
        &self,
        lost: NodeId,
        net: &ClusterNet,
        plan: &Plan,
        profile: &[&str],
        held: &dyn Fn(NodeId, &str) -> u64,
    ) -> Vec<(NodeId, NodeSpec)> {
        let slaves = net.nodes.keys().copied().filter(|node| *node != lost);
        let heir = slaves.max_by_key(|slave| held(*slave, COMMIT_LOG));
        match heir {
            Some(heir) if profile.contains(&"classic") && place(lost, net) == 0 => vec![
                (heir, spec(heir, 0, net, plan, profile)),
                (lost, spec(lost, place(heir, net), net, plan, profile)),
            ],
            _ => Vec::new(),
        }
    }

    fn bootstrap(&self, net: &ClusterNet) -> String {
        net.addresses(NAME_SERVER, ";")
    }

    fn client_ports(&self) -> &'static [u16] {
        &[BROKER, NAME_SERVER]
    }

    fn replication_ports(&self) -> &'static [u16] {
        &[REPLICATION]
    }

    fn ready_within_s(&self) -> u64 {
        120
    }
}

/// The place of a node among all: its number as a broker without controllers, 0 is the master.
fn place(node: NodeId, net: &ClusterNet) -> usize {
    net.nodes.keys().position(|id| *id == node).unwrap_or_default()
}

fn spec(node: NodeId, place: usize, net: &ClusterNet, plan: &Plan, profile: &[&str]) -> NodeSpec {
    // Called directly, because the image's scripts ask for gigabytes. Process 1 becomes the broker; when that is
    // killed, the kernel ends the rest of the container with it.
    let java = "java -cp \"$ROCKETMQ_HOME/lib/*\" -XX:+UseSerialGC -XX:MaxDirectMemorySize=64m";
    let script = format!(
        "mkdir -p {DATA}/home && \
         {java} -Xms64m -Xmx64m -Duser.home={DATA}/home org.apache.rocketmq.namesrv.NamesrvStartup \
         -c {NAME_SERVER_CONFIG} & \
         exec {java} -Xms128m -Xmx128m -Duser.home={DATA}/home org.apache.rocketmq.broker.BrokerStartup \
         -c {BROKER_CONFIG}"
    );
    NodeSpec {
        host_name: format!("rocketmq{node}"),
        command: vec!["sh".into(), "-c".into(), script],
        user: Some("root".into()),
        env: vec![
            ("ROCKETMQ_HOME".into(), "/home/rocketmq/rocketmq-5.5.0".into()),
            // The controller's serializer looks into the JDK; Java 8 neither needs nor reads this.
            ("JDK_JAVA_OPTIONS".into(), "--add-opens=java.base/java.lang=ALL-UNNAMED".into()),
        ],
        files: vec![
            NodeFile { path: NAME_SERVER_CONFIG.into(), text: name_server(node, net, profile) },
            NodeFile { path: BROKER_CONFIG.into(), text: broker(node, place, net, plan, profile) },
        ],
        data: DATA.into(),
        memory_bytes: 1 << 30,
    }
}

fn name_server(node: NodeId, net: &ClusterNet, profile: &[&str]) -> String {
    let mut settings = vec![("listenPort", NAME_SERVER.to_string())];
    if !profile.contains(&"classic") {
        let peers: Vec<String> =
            net.nodes.iter().map(|(id, ip)| format!("n{id}-{ip}:{CONTROLLER}")).collect();
        settings.extend([
            ("enableControllerInNamesrv", "true".to_owned()),
            ("controllerType", "DLedger".to_owned()),
            ("controllerDLegerGroup", "mqproof".to_owned()),
            ("controllerDLegerPeers", peers.join(";")),
            ("controllerDLegerSelfId", format!("n{node}")),
            ("controllerStorePath", format!("{DATA}/controller")),
            // One gigabyte by default.
            ("mappedFileSize", "16777216".to_owned()),
            ("enableElectUncleanMaster", "false".to_owned()),
            ("notifyBrokerRoleChanged", "true".to_owned()),
        ]);
    }
    if profile.contains(&"tuned") {
        settings.extend([
            ("scanNotActiveBrokerInterval", "1000".to_owned()),
            ("scanInactiveMasterInterval", "1000".to_owned()),
        ]);
    }
    lines(&settings)
}

fn broker(node: NodeId, place: usize, net: &ClusterNet, plan: &Plan, profile: &[&str]) -> String {
    let own = net.nodes[&node];
    let copies = net.nodes.len();
    let min_in_sync = copies.min(2).to_string();
    let one = || "1".to_owned();
    let flushes = plan.topology.topics.values().any(|topic| topic.flush == Flush::BeforeAck);
    let mut settings = small_box(own, net);
    settings.push(("flushDiskType", if flushes { "SYNC_FLUSH" } else { "ASYNC_FLUSH" }.to_owned()));
    let strong = plan.durability >= Durability::Quorum;
    if profile.contains(&"classic") {
        settings.extend([
            ("brokerId", place.to_string()),
            ("brokerRole", if place == 0 { "SYNC_MASTER" } else { "SLAVE" }.to_owned()),
            ("inSyncReplicas", if strong { min_in_sync.clone() } else { one() }),
            ("minInSyncReplicas", if strong { min_in_sync } else { one() }),
        ]);
    } else {
        settings.extend([
            ("brokerId", "-1".to_owned()),
            ("brokerRole", "SLAVE".to_owned()),
            ("enableControllerMode", "true".to_owned()),
            ("controllerAddr", net.addresses(CONTROLLER, ";")),
            ("totalReplicas", copies.to_string()),
            ("allAckInSyncStateSet", strong.to_string()),
            ("inSyncReplicas", one()),
            ("minInSyncReplicas", if strong { min_in_sync } else { one() }),
        ]);
    }
    if profile.contains(&"tuned") {
        settings.extend([
            ("brokerHeartbeatInterval", "500".to_owned()),
            ("controllerHeartBeatTimeoutMills", "3000".to_owned()),
            ("haMaxTimeSlaveNotCatchup", "3000".to_owned()),
            ("checkSyncStateSetPeriod", "1000".to_owned()),
            ("syncBrokerMetadataPeriod", "1000".to_owned()),
            ("syncControllerMetadataPeriod", "2000".to_owned()),
            ("haSendHeartbeatInterval", "1000".to_owned()),
            ("haHousekeepingInterval", "5000".to_owned()),
            ("registerNameServerPeriod", "10000".to_owned()),
        ]);
    }
    lines(&settings)
}

/// What every broker has: names, addresses, and files that fit a small machine.
fn small_box(own: Ipv4Addr, net: &ClusterNet) -> Vec<(&'static str, String)> {
    let word = str::to_owned;
    vec![
        ("brokerClusterName", word("mqproof")),
        ("brokerName", word("broker")),
        ("namesrvAddr", net.addresses(NAME_SERVER, ";")),
        ("brokerIP1", own.to_string()),
        ("brokerIP2", own.to_string()),
        ("listenPort", BROKER.to_string()),
        ("haListenPort", REPLICATION.to_string()),
        ("storePathRootDir", format!("{DATA}/store")),
        ("storePathCommitLog", format!("{DATA}/store/commitlog")),
        ("mappedFileSizeCommitLog", word("67108864")),
        ("mappedFileSizeConsumeQueue", word("600000")),
        ("messageIndexEnable", word("false")),
        // Its wheel alone needs more direct memory than the rest of the broker.
        ("timerWheelEnable", word("false")),
        ("autoCreateTopicEnable", word("false")),
        ("autoCreateSubscriptionGroup", word("true")),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use mqproof_core::claims::ClaimRegister;
    use mqproof_core::scenario::Scenario;

    use super::*;

    fn net(nodes: u32) -> ClusterNet {
        let address = |node: u32| Ipv4Addr::new(10, 9, 8, node as u8 + 1);
        ClusterNet {
            subnet: "10.9.8.0/24".to_owned(),
            gateway: Ipv4Addr::new(10, 9, 8, 1),
            nodes: (1..=nodes).map(|node| (NodeId(node), address(node))).collect(),
        }
    }

    /// The plan of a committed scenario, in another class.
    fn plan(durability: Durability) -> Plan {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a committed file");
        let claims = ClaimRegister::parse("claims.yaml", &read("claims.yaml")).expect("claims");
        let class = format!("durability: {}\n", durability.name());
        let text = read("smoke/acked-survives-leader-kill.yaml").replace("durability: quorum\n", &class);
        let scenario = Scenario::parse("scenario.yaml", &text, &claims).expect("a scenario");
        Plan::draw(&scenario, &scenario.matrix_points()[0], 1)
    }

    fn settings(nodes: u32, node: u32, durability: Durability, profile: &[&str]) -> BTreeMap<String, String> {
        let node = Rocketmq.node(NodeId(node), &net(nodes), &plan(durability), profile);
        let lines = node.files.iter().flat_map(|file| file.text.lines());
        lines
            .map(|line| line.split_once('=').expect("name=value"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn of<'a>(settings: &'a BTreeMap<String, String>, names: &[&str]) -> Vec<&'a str> {
        names.iter().map(|name| settings.get(*name).map_or("-", String::as_str)).collect()
    }

    const ACKS: [&str; 4] = ["allAckInSyncStateSet", "inSyncReplicas", "minInSyncReplicas", "flushDiskType"];

    #[test]
    fn each_class_has_its_settings() {
        for weak in [Durability::None, Durability::Leader] {
            assert_eq!(of(&settings(3, 1, weak, &[]), &ACKS), ["false", "1", "1", "ASYNC_FLUSH"]);
        }
        assert_eq!(of(&settings(3, 1, Durability::Quorum, &[]), &ACKS), ["true", "1", "2", "ASYNC_FLUSH"]);
        assert_eq!(of(&settings(1, 1, Durability::Quorum, &[]), &ACKS), ["true", "1", "1", "ASYNC_FLUSH"]);
        let disk = settings(3, 1, Durability::QuorumDisk, &[]);
        assert_eq!(of(&disk, &ACKS), ["true", "1", "2", "SYNC_FLUSH"]);
    }

    #[test]
    fn every_node_knows_all_controllers_and_its_own_name() {
        let second = settings(3, 2, Durability::Quorum, &[]);
        assert_eq!(second["controllerDLegerSelfId"], "n2");
        assert_eq!(second["controllerDLegerPeers"], "n1-10.9.8.2:9878;n2-10.9.8.3:9878;n3-10.9.8.4:9878");
        assert_eq!(second["controllerAddr"], "10.9.8.2:9878;10.9.8.3:9878;10.9.8.4:9878");
        assert_eq!(second["brokerIP1"], "10.9.8.3");
        assert_eq!(Rocketmq.bootstrap(&net(2)), "10.9.8.2:9876;10.9.8.3:9876");
    }

    #[test]
    fn failure_detection_is_the_products_own_unless_it_is_tuned() {
        let names =
            ["brokerHeartbeatInterval", "controllerHeartBeatTimeoutMills", "scanNotActiveBrokerInterval"];
        assert_eq!(of(&settings(3, 1, Durability::Quorum, &[]), &names), ["-", "-", "-"]);
        assert_eq!(of(&settings(3, 1, Durability::Quorum, &["tuned"]), &names), ["500", "3000", "1000"]);
    }

    #[test]
    fn the_classic_mode_has_one_master_for_good() {
        let names = ["brokerRole", "brokerId", "enableControllerMode", "inSyncReplicas", "minInSyncReplicas"];
        let node = |node, durability| settings(3, node, durability, &["classic"]);
        assert_eq!(of(&node(1, Durability::Leader), &names), ["SYNC_MASTER", "0", "-", "1", "1"]);
        assert_eq!(of(&node(3, Durability::Quorum), &names), ["SLAVE", "2", "-", "2", "2"]);
    }

    #[test]
    fn a_master_for_good_that_lost_its_disk_is_replaced_by_hand() {
        let recovery = |lost, profile: &[&str]| {
            let held = |node: NodeId, _: &str| if node == NodeId(2) { 9 } else { 8 };
            let plan = plan(Durability::Leader);
            let specs = Rocketmq.recovery(NodeId(lost), &net(3), &plan, profile, &held);
            let id = |spec: &NodeSpec| {
                let lines = spec.files.iter().flat_map(|file| file.text.lines());
                lines.filter(|line| line.starts_with("brokerId=")).collect::<String>()
            };
            specs.iter().map(|(node, spec)| format!("{node} {}", id(spec))).collect::<Vec<_>>()
        };
        assert_eq!(recovery(1, &["classic"]), ["2 brokerId=0", "1 brokerId=1"]);
        assert_eq!(recovery(2, &["classic"]), Vec::<String>::new());
        assert_eq!(recovery(1, &[]), Vec::<String>::new());
    }

    #[test]
    fn the_variant_of_the_image_is_asked_for_by_profile() {
        assert_eq!(Rocketmq.variant(&["tuned"]), "5.5.0");
        assert_eq!(Rocketmq.variant(&["tuned", "fastjson2"]), "fastjson2");
    }
}
