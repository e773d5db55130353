//! What a cell needs of a cluster.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use mqproof_core::ids::NodeId;

use super::node_process::Exit;
use crate::faults::Links;
use crate::images::{ImageError, NoEngine};

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
    /// No container engine.
    #[error(transparent)]
    NoEngine(#[from] NoEngine),
    /// The container engine refused.
    #[error("the container engine: {what}: {why}")]
    Engine {
        /// What it was asked.
        what: String,
        /// What it answered.
        why: String,
    },
    /// A program of the system is missing.
    #[error("`{name}` is not installed\nhint: Debian's package is `{package}`")]
    NoTool {
        /// The program.
        name: String,
        /// The package that brings it.
        package: String,
    },
    /// There is no image to start nodes from.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The client library does not take its settings.
    #[error("no client can be made for `{address}`: {why}")]
    NoClient {
        /// As given with `--on`.
        address: String,
        /// What the client library said.
        why: String,
    },
    /// Wrong credentials, an unknown authority, or a handshake that failed.
    #[error(
        "`{address}` refused the connection: {why}\nhint: `--client KEY=VALUE` says how to connect: protocol, credentials, authority"
    )]
    Refused {
        /// As given with `--on`.
        address: String,
        /// What the client library said.
        why: String,
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
    /// `embedded`, `containers` or `external`.
    fn profile(&self) -> &'static str;
    /// The image of its nodes.
    fn image(&self) -> Option<String> {
        None
    }
    /// The product's version, as its image says.
    fn version(&self) -> Option<String> {
        None
    }
    /// Settings that its clients need, on top of those of the plan.
    fn client_settings(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    /// How long it is given to be ready.
    fn ready_within(&self) -> Duration {
        Duration::from_secs(10)
    }
    /// The brokers' ids.
    fn brokers(&self) -> Vec<NodeId>;
    /// The controllers' ids, if they are processes of their own.
    fn controllers(&self) -> Vec<NodeId>;
    /// The means to disturb its links; None for a cluster that is not ours.
    fn links(&self) -> Option<&dyn Links>;
    /// The means to stop and start nodes; None for a cluster that is not ours.
    fn hands(&mut self) -> Option<&mut dyn Hands>;
    /// Ends every process that was started for it.
    fn shut_down(&mut self);
}

/// Hands on the nodes of a cluster.
pub trait Hands {
    /// Starts a node that does not run; returns its process id. Where a product cannot refill a node that lost its disk by
    /// itself, this is what an operator would do.
    fn start(&mut self, node: NodeId) -> io::Result<u32>;
    /// SIGKILL.
    fn kill(&mut self, node: NodeId) -> bool;
    /// Drops all that it sends and is sent, so that its death is not told by its kernel. False: not possible here.
    fn silence(&mut self, node: NodeId) -> bool;
    /// Removes everything that a node which has ended had stored. False: not possible here.
    fn wipe(&mut self, node: NodeId) -> bool;
    /// Takes from a node that has ended what it had not flushed, as a loss of power does; whether there was something. None:
    /// not possible here, where an operating system keeps the pages.
    fn forget(&mut self, _: NodeId) -> Option<bool> {
        None
    }
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
