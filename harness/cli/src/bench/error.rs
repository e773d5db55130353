//! Why a benchmark does not go on.

use mqproof_drivers::admin::AdminError;
use mqproof_drivers::kafka::light::LightError;
use mqproof_drivers::role::DriverError;

use crate::failure::Failure;
use crate::provision::ProvisionError;

/// Why a block, or all of them, cannot be measured. All of these are the environment's.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A cluster cannot be had.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// A question or an order to a cluster.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The light client.
    #[error(transparent)]
    Light(#[from] LightError),
    /// The driver's client.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The driver's client could not send.
    #[error("{count} messages were not stored, the first with error class {class}")]
    NotStored {
        /// How many.
        count: u64,
        /// What the client library said of the first.
        class: u16,
    },
    /// The topic is not ready.
    #[error("topic `{topic}` is not ready: {why}")]
    NotReady {
        /// Which.
        topic: String,
        /// What is missing.
        why: String,
    },
    /// What was acknowledged is not there.
    #[error("{acknowledged} records were acknowledged, and the log of `{topic}` has {stored}")]
    Lost {
        /// The topic.
        topic: String,
        /// Records that were acknowledged.
        acknowledged: u64,
        /// Records that all its partitions have.
        stored: u64,
    },
    /// Nothing came through in the whole block.
    #[error("nothing came through in the whole block")]
    Nothing,
    /// A file or thread of ours.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        Self::environment(error.to_string())
    }
}
