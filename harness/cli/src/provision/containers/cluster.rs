//! A cluster of a real product in containers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use mqproof_core::ids::NodeId;
use mqproof_core::plan::Plan;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::runtime::Handle;

use super::docker::{Docker, NewContainer, host_name_of};
use super::links::ContainerLinks;
use super::product::{ClusterNet, NodeSpec, Product};
use super::{filter, labels, network};
use crate::faults::Links;
use crate::images::{self, ImageRef};
use crate::provision::ProvisionError;
use crate::provision::cluster::{Cluster, Hands};
use crate::provision::node_process::Exit;

/// How long a node may take to end by SIGKILL.
const RESTART_WITHIN: Duration = Duration::from_secs(5);
/// Lines of a node's log that an error shows.
const TAIL: u32 = 15;

/// What a cluster in containers is started from.
pub struct ContainerOrder<'a> {
    /// What is deployed.
    pub product: &'static dyn Product,
    /// Variant and settings, as given behind `@`.
    pub profile: Vec<&'a str>,
    /// For how many brokers and with which durability.
    pub plan: &'a Plan,
    /// Where configuration and logs go.
    pub dir: &'a Path,
    /// The run.
    pub run_id: u64,
    /// For questions to the engine, and for proxies.
    pub runtime: &'a Handle,
}

impl ContainerOrder<'_> {
    /// What must be equal for two cells to run on one cluster: everything that its nodes are started with.
    pub fn fingerprint(&self) -> String {
        let nodes = (1..=self.plan.topology.brokers).map(NodeId);
        let net = ClusterNet {
            subnet: String::new(),
            gateway: Ipv4Addr::UNSPECIFIED,
            nodes: nodes.map(|node| (node, Ipv4Addr::from(node.0))).collect(),
        };
        let specs: Vec<NodeSpec> =
            net.nodes.keys().map(|node| self.product.node(*node, &net, self.plan, &self.profile)).collect();
        format!("{} {} {specs:?}", self.product.name(), self.product.variant(&self.profile))
    }
}

/// A running cluster.
pub struct Containers {
    docker: Docker,
    product: &'static dyn Product,
    net: ClusterNet,
    network: String,
    nodes: BTreeMap<NodeId, Node>,
    links: ContainerLinks,
    image: ImageRef,
    logs: PathBuf,
    fingerprint: String,
    plan: Plan,
    profile: Vec<String>,
    /// Nodes whose disk was emptied and that were not started since.
    wiped: BTreeSet<NodeId>,
    cells: u32,
    is_down: bool,
}

struct Node {
    container: String,
    volume: String,
    /// Its first process as the host sees it; None: it does not run.
    pid: Option<u32>,
    /// The same process, where the engine runs on this machine.
    process: Option<OwnedFd>,
    /// Where its configuration lies.
    config: PathBuf,
}

impl Containers {
    /// Starts all nodes. They run when it returns; whether the cluster is ready is for its clients to find out.
    pub fn start(order: &ContainerOrder<'_>) -> Result<Self, ProvisionError> {
        let docker = Docker::connect(order.runtime)?;
        let image =
            images::resolve(order.product.name(), order.product.variant(&order.profile), |reference| {
                docker.image(reference)
            })?;
        let net = network::choose(order.run_id ^ order.plan.seed, order.plan.topology.brokers)?;
        let owner = format!("mqproof-{:016x}", order.run_id);
        let prefix = format!("{owner}-{}", net.subnet.split('.').nth(2).unwrap_or("0"));
        let made = ContainerLinks::new(order.product, &net, order.plan, &owner, order.runtime);
        let links = match made {
            Ok(links) => links,
            Err(error) => {
                network::release(&net.subnet);
                return Err(error);
            }
        };
        let mut cluster = Self {
            docker,
            product: order.product,
            network: prefix.clone(),
            nodes: BTreeMap::new(),
            links,
            image,
            logs: order.dir.join("nodes"),
            fingerprint: order.fingerprint(),
            plan: order.plan.clone(),
            profile: order.profile.iter().map(|&part| part.to_owned()).collect(),
            wiped: BTreeSet::new(),
            cells: 1,
            is_down: false,
            net,
        };
        // Whatever was made before a failure is removed when the cluster is dropped.
        cluster.create(order, &prefix)?;
        for node in cluster.brokers() {
            cluster.start_node(node)?;
        }
        Ok(cluster)
    }

    /// How many cells it was used for.
    pub fn cells(&self) -> u32 {
        self.cells
    }

