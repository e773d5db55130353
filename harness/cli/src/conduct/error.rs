//! Why a cell could not be run to its end.

use crate::provision::ProvisionError;

/// Why a cell could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// The cluster could not be had.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The cluster's settings are not what the durability class needs.
    #[error("{0}")]
    Settings(String),
    /// The disk of the run directory is full or refuses.
    #[error("{0}")]
    Disk(String),
    /// Trouble of ours.
    #[error("{0}")]
    Harness(String),
}

impl CellError {
    /// Whether the environment is to blame (exit status 4) rather than us (5).
    pub fn is_environment(&self) -> bool {
        !matches!(self, Self::Harness(_))
    }
}
