//! The reference broker in deterministic simulation: three brokers, a controller and their clients under one seed.
//!
//! In:  a seed and [`Options`]. Out: an [`Outcome`] with everything that went wrong, the same each time.
//! Owns: virtual time, a network that cuts and half-opens, processes that die, clients, and the judgement.
//! Never: reads a clock, a file or a socket, or shares a line of logic with the nodes it watches.

mod client;
mod dice;
mod ledger;
mod net;
mod plan;
mod storm;
mod trace;
mod watch;
mod world;

use broker_core::{Endpoint, NodeConfig, NodeId, Peer, Role};

use client::{Admin, Producer, Reader};
use dice::{Concern, Dice};
use plan::{BROKERS, MS, Plan};
use storm::Storm;
use world::{Alarm, CLIENT_PORT, INTERNAL_PORT, World};

pub use ledger::Violation;
pub use plan::Options;

/// After the faults have ended, all must be whole within this virtual time.
const LIVENESS: u64 = 20_000 * MS;
const LOOK_EVERY: u64 = 50 * MS;

/// What became of a seed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Fingerprint of all that happened; the same for the same seed and build.
    pub trace_hash: u64,
    /// Steps of nodes.
    pub steps: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Batches that were sent again.
    pub retried: u64,
    /// What went wrong, earliest first; the first few of each kind.
    pub violations: Vec<Violation>,
}

impl Outcome {
    /// The command that shows the same again.
    pub fn replay(&self, options: &Options) -> String {
        let defects =
            options.defects.iter().fold(String::new(), |all, defect| all + " --defect " + defect.name());
        format!("cargo run -p broker-sim --release -- --seed {}{defects}", self.seed)
    }
}

/// Runs one seed to its end.
pub fn run(seed: u64, options: Options) -> Outcome {
    let plan = Plan::draw(seed);
    if options.verbose {
        eprintln!("{plan:#?}");
    }
    let configs = (0..=BROKERS).map(|index| node_config(index, &plan, options)).collect();
    let mut world = World::new(seed, &plan, configs, options);
    let mut run = Run::new(seed, &plan, &mut world);
    let mut storm = Storm::new(seed, &plan.weather, run.producers.len() + run.live.len(), &mut world);
    while !run.over && !world.crashed {
        if world.steps >= options.max_steps {
            world.ledger.violation("too-many-steps", format!("{} steps", world.steps));
            break;
        }
        match world.turn() {
            Some(Alarm::NextFault) => storm.strike(&mut world),
            Some(Alarm::Heal(from, to)) => world.heal(from, to),
            Some(Alarm::Calm) => {
                Storm::calm(&mut world);
                run.begin_end(&mut world);
            }
            Some(Alarm::Look) => run.look(&mut world),
            None => {}
        }
    }
    let (acknowledged, retried) = world.ledger.counts();
    Outcome {
        seed,
        trace_hash: world.trace_hash(),
        steps: world.steps,
        virtual_ms: world.now_ns / MS,
        faults: storm.faults,
        acknowledged,
        retried,
        violations: world.ledger.into_violations(),
    }
}

fn node_config(index: usize, plan: &Plan, options: Options) -> NodeConfig {
    let role = if index == 0 { Role::Controller } else { Role::Broker };
    let at = |port| Endpoint { host: format!("node-{index}"), port };
    let knobs = &plan.cluster;
    let voter = Peer { node: NodeId(0), endpoint: Endpoint { host: "node-0".into(), port: INTERNAL_PORT } };
    NodeConfig {
        controllers: vec![voter],
        auto_create_topics: false,
        min_insync_replicas: knobs.min_insync_replicas,
        flush: knobs.flush,
        segment_bytes: knobs.segment_bytes,
        index_interval_bytes: knobs.index_interval_bytes,
        replica_lag_time_max_ms: knobs.replica_lag_time_max_ms,
        replica_fetch_wait_max_ms: knobs.replica_fetch_wait_max_ms,
        broker_heartbeat_interval_ms: knobs.broker_heartbeat_interval_ms,
        broker_session_timeout_ms: knobs.broker_session_timeout_ms,
        defects: options.defects,
        ..NodeConfig::new(NodeId(index as i32), role, at(CLIENT_PORT), at(INTERNAL_PORT))
    }
}

