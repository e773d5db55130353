//! A cell in the simulator: the course of `cell.rs` in virtual time, with the same faults, journals and judgement.
//!
//! Nothing in it depends on the machine: the run's number, which stands in every message, follows from the seed too.

mod clients;
mod drain;
mod eye;
mod record;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use broker_sim::scenario::{NewTopic, SimOrder, Simulation};
use mqproof_core::contract::{ack_waits_for, topic_settings};
use mqproof_core::history::{Event, EventKind, SealReason};
use mqproof_core::ids::NodeId;
use mqproof_core::plan::{Durability, Plan};
use mqproof_core::verdict::SystemInfo;

use super::cell::{CellOrder, CellOutcome};
use super::error::CellError;
use super::status::{CellStatus, Observer};
use crate::faults::{FaultContext, FaultEngine};
use crate::provision::{Hands, SimCluster};

use clients::Clients;
use eye::Eye;
use record::Record;

const MS: u64 = 1_000_000;
/// One turn of the conductor.
const TURN: u64 = 2 * MS;
/// Between two looks at the leaders.
const LOOK_EVERY: u64 = 10 * MS;
/// Between two reports to whoever watches, in turns.
const REPORT_EVERY: u64 = 200;
/// How long the cluster is given to be ready, and to be whole again.
const READY_WITHIN: u64 = 20_000 * MS;
/// From the start of the clients to the start of load: time to connect and to join groups.
const CLIENTS_LEAD: u64 = 2_000 * MS;
/// How long producers may take after the end of load, beyond what their own time-outs allow.
const PRODUCERS_GRACE: u64 = 70_000 * MS;
/// How long clients are given to commit and leave.
const LEAVE_WITHIN: u64 = 8_000 * MS;

/// Runs a cell in the simulator.
pub fn simulate(order: &CellOrder<'_>, observer: &mut dyn Observer) -> Result<CellOutcome, CellError> {
    let run_id = run_id(order.plan);
    let simulated = SimOrder { plan: order.plan, run_id, defects: order.defects };
    let simulation = Simulation::new(&simulated).map_err(CellError::Harness)?;
    let mut course = Course::prepare(order, run_id, simulation)?;
    course.run(observer);
    course.end()
}

/// The number of the run that stands in messages: the same for the same plan, so that all bytes are.
fn run_id(plan: &Plan) -> u64 {
    plan.seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A cell whose cluster is ready.
struct Course<'a> {
    order: &'a CellOrder<'a>,
    simulation: Rc<RefCell<Simulation>>,
    cluster: SimCluster,
    record: Record,
    clients: Clients,
    engine: FaultEngine,
    eye: Eye,
    load_begins_ns: u64,
    next_look_ns: u64,
    turns: u64,
    notes: Vec<String>,
    troubles: Vec<String>,
    /// Whether the cluster became whole after the load.
    healed: bool,
}

impl<'a> Course<'a> {
    fn prepare(order: &'a CellOrder<'a>, run_id: u64, mut simulation: Simulation) -> Result<Self, CellError> {
        let plan = order.plan;
        let nodes: Vec<NodeId> =
            (1..=plan.topology.brokers + plan.topology.controllers).map(NodeId).collect();
        let all_ready = |simulation: &Simulation| nodes.iter().all(|node| simulation.is_ready(*node));
        pass_until(&mut simulation, "the nodes do not serve", all_ready)?;
        simulation.create_topics(plan.topology.topics.keys().map(|name| new_topic(plan, name)).collect());
        pass_until(&mut simulation, "the topics were not created", Simulation::is_answered)?;
        pass_until(&mut simulation, "not all replicas are in sync", |simulation| is_whole(simulation, plan))?;

        let load_begins_ns = simulation.now_ns() + CLIENTS_LEAD;
        let mut record = Record::new(plan, run_id, simulation.now_ns(), load_begins_ns);
        let simulation = Rc::new(RefCell::new(simulation));
        let cluster = SimCluster::new(Rc::clone(&simulation), &plan.topology);
        for node in nodes {
            let pid = u64::from(cluster.pid(node).unwrap_or(0));
            record.note(EventKind::Process, 0, pid, 0, node.0, 0);
            record.note(EventKind::Process, 4, pid, 0, node.0, 0);
        }
        record.event(mark(load_begins_ns, 0));
        let clients = Clients::start(plan, load_begins_ns, &mut simulation.borrow_mut(), &mut record);
        Ok(Self {
            order,
            cluster,
            record,
            clients,
            engine: FaultEngine::new(plan, load_begins_ns),
            eye: Eye::default(),
            load_begins_ns,
            next_look_ns: 0,
            turns: 0,
            notes: vec!["virtual time: latencies and rates are those of a simulated network and disk".into()],
            troubles: Vec::new(),
            healed: true,
            simulation,
        })
    }

    fn run(&mut self, observer: &mut dyn Observer) {
        self.load(observer);
        if self.is_over() {
            self.record.note(EventKind::Mark, 3, 0, 0, 0, 0);
            return;
        }
        self.heal(observer);
        drain::drain(self, observer);
        self.record.note(EventKind::Mark, 2, 0, 0, 0, 0);
    }

