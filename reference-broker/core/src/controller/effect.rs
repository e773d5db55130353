//! What a controller wants done.

use super::api::ControllerResponse;
use crate::quorum::QuorumEffect;

/// Ties a request to its answer; given by the caller of [`Controller::handle`](super::Controller::handle).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyId(pub u64);

/// What a controller wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum ControllerEffect {
    /// Answer a request. Answers may come in another order than their requests; a parked Fetch answers last.
    Reply {
        /// The request.
        reply: ReplyId,
        /// The answer.
        response: Box<ControllerResponse>,
    },
    /// A request that cannot be answered, since nobody here knows what will become of it: close its connection.
    Abandon {
        /// The request.
        reply: ReplyId,
    },
    /// Something for another voter.
    Voter(QuorumEffect),
    /// The metadata log cannot be trusted any more; end the process. Nothing is answered from now on.
    Failed {
        /// For the log.
        reason: String,
    },
}

impl ControllerEffect {
    pub(super) fn reply(reply: ReplyId, response: impl Into<ControllerResponse>) -> Self {
        Self::Reply { reply, response: Box::new(response.into()) }
    }
}
