//! Starts, observes and undoes the faults of a plan.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use mqproof_core::history::{Event, EventKind};
use mqproof_core::ids::NodeId;
use mqproof_core::plan::{FaultKind, Plan, Trigger};
use mqproof_core::verdict::FaultResult;

use super::active::{Active, Phase};
use super::links;
use super::proxy::LinkEnd;
use super::resolve::{Leadership, Resolver, bits};
use crate::provision::{Cluster, Hands};

/// How long a killed leader stays away at most, waiting for another to take its place.
const SUCCESSOR_WITHIN_NS: u64 = 60_000_000_000;

/// What the engine is told on every turn.
pub struct FaultContext<'a> {
    /// The time at the start of the turn, ns.
    pub now_ns: u64,
    /// Tells the time: what is done to processes takes some.
    pub clock: &'a dyn Fn() -> u64,
    /// When the load began, or will.
    pub load_begins_ns: u64,
    /// Messages acknowledged so far.
    pub acked: u64,
    /// Who leads what.
    pub leadership: &'a Leadership,
    /// The cluster.
    pub cluster: &'a mut dyn Cluster,
    /// Takes events for the conductor's journal.
    pub record: &'a mut dyn FnMut(Event),
    /// Called just before a leader is killed, with the partition that made it a target.
    pub before_kill: &'a mut dyn FnMut(&str, u32),
}

/// The faults of one cell.
pub struct FaultEngine {
    faults: Vec<Active>,
    sticky: BTreeMap<String, u32>,
    /// Nodes that were started again and do not answer yet, with the time of the start.
    starting: BTreeMap<NodeId, u64>,
    load_begins_ns: u64,
}

impl FaultEngine {
    /// All faults waiting.
    pub fn new(plan: &Plan, load_begins_ns: u64) -> Self {
        let faults =
            (0..).zip(plan.faults.iter().cloned()).map(|(index, fault)| Active::new(index, fault)).collect();
        Self { faults, sticky: BTreeMap::new(), starting: BTreeMap::new(), load_begins_ns }
    }

    /// Does what is due. To be called every few milliseconds.
    pub fn turn(&mut self, context: &mut FaultContext<'_>) {
        for at in 0..self.faults.len() {
            let fault = &self.faults[at];
            if fault.phase == Phase::Waiting && is_due(fault.plan.trigger, context) {
                self.start(at, context);
            } else if fault.is_due_to_end(context.now_ns) && !waits_for_successor(fault, context) {
                self.undo(at, context);
            }
            if self.faults[at].phase == Phase::Installing {
                self.observe(at, context);
            }
        }
        self.watch_restarts(context);
        if self.faults.iter().all(|fault| !fault.is_on()) {
            self.sticky.clear();
        }
    }

    /// Undoes what is in force, and skips what has not begun.
    pub fn undo_all(&mut self, context: &mut FaultContext<'_>) {
        for at in 0..self.faults.len() {
            if self.faults[at].phase == Phase::Waiting {
                self.skip(at, "its time did not come before the load ended".into(), context);
            }
            if self.faults[at].is_on() {
                self.undo(at, context);
            }
        }
        self.watch_restarts(context);
    }

    /// Whether every fault is over and every node answers.
    pub fn is_quiet(&self) -> bool {
        self.starting.is_empty() && self.faults.iter().all(|fault| fault.phase == Phase::Over)
    }

    /// The fault in force or due next, for the progress line.
    pub fn headline(&self, now_ns: u64) -> Option<String> {
        let words = |fault: &Active| format!("{} {}", fault.plan.kind.name(), fault.plan.target);
        if let Some(on) = self.faults.iter().rfind(|fault| fault.is_on()) {
            return Some(words(on));
        }
        self.faults.iter().find(|fault| fault.phase == Phase::Waiting).map(|fault| match fault.plan.trigger {
            Trigger::AtMs(ms) => {
                let left = (self.load_begins_ns + ms * 1_000_000).saturating_sub(now_ns) as f64 / 1e9;
                format!("{} in {left:.1} s", words(fault))
            }
            Trigger::AfterAcked(count) => format!("{} after {count} acks", words(fault)),
        })
    }

    /// What the report says.
    pub fn results(&self) -> Vec<FaultResult> {
        let ms = |ns: u64| (ns as f64 - self.load_begins_ns as f64) / 1e6;
        self.faults.iter().map(|fault| fault.result(ms)).collect()
    }