/// The course of a run: produce under faults, become whole, read everything, judge.
struct Run {
    seed: u64,
    partitions: i32,
    admin: usize,
    producers: Vec<usize>,
    live: Vec<usize>,
    /// Reads everything at the end.
    last: Option<usize>,
    deadline_ns: u64,
    over: bool,
}

impl Run {
    fn new(seed: u64, plan: &Plan, world: &mut World) -> Self {
        let partitions = plan.cluster.partitions;
        let mut dice = Dice::new(seed, Concern::Workload);
        let mut own_dice = || Dice::new(dice.number(), Concern::Workload);
        let producers = (0..)
            .zip(&plan.workload.producers)
            .map(|(index, knobs)| Producer::new(index, knobs.clone(), partitions, own_dice()));
        let producers: Vec<Producer> = producers.collect();
        let live = (0..plan.workload.live_readers).map(|index| Reader::new(index, partitions, own_dice()));
        let live: Vec<Reader> = live.collect();
        let admin = Admin::new(own_dice(), partitions);
        Self {
            seed,
            partitions,
            producers: producers.into_iter().map(|producer| world.add_client(Box::new(producer))).collect(),
            live: live.into_iter().map(|reader| world.add_client(Box::new(reader))).collect(),
            admin: world.add_client(Box::new(admin)),
            last: None,
            deadline_ns: u64::MAX,
            over: false,
        }
    }

    fn begin_end(&mut self, world: &mut World) {
        self.deadline_ns = world.now_ns + LIVENESS;
        for producer in &self.producers {
            world.client(*producer).finish();
        }
        world.alarm(world.now_ns + LOOK_EVERY, Alarm::Look);
    }

    /// Goes on to the next stage as soon as this one is complete.
    fn look(&mut self, world: &mut World) {
        let trouble = self.unfinished(world);
        match (trouble, self.last) {
            (None, None) => self.read_everything(world),
            (None, Some(_)) => return self.judge(world),
            (Some(_), _) => {}
        }
        if world.now_ns >= self.deadline_ns {
            if let Some(trouble) = self.unfinished(world) {
                world.ledger.violation(
                    "no-progress",
                    format!("{} s after the last fault: {trouble}", LIVENESS / MS / 1000),
                );
            }
            return self.judge(world);
        }
        world.alarm(world.now_ns + LOOK_EVERY, Alarm::Look);
    }

    fn unfinished(&self, world: &mut World) -> Option<String> {
        if let Some(server) = world.servers.iter().find(|server| !server.is_ready()) {
            return Some(format!("node {} does not serve", server.id()));
        }
        let waits_for: Vec<usize> = if self.last.is_some() {
            self.live.iter().copied().chain(self.last).collect()
        } else {
            self.producers.iter().copied().chain([self.admin]).collect()
        };
        for client in waits_for {
            let client = world.client(client);
            if !client.is_done() {
                return Some(client.status());
            }
        }
        world.watch.is_settled(self.partitions, BROKERS).err()
    }

    fn read_everything(&mut self, world: &mut World) {
        let dice = Dice::new(self.seed.wrapping_add(1), Concern::Workload);
        let last = world.add_client(Box::new(Reader::new(self.live.len(), self.partitions, dice)));
        self.last = Some(last);
        for reader in self.live.iter().copied().chain([last]) {
            world.client(reader).finish();
            world.nudge(reader);
        }
    }

    fn judge(&mut self, world: &mut World) {
        world.full_check();
        if self.last.is_some() {
            world.ledger.judge(self.live.len(), self.partitions);
        }
        self.over = true;
    }
}
