//! The course of one cell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use mqproof_core::contract::{ack_waits_for, client_settings};
use mqproof_core::history::{Event, EventKind, SealReason};
use mqproof_core::ids::NodeId;
use mqproof_core::plan::Plan;
use mqproof_core::verdict::{FaultResult, SystemInfo};
use mqproof_drivers::admin::Admin;
use mqproof_drivers::client::{ClientJob, ClientLine};
use tokio::runtime::Handle;

use super::clients::{ClientSetup, Clients};
use super::connect::{connect, first_answer};
use super::drain;
use super::error::CellError;
use super::journal::ConductorJournal;
use super::message::Message;
use super::setup;
use super::simulated::simulate;
use super::status::{CellStatus, Observer};
use super::target::{System, Target};
use super::watch::Watcher;
use crate::clock::now_ns;
use crate::faults::{FaultContext, FaultEngine, Leadership};
use crate::provision::{Cluster, ClusterPool, ContainerOrder, Embedded, External, ProvisionError, product};

/// From the start of the clients to the start of load: time to connect and to join groups.
const CLIENTS_LEAD: Duration = Duration::from_millis(400);
/// The same where the nodes are those of a real product, whose clients need to find their way.
const CLIENTS_LEAD_CONTAINERS: Duration = Duration::from_secs(5);
/// How long producers may take after the end of load, beyond what their own time-outs allow.
const PRODUCERS_GRACE: Duration = Duration::from_secs(70);
/// How long producers may take to connect after they should have begun.
const CONNECT_WITHIN_NS: u64 = 10_000_000_000;
/// Between two looks at the free space of the run directory.
const DISK_LOOK_NS: u64 = 200_000_000;
/// With less than this brokers and recorders cannot go on.
const DISK_FREE_MIN_BYTES: u64 = 1 << 20;
/// How long a kill waits for the cluster to say what is replicated.
const METER_WITHIN: Duration = Duration::from_secs(1);
/// One turn of the loop.
const TURN: Duration = Duration::from_millis(4);

/// What a cell left besides its directory.
pub struct CellOutcome {
    /// What it ran on, with the settings in force.
    pub system: SystemInfo,
    /// The faults, with what was observed.
    pub faults: Vec<FaultResult>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Troubles of ours.
    pub troubles: Vec<String>,
    /// Whether it was cut short by Ctrl-C.
    pub interrupted: bool,
    /// Whether all nodes and replicas were back in the end; if not, nothing else can be asked of its cluster.
    pub healed: bool,
}

/// What a cell needs to run.
pub struct CellOrder<'a> {
    /// What is done.
    pub plan: &'a Plan,
    /// Where.
    pub target: &'a Target,
    /// Planted bugs.
    pub defects: &'a [String],
    /// Its directory, which exists.
    pub dir: &'a Path,
    /// Stands in every message.
    pub run_id: u64,
    /// For the proxies.
    pub runtime: &'a Handle,
    /// Set by Ctrl-C.
    pub interrupted: &'a AtomicBool,
}

impl CellOrder<'_> {
    /// Settings of the clients that the plan does not hold.
    fn client_settings(&self) -> BTreeMap<String, String> {
        let mut settings = client_settings(self.target.system.name(), self.plan);
        settings.extend(self.target.client.0.clone());
        settings
    }
}

/// Runs a cell to its end, whatever happens: clients have ended when it returns, and brokers too unless they go into the
/// pool for the next cell.
pub fn conduct(
    order: &CellOrder<'_>,
    pool: &mut ClusterPool,
    observer: &mut dyn Observer,
) -> Result<CellOutcome, CellError> {
    observer.status(&CellStatus { phase: "starting", ..CellStatus::default() });
    if order.target.is_containers() {
        return conduct_in_containers(order, pool, observer);
    }
    if order.target.system == System::Sim {
        return simulate(order, observer);
    }
    let mut cluster: Box<dyn Cluster> = match (order.target.system, &order.target.address) {
        (system, Some(address)) => Box::new(reach(system, address, &order.client_settings())?),
        (_, None) => Box::new(Embedded::start(
            order.plan,
            Embedded::failover_of(order.plan),
            order.dir,
            order.defects,
            order.runtime,
        )?),
    };
    let outcome = Running::prepare(order, &mut *cluster).and_then(|running| running.run(observer));
    cluster.shut_down();
    outcome
}

