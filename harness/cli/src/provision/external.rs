//! A cluster that is already there. Nothing is done to its nodes or its links.

use mqproof_core::ids::NodeId;

use super::cluster::{Cluster, Hands};
use crate::faults::Links;

/// Somebody else's cluster.
pub struct External {
    address: String,
    brokers: Vec<NodeId>,
}

impl External {
    /// The cluster at this address, with the brokers that it named.
    pub fn new(address: String, brokers: Vec<NodeId>) -> Self {
        Self { address, brokers }
    }
}

impl Cluster for External {
    fn bootstrap(&self) -> String {
        self.address.clone()
    }

    fn profile(&self) -> &'static str {
        "external"
    }

    fn brokers(&self) -> Vec<NodeId> {
        self.brokers.clone()
    }

    fn controllers(&self) -> Vec<NodeId> {
        Vec::new()
    }

    fn links(&self) -> Option<&dyn Links> {
        None
    }

    fn hands(&mut self) -> Option<&mut dyn Hands> {
        None
    }

    fn shut_down(&mut self) {}
}