    /// From the first message to the end of the last producer.
    fn load(&mut self, observer: &mut dyn Observer) {
        let end_ns = self.load_begins_ns + self.order.plan.load_ms * MS;
        while !self.is_over() {
            self.turn("load", observer);
            let now_ns = self.now_ns();
            let faults_over = self.engine.is_quiet() || now_ns >= end_ns;
            if self.clients.producers_ended() && !self.clients.has_crashes_left() && faults_over {
                break;
            }
            if now_ns > end_ns + PRODUCERS_GRACE {
                self.notes.push("a producer did not end by itself and was stopped".into());
                break;
            }
        }
        self.record.note(EventKind::Mark, 1, 0, 0, 0, 0);
    }

    /// Undoes every fault and waits until all nodes answer and every replica is in sync.
    fn heal(&mut self, observer: &mut dyn Observer) {
        self.with_faults(FaultEngine::undo_all);
        let until_ns = self.now_ns() + READY_WITHIN;
        loop {
            let whole = is_whole(&self.simulation.borrow(), self.order.plan);
            if (whole && self.engine.is_quiet()) || self.is_over() {
                return;
            }
            if self.now_ns() > until_ns {
                let seconds = READY_WITHIN / MS / 1000;
                self.notes.push(format!("the cluster did not heal within {seconds} s of virtual time"));
                self.healed = false;
                return;
            }
            self.turn("heal", observer);
        }
    }

    /// Lets a moment pass, and does what is due.
    fn turn(&mut self, phase: &'static str, observer: &mut dyn Observer) {
        let until_ns = self.pass();
        if until_ns >= self.next_look_ns {
            self.next_look_ns = until_ns + LOOK_EVERY;
            self.eye.look(&self.simulation.borrow(), &mut self.record);
        }
        self.clients.turn(&mut self.simulation.borrow_mut(), &mut self.record);
        self.with_faults(FaultEngine::turn);
        self.turns += 1;
        if self.turns.is_multiple_of(REPORT_EVERY) {
            let load_ns = (self.order.plan.load_ms * MS).max(1);
            observer.status(&CellStatus {
                phase,
                fault: self.engine.headline(until_ns),
                progress: (until_ns.saturating_sub(self.load_begins_ns) as f64 / load_ns as f64).min(1.0),
                ..CellStatus::default()
            });
        }
    }

    /// Lets a moment pass; the time after it.
    fn pass(&mut self) -> u64 {
        let until_ns = self.now_ns() + TURN;
        self.simulation.borrow_mut().advance(until_ns);
        self.record.set_time(until_ns);
        until_ns
    }

