//! What the conductor tells: faults, processes, leaders, bounds of logs, phases.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::finding::{Moment, Place};
use super::source::{ShardRole, Source};
use crate::history::{Event, EventKind};

/// Numbers in the flags of conductor events.
mod flag {
    pub const LOAD_BEGINS: u8 = 0;
    pub const LOAD_ENDS: u8 = 1;
    pub const DRAIN_ENDS: u8 = 2;
    pub const INTERRUPTED: u8 = 3;
    pub const RESOLVED: u8 = 0;
    pub const EFFECT: u8 = 1;
    pub const UNDONE: u8 = 2;
    pub const SKIPPED: u8 = 3;
    pub const NO_EFFECT: u8 = 4;
    pub const DRAIN_BEGINS: u8 = 0;
    pub const DRAIN_GAVE_UP: u8 = 3;
    pub const LOG_START: u8 = 0;
    pub const LAST_STABLE: u8 = 2;
    pub const EXITED: u8 = 1;
    pub const SIDE_BROKER: u16 = 0;
    pub const SIDE_CONSUMER: u16 = 2;
}

/// What became of one fault of the plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultSeen {
    /// The nodes that it was resolved to, as a bit set.
    pub nodes: u64,
    /// When its target was resolved.
    pub resolved_ns: Option<u64>,
    /// When its effect was first observed.
    pub effect_ns: Option<u64>,
    /// When it was last undone.
    pub undone_ns: Option<u64>,
    /// Whether it was skipped.
    pub skipped: bool,
    /// Whether it was installed and nothing was seen of it.
    pub no_effect: bool,
}

impl FaultSeen {
    /// Whether it did what it was for.
    pub fn is_effective(&self) -> bool {
        self.effect_ns.is_some() && !self.skipped && !self.no_effect
    }
}

/// Who led a partition from when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderSeen {
    /// From.
    pub t_ns: u64,
    /// The leader; 0 or all ones: nobody.
    pub node: u32,
    /// Its epoch.
    pub epoch: i32,
}

/// Observed bounds of one log after the load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Log starts, in the order of observation.
    pub starts: Vec<u64>,
    /// Log ends.
    pub ends: Vec<u64>,
}

/// How long before a fault's effect the end of a log may have been looked at.
const METER_WITHIN_NS: u64 = 2_000_000_000;

/// The bite meter of one fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Index in the plan.
    pub fault: usize,
    /// The log.
    pub place: Place,
    /// Its replicated end just before.
    pub end: u64,
    /// When that was asked for: what was acknowledged later may be replicated without being below that end.
    pub until_ns: u64,
    /// Acknowledged records at or past that end.
    pub count: u64,
}

/// All that the conductor recorded, but for probes during the load.
#[derive(Clone, Debug, Default)]
pub struct Conductor {
    /// When the load began.
    pub load_begins_ns: u64,
    /// When it ended; None: it did not.
    pub load_ends_ns: Option<u64>,
    /// When the drain ended.
    pub drain_ends_ns: Option<u64>,
    /// Whether the run was cut short.
    pub interrupted: bool,
    /// Whether the disk of ours was full.
    pub disk_full: bool,
    /// Whether a drain was begun.
    pub drain_begun: bool,
    /// Whether the conductor gave up waiting for the cluster to heal or for consumers.
    pub drain_gave_up: bool,
    /// Ends of logs that were asked for during the load, before a kill.
    pub ends_in_load: Vec<(u64, Place, u64)>,
    /// By index in the plan.
    pub faults: BTreeMap<usize, FaultSeen>,
    /// Changes of leaders.
    pub leaders: BTreeMap<Place, Vec<LeaderSeen>>,
    /// Bounds of logs after the load.
    pub bounds: BTreeMap<Place, Bounds>,
    /// Last stable offsets of logs after the load, in the order of observation.
    pub stable: BTreeMap<Place, Vec<Moment>>,
    /// Last committed offsets, by group and place.
    pub committed: BTreeMap<(u16, Place), u64>,
    /// What still waited for a group after the load, by group and queue: when, and how many messages.
    pub backlogs: BTreeMap<(u16, Place), Vec<(u64, u64)>>,
    /// Whether a consumer's process was killed.
    pub consumer_crashed: bool,
    /// When consumers' processes ended, and their numbers in the plan.
    consumer_exits: Vec<(u64, u16)>,
    /// When a node's process started, ended, stood still or went on.
    stirs: Vec<u64>,
    /// When a node was ended by a signal (true) or came back (false), in order.
    deaths: Vec<(u64, u32, bool)>,
    /// Events that say what happened to processes and faults: the context of witnesses.
    pub context: Vec<(usize, Event)>,
    /// Journals of conductors.
    pub shards: Vec<usize>,
}

