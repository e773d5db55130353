//! Time in slots of 100 ms.

use std::collections::BTreeMap;

use super::finding::Place;
use super::latency::Sketch;

/// Width of a slot.
pub const SLOT_NS: u64 = 100_000_000;
/// Slots are kept for a day; what lies beyond is counted in the last.
const SLOTS_MAX: usize = 864_000;

/// Numbers per slot; reading beyond the end gives zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series(Vec<u32>);

impl Series {
    /// Counts one.
    pub fn add(&mut self, slot: usize) {
        let slot = slot.min(SLOTS_MAX - 1);
        if self.0.len() <= slot {
            self.0.resize(slot + 1, 0);
        }
        self.0[slot] += 1;
    }

    /// The number of a slot.
    pub fn get(&self, slot: usize) -> u32 {
        self.0.get(slot).copied().unwrap_or(0)
    }

    /// One more than the last slot that has a number.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What was due and what succeeded in one partition.
#[derive(Clone, Debug, Default)]
pub struct PlaceSlots {
    /// Sends, by the slot in which they were due.
    pub scheduled: Series,
    /// Acknowledgements, by the slot in which they came.
    pub acked: Series,
    /// Sends that were acknowledged at last, by the slot in which they were due.
    pub succeeded: Series,
}

/// The course of all sends.
#[derive(Clone, Debug, Default)]
pub struct SendSlots {
    /// When slot 0 begins, ns.
    pub origin_ns: u64,
    /// Sends, by the slot in which they were due.
    pub scheduled: Series,
    /// Acknowledgements.
    pub acked: Series,
    /// Sends that ended otherwise.
    pub unacknowledged: Series,
    /// Latency of acknowledgements, by the slot in which they came.
    pub latency: BTreeMap<usize, Sketch>,
    /// The same by partition, as far as the partition of a send is known.
    pub places: BTreeMap<Place, PlaceSlots>,
    /// Sends whose partition is not known, by topic.
    pub unplaced: BTreeMap<u16, u64>,
}

impl SendSlots {
    /// The slot of a time; what was before the origin counts in the first.
    pub fn slot(&self, t_ns: u64) -> usize {
        (t_ns.saturating_sub(self.origin_ns) / SLOT_NS) as usize
    }
}
