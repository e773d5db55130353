//! Follows the transactions through a log that is being compacted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ids::{Offset, ProducerId};
use crate::log::AbortedTransaction;
use crate::log::transactions::{AbortedIndex, EndedTransaction};
use crate::record::{BatchHeader, Marker};

/// An aborted transaction whose marker has not come yet.
#[derive(Debug)]
struct Aborted {
    entry: AbortedTransaction,
    /// Some batch of it is left.
    seen: bool,
}

#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Those that begin later, in that order.
    later: VecDeque<AbortedTransaction>,
    aborted: BTreeMap<ProducerId, Aborted>,
    /// Producers with batches, in transactions that were not aborted, whose marker has not come yet.
    others: BTreeSet<ProducerId>,
}

impl Tracker {
    /// `aborted` are those with records in what will be read.
    pub(super) fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_unstable_by_key(|entry| entry.first);
        Self { later: aborted.into(), ..Self::default() }
    }

    /// A data batch: whether its records were aborted.
    pub(super) fn batch(&mut self, header: &BatchHeader) -> bool {
        self.go_on_to(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        if let Some(aborted) = self.aborted.get_mut(&header.producer_id) {
            aborted.seen = true;
            true
        } else {
            self.others.insert(header.producer_id);
            false
        }
    }

    /// A marker: whether nothing is left of its transaction. `index` is of the new segment: a transaction of which something is
    /// left must be known there.
    pub(super) fn marker(&mut self, header: &BatchHeader, marker: Marker, index: &mut AbortedIndex) -> bool {
        self.go_on_to(header.last_offset());
        let producer = header.producer_id;
        if marker.commit {
            return !self.others.remove(&producer);
        }
        match self.aborted.remove(&producer) {
            Some(Aborted { entry, seen: true }) => {
                let AbortedTransaction { producer, first, marker, stable_end } = entry;
                index.add(&EndedTransaction { producer, first, marker, committed: false, stable_end });
                false
            }
            _ => true,
        }
    }

    fn go_on_to(&mut self, offset: Offset) {
        while let Some(entry) = self.later.pop_front_if(|entry| entry.first <= offset) {
            self.aborted.insert(entry.producer, Aborted { entry, seen: false });
        }
    }
}