/// Context events that are kept.
const CONTEXT_MAX: usize = 10_000;

impl Conductor {
    /// Reads the conductor's journals.
    pub fn read(source: &dyn Source) -> Self {
        let mut conductor = Self { load_begins_ns: source.names().load_begins_ns, ..Self::default() };
        for (shard, meta) in source.shards().iter().enumerate() {
            if meta.role == ShardRole::Conductor {
                conductor.shards.push(shard);
                for event in source.events(shard, 0) {
                    conductor.on_event(shard, &event);
                    let is_context = matches!(
                        event.kind,
                        EventKind::Fault | EventKind::Process | EventKind::Leader | EventKind::Mark
                    );
                    if is_context && conductor.context.len() < CONTEXT_MAX {
                        conductor.context.push((shard, event));
                    }
                }
            }
        }
        conductor
    }

    fn on_event(&mut self, shard: usize, event: &Event) {
        match event.kind {
            EventKind::Mark => match event.flags {
                flag::LOAD_BEGINS => self.load_begins_ns = event.t_ns,
                flag::LOAD_ENDS => self.load_ends_ns = Some(event.t_ns),
                flag::DRAIN_ENDS => self.drain_ends_ns = Some(event.t_ns),
                flag::INTERRUPTED => self.interrupted = true,
                _ => {}
            },
            EventKind::Trouble => self.disk_full |= event.flags == 0,
            EventKind::Fault => self.on_fault(event),
            EventKind::Leader => {
                let place = Place { topic: event.c, partition: event.partition() };
                let seen =
                    LeaderSeen { t_ns: event.t_ns, node: event.a as u32, epoch: (event.a >> 32) as i32 };
                let spans = self.leaders.entry(place).or_default();
                let same = |last: &LeaderSeen| (last.node, last.epoch) == (seen.node, seen.epoch);
                if !spans.last().is_some_and(same) {
                    spans.push(seen);
                }
            }
            EventKind::LogBound if event.flags == flag::LAST_STABLE => {
                let place = Place { topic: event.msg as u16, partition: event.partition() };
                self.stable.entry(place).or_default().push(Moment { shard, event: *event });
            }
            EventKind::LogBound if self.load_ends_ns.is_some() => {
                let place = Place { topic: event.msg as u16, partition: event.partition() };
                let bounds = self.bounds.entry(place).or_default();
                let list = if event.flags == flag::LOG_START { &mut bounds.starts } else { &mut bounds.ends };
                list.push(event.a);
            }
            EventKind::LogBound if event.flags != flag::LOG_START => {
                let place = Place { topic: event.msg as u16, partition: event.partition() };
                self.ends_in_load.push((event.t_ns, place, event.a));
            }
            EventKind::Committed => {
                let place = Place { topic: event.msg as u16, partition: event.partition() };
                self.committed.insert((event.c, place), event.a);
            }
            EventKind::Backlog if self.drain_begun => {
                let place = Place { topic: event.msg as u16, partition: event.partition() };
                self.backlogs.entry((event.c, place)).or_default().push((event.t_ns, event.a));
            }
            EventKind::Drain => match event.flags {
                flag::DRAIN_BEGINS => self.drain_begun = true,
                flag::DRAIN_GAVE_UP => self.drain_gave_up = true,
                _ => {}
            },
            EventKind::Process => self.on_process(event),
            _ => {}
        }
    }

    fn on_fault(&mut self, event: &Event) {
        let fault = self.faults.entry(event.b as usize).or_default();
        match event.flags {
            flag::RESOLVED => {
                fault.resolved_ns = fault.resolved_ns.or(Some(event.t_ns));
                fault.nodes |= event.a;
            }
            flag::EFFECT => {
                fault.effect_ns = fault.effect_ns.or(Some(event.t_ns));
                fault.nodes |= event.a;
            }
            flag::UNDONE => fault.undone_ns = Some(event.t_ns),
            flag::SKIPPED => fault.skipped = true,
            flag::NO_EFFECT => fault.no_effect = true,
            _ => {}
        }
    }