    fn start(&mut self, at: usize, context: &mut FaultContext<'_>) {
        if context.cluster.hands().is_none() {
            return self.skip(at, "the cluster is not ours: no hand on its nodes and links".into(), context);
        }
        let (brokers, controllers) = (context.cluster.brokers(), context.cluster.controllers());
        let mut resolver = Resolver {
            leadership: context.leadership,
            brokers: &brokers,
            controllers: &controllers,
            sticky: &mut self.sticky,
        };
        let resolved = match resolver.resolve(&self.faults[at].plan.target) {
            Ok(resolved) => resolved,
            Err(why) => return self.skip(at, why, context),
        };
        let kind = self.faults[at].plan.kind;
        if let (true, Some((topic, partition))) = (kind.is_kill(), &resolved.partition) {
            (context.before_kill)(topic, *partition);
        }
        let fault = &mut self.faults[at];
        fault.done_ns = (context.clock)();
        record_fault(context, fault.index, 0, bits(&resolved.nodes));
        fault.resolved = resolved;
        fault.phase = Phase::Installing;
        let done = if links::mode(kind).is_some() {
            if let Some(all) = context.cluster.links() {
                fault.before = links::total(all, &fault.resolved.links);
            }
            self.set_links(at, context) > 0
        } else {
            let nodes = &self.faults[at].resolved.nodes;
            context.cluster.hands().is_some_and(|hands| {
                nodes.iter().filter(|node| hit(hands, kind, **node)).count() == nodes.len()
            })
        };
        if !done {
            self.skip(
                at,
                "it could not be done: no such process or link, or the container engine did not answer"
                    .into(),
                context,
            );
        }
    }

    /// Puts the links of a fault into the strongest mode that a fault in force asks of them; returns how many there are.
    fn set_links(&self, at: usize, context: &mut FaultContext<'_>) -> usize {
        let Some(all) = context.cluster.links() else { return 0 };
        let mode_of = |link: &(LinkEnd, NodeId)| {
            self.faults
                .iter()
                .filter(|fault| fault.is_on() && fault.resolved.links.contains(link))
                .filter_map(|fault| links::mode(fault.plan.kind))
                .max_by_key(|mode| mode.strength())
                .unwrap_or_default()
        };
        let links = &self.faults[at].resolved.links;
        links.iter().filter(|link| all.set_mode(link.0, link.1, mode_of(link))).count()
    }

    fn skip(&mut self, at: usize, why: String, context: &mut FaultContext<'_>) {
        let fault = &mut self.faults[at];
        fault.skipped = Some(why);
        fault.phase = Phase::Over;
        record_fault(context, fault.index, 3, 0);
    }

    /// Looks whether the fault bites.
    fn observe(&mut self, at: usize, context: &mut FaultContext<'_>) {
        let fault = &mut self.faults[at];
        let kind = fault.plan.kind;
        let nodes = fault.resolved.nodes.clone();
        let evidence = match kind {
            FaultKind::Cut | FaultKind::Stall | FaultKind::Slow { .. } => context
                .cluster
                .links()
                .and_then(|all| links::effect(kind, fault.before, links::total(all, &fault.resolved.links))),
            FaultKind::Pause => context
                .cluster
                .hands()
                .filter(|hands| nodes.iter().all(|node| hands.is_paused(*node)))
                .map(|_| "the kernel says stopped".to_owned()),
            _ => {
                let mut ended = Vec::new();
                for node in &nodes {
                    let exit = context.cluster.hands().and_then(|hands| hands.exited(*node, Duration::ZERO));
                    if let Some(exit) = exit {
                        record_process(context, *node, 1, exit.code());
                        ended.push(format!("node {node} ended with {}", exit.describe()));
                    }
                }
                // Nodes of one fault end within a moment of each other; the ones that did are remembered in the text.
                if !ended.is_empty() {
                    if !fault.evidence.is_empty() {
                        fault.evidence.push_str(", ");
                    }
                    fault.evidence.push_str(&ended.join(", "));
                }
                let all_gone = nodes
                    .iter()
                    .all(|node| context.cluster.hands().is_some_and(|hands| hands.pid(*node).is_none()));
                if all_gone && kind == FaultKind::KillDisk {
                    let is_empty =
                        |node: &NodeId| context.cluster.hands().is_some_and(|hands| hands.wipe(*node));
                    if !nodes.iter().all(is_empty) {
                        return self.skip(
                            at,
                            "what the node had stored could not be removed".into(),
                            context,
                        );
                    }
                    fault.evidence.push_str(", and its disk is empty");
                }
                if all_gone && kind == FaultKind::KillPower {
                    let forget =
                        |node: &NodeId| context.cluster.hands().and_then(|hands| hands.forget(*node));
                    let lost = nodes.iter().filter_map(forget).filter(|lost| *lost).count();
                    let _ = write!(
                        fault.evidence,
                        ", and {lost} of {} lost writes that were not flushed",
                        nodes.len()
                    );
                }
                all_gone.then(|| fault.evidence.clone())
            }
        };
        if let Some(evidence) = evidence {
            fault.evidence = evidence;
            fault.effect_ns = Some((context.clock)());
            fault.phase = Phase::Installed;
            record_fault(context, fault.index, 1, bits(&nodes));
        }
    }