fn conduct_in_containers(
    order: &CellOrder<'_>,
    pool: &mut ClusterPool,
    observer: &mut dyn Observer,
) -> Result<CellOutcome, CellError> {
    let mut cluster = pool.take(&container_order(order)?)?;
    let outcome = Running::prepare(order, &mut cluster).and_then(|running| running.run(observer));
    match &outcome {
        Ok(whole) if whole.troubles.is_empty() && whole.healed && !whole.interrupted => {
            cluster.save_logs();
            pool.give_back(cluster);
        }
        _ => cluster.shut_down(),
    }
    outcome
}

/// What a cell needs of a cluster in containers.
pub fn container_order<'a>(order: &CellOrder<'a>) -> Result<ContainerOrder<'a>, CellError> {
    let system = order.target.system.name();
    let product = product(system)
        .ok_or_else(|| CellError::Harness(format!("`{system}` is not deployed in containers")))?;
    Ok(ContainerOrder {
        product,
        profile: order.target.profile_parts(),
        plan: order.plan,
        dir: order.dir,
        run_id: order.run_id,
        runtime: order.runtime,
    })
}

fn reach(system: System, address: &str, settings: &BTreeMap<String, String>) -> Result<External, CellError> {
    let admin = connect(system, address, settings)?;
    let cluster = first_answer(&*admin, address)?;
    Ok(External::new(address.to_owned(), cluster.brokers.iter().map(|one| NodeId(one.id as u32)).collect()))
}

/// A cell whose cluster is ready.
pub(super) struct Running<'a> {
    order: &'a CellOrder<'a>,
    cluster: &'a mut dyn Cluster,
    admin: Box<dyn Admin>,
    journal: ConductorJournal,
    clients: Clients,
    engine: FaultEngine,
    leadership: Leadership,
    inbox: Receiver<Message>,
    watcher: Option<Watcher>,
    load_begins_ns: u64,
    settings: BTreeMap<String, String>,
    notes: Vec<String>,
    troubles: Vec<String>,
    healed: bool,
    pace: Pace,
    /// Whether it was looked at that the producers began in time.
    producers_noted: bool,
    /// Whether the file system of the run directory is full, so that brokers and recorders fail through no fault of theirs.
    disk_full: bool,
    /// When the free space is looked at again.
    next_look_ns: u64,
}

impl<'a> Running<'a> {
    fn prepare(order: &'a CellOrder<'a>, cluster: &'a mut dyn Cluster) -> Result<Self, CellError> {
        let plan = order.plan;
        let bootstrap = cluster.bootstrap();
        let system = order.target.system;
        let mut client_settings = order.client_settings();
        client_settings.extend(cluster.client_settings());
        let admin = connect(system, &bootstrap, &client_settings)?;
        setup::wait_for_brokers(&*admin, cluster.brokers().len(), cluster.ready_within()).map_err(|why| {
            let hands = cluster.hands();
            let log = hands.map(|hands| hands.log_tail(NodeId(1))).unwrap_or_default();
            ProvisionError::NotReady { what: format!("the cluster is not ready: {why}"), log }
        })?;
        setup::create_topics(&*admin, plan, system.name())?;
        let settings = setup::read_back(&*admin, plan, system.name(), &order.target.profile_parts())?;
        let history = order.dir.join("history");
        let lead = if order.target.is_containers() { CLIENTS_LEAD_CONTAINERS } else { CLIENTS_LEAD };
        let load_begins_ns = now_ns() + lead.as_nanos() as u64;
        let mut journal = ConductorJournal::create(&history, plan, order.run_id, load_begins_ns)?;
        let (messages, inbox) = channel();
        let topics = journal.topics().to_vec();
        let watcher =
            Watcher::start(connect(system, &bootstrap, &client_settings)?, topics, messages.clone())
                .map_err(|error| CellError::Harness(format!("cannot start a thread: {error}")))?;
        note_nodes(&mut journal, cluster);
        let setup = ClientSetup {
            run_id: order.run_id,
            history_dir: history,
            log_dir: order.dir.join("clients"),
            load_begins_ns,
            driver: system.driver(),
            bootstrap,
            settings: client_settings,
            durability: plan.durability,
        };
        let mut clients = Clients::new(setup, messages);
        for (number, producer) in (0..).zip(&plan.producers) {
            clients.start(number, 0, ClientJob::Produce(producer.clone()), &mut journal)?;
        }
        for (number, consumer) in (0..).zip(&plan.consumers) {
            clients.start(number, 0, ClientJob::Consume(consumer.clone()), &mut journal)?;
        }
        Ok(Self {
            order,
            admin,
            journal,
            clients,
            engine: FaultEngine::new(plan, load_begins_ns),
            leadership: Leadership::default(),
            inbox,
            watcher: Some(watcher),
            load_begins_ns,
            settings,
            notes: link_notes(cluster),
            troubles: Vec::new(),
            healed: true,
            pace: Pace::default(),
            producers_noted: false,
            disk_full: false,
            next_look_ns: 0,
            cluster,
        })
    }

