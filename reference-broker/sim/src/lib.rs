//! The reference broker in deterministic simulation: three or five brokers, one controller or three, and their clients
//! under one seed.
//!
//! In:  a seed and [`Options`]. Out: an [`Outcome`] with everything that went wrong, the same each time.
//! Owns: virtual time, a network that cuts and half-opens, disks that keep only what was flushed, processes that die, machines that
//!       lose their power, clients, and the judgement.
//! Never: reads a clock, a file or a socket, or shares a line of logic with the nodes it watches.

mod client;
mod crash_point;
mod dice;
mod disk;
mod fault_set;
mod groups;
pub mod hunt;
mod ledger;
mod links;
mod metadata;
mod net;
mod payments;
mod plan;
mod promise;
mod rarity;
pub mod scenario;
mod shrink;
mod storm;
mod trace;
mod voters;
mod watch;
mod world;

use broker_core::{Endpoint, NodeConfig, NodeId, Peer, Role};

use client::{
    Admin, Deleter, Elder, GroupMember, HEARTBEAT_MS, Mover, PAYMENTS, Payer, PaymentsReader, Producer,
    Reader, Receipts, SESSION_MS, TOPIC,
};
use dice::{Concern, Dice};
use plan::{MS, Plan, Policy, REPLICAS};
use storm::Storm;
use world::{Alarm, CLIENT_PORT, INTERNAL_PORT, World};

pub use broker_core::{Defect, FlushPolicy};
pub use crash_point::{CrashPoint, Exploration, Moment, explore};
pub use fault_set::FaultSet;
pub use ledger::Violation;
pub use links::{LinkMode, LinkStats};
pub use plan::{Drill, Options, flush_name};
pub use rarity::{Rarities, Rarity};
pub use shrink::{Shrunk, shrink};

/// The number of the first transactional producer; others count from 0.
const FIRST_PAYER: u16 = 1000;
/// After the faults have ended, all must be whole within this virtual time.
const LIVENESS: u64 = 20_000 * MS;
const LOOK_EVERY: u64 = 50 * MS;

/// What became of a seed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Fingerprint of all that happened; the same for the same seed in every build.
    pub trace_hash: u64,
    /// The fingerprint after each thousand steps: the first that differs names the window in which two runs part.
    pub windows: Vec<u64>,
    /// Steps of nodes.
    pub steps: u64,
    /// Virtual time, in milliseconds.
    pub virtual_ms: u64,
    /// Faults that struck, and those that were left out.
    pub faults: u64,
    /// Deaths at the crash point.
    pub crashes: u64,
    /// How often the disk of each node was changed.
    pub disk_changes: Vec<u64>,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Batches that were sent again.
    pub retried: u64,
    /// Epochs of the metadata quorum in which somebody led.
    pub elections: u64,
    /// How many of the records that were acknowledged by all in-sync replicas were lost, claimed or not.
    pub lost: u64,
    /// Why a loss is not claimed, if it is not: the faults have gone beyond what the settings promise.
    pub not_claimed: Option<String>,
    /// What was rare and happened.
    pub rarities: Rarities,
    /// What went wrong, earliest first; the first few of each kind.
    pub violations: Vec<Violation>,
}

impl Outcome {
    /// The command that shows the same again.
    pub fn replay(&self, options: &Options) -> String {
        format!("cargo run -p broker-sim --release -- --seed {}{}", self.seed, options.arguments())
    }
}

