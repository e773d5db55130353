//! What a cell needs of a cluster.

use std::io;
use std::time::Duration;

use mqproof_core::ids::NodeId;

use super::node_process::Exit;
use crate::faults::proxy::ProxyNet;

/// Why a cluster cannot be had. All of these are the environment's (exit status 4) but `Ours`.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// A file or process of ours could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// No loopback address with free ports.
    #[error(
        "no loopback address with free ports was found\nhint: is a service bound to port 9001 on all addresses?"
    )]
    NoAddress,
    /// A node ended or did not become ready.
    #[error("{what}\n{log}")]
    NotReady {
        /// Which node, and how long it was given.
        what: String,
        /// The last lines of its log.
        log: String,
    },
    /// Nobody answers at the address.
    #[error(
        "`{address}` cannot be reached: {why}\nhint: is the cluster up, and does it advertise an address that is valid here?"
    )]
    Unreachable {
        /// As given with `--on`.
        address: String,
        /// What the client library said.
        why: String,
    },
}

/// A cluster of brokers.
pub trait Cluster {
    /// Where clients start: `host:port,…`.
    fn bootstrap(&self) -> String;
    /// `embedded` or `external`.
    fn profile(&self) -> &'static str;
    /// The brokers' ids.
    fn brokers(&self) -> Vec<NodeId>;
    /// The controllers' ids, if they are processes of their own.
    fn controllers(&self) -> Vec<NodeId>;
    /// The links that go through a proxy.
    fn proxies(&self) -> Option<&ProxyNet>;
    /// The means to stop and start nodes; None for a cluster that is not ours.
    fn hands(&mut self) -> Option<&mut dyn Hands>;
    /// Ends every process that was started for it.
    fn shut_down(&mut self);
}

/// Hands on the nodes of a cluster.
pub trait Hands {
    /// Starts a node that does not run; returns its process id.
    fn start(&mut self, node: NodeId) -> io::Result<u32>;
    /// SIGKILL.
    fn kill(&mut self, node: NodeId) -> bool;
    /// SIGTERM.
    fn stop(&mut self, node: NodeId) -> bool;
    /// SIGSTOP.
    fn pause(&mut self, node: NodeId) -> bool;
    /// SIGCONT.
    fn resume(&mut self, node: NodeId) -> bool;
    /// Whether the kernel says that it is stopped by SIGSTOP.
    fn is_paused(&self, node: NodeId) -> bool;
    /// Whether it has ended, and how; waits at most so long.
    fn exited(&mut self, node: NodeId, at_most: Duration) -> Option<Exit>;
    /// The process id, if it runs.
    fn pid(&self, node: NodeId) -> Option<u32>;
    /// Whether its clients' door (a controller's internal door) accepts connections.
    fn accepts(&self, node: NodeId) -> bool;
    /// The last lines of its log.
    fn log_tail(&self, node: NodeId) -> String;
}
