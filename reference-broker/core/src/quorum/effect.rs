//! What a voter wants done.

use kafka_protocol::messages::{ApiKey, RequestKind};

use crate::ids::NodeId;
use crate::node::Peer;

/// What a voter wants done, in order. There is at most one connection to each other voter.
#[derive(Clone, PartialEq, Debug)]
pub enum QuorumEffect {
    /// Connect to a voter; answer with `connected` or `closed`.
    Dial {
        /// Who, and where.
        voter: Peer,
    },
    /// Close the connection to a voter, or stop dialling it; do not answer with `closed`.
    Close {
        /// Who.
        voter: NodeId,
    },
    /// Send a request.
    Send {
        /// To whom.
        voter: NodeId,
        /// Which API.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// What.
        request: Box<RequestKind>,
    },
}