    fn with_faults(&mut self, act: impl FnOnce(&mut FaultEngine, &mut FaultContext<'_>)) {
        let Self { engine, cluster, eye, simulation, .. } = self;
        // Both closures write to the record, never at the same time.
        let record = RefCell::new(&mut self.record);
        let clock = || simulation.borrow().now_ns();
        let acked = simulation.borrow().acked();
        let mut before_kill = |topic: &str, partition: u32| {
            let seen = simulation.borrow().partitions();
            if let Some(bounds) = seen.get(&(topic.to_owned(), partition)).and_then(|one| one.bounds) {
                record.borrow_mut().bounds(topic, partition, bounds);
            }
        };
        let mut context = FaultContext {
            now_ns: clock(),
            clock: &clock,
            load_begins_ns: self.load_begins_ns,
            acked,
            leadership: &eye.leadership,
            cluster,
            record: &mut |event| record.borrow_mut().event(event),
            before_kill: &mut before_kill,
        };
        act(engine, &mut context);
    }

    fn now_ns(&self) -> u64 {
        self.simulation.borrow().now_ns()
    }

    fn is_interrupted(&self) -> bool {
        self.order.interrupted.load(Ordering::Relaxed)
    }

    /// Whether nothing that comes means anything any more.
    fn is_over(&self) -> bool {
        self.is_interrupted() || self.simulation.borrow().has_crashed()
    }

    /// Lets clients leave, writes the history, and says how it went.
    fn end(mut self) -> Result<CellOutcome, CellError> {
        let interrupted = self.is_interrupted();
        let reason = if interrupted { SealReason::Interrupted } else { SealReason::Clean };
        self.clients.finish(&mut self.simulation.borrow_mut());
        let until_ns = self.now_ns() + LEAVE_WITHIN;
        while !self.is_over() && !self.clients.all_ended() && self.now_ns() < until_ns {
            self.pass();
            self.clients.turn(&mut self.simulation.borrow_mut(), &mut self.record);
        }
        let seal = if interrupted { reason } else { SealReason::Killed };
        let left = self.clients.end_all(seal, &mut self.simulation.borrow_mut(), &mut self.record);
        self.notes.extend(left.into_iter().map(|what| format!("had to be ended: {what}")));
        let mut simulation = self.simulation.borrow_mut();
        simulation.full_check();
        let tapes = simulation.tapes();
        let troubles = tapes.iter().filter_map(|tape| Some((tape.meta.name(), tape.trouble.as_ref()?)));
        self.notes.extend(troubles.map(|(name, trouble)| format!("{name}: {trouble}")));
        self.record.write(&self.order.dir.join("history"), &tapes, reason)?;
        write_log(self.order, &simulation)?;
        let broken: Vec<String> =
            simulation.violations().iter().map(|one| format!("broker invariant broken: {one}")).collect();
        // A planted bug may break what it will; without one this is a bug of ours.
        if self.order.defects.is_empty() {
            self.troubles.extend(broken);
        } else {
            self.notes.extend(broken);
        }
        let system = system_info(self.order, &simulation);
        let faults = self.engine.results();
        let (notes, troubles, healed) = (self.notes, self.troubles, self.healed);
        Ok(CellOutcome { system, faults, notes, troubles, interrupted, healed })
    }
}

/// Lets virtual time pass until something is so.
fn pass_until(
    simulation: &mut Simulation,
    what: &str,
    is_so: impl Fn(&Simulation) -> bool,
) -> Result<(), CellError> {
    let until_ns = simulation.now_ns() + READY_WITHIN;
    while !is_so(simulation) {
        if simulation.now_ns() > until_ns || simulation.has_crashed() {
            let seconds = READY_WITHIN / MS / 1000;
            let why = match simulation.violations().first() {
                Some(violation) => violation.to_string(),
                None => format!("last error {}", simulation.last_error()),
            };
            return Err(CellError::Harness(format!("{what} within {seconds} s of virtual time: {why}")));
        }
        let next_ns = simulation.now_ns() + TURN;
        simulation.advance(next_ns);
    }
    Ok(())
}

fn new_topic(plan: &Plan, name: &str) -> NewTopic {
    let topic = &plan.topology.topics[name];
    NewTopic {
        name: name.to_owned(),
        partitions: topic.partitions,
        replicas: topic.replicas,
        settings: topic_settings("sim", plan, topic),
    }
}

/// Whether each partition of the plan has a leader and all its replicas in sync.
fn is_whole(simulation: &Simulation, plan: &Plan) -> bool {
    let wanted: u32 = plan.topology.topics.values().map(|topic| topic.partitions).sum();
    let seen = simulation.partitions();
    let whole = |one: &&broker_sim::scenario::PartitionSeen| {
        one.leader.is_some() && one.isr.len() >= one.replicas.len()
    };
    seen.values().filter(whole).count() == wanted as usize
}

fn mark(t_ns: u64, flags: u8) -> Event {
    Event { t_ns, msg: 0, a: 0, b: 0, kind: EventKind::Mark, flags, c: 0 }
}

fn write_log(order: &CellOrder<'_>, simulation: &Simulation) -> Result<(), CellError> {
    use std::fmt::Write as _;
    let mut text = String::new();
    for defect in order.defects {
        let _ = writeln!(text, "PLANTED DEFECT `{defect}`");
    }
    for violation in simulation.violations() {
        let _ = writeln!(text, "{violation}");
    }
    let (steps, ms) = (simulation.steps(), simulation.now_ns() / MS);
    let _ = writeln!(text, "{steps} steps in {ms} virtual ms, trace {:016x}", simulation.trace_hash());
    let path = order.dir.join("nodes").join("simulation.log");
    std::fs::write(&path, text)
        .map_err(|error| CellError::Disk(format!("cannot write `{}`: {error}", path.display())))
}

/// What it ran on, with the settings in force.
fn system_info(order: &CellOrder<'_>, simulation: &Simulation) -> SystemInfo {
    let plan = order.plan;
    let mut settings = BTreeMap::new();
    for (name, topic) in &plan.topology.topics {
        for (setting, value) in simulation.topic_settings(name) {
            settings.insert(format!("{name}: {setting}"), value);
        }
        settings.insert(format!("{name}: replication.factor"), topic.replicas.to_string());
    }
    let (acks, may_be_idempotent) = match plan.durability {
        Durability::None => ("0", false),
        Durability::Leader => ("1", false),
        Durability::Quorum | Durability::QuorumDisk => ("all", true),
    };
    for producer in &plan.producers {
        let idempotence = producer.idempotence && may_be_idempotent;
        let mut set =
            |name: &str, value: String| settings.insert(format!("{}: {name}", producer.role), value);
        set("acks", acks.into());
        set("enable.idempotence", idempotence.to_string());
        set("batches in flight per partition", producer.in_flight.to_string());
    }
    let waits_for = ack_waits_for("sim", plan);
    settings.extend(waits_for.map(|whom| ("ack waits for".to_owned(), whom.to_owned())));
    SystemInfo {
        name: order.target.system.name().into(),
        version: crate::commands::broker::REFERENCE_VERSION.into(),
        profile: "simulated".into(),
        durability: plan.durability.name().into(),
        settle: plan.consumers.first().map(|one| format!("{:?}", one.settle).to_lowercase()),
        settings,
        defects: order.defects.to_vec(),
        image: None,
        trace_hash: Some(format!("{:016x}", simulation.trace_hash())),
    }
}
