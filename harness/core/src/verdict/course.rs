//! The course of a cell: slots, leaders, outages, faults, for the eye.

use super::timeline::{FaultBand, LeaderSpan, Outage, Slot, Timeline};
use crate::checkers::{Checked, Place, SLOT_NS, Source};
use crate::plan::{FaultTarget, Plan};

/// Slots that are drawn at the most.
const SLOTS_MAX: usize = 6_000;

/// The course of events; None if there was no load.
pub(super) fn course(plan: &Plan, checked: &Checked, source: &dyn Source) -> Option<Timeline> {
    let sends = &checked.sends;
    sends.first_ns?;
    let delivered = |slot| checked.groups.iter().map(|group| group.first_by_slot.get(slot)).sum::<u32>();
    let count = checked
        .groups
        .iter()
        .map(|group| group.first_by_slot.len())
        .chain([sends.slots.scheduled.len(), sends.slots.acked.len(), sends.slots.unacknowledged.len()])
        .max()
        .unwrap_or(0)
        .min(SLOTS_MAX);
    let mut slots = Vec::with_capacity(count);
    let (mut acked, mut handed) = (0u64, vec![0u64; checked.groups.len()]);
    for at in 0..count {
        acked += u64::from(sends.slots.acked.get(at));
        for (group, total) in checked.groups.iter().zip(&mut handed) {
            *total += u64::from(group.first_by_slot.get(at));
        }
        let behind = handed.iter().min().map_or(0, |least| acked.saturating_sub(*least));
        let latency = sends.slots.latency.get(&at);
        slots.push(Slot {
            scheduled: sends.slots.scheduled.get(at),
            acked: sends.slots.acked.get(at),
            delivered: delivered(at),
            unacknowledged: sends.slots.unacknowledged.get(at),
            ack_p50_us: latency.and_then(|sketch| sketch.quantile_us(0.5)),
            ack_p99_us: latency.and_then(|sketch| sketch.quantile_us(0.99)),
            backlog: behind,
        });
    }
    let slot_ms = SLOT_NS / 1_000_000;
    let end_ms = (count as u64 * slot_ms) as f64;
    let place = sends
        .meters
        .first()
        .map(|meter| meter.place)
        .or_else(|| checked.conductor.leaders.keys().next().copied());
    Some(Timeline {
        slot_ms,
        slots,
        faults: bands(plan, checked, end_ms),
        leaders: place.map(|place| leaders(checked, place, end_ms)).unwrap_or_default(),
        leader_partition: place.map(|place| name(source, place)),
        outages: outages(checked, source),
        load_end_ms: checked.conductor.load_ends_ns.map_or(end_ms, |end| checked.conductor.at_ms(end)),
    })
}

/// A partition as `topic/number`.
pub(super) fn name(source: &dyn Source, place: Place) -> String {
    let topic = source.names().topics.get(usize::from(place.topic)).map_or("?", String::as_str);
    format!("{topic}/{}", place.partition)
}

fn bands(plan: &Plan, checked: &Checked, end_ms: f64) -> Vec<FaultBand> {
    let mut bands = Vec::new();
    for (index, seen) in &checked.conductor.faults {
        let (Some(fault), Some(effect)) = (plan.faults.get(*index), seen.effect_ns) else { continue };
        let nodes: Vec<String> =
            (0..64).filter(|node| seen.nodes >> node & 1 == 1).map(|node| node.to_string()).collect();
        let whom = match &fault.target {
            FaultTarget::Nodes(_) => format!(" node {}", nodes.join(", ")),
            FaultTarget::Link(..) => String::new(),
        };
        bands.push(FaultBand {
            label: format!("{} {}{whom}", fault.kind.name(), fault.target),
            from_ms: checked.conductor.at_ms(effect),
            until_ms: seen.undone_ns.map_or(end_ms, |undone| checked.conductor.at_ms(undone)),
        });
    }
    bands
}

fn leaders(checked: &Checked, place: Place, end_ms: f64) -> Vec<LeaderSpan> {
    let Some(seen) = checked.conductor.leaders.get(&place) else { return Vec::new() };
    let mut spans: Vec<LeaderSpan> = Vec::new();
    for one in seen {
        let at = checked.conductor.at_ms(one.t_ns).max(0.0);
        if let Some(last) = spans.last_mut() {
            last.until_ms = at;
        }
        let nobody = one.node == 0 || one.node == u32::MAX;
        spans.push(LeaderSpan {
            node: (!nobody).then_some(one.node),
            epoch: one.epoch,
            from_ms: at,
            until_ms: end_ms,
        });
    }
    spans
}

fn outages(checked: &Checked, source: &dyn Source) -> Vec<Outage> {
    let ms = |slot: usize| (slot as u64 * SLOT_NS / 1_000_000) as f64;
    let of = |outage: &crate::checkers::Outage| Outage {
        partition: name(source, outage.place),
        from_ms: ms(outage.from),
        until_ms: outage.until.map(ms),
    };
    checked.outages.outages.iter().map(of).collect()
}