    fn run(mut self, observer: &mut dyn Observer) -> Result<CellOutcome, CellError> {
        let result = self.load_and_drain(observer);
        let interrupted = self.order.interrupted.load(Ordering::Relaxed);
        self.watcher = None;
        self.clients.stop_all();
        let ended =
            self.clients.end_all(Duration::from_secs(if interrupted { 1 } else { 5 }), &mut self.journal);
        let reason = if interrupted { SealReason::Interrupted } else { SealReason::Clean };
        self.journal.seal(reason);
        result?;
        ended?;
        self.troubles.extend(self.journal.trouble.take());
        self.clean_up();
        self.notes.extend(self.clients.troubles());
        let settle = self.order.plan.consumers.first().map(|one| format!("{:?}", one.settle).to_lowercase());
        let mut settings = std::mem::take(&mut self.settings);
        settings.extend(self.clients.settings());
        let waits_for = ack_waits_for(self.system(), self.order.plan);
        settings.extend(waits_for.map(|whom| ("ack waits for".to_owned(), whom.to_owned())));
        Ok(CellOutcome {
            system: SystemInfo {
                name: self.order.target.system.name().into(),
                version: version(self.order.target.system, self.cluster, &*self.admin),
                profile: self.cluster.profile().into(),
                durability: self.order.plan.durability.name().into(),
                settle,
                settings,
                defects: self.order.defects.to_vec(),
                image: self.cluster.image(),
                trace_hash: None,
            },
            faults: self.engine.results(),
            notes: self.notes,
            troubles: self.troubles,
            interrupted,
            healed: self.healed,
        })
    }

    /// A cluster that goes on is left as it was found.
    fn clean_up(&mut self) {
        if self.order.target.system != System::Reference {
            let topics: Vec<String> = self.order.plan.topology.topics.keys().cloned().collect();
            if let Err(error) = self.admin.delete_topics(&topics, setup::ASK) {
                self.notes.push(format!("the topics of this run are still there: {error}"));
            }
        }
    }

    fn load_and_drain(&mut self, observer: &mut dyn Observer) -> Result<(), CellError> {
        self.load(observer)?;
        if self.disk_full {
            return Ok(());
        }
        if self.is_interrupted() {
            self.journal.note(EventKind::Mark, 3, 0, 0, 0, 0);
            return Ok(());
        }
        self.heal(observer)?;
        drain::drain(self, observer)?;
        self.journal.note(EventKind::Mark, 2, 0, 0, 0, 0);
        Ok(())
    }

    /// From the first message to the end of the last producer.
    fn load(&mut self, observer: &mut dyn Observer) -> Result<(), CellError> {
        let mut begun = false;
        let end_ns = self.load_begins_ns + self.order.plan.load_ms * 1_000_000;
        let late_ns = end_ns + PRODUCERS_GRACE.as_nanos() as u64;
        while !self.is_interrupted() && !self.disk_full {
            self.turn()?;
            let now = now_ns();
            self.look_at_the_disk(now);
            if !self.producers_noted {
                self.look_at_the_producers(now)?;
            }
            if !begun && now >= self.load_begins_ns {
                begun = true;
                self.journal.record(mark(self.load_begins_ns, 0));
            }
            self.report("load", observer, end_ns);
            if self.clients.producers_ended()
                && !self.clients.has_crashes_left()
                && now >= self.faults_end_ns(end_ns)
            {
                break;
            }
            if now > late_ns {
                self.notes.push("a producer did not end by itself and was stopped".into());
                self.clients.stop_producers();
                break;
            }
        }
        self.journal.record(mark(now_ns(), 1));
        Ok(())
    }

    /// A closed-loop load may end before the faults of the plan are over; they are given their time.
    fn faults_end_ns(&self, end_ns: u64) -> u64 {
        if self.engine.is_quiet() { 0 } else { end_ns }
    }

