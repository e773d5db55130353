//! The cluster that the next cell may go on with.

use super::cluster::{ContainerOrder, Containers};
use crate::provision::ProvisionError;

/// At most one cluster that waits for its next cell. A cell that asks for other nodes or settings gets a new one.
#[derive(Default)]
pub struct ClusterPool {
    idle: Option<Containers>,
}

impl ClusterPool {
    /// How many cells ran on the cluster that such a cell will get.
    pub fn cells_before(&self, order: &ContainerOrder<'_>) -> u32 {
        self.fitting(order).map_or(0, Containers::cells)
    }

    fn fitting(&self, order: &ContainerOrder<'_>) -> Option<&Containers> {
        self.idle.as_ref().filter(|cluster| *cluster.fingerprint() == order.fingerprint())
    }

    /// A cluster for a cell.
    pub fn take(&mut self, order: &ContainerOrder<'_>) -> Result<Containers, ProvisionError> {
        let fits = self.fitting(order).is_some();
        match self.idle.take() {
            Some(mut cluster) if fits => {
                cluster.go_on_with(order)?;
                Ok(cluster)
            }
            // Two clusters at a time would be more than most machines can carry.
            other => {
                drop(other);
                Containers::start(order)
            }
        }
    }

    /// Takes back a cluster whose cell is over and which is whole.
    pub fn give_back(&mut self, cluster: Containers) {
        self.idle = Some(cluster);
    }

    /// Removes it.
    pub fn clear(&mut self) {
        self.idle = None;
    }
}
