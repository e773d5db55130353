//! Outages of producing, and recovery from them (P38).
//!
//! A partition is down in a slot of 100 ms if fewer than half as many acknowledgements came as sends were due. It is back
//! at the first slot that is not down and begins a window in which ≥ 99 % of the sends that were due succeeded in the end,
//! and at most one slot in ten is down: a slot that a busy machine skipped does not undo a recovery. Below 20 sends due per
//! slot nothing is said.

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
    /// Whether a broker took nothing meanwhile for want of memory or disk.
    pub limited: bool,
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
    for outage in &mut found.outages {
        let ns = |slot: usize| sends.slots.origin_ns + slot as u64 * SLOT_NS;
        outage.limited = sends.limits.overlap(ns(outage.from), ns(outage.until.unwrap_or(slots)));
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
        // Before the first acknowledgement nothing was up that could go down, and nothing has to last.
        let until = match slot {
            0 => (1..slots).find(|&start| !is_down(start)),
            _ => (slot + 1..slots).find(|&start| is_back(series, start, window, slots, &is_down)),
        };
        outages.push(Outage { place, from: slot, until, limited: false });
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
    if start + window > slots || is_down(start) {
        return false;
    }
    let range = start..start + window;
    let due: u64 = range.clone().map(|slot| u64::from(series.scheduled.get(slot))).sum();
    let succeeded: u64 = range.clone().map(|slot| u64::from(series.succeeded.get(slot))).sum();
    let down = range.filter(|slot| is_down(*slot)).count();
    succeeded * 100 >= due * 99 && down * 10 <= window
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, EventKind};

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
        assert_eq!(found.outages, [Outage { place: PLACE, from: 2, until: Some(7), limited: false }]);
        assert_eq!(found.exercised, 11);
    }

    #[test]
    fn an_outage_while_the_broker_is_short_of_memory_is_marked_and_one_before_is_not() {
        let mut sends = sends(&[0, 50, 50, 50, 0, 50, 50, 50]);
        let at = |slot: u64, flags| Event {
            t_ns: slot * SLOT_NS,
            msg: 0,
            a: 0,
            b: 0,
            kind: EventKind::Limited,
            flags,
            c: 0,
        };
        let mut since = None;
        for event in [at(2, 0), at(5, 1)] {
            sends.limits.note(&event, &mut since);
        }
        let limited: Vec<bool> = find(&sends, 8, 200).outages.iter().map(|outage| outage.limited).collect();
        assert_eq!(limited, [false, true]);
    }

    #[test]
    fn a_late_start_ends_with_the_first_acknowledgements_whatever_comes_soon_after() {
        let found = find(&sends(&[0, 0, 50, 50, 0, 0, 50, 50, 50]), 9, 300);
        let outage = |from, until| Outage { place: PLACE, from, until: Some(until), limited: false };
        assert_eq!(found.outages, [outage(0, 2), outage(4, 6)]);
    }

    #[test]
    fn an_outage_without_a_whole_good_window_before_the_end_has_no_end() {
        let found = find(&sends(&[50, 50, 0, 0, 50, 50]), 6, 300);
        assert_eq!(found.outages, [Outage { place: PLACE, from: 2, until: None, limited: false }]);
    }

    #[test]
    fn one_bad_slot_is_an_outage_of_its_own_and_does_not_undo_a_recovery() {
        let mut acked = [50; 24];
        acked[2..5].fill(0);
        // What is missing here comes a slot later.
        (acked[9], acked[10]) = (10, 90);
        let mut sends = sends(&acked);
        let series = sends.slots.places.get_mut(&PLACE).expect("the partition");
        for _ in 0..40 {
            series.succeeded.add(9);
        }
        let found = find(&sends, 24, 1_000);
        let outage = |from, until| Outage { place: PLACE, from, until: Some(until), limited: false };
        assert_eq!(found.outages, [outage(2, 5), outage(9, 10)]);
    }

    #[test]
    fn acknowledgements_in_rare_batches_are_no_recovery() {
        let mut acked = [0; 30];
        acked[0] = 50;
        acked[10] = 500;
        acked[20] = 500;
        let found = find(&sends(&acked), 30, 1_000);
        assert_eq!(found.outages, [Outage { place: PLACE, from: 1, until: None, limited: false }]);
    }

    #[test]
    fn nothing_is_said_of_a_partition_with_few_sends() {
        let mut few = Sends::default();
        few.slots.places.entry(PLACE).or_default().scheduled.add(3);
        let found = find(&few, 10, 300);
        assert_eq!((found.exercised, found.too_slow), (0, 1));
    }
}
