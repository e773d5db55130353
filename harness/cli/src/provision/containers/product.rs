//! What a product's nodes are started with: pure descriptions, one file a product.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::Plan;

/// The network of a run's cluster: a subnet of its own, with a fixed address per node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNet {
    /// In CIDR notation.
    pub subnet: String,
    /// The host's own address in it.
    pub gateway: Ipv4Addr,
    /// The nodes' addresses.
    pub nodes: BTreeMap<NodeId, Ipv4Addr>,
}

impl ClusterNet {
    /// `ip:port` of every node, joined.
    pub fn addresses(&self, port: u16, separator: &str) -> String {
        self.nodes.values().map(|ip| format!("{ip}:{port}")).collect::<Vec<_>>().join(separator)
    }
}

/// A file that is mounted read-only into a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    /// Where it appears.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// How one node is started. Works with the official image and with ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its host name, which some products make part of their identity.
    pub host_name: String,
    /// The command, in place of the image's entry point. Process 1 must become the broker (`exec`), so that a SIGKILL
    /// hits it.
    pub command: Vec<String>,
    /// Who runs it; None: as the image says.
    pub user: Option<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Its configuration.
    pub files: Vec<NodeFile>,
    /// The directory that holds everything that must outlive a kill; a volume is mounted there.
    pub data: String,
    /// The most memory that it may take, bytes.
    pub memory_bytes: u64,
}

/// What the harness must know to deploy a product.
pub trait Product: Sync {
    /// As in the registry of images: `kafka`.
    fn name(&self) -> &'static str;
    /// The variant of its image that a profile asks for.
    fn variant(&self, profile: &[&str]) -> &'static str;
    /// A node of a cluster, with the settings that the plan's durability class needs.
    fn node(&self, node: NodeId, net: &ClusterNet, plan: &Plan, profile: &[&str]) -> NodeSpec;
    /// Where clients start.
    fn bootstrap(&self, net: &ClusterNet) -> String;
    /// The ports at which a node takes clients.
    fn client_ports(&self) -> &'static [u16];
    /// The ports at which a node takes what its peers replicate, but not, where they can be told apart, what keeps it a
    /// member of the cluster. A stall between leader and followers is a stall of these.
    fn replication_ports(&self) -> &'static [u16];
    /// Settings of its clients that tell them what the protocol does not: by default which node has which address
    /// (`1=IP,2=IP`).
    fn client_settings(&self, nodes: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("nodes".to_owned(), nodes.to_owned())])
    }
    /// What an operator does when a node has lost its disk: nodes in the order in which they are started anew, each with
    /// its new configuration. Empty: the node is started as it was, and its peers refill it. `held`: bytes that a node has
    /// in a directory of its data.
    fn recovery(
        &self,
        lost: NodeId,
        net: &ClusterNet,
        plan: &Plan,
        profile: &[&str],
        held: &dyn Fn(NodeId, &str) -> u64,
    ) -> Vec<(NodeId, NodeSpec)> {
        let _ = (lost, net, plan, profile, held);
        Vec::new()
    }
    /// Seconds that a cluster is given to be ready.
    fn ready_within_s(&self) -> u64;
}

/// The product's settings of one durability class, as `name=value` lines of a configuration file.
pub fn lines(settings: &[(&str, String)]) -> String {
    settings.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name}={value}");
        text
    })
}