    fn undo(&mut self, at: usize, context: &mut FaultContext<'_>) {
        let fault = &mut self.faults[at];
        let kind = fault.plan.kind;
        let nodes = fault.resolved.nodes.clone();
        if fault.effect_ns.is_none() {
            record_fault(context, fault.index, 4, bits(&nodes));
        } else if links::mode(kind).is_some() {
            let now = context.cluster.links().map(|all| links::total(all, &fault.resolved.links));
            if let Some(evidence) = now.and_then(|now| links::effect(kind, fault.before, now)) {
                fault.evidence = evidence;
            }
        }
        match kind {
            FaultKind::Cut | FaultKind::Stall | FaultKind::Slow { .. } => {
                fault.phase = Phase::Over;
                self.set_links(at, context);
            }
            FaultKind::Pause => {
                for node in &nodes {
                    context.cluster.hands().map(|hands| hands.resume(*node));
                }
            }
            _ => {
                for node in &nodes {
                    let started = context.cluster.hands().and_then(|hands| {
                        // A graceful stop that took longer than the fault lasts ends here.
                        if hands.pid(*node).is_some() {
                            hands.kill(*node);
                            hands.exited(*node, Duration::from_secs(2));
                        }
                        hands.start(*node).ok()
                    });
                    if started.is_some() {
                        record_process(context, *node, 0, 0);
                        self.starting.insert(*node, (context.clock)());
                    }
                }
                let fault = &mut self.faults[at];
                fault.phase = Phase::Undoing;
                return;
            }
        }
        let fault = &mut self.faults[at];
        fault.undone_ns = Some((context.clock)());
        fault.phase = Phase::Over;
        record_fault(context, fault.index, 2, bits(&nodes));
    }

    /// A kill is undone when the node's door is open again.
    fn watch_restarts(&mut self, context: &mut FaultContext<'_>) {
        let mut opened = Vec::new();
        // A node that does not open its door by then is told as trouble.
        let restart_within_ns = context.cluster.ready_within().as_nanos() as u64;
        for (node, since) in &self.starting {
            let answers = context.cluster.hands().is_some_and(|hands| hands.accepts(*node));
            if answers || (context.clock)() > since + restart_within_ns {
                opened.push((*node, answers));
            }
        }
        for (node, answers) in opened {
            self.starting.remove(&node);
            if answers {
                record_process(context, node, 4, 0);
            }
        }
        let starting = &self.starting;
        for fault in &mut self.faults {
            let waits = fault.resolved.nodes.iter().any(|node| starting.contains_key(node));
            if fault.phase == Phase::Undoing && !waits {
                fault.phase = Phase::Over;
                fault.undone_ns = Some((context.clock)());
                record_fault(context, fault.index, 2, bits(&fault.resolved.nodes));
            }
        }
    }
}

/// A leader that comes back before it was replaced would only lead again, and nothing was put to the test.
fn waits_for_successor(fault: &Active, context: &FaultContext<'_>) -> bool {
    let Some((topic, partition)) = &fault.resolved.partition else { return false };
    let Some(state) = context.leadership.partition(topic, *partition) else { return false };
    let replaced = state.leader.is_some_and(|leader| !fault.resolved.nodes.contains(&leader));
    fault.plan.kind.is_kill()
        && state.replicas.len() > 1
        && !replaced
        && context.now_ns < fault.done_ns + SUCCESSOR_WITHIN_NS
}

fn is_due(trigger: Trigger, context: &FaultContext<'_>) -> bool {
    match trigger {
        Trigger::AtMs(ms) => context.now_ns >= context.load_begins_ns + ms * 1_000_000,
        Trigger::AfterAcked(count) => context.acked >= count,
    }
}

fn hit(hands: &mut dyn Hands, kind: FaultKind, node: NodeId) -> bool {
    match kind {
        FaultKind::Kill | FaultKind::KillDisk | FaultKind::KillPower => hands.kill(node),
        FaultKind::KillHost => hands.silence(node) && hands.kill(node),
        FaultKind::Stop => hands.stop(node),
        FaultKind::Pause => hands.pause(node),
        FaultKind::Cut | FaultKind::Stall | FaultKind::Slow { .. } => false,
    }
}

fn record_fault(context: &mut FaultContext<'_>, index: u32, flags: u8, nodes: u64) {
    (context.record)(Event {
        t_ns: (context.clock)(),
        msg: 0,
        a: nodes,
        b: index,
        kind: EventKind::Fault,
        flags,
        c: 0,
    });
}

fn record_process(context: &mut FaultContext<'_>, node: NodeId, flags: u8, code: u64) {
    let pid = context.cluster.hands().and_then(|hands| hands.pid(node)).unwrap_or(0);
    (context.record)(Event {
        t_ns: (context.clock)(),
        msg: u64::from(pid),
        a: code,
        b: node.0,
        kind: EventKind::Process,
        flags,
        c: 0,
    });
}