/// Runs one seed to its end.
pub fn run(seed: u64, options: Options) -> Outcome {
    let plan = Plan::draw(seed, &options);
    if options.verbose {
        eprintln!("{plan:#?}");
    }
    let nodes = plan.cluster.brokers + plan.cluster.controllers;
    let configs = (0..nodes).map(|index| node_config(index, &plan, options)).collect();
    let mut world = World::new(seed, plan.weather.climate, configs, options);
    if options.lying_disks {
        world.let_disks_lie();
    }
    let mut run = Run::new(seed, &plan, &mut world);
    let mut storm = Storm::new(seed, &plan, options.spared, run.exposed(), &mut world);
    while !run.over && !world.crashed {
        if world.steps >= options.max_steps {
            world.ledger.violation("too-many-steps", format!("{} steps", world.steps));
            break;
        }
        match world.turn() {
            Some(Alarm::NextFault) => storm.strike(&mut world),
            Some(Alarm::Heal(from, to)) => world.heal(from, to),
            Some(Alarm::Mend(server)) => world.mend(server),
            Some(Alarm::Hasten(link)) => world.set_link(link, LinkMode::Pass),
            Some(Alarm::Roll(roll)) => storm.roll(roll, &mut world),
            Some(Alarm::Blackout) => storm.blackout(&mut world),
            Some(Alarm::Calm) => {
                let late_ns = storm.calm(&mut world);
                run.begin_end(late_ns, &mut world);
            }
            Some(Alarm::Look) => run.look(&mut world),
            None => {}
        }
    }
    let (acknowledged, retried) = world.ledger.counts();
    Outcome {
        seed,
        trace_hash: world.trace_hash(),
        windows: std::mem::take(&mut world.windows),
        crashes: world.crashes,
        disk_changes: world.servers.iter().map(|server| server.disk.changes).collect(),
        steps: world.steps,
        virtual_ms: world.now_ns / MS,
        faults: storm.faults,
        acknowledged,
        retried,
        elections: world.voters.elections(),
        lost: world.ledger.lost(),
        not_claimed: world.ledger.why_not_claimed().map(String::from),
        rarities: world.rarities(),
        violations: world.ledger.into_violations(),
    }
}

fn node_config(index: usize, plan: &Plan, options: Options) -> NodeConfig {
    let knobs = &plan.cluster;
    let role = if knobs.is_broker(index) { Role::Broker } else { Role::Controller };
    let at = |port| Endpoint { host: format!("node-{index}"), port };
    let voter = |index| {
        let endpoint = Endpoint { host: format!("node-{index}"), port: INTERNAL_PORT };
        Peer { node: NodeId(index as i32), endpoint }
    };
    NodeConfig {
        controllers: knobs.controller_ids().map(voter).collect(),
        auto_create_topics: false,
        min_insync_replicas: knobs.min_insync_replicas,
        flush: knobs.flush,
        segment_bytes: knobs.segment_bytes,
        index_interval_bytes: knobs.index_interval_bytes,
        replica_lag_time_max_ms: knobs.replica_lag_time_max_ms,
        replica_fetch_wait_max_ms: knobs.replica_fetch_wait_max_ms,
        broker_heartbeat_interval_ms: knobs.broker_heartbeat_interval_ms,
        broker_session_timeout_ms: knobs.broker_session_timeout_ms,
        quorum_election_timeout_ms: knobs.quorum_election_timeout_ms,
        quorum_fetch_timeout_ms: knobs.quorum_fetch_timeout_ms,
        auto_leader_rebalance: knobs.rebalance_ms.is_some(),
        leader_imbalance_check_interval_ms: knobs.rebalance_ms.unwrap_or_default(),
        metadata_segment_bytes: knobs.metadata_segment_bytes,
        metadata_snapshot_bytes: knobs.metadata_snapshot_bytes,
        quorum_snapshot_fetch_bytes: knobs.quorum_snapshot_fetch_bytes,
        // Records are stamped with the virtual time, which begins at 0.
        retention_ms: -1,
        producer_id_expiration_ms: i64::MAX,
        log_retention_check_interval_ms: plan.cleanup.check_interval_ms,
        offsets_topic_partitions: 1,
        transaction_topic_partitions: 2,
        offsets_retention_ms: knobs.offsets_retention_ms.unwrap_or(u64::MAX / 2),
        offsets_retention_check_interval_ms: knobs.offsets_retention_ms.unwrap_or(1_000_000) / 4,
        group_consumer_session_timeout_ms: SESSION_MS,
        group_consumer_heartbeat_interval_ms: HEARTBEAT_MS,
        defects: options.defects,
        ..NodeConfig::new(NodeId(index as i32), role, at(CLIENT_PORT), at(INTERNAL_PORT))
    }
}

