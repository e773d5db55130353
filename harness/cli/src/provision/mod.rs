//! Clusters: started for a cell, or somebody else's.
//!
//! In:  a plan's topology. Out: a [`Cluster`] that can be reached, and whose nodes can be killed, paused and cut off.
//! Owns: broker processes and their directories. Never: leaves a process behind.

mod broker_spec;
mod cluster;
mod containers;
mod embedded;
mod external;
mod loopback;
mod node_process;
mod simulated;
mod spawner;

pub use broker_spec::{BrokerSpec, Failover};
pub use cluster::{Cluster, Hands, ProvisionError};
pub use containers::{ClusterPool, ContainerOrder, product, remains, remove};
pub use embedded::Embedded;
pub use external::External;
pub use simulated::SimCluster;
pub use spawner::{die_with_parent, spawn};
