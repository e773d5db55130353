//! Requests that wait for something to happen to a partition, or for their deadline.
//!
//! In:  an operation, the partitions it watches, its deadline. Out: who must be looked at again.
//! Never: decides whether an operation is complete; its owner does.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::TopicPartitionId;

/// Names a parked operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ticket(u64);

/// Operations of one kind.
#[derive(Debug)]
pub struct Purgatory<T> {
    next: u64,
    parked: BTreeMap<Ticket, Parked<T>>,
    watched: BTreeMap<TopicPartitionId, BTreeSet<Ticket>>,
    deadlines: BTreeSet<(u64, Ticket)>,
}

#[derive(Debug)]
struct Parked<T> {
    operation: T,
    watches: Vec<TopicPartitionId>,
    deadline_ns: u64,
}

impl<T> Default for Purgatory<T> {
    fn default() -> Self {
        Self { next: 0, parked: BTreeMap::new(), watched: BTreeMap::new(), deadlines: BTreeSet::new() }
    }
}

impl<T> Purgatory<T> {
    /// Parks an operation until it is taken out; its deadline is on the monotonic clock.
    pub fn park(&mut self, operation: T, watches: Vec<TopicPartitionId>, deadline_ns: u64) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        for partition in &watches {
            self.watched.entry(*partition).or_default().insert(ticket);
        }
        self.deadlines.insert((deadline_ns, ticket));
        self.parked.insert(ticket, Parked { operation, watches, deadline_ns });
        ticket
    }

    /// Takes an operation out.
    pub fn take(&mut self, ticket: Ticket) -> Option<T> {
        let parked = self.parked.remove(&ticket)?;
        self.deadlines.remove(&(parked.deadline_ns, ticket));
        for partition in &parked.watches {
            if let Some(tickets) = self.watched.get_mut(partition) {
                tickets.remove(&ticket);
                if tickets.is_empty() {
                    self.watched.remove(partition);
                }
            }
        }
        Some(parked.operation)
    }

    /// Looks at an operation.
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        self.parked.get(&ticket).map(|parked| &parked.operation)
    }

    /// Changes an operation in its place.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        self.parked.get_mut(&ticket).map(|parked| &mut parked.operation)
    }

    /// Who watches a partition, oldest first.
    pub fn watching(&self, partition: TopicPartitionId) -> Vec<Ticket> {
        self.watched.get(&partition).map(|tickets| tickets.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether anybody watches a partition.
    pub fn is_watched(&self, partition: TopicPartitionId) -> bool {
        self.watched.contains_key(&partition)
    }

    /// Whose deadline has come, earliest first.
    pub fn expired(&self, now_ns: u64) -> Vec<Ticket> {
        self.deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now_ns)
            .map(|(_, ticket)| *ticket)
            .collect()
    }

    /// The earliest deadline, or `u64::MAX`.
    pub fn next_deadline_ns(&self) -> u64 {
        self.deadlines.first().map_or(u64::MAX, |(deadline, _)| *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::TopicId;
    use crate::ids::PartitionId;

    fn partition(index: i32) -> TopicPartitionId {
        TopicPartitionId { topic: TopicId::default(), partition: PartitionId(index) }
    }

    #[test]
    fn what_is_taken_out_leaves_no_watch_and_no_deadline() {
        let mut purgatory = Purgatory::default();
        let first = purgatory.park("first", vec![partition(0), partition(1)], 20);
        let second = purgatory.park("second", vec![partition(1)], 10);
        assert_eq!(purgatory.watching(partition(1)), [first, second]);
        assert_eq!(purgatory.expired(10), [second]);
        assert_eq!(purgatory.take(second), Some("second"));
        assert_eq!(purgatory.next_deadline_ns(), 20);
        assert_eq!(purgatory.take(first), Some("first"));
        assert!(
            purgatory.parked.is_empty() && purgatory.watched.is_empty() && purgatory.deadlines.is_empty()
        );
    }
}
