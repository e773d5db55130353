//! Which brokers were heard lately.
//!
//! Sessions are not recorded: after a restart of the controller all brokers get one session time-out to be heard.

use std::collections::{BTreeMap, BTreeSet};

use super::image::{BrokerState, MetadataImage};
use crate::ids::{NodeId, Offset};
use crate::node::Now;

/// The part of the session time-out by which a look at the clock has to be late to mean something.
const LATE: u64 = 32;
/// The part of the session time-out that brokers get when it was.
const GRACE: u64 = 4;

/// What was last heard of a broker.
#[derive(Clone, Copy, Debug)]
struct Session {
    deadline_ns: u64,
    /// Whether this controller has heard of it, since it decides.
    heard: bool,
    /// The last metadata record that the broker has applied, inclusive.
    metadata_offset: Offset,
    /// Set while it stops: others must know of this record (inclusive) before it may.
    shutdown_offset: Option<Offset>,
}

/// Which brokers were heard lately.
#[derive(Debug)]
pub(super) struct Sessions {
    timeout_ns: u64,
    sessions: BTreeMap<NodeId, Session>,
}

impl Sessions {
    /// A session for each broker that is not fenced.
    pub(super) fn new(timeout_ms: u64, now: Now, image: &MetadataImage) -> Self {
        let mut sessions = Self { timeout_ns: timeout_ms * 1_000_000, sessions: BTreeMap::new() };
        for (&id, broker) in image.brokers() {
            match broker.state {
                BrokerState::Fenced => {}
                BrokerState::Active => {
                    sessions.open(now, id);
                }
                BrokerState::ShuttingDown => {
                    sessions.open(now, id).shutdown_offset = Some(Offset(image.next_offset().0 - 1));
                }
            }
        }
        sessions
    }

    fn open(&mut self, now: Now, broker: NodeId) -> &mut Session {
        let deadline_ns = now.mono_ns + self.timeout_ns;
        let fresh = Session { deadline_ns, heard: false, metadata_offset: Offset(-1), shutdown_offset: None };
        self.sessions.entry(broker).or_insert(fresh)
    }

    /// The broker was heard, and has applied the metadata log up to this record (inclusive).
    pub(super) fn touch(&mut self, now: Now, broker: NodeId, metadata_offset: Offset) {
        let deadline_ns = now.mono_ns + self.timeout_ns;
        let session = self.open(now, broker);
        *session = Session { deadline_ns, heard: true, metadata_offset, ..*session };
    }

    /// The broker is known to be gone.
    pub(super) fn end(&mut self, broker: NodeId) {
        self.sessions.remove(&broker);
    }

    /// Whether the broker was heard within the session time-out, by this controller itself: where all nodes start again
    /// together, nobody has to wait for the end of his former session.
    pub(super) fn is_live(&self, broker: NodeId, now: Now) -> bool {
        self.sessions.get(&broker).is_some_and(|session| session.heard && now.mono_ns < session.deadline_ns)
    }

    /// The broker may stop once all others know of the record at `offset`.
    pub(super) fn begin_shutdown(&mut self, broker: NodeId, offset: Offset) {
        if let Some(session) = self.sessions.get_mut(&broker) {
            session.shutdown_offset = Some(offset);
        }
    }

    /// Whether all of the `others` know that the broker leads nothing any more.
    pub(super) fn may_stop(&self, broker: NodeId, mut others: impl Iterator<Item = NodeId>) -> bool {
        let Some(offset) = self.sessions.get(&broker).and_then(|session| session.shutdown_offset) else {
            return false;
        };
        others.all(|other| self.sessions.get(&other).is_some_and(|session| session.metadata_offset >= offset))
    }

    /// Ends the sessions that are over, and returns whose they were.
    ///
    /// To be called when the next session is over. A call that comes late says that the controller itself was away:
    /// what its brokers sent meanwhile may lie unread, so that they get a little longer.
    pub(super) fn expire(&mut self, now: Now) -> BTreeSet<NodeId> {
        let late_ns = self.next_expiry_ns().map_or(0, |due| now.mono_ns.saturating_sub(due));
        if late_ns > self.timeout_ns / LATE {
            let until_ns = now.mono_ns + self.timeout_ns / GRACE;
            for session in self.sessions.values_mut() {
                session.deadline_ns = session.deadline_ns.max(until_ns);
            }
        }
        let over = |session: &Session| now.mono_ns >= session.deadline_ns;
        let expired = self.sessions.iter().filter(|(_, session)| over(session)).map(|(id, _)| *id).collect();
        self.sessions.retain(|_, session| !over(session));
        expired
    }

    /// When the next session is over.
    pub(super) fn next_expiry_ns(&self) -> Option<u64> {
        self.sessions.values().map(|session| session.deadline_ns).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT_MS: u64 = 300;

    fn at(ms: u64) -> Now {
        Now { mono_ns: ms * 1_000_000, wall_ms: 0 }
    }

    fn one_session() -> Sessions {
        let mut sessions = Sessions { timeout_ns: TIMEOUT_MS * 1_000_000, sessions: BTreeMap::new() };
        sessions.touch(at(0), NodeId(1), Offset(0));
        sessions
    }

    #[test]
    fn a_session_ends_with_its_time_out() {
        let mut sessions = one_session();
        assert_eq!(sessions.expire(at(TIMEOUT_MS - 1)), BTreeSet::new());
        assert_eq!(sessions.expire(at(TIMEOUT_MS)), BTreeSet::from([NodeId(1)]));
    }

    #[test]
    fn a_controller_that_was_away_lets_its_brokers_be_heard_first() {
        let mut sessions = one_session();
        assert_eq!(sessions.expire(at(500)), BTreeSet::new());
        let until_ms = sessions.next_expiry_ns().unwrap() / 1_000_000;
        assert_eq!(until_ms, 500 + TIMEOUT_MS / GRACE);
        sessions.touch(at(501), NodeId(1), Offset(0));
        assert_eq!(sessions.expire(at(until_ms)), BTreeSet::new());

        let mut silent = one_session();
        silent.expire(at(500));
        assert_eq!(silent.expire(at(until_ms)), BTreeSet::from([NodeId(1)]));
    }
}
