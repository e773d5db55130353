//! Outages of producing, and recovery from them (P38).
//!
//! A partition is down in a slot of 100 ms if fewer than half as many acknowledgements came as sends were due. It is back
//! at the start of the first window in which no slot is down and ≥ 99 % of the sends that were due succeeded in the end.
//! Below 20 sends due per slot nothing is said.

use super::finding::Place;
use super::sends::Sends;
use super::slots::{PlaceSlots, SLOT_NS};

/// Sends that must be due in a slot.
const DUE_MIN: f64 = 20.0;

/// An outage, in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Where.
    pub place: Place,
    /// First slot that was down.
    pub from: usize,
    /// Start of the window in which it was back; None: not within the load.
    pub until: Option<usize>,
}

/// What can be said of outages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outages {
    /// All of them, by place and time.
    pub outages: Vec<Outage>,
    /// Slots that were compared.
    pub exercised: u64,
    /// Partitions with too few sends.
    pub too_slow: u64,
}

/// Finds the outages of all partitions. Only slots that lie wholly in the load count: `slots` of them.
pub fn find(sends: &Sends, slots: usize, window_ms: u64) -> Outages {
    let window = (window_ms * 1_000_000).div_ceil(SLOT_NS).max(1) as usize;
    let mut found = Outages::default();
    for (&place, series) in &sends.slots.places {
        let due: u64 = (0..slots).map(|slot| u64::from(series.scheduled.get(slot))).sum();
        if slots == 0 || (due as f64 / slots as f64) < DUE_MIN {
            found.too_slow += 1;
            continue;
        }
        found.exercised += slots as u64;
        of_place(place, series, slots, window, &mut found.outages);
    }
    found
}

fn of_place(place: Place, series: &PlaceSlots, slots: usize, window: usize, outages: &mut Vec<Outage>) {
    let is_down = |slot: usize| {
        let due = series.scheduled.get(slot);
        f64::from(due) >= DUE_MIN / 2.0 && f64::from(series.acked.get(slot)) < f64::from(due) * 0.5
    };
    let mut slot = 0;
    while slot < slots {
        if !is_down(slot) {
            slot += 1;
            continue;
        }
        let until = (slot + 1..slots).find(|&start| is_back(series, start, window, slots, &is_down));
        outages.push(Outage { place, from: slot, until });
        slot = until.unwrap_or(slots);
    }
}

fn is_back(
    series: &PlaceSlots,
    start: usize,
    window: usize,
    slots: usize,
    is_down: &dyn Fn(usize) -> bool,
) -> bool {
    if start + window > slots {
        return false;
    }
    let range = start..start + window;
    let due: u64 = range.clone().map(|slot| u64::from(series.scheduled.get(slot))).sum();
    let succeeded: u64 = range.clone().map(|slot| u64::from(series.succeeded.get(slot))).sum();
    succeeded as f64 >= due as f64 * 0.99 && !range.into_iter().any(is_down)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { topic: 0, partition: 0 };

    /// 50 sends due in each slot, so many of which are acknowledged in the same slot.
    fn sends(acked: &[u32]) -> Sends {
        let mut sends = Sends::default();
        let series = sends.slots.places.entry(PLACE).or_default();
        for (slot, &acked) in acked.iter().enumerate() {
            (0..50).for_each(|_| series.scheduled.add(slot));
            (0..acked).for_each(|_| series.acked.add(slot));
            (0..acked.min(50)).for_each(|_| series.succeeded.add(slot));
        }
        sends
    }

    #[test]
    fn an_outage_ends_where_a_whole_window_is_good_again() {
        let found = find(&sends(&[50, 50, 10, 0, 0, 50, 0, 50, 50, 50, 50]), 11, 300);
        assert_eq!(found.outages, [Outage { place: PLACE, from: 2, until: Some(7) }]);
        assert_eq!(found.exercised, 11);
    }

    #[test]
    fn an_outage_without_a_whole_good_window_before_the_end_has_no_end() {
        let found = find(&sends(&[50, 50, 0, 0, 50, 50]), 6, 300);
        assert_eq!(found.outages, [Outage { place: PLACE, from: 2, until: None }]);
    }

    #[test]
    fn nothing_is_said_of_a_partition_with_few_sends() {
        let mut few = Sends::default();
        few.slots.places.entry(PLACE).or_default().scheduled.add(3);
        let found = find(&few, 10, 300);
        assert_eq!((found.exercised, found.too_slow), (0, 1));
    }
}
