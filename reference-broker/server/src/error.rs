//! How a node fails to run, and how it ends.

use std::io;
use std::path::PathBuf;

use broker_core::BootError;

use crate::security::SecurityError;

/// Why a node could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The settings would not protect, or name files that cannot be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on `{address}`: {source}\nhint: is another broker running there? choose another port with `--listen`"
    )]
    Bind {
        /// The address, as configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be made or written.
    #[error("cannot use the data directory `{path}`: {source}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another node has the data directory.
    #[error(
        "the data directory `{path}` belongs to a running node\nhint: each node needs a directory of its own"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The stored data cannot be used.
    #[error("cannot start from the data directory `{path}`: {source}")]
    Boot {
        /// The directory.
        path: PathBuf,
        /// What the core said.
        source: BootError,
    },
    /// Threads or the event loop of the sockets could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The core panicked: a bug of ours.
    #[error("the core of the node panicked: {0}")]
    Panicked(String),
}

impl ServerError {
    /// The exit status of a process that ends for this reason: 3 is the settings, 4 the environment, 5 us.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Security(_) => 3,
            Self::Bind { .. } | Self::DataDir { .. } | Self::Locked { .. } | Self::Boot { .. } => 4,
            Self::Thread(_) | Self::Panicked(_) => 5,
        }
    }
}

/// Why a node that ran has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExitReason {
    /// It was asked to stop, and did so in an orderly way.
    Clean,
    /// It gave up, for the reason that the core named.
    Failed(String),
    /// It was asked to stop, and the orderly way took too long or was cut short.
    Forced,
}

impl ExitReason {
    /// The exit status of a process whose node ended so: 0 after a clean stop, else 5.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed(_) | Self::Forced => 5,
        }
    }
}
