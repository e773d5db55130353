//! A cluster of the bundled reference broker: child processes on a loopback address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mqproof_core::ids::NodeId;
use mqproof_core::plan::{FaultKind, FaultTarget, Flush, Plan, Role};
use rustix::process::Signal;
use tokio::runtime::Handle;

use super::broker_spec::{BrokerSpec, Failover};
use super::cluster::{Cluster, Hands, ProvisionError};
use super::loopback::Loopback;
use super::node_process::{Exit, NodeProcess};
use crate::faults::Links;
use crate::faults::proxy::{LinkEnd, LinkMode, ProxyNet};

/// How long the nodes are given to accept connections.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The running processes, and the proxies between them.
pub struct Embedded {
    nodes: BTreeMap<NodeId, NodeProcess>,
    brokers: Vec<NodeId>,
    controllers: Vec<NodeId>,
    addresses: Loopback,
    proxies: ProxyNet,
    /// Nodes whose links are held, because their machine is to be taken for dead.
    silent: BTreeSet<NodeId>,
    /// What the nodes store, a directory each.
    data: PathBuf,
}

impl Embedded {
    /// How soon the nodes of a scenario take each other for dead, at its pace. A link that is stalled for less than a
    /// follower may lag leaves the ISR whole, as it does with Kafka's 30 s; a slower clock stalls for longer.
    pub fn failover_of(plan: &Plan) -> Failover {
        Failover::Quick { replica_lag_time_max_ms: REPLICA_LAG_TIME_MAX_MS * u64::from(plan.stretch) }
    }

    /// Starts the plan's cluster; data and logs go under `cell_dir`. Returns when every door is open.
    pub fn start(
        plan: &Plan,
        failover: Failover,
        cell_dir: &Path,
        defects: &[String],
        runtime: &Handle,
    ) -> Result<Self, ProvisionError> {
        let addresses = Loopback::choose(plan.seed).ok_or(ProvisionError::NoAddress)?;
        let brokers: Vec<NodeId> = (1..=plan.topology.brokers).map(NodeId).collect();
        let controllers: Vec<NodeId> =
            (1..=plan.topology.controllers).map(|n| NodeId(plan.topology.brokers + n)).collect();
        let data = cell_dir.join("data");
        let logs = cell_dir.join("nodes");
        for dir in [&data, &logs] {
            std::fs::create_dir_all(dir).map_err(io_error(format!("cannot create `{}`", dir.display())))?;
        }
        let proxies = proxies(plan, &brokers, &controllers, addresses, runtime)?;
        let mut nodes = BTreeMap::new();
        for node in brokers.iter().chain(&controllers) {
            let spec =
                spec(plan, failover, *node, &brokers, &controllers, addresses, &proxies, &data, defects);
            let text = serde_json::to_string(&spec).expect("a specification is plain data");
            nodes.insert(*node, NodeProcess::new(text, logs.join(format!("node-{node}.log"))));
        }
        let mut cluster =
            Self { nodes, brokers, controllers, addresses, proxies, silent: BTreeSet::new(), data };
        // The controllers first, so that brokers find them at once.
        for node in cluster.controllers.clone().into_iter().chain(cluster.brokers.clone()) {
            cluster.start(node).map_err(io_error(format!("cannot start node {node}")))?;
        }
        cluster.wait_for_doors()?;
        Ok(cluster)
    }