    /// Once, when all are connected: whether they have in force what the class needs, and whether they are late.
    fn look_at_the_producers(&mut self, now: u64) -> Result<(), CellError> {
        if let Some((role, why)) = self.clients.never_ready() {
            return Err(CellError::Settings(format!("`{role}` ended before it was connected: {why}")));
        }
        if self.clients.producers_ready() {
            let profile = self.order.target.profile_parts();
            for (role, told) in self.clients.producer_settings() {
                setup::compare_producer(role, told, self.order.plan, self.system(), &profile)?;
            }
            if now > self.load_begins_ns + 100_000_000 {
                let late = (now - self.load_begins_ns) as f64 / 1e9;
                self.notes.push(format!(
                    "producers were connected {late:.1} s late: the first latencies count that"
                ));
            }
            self.producers_noted = true;
        } else if now > self.load_begins_ns + CONNECT_WITHIN_NS {
            return Err(CellError::Harness(format!(
                "a producer did not connect within {} s",
                CONNECT_WITHIN_NS / 1_000_000_000
            )));
        }
        Ok(())
    }

    /// A full disk ends the load: whatever fails now fails through us.
    fn look_at_the_disk(&mut self, now: u64) {
        if now < self.next_look_ns {
            return;
        }
        self.next_look_ns = now + DISK_LOOK_NS;
        let Ok(stat) = rustix::fs::statvfs(self.order.dir) else { return };
        if stat.f_bavail * stat.f_frsize < DISK_FREE_MIN_BYTES {
            self.disk_full = true;
            self.journal.note(EventKind::Trouble, 0, 0, 0, 0, 0);
            self.notes.push(format!("the disk that holds `{}` is full", self.order.dir.display()));
        }
    }

    /// Undoes every fault and waits until all nodes answer and every replica is in sync.
    fn heal(&mut self, observer: &mut dyn Observer) -> Result<(), CellError> {
        self.with_faults(FaultEngine::undo_all);
        let patience = self.cluster.ready_within();
        let until = Instant::now() + 2 * patience;
        while !self.engine.is_quiet() && !self.is_interrupted() {
            self.turn()?;
            self.report("heal", observer, now_ns());
            if Instant::now() > until {
                self.troubles.push("a node did not come back after its fault was undone".into());
                return Ok(());
            }
        }
        if let Err(why) = setup::wait_for_full_isr(&*self.admin, self.order.plan, patience) {
            self.healed = false;
            self.notes.push(format!("the cluster did not heal within {} s: {why}", patience.as_secs()));
        }
        Ok(())
    }

    /// Takes what came in, does what is due, at most for a few milliseconds.
    pub(super) fn turn(&mut self) -> Result<(), CellError> {
        let until = Instant::now() + TURN;
        loop {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(CellError::Harness("the watcher ended".into()));
                }
            }
            if Instant::now() >= until {
                break;
            }
        }
        self.clients.crash_due(now_ns(), &mut self.journal)?;
        self.with_faults(FaultEngine::turn);
        Ok(())
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Client(id, line) => {
                self.clients.line(id, &line);
                if let ClientLine::Counters(_) = line {
                    self.pace.note(now_ns(), self.clients.totals().acked);
                }
            }
            Message::ClientEnded(id) => self.clients.ended(id, &mut self.journal),
            Message::Observed(observation) => {
                note_leaders(&mut self.journal, &self.leadership, &observation.leadership, observation.t_ns);
                self.leadership = observation.leadership;
            }
        }
    }

    fn with_faults(&mut self, act: impl FnOnce(&mut FaultEngine, &mut FaultContext<'_>)) {
        let Self { engine, clients, leadership, cluster, journal, admin, load_begins_ns, .. } = self;
        // Both closures write to the journal, never at the same time.
        let journal = std::cell::RefCell::new(journal);
        let mut record = |event| journal.borrow_mut().record(event);
        let mut before_kill = |topic: &str, partition: u32| {
            let t_ns = now_ns();
            if let Ok((start, end)) = admin.replicated_bounds(topic, partition, METER_WITHIN) {
                let mut journal = journal.borrow_mut();
                let topic = journal.topic(topic);
                for (flags, a) in [(0, start), (1, end)] {
                    journal.record(Event {
                        t_ns,
                        msg: topic,
                        a,
                        b: partition,
                        kind: EventKind::LogBound,
                        flags,
                        c: 0,
                    });
                }
            }
        };
        let mut context = FaultContext {
            now_ns: now_ns(),
            clock: &now_ns,
            load_begins_ns: *load_begins_ns,
            acked: clients.totals().acked,
            leadership,
            cluster: &mut **cluster,
            record: &mut record,
            before_kill: &mut before_kill,
        };
        act(engine, &mut context);
    }

    pub(super) fn report(&self, phase: &'static str, observer: &mut dyn Observer, until_ns: u64) {
        let now = now_ns();
        let total = (self.order.plan.load_ms as f64 / 1000.0).max(0.1);
        let passed = (now as f64 - self.load_begins_ns as f64) / 1e9;
        observer.status(&CellStatus {
            phase,
            fault: self.engine.headline(now),
            progress: (passed / total).clamp(0.0, 1.0),
            acked_per_s: self.pace.per_s(),
            left_s: until_ns.saturating_sub(now) as f64 / 1e9,
        });
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.order.interrupted.load(Ordering::Relaxed)
    }

    pub(super) fn system(&self) -> &'static str {
        self.order.target.system.name()
    }

    pub(super) fn plan(&self) -> &'a Plan {
        self.order.plan
    }

    /// What the drain works with.
    pub(super) fn parts(&mut self) -> (&dyn Admin, &mut Clients, &mut ConductorJournal, &mut Vec<String>) {
        (&*self.admin, &mut self.clients, &mut self.journal, &mut self.notes)
    }
}

