//! A set of numbers as few disjoint intervals.

use std::collections::BTreeMap;

/// Disjoint half-open intervals; neighbours are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(BTreeMap<u64, u64>);

impl Intervals {
    /// Adds `from..to`.
    pub fn add(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        // Mostly the last interval grows.
        if let Some(mut last) = self.0.last_entry()
            && *last.key() <= from
            && from <= *last.get()
        {
            *last.get_mut() = to.max(*last.get());
            return;
        }
        let (mut from, mut to) = (from, to);
        while let Some((&start, &end)) = self.0.range(..=to).next_back() {
            if end < from {
                break;
            }
            self.0.remove(&start);
            from = from.min(start);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }

    /// Whether a number is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_join_when_they_touch() {
        let mut set = Intervals::default();
        for (from, to) in [(0, 3), (5, 7), (9, 12), (3, 4), (6, 9), (20, 21)] {
            set.add(from, to);
        }
        assert_eq!(set.0.into_iter().collect::<Vec<_>>(), [(0, 4), (5, 12), (20, 21)]);
    }

    #[test]
    fn a_low_interval_joins_all_that_it_covers() {
        let mut set = Intervals::default();
        for (from, to) in [(5, 7), (9, 12), (0, 10)] {
            set.add(from, to);
        }
        assert!(set.contains(0) && set.contains(11) && !set.contains(12));
        assert_eq!(set.0.len(), 1);
    }
}