    fn wait_for_doors(&mut self) -> Result<(), ProvisionError> {
        let until = Instant::now() + READY_WITHIN;
        let all: Vec<NodeId> = self.nodes.keys().copied().collect();
        for node in all {
            while !self.accepts(node) {
                let process = self.nodes.get_mut(&node).expect("a node of ours");
                let ended = process.poll_exit();
                if ended.is_some() || Instant::now() > until {
                    let how = ended.map_or("is not ready after 10 s".into(), |exit| {
                        format!("ended with {}", exit.describe())
                    });
                    return Err(ProvisionError::NotReady {
                        what: format!("node {node} {how}"),
                        log: process.log_tail(12),
                    });
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        Ok(())
    }

    /// Changes all proxied links at a node; false if there are none.
    fn set_links_of(&self, node: NodeId, mode: LinkMode) -> bool {
        let at_node = |(from, to): &(LinkEnd, NodeId)| *from == LinkEnd::Node(node) || *to == node;
        self.proxies
            .links()
            .filter(at_node)
            .filter(|(from, to)| self.proxies.set_mode(*from, *to, mode))
            .count()
            > 0
    }

    fn door(&self, node: NodeId) -> SocketAddr {
        if self.controllers.contains(&node) {
            self.addresses.internal(node)
        } else {
            self.addresses.client(node)
        }
    }
}

impl Cluster for Embedded {
    fn bootstrap(&self) -> String {
        let door = |node: &NodeId| {
            if self.proxies.has(LinkEnd::Clients, *node) {
                self.addresses.client_proxy(*node)
            } else {
                self.addresses.client(*node)
            }
        };
        self.brokers.iter().map(|node| door(node).to_string()).collect::<Vec<_>>().join(",")
    }

    fn profile(&self) -> &'static str {
        "embedded"
    }

    fn brokers(&self) -> Vec<NodeId> {
        self.brokers.clone()
    }

    fn controllers(&self) -> Vec<NodeId> {
        self.controllers.clone()
    }

    fn links(&self) -> Option<&dyn Links> {
        Some(&self.proxies)
    }

    fn hands(&mut self) -> Option<&mut dyn Hands> {
        Some(self)
    }

    fn shut_down(&mut self) {
        for process in self.nodes.values() {
            process.signal(Signal::KILL);
        }
        for process in self.nodes.values_mut() {
            process.wait_exit(Duration::from_secs(5));
        }
    }
}

impl Hands for Embedded {
    fn start(&mut self, node: NodeId) -> io::Result<u32> {
        if self.silent.remove(&node) {
            self.set_links_of(node, LinkMode::Pass);
        }
        self.nodes.get_mut(&node).ok_or(io::ErrorKind::NotFound)?.start()
    }

    fn kill(&mut self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|process| process.signal(Signal::KILL))
    }

    /// What goes through a proxy is held there. What does not is on loopback, whose ends are told of a death.
    fn silence(&mut self, node: NodeId) -> bool {
        self.silent.insert(node);
        self.set_links_of(node, LinkMode::Stall)
    }

    fn wipe(&mut self, node: NodeId) -> bool {
        std::fs::remove_dir_all(data_dir(&self.data, node)).is_ok()
    }

    fn stop(&mut self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|process| process.signal(Signal::TERM))
    }

    fn pause(&mut self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|process| process.signal(Signal::STOP))
    }

    fn resume(&mut self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|process| process.signal(Signal::CONT))
    }

    fn is_paused(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(NodeProcess::is_stopped)
    }

    fn exited(&mut self, node: NodeId, at_most: Duration) -> Option<Exit> {
        self.nodes.get_mut(&node)?.wait_exit(at_most)
    }

    fn pid(&self, node: NodeId) -> Option<u32> {
        self.nodes.get(&node)?.pid()
    }

    fn accepts(&self, node: NodeId) -> bool {
        TcpStream::connect_timeout(&self.door(node), Duration::from_millis(100)).is_ok()
    }

    fn log_tail(&self, node: NodeId) -> String {
        self.nodes.get(&node).map(|process| process.log_tail(12)).unwrap_or_default()
    }
}