    fn on_process(&mut self, event: &Event) {
        let by_signal = event.a >> 32 & 1 == 1;
        if (event.c, event.flags) == (flag::SIDE_CONSUMER, flag::EXITED) {
            self.consumer_exits.push((event.t_ns, event.b as u16));
        }
        if event.c == flag::SIDE_BROKER {
            self.stirs.push(event.t_ns);
        }
        match (event.c, event.flags) {
            (flag::SIDE_BROKER, flag::EXITED) if by_signal => self.deaths.push((event.t_ns, event.b, true)),
            (flag::SIDE_BROKER, started) if started != flag::EXITED => {
                self.deaths.push((event.t_ns, event.b, false));
            }
            (flag::SIDE_CONSUMER, flag::EXITED) if by_signal => self.consumer_crashed = true,
            _ => {}
        }
    }

    /// The most of the nodes `1..=brokers` that were dead at once by a signal. The nodes behind them are controllers.
    pub fn brokers_dead_at_once(&self, brokers: u32) -> u32 {
        let mut dead = BTreeSet::new();
        let mut most = 0;
        for &(_, node, died) in self.deaths.iter().filter(|(_, node, _)| (1..=brokers).contains(node)) {
            if died {
                dead.insert(node)
            } else {
                dead.remove(&node)
            };
            most = most.max(dead.len() as u32);
        }
        most
    }

    /// Whether the process of a consumer of the plan ended in a span of time.
    pub(super) fn consumer_exited(&self, number: u16, span: &RangeInclusive<u64>) -> bool {
        self.consumer_exits.iter().any(|(t_ns, who)| *who == number && span.contains(t_ns))
    }

    /// Whether something was done to a node or a link, or a node's process changed, in a span of time.
    pub(super) fn is_disturbed(&self, from: u64, to: u64) -> bool {
        let in_effect = |fault: &FaultSeen| {
            let began = fault.effect_ns.or(fault.resolved_ns);
            began.is_some_and(|began| began <= to) && fault.undone_ns.is_none_or(|undone| undone >= from)
        };
        self.faults.values().any(in_effect) || self.stirs.iter().any(|t_ns| (from..=to).contains(t_ns))
    }

    /// When a signal next ended a node after a time.
    pub fn next_death_ns(&self, node: u32, t_ns: u64) -> Option<u64> {
        let next = self.deaths.iter().find(|&&(at_ns, dead, died)| died && dead == node && at_ns >= t_ns);
        next.map(|&(at_ns, ..)| at_ns)
    }

    /// What to count for each fault that was preceded by a look at the end of a log: messages that were acknowledged
    /// before that look, at or past that end. With acks=all there are none.
    pub(super) fn meters(&self) -> Vec<Meter> {
        let of_fault = |(&fault, seen): (&usize, &FaultSeen)| {
            let effect_ns = seen.effect_ns?;
            let near =
                |&&(t_ns, ..): &&(u64, Place, u64)| t_ns <= effect_ns && effect_ns - t_ns <= METER_WITHIN_NS;
            let &(until_ns, place, end) = self.ends_in_load.iter().rev().find(near)?;
            Some(Meter { fault, place, end, until_ns, count: 0 })
        };
        self.faults.iter().filter_map(of_fault).collect()
    }

    /// When a fault next took effect after a time.
    pub fn next_fault_ns(&self, t_ns: u64) -> Option<u64> {
        self.faults.values().filter_map(|fault| fault.effect_ns).filter(|&effect| effect >= t_ns).min()
    }

    /// Milliseconds since the start of load.
    pub fn at_ms(&self, t_ns: u64) -> f64 {
        (t_ns as f64 - self.load_begins_ns as f64) / 1e6
    }

    /// When the last new leader of a partition in a span of time was first seen; None: none was.
    pub fn last_new_leader_ns(&self, place: Place, after_ns: u64, until_ns: u64) -> Option<u64> {
        let is_somebody = |node: u32| node != 0 && node != u32::MAX;
        let mut seen = self.leaders.get(&place)?.iter().rev();
        let last = seen.find(|one| one.t_ns <= until_ns && is_somebody(one.node))?;
        (last.t_ns > after_ns).then_some(last.t_ns)
    }

    /// The leader of a partition at a time, as far as it was observed.
    pub fn leader_at(&self, place: Place, t_ns: u64) -> Option<LeaderSeen> {
        self.leaders.get(&place)?.iter().rev().find(|seen| seen.t_ns <= t_ns).copied()
    }
}
