//! A machine: its disk, and the process that runs on it, if one does.

use std::collections::BTreeMap;

use broker_core::{ConnId, Node, NodeConfig, NodeId, SyncToken};

use super::{Due, Ours};
use crate::dice::Dice;
use crate::disk::{Flush, SimDisk};
use crate::plan::{MS, WALL_START_MS};

pub(crate) struct Server {
    pub(super) config: NodeConfig,
    pub(crate) disk: SimDisk,
    /// The flushes on their way.
    pub(super) flushes: BTreeMap<SyncToken, Flush>,
    /// How long a flush may take, while the disk is slow.
    pub(crate) slow_flush_max: Option<u64>,
    /// Something was wrong with the disk since the process began, so that the process may give up.
    pub(crate) struck: bool,
    /// The process that runs was ready at some time.
    pub(super) served: bool,
    pub(super) node: Option<Node>,
    pub(crate) incarnation: u32,
    pub(super) booted_ns: u64,
    pub(super) wall_skew_ms: i64,
    pub(super) conns: BTreeMap<ConnId, Ours>,
    pub(super) accepted: u64,
    /// The earliest tick in the queue.
    pub(super) tick_ns: u64,
    pub(crate) stopping: bool,
    pub(crate) starting: bool,
    /// What has come due since its process was stopped by SIGSTOP; None while that runs.
    pub(super) held: Option<Vec<Due>>,
}

impl Server {
    pub(super) fn new(config: NodeConfig, skew_max_ms: u64, dice: &mut Dice) -> Self {
        Self {
            config,
            disk: SimDisk::new(),
            flushes: BTreeMap::new(),
            slow_flush_max: None,
            struck: false,
            served: false,
            node: None,
            incarnation: 0,
            booted_ns: 0,
            wall_skew_ms: dice.between(0, skew_max_ms) as i64,
            conns: BTreeMap::new(),
            accepted: 0,
            tick_ns: u64::MAX,
            stopping: false,
            starting: false,
            held: None,
        }
    }

    /// The node's own clocks: monotonic since its boot, wall with its skew.
    pub(super) fn now(&self, now_ns: u64) -> broker_core::node::Now {
        broker_core::node::Now {
            mono_ns: now_ns - self.booted_ns,
            wall_ms: WALL_START_MS + self.wall_skew_ms + (now_ns / MS) as i64,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.node.is_some()
    }

    /// Whether its process stands still.
    pub(crate) fn is_paused(&self) -> bool {
        self.held.is_some()
    }

    /// Its process, if it runs.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.node.as_ref().is_some_and(Node::is_ready)
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.node_id
    }
}