    /// What its nodes were started with.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Makes it ready for another cell: links as its plan needs them, logs into its directory.
    pub fn go_on_with(&mut self, order: &ContainerOrder<'_>) -> Result<(), ProvisionError> {
        self.cells += 1;
        self.logs = order.dir.join("nodes");
        let owner = format!("mqproof-{:016x}", order.run_id);
        self.links = ContainerLinks::new(order.product, &self.net, order.plan, &owner, order.runtime)?;
        for (node, one) in &self.nodes {
            if let Some(pid) = one.pid {
                self.links.node_started(*node, pid);
            }
        }
        Ok(())
    }

    fn create(&mut self, order: &ContainerOrder<'_>, prefix: &str) -> Result<(), ProvisionError> {
        let labels: HashMap<String, String> = labels::of_run(order.run_id, &self.net.subnet);
        self.docker.create_network(&self.network, &self.net.subnet, self.net.gateway, &labels)?;
        for (node, ip) in self.net.nodes.clone() {
            let spec = order.product.node(node, &self.net, order.plan, &order.profile);
            let config = self.logs.join(format!("config-{node}"));
            let config = write_files(&config, &spec).map_err(|source| ProvisionError::Io {
                what: format!("cannot write `{}`", config.display()),
                source,
            })?;
            let (container, volume) = (format!("{prefix}-{node}"), format!("{prefix}-{node}"));
            self.docker.create_volume(&volume, &labels)?;
            let one = Node {
                container: container.clone(),
                volume: volume.clone(),
                pid: None,
                process: None,
                config: config.clone(),
            };
            self.nodes.insert(node, one);
            self.docker.create(&NewContainer {
                name: &container,
                image: &self.image.reference,
                spec: &spec,
                config: &config,
                volume: &volume,
                network: &self.network,
                ip,
                labels: &labels,
            })?;
        }
        Ok(())
    }

    fn start_node(&mut self, node: NodeId) -> Result<u32, ProvisionError> {
        let one = self.nodes.get_mut(&node).expect("a node of ours");
        self.docker.start(&one.container)?;
        let known = self.docker.inspect(&one.container)?;
        let state = known.state.unwrap_or_default();
        let pid = state.pid.filter(|pid| *pid > 0).ok_or_else(|| ProvisionError::NotReady {
            what: format!("node {node} ended at once"),
            log: tail(&self.docker, &one.container),
        })? as u32;
        one.pid = Some(pid);
        one.process = known.id.and_then(|container| process_of(pid, &container));
        self.links.node_started(node, pid);
        Ok(pid)
    }

    /// Starts the nodes anew that an operator would, where peers do not refill one that lost its disk. False: they do.
    fn recover(&mut self, lost: NodeId) -> Result<bool, ProvisionError> {
        let profile: Vec<&str> = self.profile.iter().map(String::as_str).collect();
        let held = |node: NodeId, directory: &str| {
            let volume = self.nodes.get(&node).and_then(|one| self.docker.volume_path(&one.volume).ok());
            volume.map_or(0, |volume| held_bytes(&volume.join(directory)))
        };
        let anew = self.product.recovery(lost, &self.net, &self.plan, &profile, &held);
        for (node, spec) in &anew {
            let config = self.nodes[node].config.clone();
            // The files are mounted one by one, so they are written in place.
            write_files(&config, spec).map_err(|source| ProvisionError::Io {
                what: format!("cannot write `{}`", config.display()),
                source,
            })?;
            if self.pid(*node).is_some() {
                self.kill(*node);
                self.exited(*node, RESTART_WITHIN);
            }
            self.start_node(*node)?;
        }
        if !anew.is_empty() {
            // No other cell is given what is not as it was ordered.
            self.fingerprint.push_str(", recovered");
        }
        Ok(!anew.is_empty())
    }

    fn door(&self, node: NodeId) -> Option<SocketAddr> {
        let port = *self.product.client_ports().first()?;
        Some(SocketAddr::from((*self.net.nodes.get(&node)?, port)))
    }

    fn container(&self, node: NodeId) -> Option<&str> {
        self.nodes.get(&node).map(|node| node.container.as_str())
    }

    fn signal(&self, node: NodeId, signal: &str) -> bool {
        self.container(node).is_some_and(|container| self.docker.signal(container, signal).is_ok())
    }

    /// Writes what the nodes printed so far into the directory of the cell.
    pub fn save_logs(&self) {
        for (node, one) in &self.nodes {
            // A log that cannot be kept must not keep the cluster.
            let _ = std::fs::write(
                self.logs.join(format!("node-{node}.log")),
                self.docker.log(&one.container, None),
            );
        }
    }
}

/// Writes a node's configuration, and returns the absolute path of its directory.
fn write_files(config: &Path, spec: &NodeSpec) -> io::Result<PathBuf> {
    std::fs::create_dir_all(config)?;
    for file in &spec.files {
        std::fs::write(config.join(host_name_of(&file.path)), &file.text)?;
    }
    config.canonicalize()
}

/// The first process of a container of this machine; None: the engine runs on another one.
fn process_of(pid: u32, container: &str) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.contains(container).then_some(process)
}

