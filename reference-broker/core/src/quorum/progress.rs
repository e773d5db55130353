//! How far a reader of the metadata log is, as its leader sees it: for people to look at (KIP-595, DescribeQuorum).

use crate::ids::{NodeId, Offset};
use crate::node::Now;

/// A reader that was not heard for so long is forgotten, if it is no voter.
pub(super) const OBSERVER_MS: i64 = 300_000;

/// A reader, by its fetches. Times are in milliseconds since 1970; −1 is "never".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    /// Where it stands.
    end: Option<Offset>,
    pub(super) fetched_ms: i64,
    caught_up_ms: i64,
    /// Where the leader's log ended when it fetched last.
    leader_end: Offset,
}

impl Reading {
    /// Nothing was heard of it.
    pub(super) const NONE: Self =
        Self { end: None, fetched_ms: -1, caught_up_ms: -1, leader_end: Offset(i64::MAX) };

    /// It has asked for what comes after `from`.
    pub(super) fn fetched(&mut self, now: Now, from: Offset, leader_end: Offset) {
        if from >= leader_end {
            self.caught_up_ms = now.wall_ms;
        } else if from >= self.leader_end {
            // It had all that there was when it asked last.
            self.caught_up_ms = self.fetched_ms;
        }
        (self.end, self.fetched_ms, self.leader_end) = (Some(from), now.wall_ms, leader_end);
    }

    /// As it is told to people.
    pub(super) fn of(self, node: NodeId) -> ReaderView {
        let end = self.end.unwrap_or(Offset(-1));
        ReaderView { node, end, fetched_ms: self.fetched_ms, caught_up_ms: self.caught_up_ms }
    }
}

/// A reader of the metadata log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReaderView {
    /// The voter or broker.
    pub node: NodeId,
    /// Where its log ends, exclusive; −1 if that is not known.
    pub end: Offset,
    /// When it fetched last, by the leader's wall clock, in milliseconds; −1 is never.
    pub fetched_ms: i64,
    /// When it last had all that there was; −1 is never.
    pub caught_up_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Now {
        Now { mono_ns: 0, wall_ms: ms }
    }

    #[test]
    fn a_reader_has_caught_up_when_it_has_what_there_was_at_its_last_fetch() {
        let mut reading = Reading::NONE;
        reading.fetched(at(10), Offset(3), Offset(8));
        assert_eq!(reading.of(NodeId(1)).caught_up_ms, -1);
        reading.fetched(at(20), Offset(8), Offset(9));
        assert_eq!(reading.of(NodeId(1)).caught_up_ms, 10);
        reading.fetched(at(30), Offset(9), Offset(9));
        let expected = ReaderView { node: NodeId(1), end: Offset(9), fetched_ms: 30, caught_up_ms: 30 };
        assert_eq!(reading.of(NodeId(1)), expected);
    }
}