/// The course of a run: produce under faults, become whole, read everything, judge.
struct Run {
    seed: u64,
    partitions: i32,
    admin: usize,
    mover: Option<usize>,
    producers: Vec<usize>,
    live: Vec<usize>,
    members: Vec<usize>,
    elders: Vec<usize>,
    payers: Vec<usize>,
    /// Creates the topic of transactions.
    payments_admin: Option<usize>,
    /// Read along what is committed, and, at the end, everything.
    payments_readers: Vec<usize>,
    payments_partitions: i32,
    /// Looks up the offsets that transactions have committed, at the end.
    receipts: Option<usize>,
    /// Whether the beginnings of logs may go.
    deletes: bool,
    /// Asks for records to be deleted.
    deleter: Option<usize>,
    /// Reads everything at the end.
    last: Option<usize>,
    late_ns: u64,
    deadline_ns: u64,
    /// Whoever moves partitions has been told to bring them back.
    moves_back: bool,
    over: bool,
}

impl Run {
    fn new(seed: u64, plan: &Plan, world: &mut World) -> Self {
        let partitions = plan.cluster.partitions;
        let (keys, deletes) = (plan.cleanup.keys(), plan.cleanup.deletes());
        let mut dice = Dice::new(seed, Concern::Workload);
        let mut own_dice = || Dice::new(dice.number(), Concern::Workload);
        let producers = (0..)
            .zip(&plan.workload.producers)
            .map(|(index, knobs)| Producer::new(index, knobs.clone(), keys, partitions, own_dice()));
        let producers: Vec<Producer> = producers.collect();
        let live =
            (0..plan.workload.live_readers).map(|index| Reader::new(index, partitions, deletes, own_dice()));
        let live: Vec<Reader> = live.collect();
        let admin = Admin::new(own_dice(), TOPIC, partitions, plan.cleanup.topic_configs());
        let asks = plan.cleanup.policy == Policy::Requests;
        let deleter = asks.then(|| Deleter::new(partitions, own_dice()));
        world.ledger.allow(deletes, keys > 0);
        let replicas_min = plan.cluster.min_insync_replicas as usize;
        let mover =
            plan.workload.mover_pause.map(|pause| Mover::new(own_dice(), partitions, replicas_min, pause));
        let members = (0..plan.workload.members).map(|index| GroupMember::new(index, partitions, own_dice()));
        let members: Vec<GroupMember> = members.collect();
        let elders = (0..plan.workload.elders).map(|index| Elder::new(index, partitions, own_dice()));
        let elders: Vec<Elder> = elders.collect();
        let payments_partitions = plan.workload.payments_partitions;
        let payers = (FIRST_PAYER..)
            .zip(&plan.workload.payers)
            .map(|(index, knobs)| Payer::new(index, knobs.clone(), payments_partitions, own_dice()));
        let payers: Vec<Payer> = payers.collect();
        let pays = !payers.is_empty();
        let payments_admin = pays.then(|| Admin::new(own_dice(), PAYMENTS, payments_partitions, Vec::new()));
        let payments_reader = pays.then(|| PaymentsReader::new(0, payments_partitions, own_dice()));
        Self {
            seed,
            partitions,
            producers: producers.into_iter().map(|producer| world.add_client(Box::new(producer))).collect(),
            live: live.into_iter().map(|reader| world.add_client(Box::new(reader))).collect(),
            members: members.into_iter().map(|member| world.add_client(Box::new(member))).collect(),
            elders: elders.into_iter().map(|elder| world.add_client(Box::new(elder))).collect(),
            payers: payers.into_iter().map(|payer| world.add_client(Box::new(payer))).collect(),
            payments_readers: payments_reader
                .map(|reader| world.add_client(Box::new(reader)))
                .into_iter()
                .collect(),
            payments_admin: payments_admin.map(|admin| world.add_client(Box::new(admin))),
            payments_partitions,
            admin: world.add_client(Box::new(admin)),
            mover: mover.map(|mover| world.add_client(Box::new(mover))),
            receipts: None,
            deletes,
            deleter: deleter.map(|deleter| world.add_client(Box::new(deleter))),
            last: None,
            late_ns: 0,
            deadline_ns: u64::MAX,
            moves_back: false,
            over: false,
        }
    }