fn tail(docker: &Docker, container: &str) -> String {
    String::from_utf8_lossy(&docker.log(container, Some(TAIL))).trim_end().to_owned()
}

impl Cluster for Containers {
    fn bootstrap(&self) -> String {
        self.product.bootstrap(&self.net)
    }

    fn profile(&self) -> &'static str {
        "containers"
    }

    fn image(&self) -> Option<String> {
        let id: String = self.image.id.trim_start_matches("sha256:").chars().take(12).collect();
        Some(format!("{} ({id})", self.image.reference))
    }

    fn version(&self) -> Option<String> {
        Some(self.image.version.clone())
    }

    fn client_settings(&self) -> BTreeMap<String, String> {
        let nodes: Vec<String> = self.net.nodes.iter().map(|(node, ip)| format!("{node}={ip}")).collect();
        self.product.client_settings(&nodes.join(","))
    }

    fn ready_within(&self) -> Duration {
        Duration::from_secs(self.product.ready_within_s())
    }

    fn brokers(&self) -> Vec<NodeId> {
        self.net.nodes.keys().copied().collect()
    }

    fn controllers(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn links(&self) -> Option<&dyn Links> {
        Some(&self.links)
    }

    fn hands(&mut self) -> Option<&mut dyn Hands> {
        Some(self)
    }

    fn shut_down(&mut self) {
        if std::mem::replace(&mut self.is_down, true) {
            return;
        }
        self.save_logs();
        for node in self.nodes.values() {
            let _ = self.docker.remove(&node.container);
            let _ = self.docker.remove_volume(&node.volume);
        }
        let _ = self.docker.remove_network(&self.network);
        network::release(&self.net.subnet);
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Hands for Containers {
    fn start(&mut self, node: NodeId) -> io::Result<u32> {
        if self.wiped.remove(&node) && self.recover(node).map_err(io::Error::other)? {
            return self.pid(node).ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        self.start_node(node).map_err(io::Error::other)
    }

    fn kill(&mut self, node: NodeId) -> bool {
        // A busy engine may take seconds to pass a signal on.
        match self.nodes.get(&node).and_then(|one| one.process.as_ref()) {
            Some(process) => pidfd_send_signal(process, Signal::KILL).is_ok(),
            None => self.signal(node, "KILL"),
        }
    }

    fn silence(&mut self, node: NodeId) -> bool {
        self.pid(node).is_some_and(|pid| filter::silence(pid).is_ok())
    }

    fn wipe(&mut self, node: NodeId) -> bool {
        let Some(one) = self.nodes.get(&node).filter(|one| one.pid.is_none()) else { return false };
        let is_empty = self.docker.volume_path(&one.volume).is_ok_and(|path| empty(&path).is_ok());
        if is_empty {
            self.wiped.insert(node);
        }
        is_empty
    }

    fn stop(&mut self, node: NodeId) -> bool {
        self.signal(node, "TERM")
    }

    fn pause(&mut self, node: NodeId) -> bool {
        self.container(node).is_some_and(|container| self.docker.pause(container).is_ok())
    }

    fn resume(&mut self, node: NodeId) -> bool {
        self.container(node).is_some_and(|container| self.docker.unpause(container).is_ok())
    }

    fn is_paused(&self, node: NodeId) -> bool {
        let state = self.container(node).and_then(|container| self.docker.inspect(container).ok()?.state);
        state.is_some_and(|state| state.paused == Some(true))
    }

    fn exited(&mut self, node: NodeId, at_most: Duration) -> Option<Exit> {
        let until = Instant::now() + at_most;
        let one = self.nodes.get_mut(&node)?;
        one.pid?;
        loop {
            let state = self.docker.inspect(&one.container).ok().and_then(|known| known.state);
            if let Some(state) = state.filter(|state| state.running == Some(false)) {
                one.pid = None;
                one.process = None;
                self.links.node_ended(node);
                return Some(exit(state.exit_code.unwrap_or(0)));
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self, node: NodeId) -> Option<u32> {
        self.nodes.get(&node)?.pid
    }

    fn accepts(&self, node: NodeId) -> bool {
        self.door(node)
            .is_some_and(|door| TcpStream::connect_timeout(&door, Duration::from_millis(200)).is_ok())
    }

    fn log_tail(&self, node: NodeId) -> String {
        self.container(node).map(|container| tail(&self.docker, container)).unwrap_or_default()
    }
}

/// Bytes on disk of the files in a directory; of what a file was made large for, only what was written.
fn held_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// Removes what is in a directory.
fn empty(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The engine tells a signal as 128 and its number.
fn exit(code: i64) -> Exit {
    let raw = if code > 128 { code - 128 } else { code << 8 };
    Exit { status: ExitStatus::from_raw(raw as i32) }
}
