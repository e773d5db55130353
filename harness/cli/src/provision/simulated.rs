//! A cluster in the simulator, for the fault engine: the same hands as on processes, in virtual time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use broker_sim::scenario::Simulation;
use mqproof_core::ids::NodeId;
use mqproof_core::plan::Topology;

use super::cluster::{Cluster, Hands};
use super::node_process::Exit;
use crate::faults::Links;
use crate::faults::proxy::{LinkEnd, LinkMode, LinkStats};

const SIGKILL: i32 = 9;

/// The nodes of a simulation.
pub struct SimCluster {
    simulation: Rc<RefCell<Simulation>>,
    brokers: Vec<NodeId>,
    controllers: Vec<NodeId>,
    /// How processes that were told to end do so, until somebody asks.
    ends: BTreeMap<NodeId, Exit>,
}

impl SimCluster {
    /// The nodes of a simulation, which somebody else lets go on.
    pub fn new(simulation: Rc<RefCell<Simulation>>, topology: &Topology) -> Self {
        let (brokers, all) = (topology.brokers, topology.brokers + topology.controllers);
        Self {
            simulation,
            brokers: (1..=brokers).map(NodeId).collect(),
            controllers: (brokers + 1..=all).map(NodeId).collect(),
            ends: BTreeMap::new(),
        }
    }

    fn ends_with(&mut self, node: NodeId, status: ExitStatus, done: bool) -> bool {
        if done {
            self.ends.insert(node, Exit { status });
        }
        done
    }
}

impl Cluster for SimCluster {
    fn bootstrap(&self) -> String {
        "simulated".into()
    }

    fn profile(&self) -> &'static str {
        "simulated"
    }

    fn brokers(&self) -> Vec<NodeId> {
        self.brokers.clone()
    }

    fn controllers(&self) -> Vec<NodeId> {
        self.controllers.clone()
    }

    fn links(&self) -> Option<&dyn Links> {
        Some(self)
    }

    fn hands(&mut self) -> Option<&mut dyn Hands> {
        Some(self)
    }

    fn shut_down(&mut self) {}
}

impl Hands for SimCluster {
    fn start(&mut self, node: NodeId) -> io::Result<u32> {
        self.ends.remove(&node);
        let started = self.simulation.borrow_mut().start(node);
        started.then_some(pid(node)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn kill(&mut self, node: NodeId) -> bool {
        let done = self.simulation.borrow_mut().kill(node);
        self.ends_with(node, ExitStatus::from_raw(SIGKILL), done)
    }

    fn silence(&mut self, node: NodeId) -> bool {
        self.simulation.borrow_mut().silence(node)
    }

    fn wipe(&mut self, node: NodeId) -> bool {
        self.simulation.borrow_mut().wipe(node)
    }

    fn forget(&mut self, node: NodeId) -> Option<bool> {
        self.simulation.borrow_mut().forget(node)
    }

    fn stop(&mut self, node: NodeId) -> bool {
        let done = self.simulation.borrow_mut().stop(node);
        self.ends_with(node, ExitStatus::from_raw(0), done)
    }

    fn pause(&mut self, node: NodeId) -> bool {
        self.simulation.borrow_mut().pause(node)
    }

    fn resume(&mut self, node: NodeId) -> bool {
        self.simulation.borrow_mut().resume(node)
    }

    fn is_paused(&self, node: NodeId) -> bool {
        self.simulation.borrow().is_paused(node)
    }

    /// Never waits: time does not go on meanwhile.
    fn exited(&mut self, node: NodeId, _at_most: Duration) -> Option<Exit> {
        if self.simulation.borrow().is_up(node) { None } else { self.ends.remove(&node) }
    }

    fn pid(&self, node: NodeId) -> Option<u32> {
        self.simulation.borrow().is_up(node).then_some(pid(node))
    }

    fn accepts(&self, node: NodeId) -> bool {
        self.simulation.borrow().is_ready(node)
    }

    fn log_tail(&self, _node: NodeId) -> String {
        String::new()
    }
}

/// Stands for the process of a node.
fn pid(node: NodeId) -> u32 {
    1000 + node.0
}

impl Links for SimCluster {
    fn set_mode(&self, from: LinkEnd, to: NodeId, mode: LinkMode) -> bool {
        let mode = match mode {
            LinkMode::Pass => broker_sim::LinkMode::Pass,
            LinkMode::Cut => broker_sim::LinkMode::Cut,
            LinkMode::Stall => broker_sim::LinkMode::Stall,
            LinkMode::Slow { latency, bytes_per_s } => {
                broker_sim::LinkMode::Slow { latency_ns: latency.as_nanos() as u64, bytes_per_s }
            }
        };
        self.simulation.borrow_mut().set_link(dialer(from), to, mode)
    }

    fn stats(&self, from: LinkEnd, to: NodeId) -> Option<LinkStats> {
        let stats = self.simulation.borrow().link_stats(dialer(from), to)?;
        Some(LinkStats {
            reset: stats.reset,
            held_bytes: stats.held_bytes,
            delayed_bytes: stats.delayed_bytes,
            ..LinkStats::default()
        })
    }

    fn means(&self) -> String {
        "simulated".into()
    }
}

fn dialer(end: LinkEnd) -> Option<NodeId> {
    match end {
        LinkEnd::Clients => None,
        LinkEnd::Node(node) => Some(node),
    }
}
