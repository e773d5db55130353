//! The core of the reference broker, without sockets, files, clocks or threads.
//!
//! In:  [`Event`]s (frames from connections, completions of flushes, timers) and the time.
//! Out: [`Effect`]s (frames to send, connections to open, flushes to start) and writes to a [`Disk`].
//! Owns: the whole state of one node, broker or controller.
//! Never: reads a clock, draws a random number it was not given, blocks, or starts a thread.
//!
//! Two shells drive it: the tokio server in `reference-broker` and the simulator in `broker-sim`.

pub mod auth;
pub mod controller;
pub mod coordinator;
pub mod defects;
pub mod disk;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod ids;
pub mod log;
pub mod node;
pub mod quorum;
pub mod record;
pub mod replication;
pub mod transaction;
pub mod wire;

pub use defects::{Defect, Defects};
pub use disk::{Disk, DiskError, FileId};
pub use ids::{
    BrokerEpoch, ConnId, LeaderEpoch, NodeId, Offset, PartitionId, ProducerEpoch, ProducerId, Sequence,
};
pub use node::{
    BootError, Effect, Endpoint, Event, FlushPolicy, ListenerKind, Node, NodeConfig, Now, Peer,
    ReplicaSelector, Role, SyncToken,
};
