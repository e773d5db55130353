//! Who leads what in a simulation, and which partition is the busiest.

use std::collections::{BTreeMap, VecDeque};

use broker_sim::scenario::{PartitionSeen, Simulation};
use mqproof_core::history::{Event, EventKind};

use super::record::Record;
use crate::faults::{Leadership, PartitionState};

/// How far back the busiest partition is judged by.
const RECENT_NS: u64 = 1_000_000_000;
/// Between two looks at the ends of the logs.
const ENDS_EVERY_NS: u64 = 200_000_000;

type Ends = BTreeMap<(String, u32), u64>;

/// Looks at the cluster again and again.
#[derive(Default)]
pub struct Eye {
    /// As last seen.
    pub leadership: Leadership,
    epochs: BTreeMap<(String, u32), i32>,
    samples: VecDeque<(u64, Ends)>,
}

impl Eye {
    /// Looks, and records what has changed.
    pub fn look(&mut self, simulation: &Simulation, record: &mut Record) {
        let now_ns = simulation.now_ns();
        let seen = simulation.partitions();
        if self.samples.back().is_none_or(|(t_ns, _)| now_ns >= t_ns + ENDS_EVERY_NS) {
            let ends = seen.iter().filter_map(|(place, one)| Some((place.clone(), one.bounds?.1)));
            self.samples.push_back((now_ns, ends.collect()));
            while self.samples.front().is_some_and(|(t_ns, _)| t_ns + RECENT_NS < now_ns) {
                self.samples.pop_front();
            }
        }
        let partitions: BTreeMap<_, _> =
            seen.iter().map(|(place, one)| (place.clone(), state(one))).collect();
        for (place, one) in &seen {
            let epoch = self.epochs.insert(place.clone(), one.epoch);
            if epoch != Some(one.epoch) || self.leadership.partitions.get(place) != partitions.get(place) {
                note_leader(record, place, one, now_ns);
            }
        }
        self.leadership =
            Leadership { partitions, recent_records: self.growth(), controller: simulation.controller() };
    }

    fn growth(&self) -> Ends {
        let (Some((_, first)), Some((_, last))) = (self.samples.front(), self.samples.back()) else {
            return Ends::new();
        };
        last.iter()
            .map(|(place, end)| (place.clone(), end.saturating_sub(first.get(place).copied().unwrap_or(0))))
            .collect()
    }
}

fn state(seen: &PartitionSeen) -> PartitionState {
    PartitionState { leader: seen.leader, replicas: seen.replicas.clone(), isr: seen.isr.clone() }
}

fn note_leader(record: &mut Record, (topic, partition): &(String, u32), seen: &PartitionSeen, t_ns: u64) {
    let leader = seen.leader.map_or(u32::MAX, |node| node.0);
    let event = Event {
        t_ns,
        msg: seen.isr.iter().fold(0, |bits, node| bits | 1 << (node.0 & 63)),
        a: u64::from(leader) | u64::from(seen.epoch as u32) << 32,
        b: *partition,
        kind: EventKind::Leader,
        flags: 0,
        c: record.topic(topic) as u16,
    };
    record.event(event);
}
