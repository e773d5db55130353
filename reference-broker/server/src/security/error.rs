//! Why settings do not protect.

use std::path::PathBuf;

/// Why a node does not start with these settings; the process ends with status 3.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecurityError {
    /// They contradict each other, or leave a door open beside a guarded one.
    #[error("{0}")]
    Conflict(String),
    /// A file cannot be used.
    #[error("key `{key}`: cannot use `{}`: {reason}", path.display())]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never what is in it.
        reason: String,
    },
}