fn data_dir(data: &Path, node: NodeId) -> PathBuf {
    data.join(format!("node-{node}"))
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> ProvisionError {
    move |source| ProvisionError::Io { what, source }
}

/// Which sorts of links the faults of a plan may touch. Who leads is known only when a fault starts, so that a fault
/// on the link of a leader may touch any link between brokers.
#[derive(Clone, Copy, Default)]
struct Touched {
    clients: bool,
    brokers: bool,
    controllers: bool,
}

impl Touched {
    fn by(plan: &Plan) -> Self {
        let mut touched = Self::default();
        for fault in &plan.faults {
            if fault.kind == FaultKind::KillHost {
                // A machine that dies is silent towards everybody.
                touched = Self { clients: true, brokers: true, controllers: true };
            }
            let FaultTarget::Link(a, b) = &fault.target else { continue };
            let either = |is: fn(&Role) -> bool| is(a) || is(b);
            let controller_nodes = |role: &Role| matches!(role, Role::Nodes(nodes) if nodes.iter().any(|node| node.0 > plan.topology.brokers));
            if either(|role| *role == Role::Clients) {
                touched.clients = true;
            } else if either(|role| *role == Role::Controller) || controller_nodes(a) || controller_nodes(b) {
                touched.controllers = true;
            } else {
                touched.brokers = true;
            }
        }
        touched
    }
}

fn proxies(
    plan: &Plan,
    brokers: &[NodeId],
    controllers: &[NodeId],
    addresses: Loopback,
    runtime: &Handle,
) -> Result<ProxyNet, ProvisionError> {
    let touched = Touched::by(plan);
    let mut proxies = ProxyNet::new(runtime.clone());
    let bound =
        |result: io::Result<()>| result.map_err(io_error("cannot listen on a loopback address".into()));
    for from in brokers {
        if touched.clients {
            bound(proxies.add(
                LinkEnd::Clients,
                *from,
                addresses.client_proxy(*from),
                addresses.client(*from),
            ))?;
        }
        for to in brokers.iter().filter(|to| touched.brokers && *to != from) {
            bound(proxies.add(
                LinkEnd::Node(*from),
                *to,
                addresses.peer_proxy(*from, *to),
                addresses.internal(*to),
            ))?;
        }
        for to in controllers.iter().filter(|_| touched.controllers) {
            bound(proxies.add(
                LinkEnd::Node(*from),
                *to,
                addresses.peer_proxy(*from, *to),
                addresses.internal(*to),
            ))?;
        }
    }
    Ok(proxies)
}

#[expect(
    clippy::too_many_arguments,
    reason = "a node's view of the cluster has many parts, and this is where they meet"
)]
fn spec(
    plan: &Plan,
    failover: Failover,
    node: NodeId,
    brokers: &[NodeId],
    controllers: &[NodeId],
    addresses: Loopback,
    proxies: &ProxyNet,
    data: &Path,
    defects: &[String],
) -> BrokerSpec {
    let is_controller = controllers.contains(&node);
    let reach = |to: NodeId| {
        if proxies.has(LinkEnd::Node(node), to) {
            addresses.peer_proxy(node, to)
        } else {
            addresses.internal(to)
        }
    };
    let flushes = plan.topology.topics.values().map(|topic| topic.flush);
    BrokerSpec {
        parent_pid: std::process::id(),
        cluster_id: format!("mqproof-{:016x}", plan.seed),
        node,
        is_controller,
        data_dir: data_dir(data, node),
        client_listen: (!is_controller).then(|| addresses.client(node)),
        internal_listen: addresses.internal(node),
        client_advertised: proxies.has(LinkEnd::Clients, node).then(|| addresses.client_proxy(node)),
        controllers: controllers.iter().map(|to| (*to, reach(*to))).collect(),
        peers: brokers.iter().filter(|to| **to != node).map(|to| (*to, reach(*to))).collect(),
        flush: flushes.max_by_key(strictness).unwrap_or(Flush::PageCache),
        internal_replicas: plan.topology.brokers.min(3) as i16,
        failover,
        seed: plan.seed ^ u64::from(node.0),
        defects: defects.to_vec(),
    }
}

/// How long a follower may lag behind, at the scenario's own pace.
const REPLICA_LAG_TIME_MAX_MS: u64 = 2_000;

/// A broker has one policy: the strictest that any of its topics asks for.
fn strictness(flush: &Flush) -> (u8, std::cmp::Reverse<u64>) {
    match *flush {
        Flush::PageCache => (0, std::cmp::Reverse(0)),
        Flush::IntervalMs(ms) => (1, std::cmp::Reverse(ms)),
        Flush::BeforeAck => (2, std::cmp::Reverse(0)),
    }
}
