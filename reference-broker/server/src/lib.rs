//! The reference broker as a server.
//!
//! In:  a [`NodeOptions`]: the settings of one node, its data directory and the addresses it listens on.
//! Out: one node that any Kafka client can talk to, until it is told to stop; the reason why it ended.
//! Owns: sockets and their encryption, files, the clock, signals and logs of that node.
//! Never: decides anything about records, replicas or groups; that is `broker-core`, which one thread drives.

mod clock;
mod core_loop;
mod disk;
mod error;
mod flush;
mod logging;
mod net;
mod options;
mod pair;
mod security;
mod server;
pub mod settings;

/// The core, so that whoever starts a node needs to name one crate only.
pub use broker_core;
pub use error::{ExitReason, ServerError};
pub use logging::init_logging;
pub use net::raise_file_limit;
pub use options::NodeOptions;
pub use pair::run_pair;
pub use security::{SecurityError, SecurityOptions, SecurityProtocol};
pub use server::{Server, StopHandle, run};
