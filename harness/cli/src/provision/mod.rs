//! Clusters: started for a cell, or somebody else's.
//!
//! In:  a plan's topology. Out: a [`Cluster`] that can be reached, and whose nodes can be killed, paused and cut off.
//! Owns: broker processes and their directories. Never: leaves a process behind.

mod broker_spec;
mod cluster;
mod embedded;
mod external;
mod loopback;
mod node_process;
mod spawner;

pub use broker_spec::BrokerSpec;
pub use cluster::{Cluster, Hands, ProvisionError};
pub use embedded::Embedded;
pub use external::External;
pub use spawner::{die_with_parent, spawn};