    /// Clients whose connections may be cut: the first ones.
    fn exposed(&self) -> usize {
        self.producers.len()
            + self.live.len()
            + self.members.len()
            + self.elders.len()
            + self.payers.len()
            + self.payments_readers.len()
    }

    /// Until `late_ns` something may arrive that was sent before.
    fn begin_end(&mut self, late_ns: u64, world: &mut World) {
        (self.late_ns, self.deadline_ns) = (late_ns, late_ns + LIVENESS);
        let ends = self.producers.iter().chain(&self.members).chain(&self.elders).chain(&self.payers);
        for client in ends.chain(&self.deleter) {
            world.client(*client).into_iter().for_each(client::Client::finish);
        }
        world.alarm(world.now_ns + LOOK_EVERY, Alarm::Look);
    }

    /// Goes on to the next stage as soon as this one is complete.
    fn look(&mut self, world: &mut World) {
        if world.now_ns < self.late_ns {
            return world.alarm(self.late_ns, Alarm::Look);
        }
        if let Some(mover) = self.mover.filter(|_| !std::mem::replace(&mut self.moves_back, true)) {
            world.client(mover).into_iter().for_each(client::Client::finish);
            world.nudge(mover);
        }
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
            // Beyond the promise a coordinator may have forgotten a transaction that holds offsets back.
            let receipts = self.receipts.filter(|_| world.ledger.why_not_claimed().is_none());
            let ends = self.last.into_iter().chain(receipts);
            self.live.iter().chain(&self.payments_readers).copied().chain(ends).collect()
        } else {
            self.producers
                .iter()
                .chain(&self.members)
                .chain(&self.elders)
                .chain(&self.payers)
                .copied()
                .chain([self.admin])
                .chain(self.payments_admin)
                .chain(self.mover)
                .collect()
        };
        for client in waits_for {
            if let Some(client) = world.client(client).filter(|client| !client.is_done()) {
                return Some(client.status());
            }
        }
        let settled = world.watch.is_settled(self.partitions, REPLICAS);
        // Beyond the promise a coordinator may have forgotten a transaction that a partition remembers.
        let is_beyond = world.ledger.why_not_claimed().is_some();
        let decided = || if is_beyond { Ok(()) } else { world.watch.is_decided() };
        settled.and_then(|()| decided()).and_then(|()| world.voters.is_settled()).err()
    }

    fn read_everything(&mut self, world: &mut World) {
        let dice = Dice::new(self.seed.wrapping_add(1), Concern::Workload);
        let last =
            world.add_client(Box::new(Reader::new(self.live.len(), self.partitions, self.deletes, dice)));
        self.last = Some(last);
        if !self.payers.is_empty() {
            let dice = Dice::new(self.seed.wrapping_add(2), Concern::Workload);
            let index = self.payments_readers.len();
            let reader = PaymentsReader::new(index, self.payments_partitions, dice);
            self.payments_readers.push(world.add_client(Box::new(reader)));
            let dice = Dice::new(self.seed.wrapping_add(3), Concern::Workload);
            let receipts = Receipts::new(world.ledger.payments.offering(), dice);
            self.receipts = Some(world.add_client(Box::new(receipts)));
        }
        for reader in self.live.iter().chain(&self.payments_readers).copied().chain([last]) {
            world.client(reader).into_iter().for_each(client::Client::finish);
            world.nudge(reader);
        }
    }

    fn judge(&mut self, world: &mut World) {
        world.full_check();
        if self.last.is_some() {
            world.ledger.judge(self.live.len(), self.partitions);
            world.ledger.judge_payments(self.payments_readers.len().saturating_sub(1));
        }
        self.over = true;
    }
}
