//! What a group member has fetched and not yet handed on, and which partitions are its own; shared by the thread that
//! fetches and the one that handles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::stored::Stored;

/// Messages of one queue at most; the Java client's `pullThresholdForQueue`.
const ROOM: usize = 1_000;

/// Both threads' view.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Counts assignments.
    generation: u64,
    assigned: BTreeSet<u16>,
    messages: VecDeque<(u16, Stored)>,
    counts: BTreeMap<u16, usize>,
    /// The next offset behind what was handed on.
    handed: BTreeMap<u16, u64>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Handle this message.
    Message(u16, Stored),
    /// Partitions came or went.
    Assigned(u64, BTreeSet<u16>),
    /// Nothing until the deadline.
    Nothing,
}

impl Inbox {
    /// Adds what was fetched of a partition; what is not assigned is dropped.
    pub(super) fn put(&self, partition: u16, messages: Vec<Stored>) {
        let mut state = self.state();
        if messages.is_empty() || !state.assigned.contains(&partition) {
            return;
        }
        *state.counts.entry(partition).or_default() += messages.len();
        state.messages.extend(messages.into_iter().map(|message| (partition, message)));
        self.changed.notify_all();
    }

    /// Whether more of a partition may be fetched.
    pub(super) fn has_room(&self, partition: u16) -> bool {
        self.state().counts.get(&partition).is_none_or(|count| *count < ROOM)
    }

    /// Replaces the assignment. What was fetched of lost partitions is another member's now. Says the places behind what
    /// was handed on of them.
    pub(super) fn assign(&self, assigned: BTreeSet<u16>) -> Vec<(u16, u64)> {
        let mut state = self.state();
        state.messages.retain(|(partition, _)| assigned.contains(partition));
        state.counts.retain(|partition, _| assigned.contains(partition));
        state.generation += 1;
        state.assigned = assigned;
        self.changed.notify_all();
        let State { handed, assigned, .. } = &mut *state;
        handed.extract_if(.., |partition, _| !assigned.contains(partition)).collect()
    }

    /// The places behind what was handed on since this was last asked.
    pub(super) fn take_handed(&self) -> Vec<(u16, u64)> {
        std::mem::take(&mut self.state().handed).into_iter().collect()
    }

    /// The next message, or a newer assignment than the one of `generation`, which goes first.
    pub(super) fn next(&self, generation: u64, until: Instant) -> Next {
        let mut state = self.state();
        loop {
            if state.generation != generation {
                return Next::Assigned(state.generation, state.assigned.clone());
            }
            if let Some((partition, message)) = state.messages.pop_front() {
                *state.counts.entry(partition).or_default() -= 1;
                state.handed.insert(partition, message.queue_offset + 1);
                return Next::Message(partition, message);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Next::Nothing;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(queue_offset: u64) -> Stored {
        Stored { queue_offset, key: None, body: Vec::new() }
    }

    fn next(inbox: &Inbox, generation: u64) -> Next {
        inbox.next(generation, Instant::now())
    }

    #[test]
    fn an_assignment_goes_before_messages_and_takes_those_of_lost_partitions_away() {
        let inbox = Inbox::default();
        assert_eq!(inbox.assign(BTreeSet::from([1, 2])), []);
        inbox.put(1, vec![message(7), message(8)]);
        inbox.put(2, vec![message(3)]);
        inbox.put(3, vec![message(9)]);
        assert_eq!(next(&inbox, 0), Next::Assigned(1, BTreeSet::from([1, 2])));
        assert_eq!(next(&inbox, 1), Next::Message(1, message(7)));
        assert_eq!(inbox.assign(BTreeSet::from([2])), [(1, 8)], "it was handed on up to there");
        inbox.put(1, vec![message(8)]);
        assert_eq!(next(&inbox, 1), Next::Assigned(2, BTreeSet::from([2])));
        assert_eq!(next(&inbox, 2), Next::Message(2, message(3)));
        assert_eq!(next(&inbox, 2), Next::Nothing);
        assert_eq!(inbox.take_handed(), [(2, 4)]);
        assert_eq!(inbox.take_handed(), []);
    }

    #[test]
    fn a_partition_has_room_until_a_thousand_wait() {
        let inbox = Inbox::default();
        inbox.assign(BTreeSet::from([1]));
        inbox.put(1, (0..ROOM as u64).map(message).collect());
        assert!(!inbox.has_room(1) && inbox.has_room(2));
        assert!(matches!(next(&inbox, 1), Next::Message(1, _)));
        assert!(inbox.has_room(1));
    }
}