fn mark(t_ns: u64, flags: u8) -> Event {
    Event { t_ns, msg: 0, a: 0, b: 0, kind: EventKind::Mark, flags, c: 0 }
}

/// Messages acknowledged per second, over the last second.
#[derive(Default)]
struct Pace {
    samples: Vec<(u64, u64)>,
}

impl Pace {
    fn note(&mut self, now: u64, acked: u64) {
        self.samples.push((now, acked));
        self.samples.retain(|(t, _)| t + 1_000_000_000 >= now);
    }

    fn per_s(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some((t0, first)), Some((t1, last))) if t1 > t0 => {
                (last - first) as f64 * 1e9 / (t1 - t0) as f64
            }
            _ => 0.0,
        }
    }
}

fn version(system: System, cluster: &dyn Cluster, admin: &dyn Admin) -> String {
    if system == System::Reference {
        return crate::commands::broker::REFERENCE_VERSION.into();
    }
    let told = admin.version(setup::ASK).or_else(|| cluster.version());
    told.unwrap_or_else(|| "not told".into())
}

fn note_nodes(journal: &mut ConductorJournal, cluster: &mut dyn Cluster) {
    let nodes: Vec<_> = cluster.brokers().into_iter().chain(cluster.controllers()).collect();
    if let Some(hands) = cluster.hands() {
        for node in nodes {
            let pid = u64::from(hands.pid(node).unwrap_or(0));
            journal.note(EventKind::Process, 0, pid, 0, node.0, 0);
            journal.note(EventKind::Process, 4, pid, 0, node.0, 0);
        }
    }
}

fn note_leaders(journal: &mut ConductorJournal, before: &Leadership, now: &Leadership, t_ns: u64) {
    for ((topic, partition), state) in &now.partitions {
        if before.partition(topic, *partition) == Some(state) {
            continue;
        }
        // The protocol's client does not tell the epoch.
        let leader = state.leader.map_or(u32::MAX, |node| node.0);
        let event = Event {
            t_ns,
            msg: state.isr.iter().fold(0, |bits, node| bits | 1 << (node.0 & 63)),
            a: u64::from(leader) | u64::from(u32::MAX) << 32,
            b: *partition,
            kind: EventKind::Leader,
            flags: 0,
            c: journal.topic(topic) as u16,
        };
        journal.record(event);
    }
}

/// How links are disturbed, for the report.
fn link_notes(cluster: &dyn Cluster) -> Vec<String> {
    cluster.links().map(|links| format!("links: {}", links.means())).into_iter().collect()
}

/// The directories of a cell.
pub fn make_dirs(dir: &Path) -> std::io::Result<()> {
    for part in ["history", "clients", "nodes"] {
        std::fs::create_dir_all(dir.join(part))?;
    }
    Ok(())
}

/// Where the brokers of a cell store their logs.
pub fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}
