//! Requests forwarded for other rooms of the broker.

use std::collections::BTreeMap;

use super::effect::CallId;
use crate::controller::api::ControllerRequest;

#[derive(Debug)]
struct Call {
    request: ControllerRequest,
    deadline_ns: u64,
    sent: bool,
}

/// Requests that were not answered yet, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: BTreeMap<CallId, Call>,
    last: u64,
}

impl Calls {
    pub(super) fn add(&mut self, request: ControllerRequest, deadline_ns: u64) -> CallId {
        self.last += 1;
        let id = CallId(self.last);
        self.calls.insert(id, Call { request, deadline_ns, sent: false });
        id
    }

    /// The next request to send; it counts as sent.
    pub(super) fn next_unsent(&mut self) -> Option<(CallId, ControllerRequest)> {
        let (id, call) = self.calls.iter_mut().find(|(_, call)| !call.sent)?;
        call.sent = true;
        Some((*id, call.request.clone()))
    }

    /// An answer has come; false if nobody waits for it any more.
    pub(super) fn end(&mut self, id: CallId) -> bool {
        self.calls.remove(&id).is_some()
    }

    /// The connection is gone: what was sent over it is to be sent again.
    pub(super) fn resend(&mut self) {
        self.calls.values_mut().for_each(|call| call.sent = false);
    }

    /// Ends the requests that have waited too long.
    pub(super) fn expire(&mut self, now_ns: u64) -> Vec<CallId> {
        let late = |call: &Call| now_ns >= call.deadline_ns;
        let ids = self.calls.iter().filter(|(_, call)| late(call)).map(|(id, _)| *id).collect();
        self.calls.retain(|_, call| !late(call));
        ids
    }

    pub(super) fn next_deadline_ns(&self) -> u64 {
        self.calls.values().map(|call| call.deadline_ns).min().unwrap_or(u64::MAX)
    }
}
