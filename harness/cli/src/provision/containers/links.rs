//! The links of a cluster in containers: a proxy slipped in between clients and nodes, packet filters between nodes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::Plan;
use tokio::runtime::Handle;

use super::filter::{Filter, Met, Verdict};
use super::product::{ClusterNet, Product};
use super::tool;
use crate::faults::proxy::{LinkEnd, LinkMode, LinkStats, ProxyNet};
use crate::faults::{Links, touches_clients};
use crate::provision::ProvisionError;

/// Marks the proxy's own connections, so that they are not redirected to it again.
const MARK: u32 = 0x6d71;

/// One link between two nodes.
#[derive(Clone, Copy, Default)]
struct PeerLink {
    mode: LinkMode,
    /// Counted by filters that are gone.
    before: LinkStats,
}

/// The links of one cluster.
pub struct ContainerLinks {
    net: ClusterNet,
    replication_ports: &'static [u16],
    proxies: ProxyNet,
    redirects: Vec<Vec<String>>,
    /// The first process of each node that runs.
    pids: RefCell<BTreeMap<NodeId, u32>>,
    peers: RefCell<BTreeMap<(NodeId, NodeId), PeerLink>>,
}

impl ContainerLinks {
    /// Puts proxies in front of the nodes if a fault of the plan touches their clients' links.
    pub fn new(
        product: &dyn Product,
        net: &ClusterNet,
        plan: &Plan,
        owner: &str,
        runtime: &Handle,
    ) -> Result<Self, ProvisionError> {
        let mut links = Self {
            net: net.clone(),
            replication_ports: product.replication_ports(),
            proxies: ProxyNet::new(runtime.clone()),
            redirects: Vec::new(),
            pids: RefCell::default(),
            peers: RefCell::default(),
        };
        if touches_clients(plan) {
            for (node, ip) in &net.nodes {
                for port in product.client_ports() {
                    links.slip_in(*node, *ip, *port, owner)?;
                }
            }
        }
        Ok(links)
    }

    /// Redirects this machine's connections to a node's port to a proxy of ours.
    fn slip_in(&mut self, node: NodeId, ip: Ipv4Addr, port: u16, owner: &str) -> Result<(), ProvisionError> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let proxy = self
            .proxies
            .add_marked(LinkEnd::Clients, node, listen, SocketAddr::from((ip, port)), Some(MARK))
            .map_err(|source| ProvisionError::Io { what: "cannot listen on loopback".into(), source })?;
        let (ip, port, proxy) = (ip.to_string(), port.to_string(), proxy.port().to_string());
        let mark = format!("{MARK:#x}");
        let rule: Vec<String> = [
            "OUTPUT",
            "-p",
            "tcp",
            "-d",
            &ip,
            "--dport",
            &port,
            "-m",
            "mark",
            "!",
            "--mark",
            &mark,
            "-m",
            "comment",
            "--comment",
            owner,
            "-j",
            "REDIRECT",
            "--to-ports",
            &proxy,
        ]
        .map(str::to_owned)
        .into();
        nat("-A", &rule)?;
        self.redirects.push(rule);
        Ok(())
    }

    /// A node runs with a new process, and so in a new network namespace: its filters are put in force again.
    pub fn node_started(&self, node: NodeId, pid: u32) {
        self.pids.borrow_mut().insert(node, pid);
        let modes: Vec<_> = self
            .peers
            .borrow()
            .iter()
            .filter(|((from, _), link)| *from == node && link.mode != LinkMode::Pass)
            .map(|((_, to), link)| (*to, link.mode))
            .collect();
        for (to, mode) in modes {
            self.apply(node, to, mode);
        }
    }

    /// A node's process ended; its filters went with it.
    pub fn node_ended(&self, node: NodeId) {
        self.pids.borrow_mut().remove(&node);
    }

    fn apply(&self, from: NodeId, to: NodeId, mode: LinkMode) -> bool {
        let Some(pid) = self.pids.borrow().get(&from).copied() else { return true };
        let filter = Filter { pid, peer: self.net.nodes[&to], ports: self.replication_ports };
        match mode {
            LinkMode::Pass => {
                filter.remove();
                true
            }
            LinkMode::Stall => filter.install(Verdict::Drop).is_ok(),
            LinkMode::Cut => filter.install(Verdict::Reset).is_ok(),
            LinkMode::Slow { .. } => false,
        }
    }

    fn peer_stats(&self, from: NodeId, to: NodeId) -> LinkStats {
        let link = self.peers.borrow().get(&(from, to)).copied().unwrap_or_default();
        let pid = self.pids.borrow().get(&from).copied();
        let met = match pid {
            Some(pid) if link.mode != LinkMode::Pass => {
                Filter { pid, peer: self.net.nodes[&to], ports: self.replication_ports }.met()
            }
            _ => Met::default(),
        };
        let mut stats = link.before;
        match link.mode {
            LinkMode::Cut => stats.reset += met.packets,
            _ => stats.held_bytes += met.bytes,
        }
        stats
    }
}

impl Links for ContainerLinks {
    fn set_mode(&self, from: LinkEnd, to: NodeId, mode: LinkMode) -> bool {
        let LinkEnd::Node(from) = from else { return self.proxies.set_mode(from, to, mode) };
        let before = self.peer_stats(from, to);
        let done = self.apply(from, to, mode);
        if done {
            self.peers.borrow_mut().insert((from, to), PeerLink { mode, before });
        }
        done
    }

    fn stats(&self, from: LinkEnd, to: NodeId) -> Option<LinkStats> {
        match from {
            LinkEnd::Clients => self.proxies.stats(from, to),
            LinkEnd::Node(from) => Some(self.peer_stats(from, to)),
        }
    }

    fn means(&self) -> String {
        let clients = if self.redirects.is_empty() { "direct" } else { "through a proxy" };
        format!("clients to brokers {clients}, nodes to nodes behind packet filters when a fault asks for it")
    }
}

impl Drop for ContainerLinks {
    fn drop(&mut self) {
        for rule in &self.redirects {
            let _ = nat("-D", rule);
        }
    }
}

/// The runs that have redirections.
pub fn redirect_owners() -> BTreeSet<String> {
    let words = |line: &str| {
        line.split_whitespace()
            .map(|word| word.trim_matches('"'))
            .find_map(|word| word.starts_with("mqproof-").then(|| word.to_owned()))
    };
    saved_rules().lines().filter_map(words).collect()
}

/// Removes the redirections of a run.
pub fn remove_redirects(owner: &str) {
    for line in saved_rules().lines().filter(|line| line.contains(owner)) {
        let words: Vec<String> =
            line.split_whitespace().skip(1).map(|word| word.trim_matches('"').to_owned()).collect();
        let _ = nat("-D", &words);
    }
}

fn saved_rules() -> String {
    let mut command = Command::new("iptables-save");
    tool::run("iptables-save", "iptables", command.args(["-t", "nat"])).unwrap_or_default()
}

fn nat(action: &str, rule: &[String]) -> Result<String, ProvisionError> {
    let mut command = Command::new("iptables");
    command.args(["-w", "-t", "nat", action]).args(rule);
    tool::run("iptables", "iptables", &mut command)
}
