//! Why a light client stopped.

use std::io;

use super::wire::Api;

/// Why a light client stopped. After any of these its connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LightError {
    /// The connection.
    #[error("`{address}`: {source}")]
    Io {
        /// The broker.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The broker hung up.
    #[error("`{0}` closed the connection")]
    Closed(String),
    /// Nothing came for too long.
    #[error("`{0}` did not answer in time")]
    Silent(String),
    /// An answer that cannot be read, or that belongs to another request.
    #[error("`{address}` sent something that is no answer: {why}")]
    Malformed {
        /// The broker.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The broker has no such version.
    #[error("`{address}` does not offer {api} in version {}", .api.version())]
    NotOffered {
        /// The broker.
        address: String,
        /// What was to be asked.
        api: Api,
    },
    /// An error code of the protocol.
    #[error("`{address}` refused {api} of partition {partition}: error code {code}")]
    Refused {
        /// The broker.
        address: String,
        /// What was asked.
        api: Api,
        /// For which partition.
        partition: i32,
        /// Kafka's error code.
        code: i16,
    },
}
