//! Faults: who is hit, when, and for how long.
//!
//! In:  the weather of a plan. Out: kills, stops, cuts, losses of power, bad disks, and their end.
//! Owns: the stream of random numbers for faults. Never: hits anything after the calm has begun.

use std::collections::BTreeSet;

use broker_core::Event;

use crate::dice::{Concern, Dice};
use crate::fault_set::FaultSet;
use crate::links::{LinkId, LinkMode};
use crate::net::Host;
use crate::plan::{ClusterKnobs, MS, Plan, Strike, Weather};
use crate::rarity::Rarity;
use crate::world::{Alarm, Roll, World};

/// An orderly stop is given so long; then the process is killed.
const STOP_PATIENCE: u64 = 400 * MS;
/// How much later what is sent over a slow link arrives.
const SLOWEST_MS: u64 = 2000;
/// And how late it is anyway, at most.
const LATE: u64 = 200 * MS;
/// How often it is looked whether the next node may be restarted.
const ROLL_LOOK: u64 = 10 * MS;

pub(crate) struct Storm<'a> {
    weather: &'a Weather,
    cluster: &'a ClusterKnobs,
    controllers: Vec<usize>,
    clients: usize,
    dice: Dice,
    spared: FaultSet,
    /// All nodes are being restarted, one after another.
    rolling: bool,
    /// Links that were slow at some time.
    slow: BTreeSet<LinkId>,
    /// How many faults there were, those that were left out included.
    pub(crate) faults: u64,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(
        seed: u64,
        plan: &'a Plan,
        spared: FaultSet,
        clients: usize,
        world: &mut World,
    ) -> Self {
        let (weather, cluster) = (&plan.weather, &plan.cluster);
        let controllers = cluster.controller_ids().collect();
        world.alarm(weather.faults_from, Alarm::NextFault);
        if let Some(at_ns) = weather.blackout {
            world.alarm(at_ns, Alarm::Blackout);
        }
        world.alarm(weather.faults_until, Alarm::Calm);
        let dice = Dice::new(seed, Concern::Faults);
        Self {
            weather,
            cluster,
            controllers,
            clients,
            dice,
            spared,
            rolling: false,
            slow: BTreeSet::new(),
            faults: 0,
        }
    }

    /// One fault, and the appointment for the next one.
    pub(crate) fn strike(&mut self, world: &mut World) {
        let next = world.now_ns + self.dice.between(1, self.weather.fault_pause * 2);
        if next < self.weather.faults_until {
            world.alarm(next, Alarm::NextFault);
        }
        // Each fault has dice of its own, so that one that is left out does not change the others.
        let own = Dice::new(self.dice.number(), Concern::Faults);
        let common = std::mem::replace(&mut self.dice, own);
        if !self.spared.contains(self.faults) {
            self.strike_now(world);
        }
        self.dice = common;
        self.faults += 1;
    }

    fn strike_now(&mut self, world: &mut World) {
        match self.draw_kind() {
            Strike::Kill => self.kill(world),
            Strike::Stop => self.stop(world),
            Strike::CutPair => self.cut(world, true),
            Strike::CutOneWay => self.cut(world, false),
            Strike::Isolate => self.isolate(world),
            Strike::PowerLoss => self.power_loss(world),
            Strike::Blackout if self.may_go_dark(world) => self.blackout(world),
            Strike::Blackout => {}
            Strike::BadDisk => self.bad_disk(world),
            Strike::Roll => self.begin_to_roll(world),
            Strike::SlowLink => self.slow_down(world),
        }
    }

    fn draw_kind(&mut self) -> Strike {
        let weights = &self.weather.weights;
        let mut ticket = self.dice.between(1, weights.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in weights {
            if ticket <= *weight {
                return *kind;
            }
            ticket -= weight;
        }
        Strike::CutOneWay
    }

    fn may_die(&self, victim: usize, world: &mut World) -> bool {
        !self.weather.within_promise || world.may_die(victim)
    }

    fn may_lose(&self, victim: usize, world: &mut World) -> bool {
        !self.weather.within_promise || world.may_lose_unflushed(victim)
    }

    fn may_go_dark(&self, world: &mut World) -> bool {
        !self.weather.within_promise || world.may_go_dark()
    }

    /// A lone controller is hit less often than it would be as one of four, and of several the one that leads more often
    /// than the others.
    fn victim(&mut self, world: &World) -> usize {
        if !self.dice.percent(if self.controllers.len() > 1 { 40 } else { 15 }) {
            return self.dice.between(1, self.cluster.brokers as u64) as usize;
        }
        match world.voters.leader() {
            Some(leader) if self.dice.percent(40) => leader.0 as usize,
            _ => self.controllers[self.dice.between(0, self.controllers.len() as u64 - 1) as usize],
        }
    }

    /// One process, sometimes two at once.
    fn kill(&mut self, world: &mut World) {
        let count = if self.dice.percent(20) { 2 } else { 1 };
        for _ in 0..count {
            let victim = self.victim(world);
            let downtime = self.dice.between(MS, self.weather.downtime_max);
            if world.servers[victim].is_up() && self.may_die(victim, world) {
                world.kill(victim);
                world.start_at(victim, world.now_ns + downtime);
            }
        }
    }

    fn stop(&mut self, world: &mut World) {
        let victim = self.victim(world);
        let downtime = STOP_PATIENCE + self.dice.between(MS, self.weather.downtime_max);
        self.restart(victim, downtime, world);
    }

    /// False if that is not possible now, or not allowed.
    fn restart(&self, victim: usize, downtime: u64, world: &mut World) -> bool {
        // It is killed if it takes too long.
        let may_die = self.may_die(victim, world);
        let server = &mut world.servers[victim];
        let restarts = server.is_up() && !server.stopping && may_die;
        if restarts {
            server.stopping = true;
            world.start_at(victim, world.now_ns + downtime);
            world.step_server(victim, Event::Shutdown);
        }
        restarts
    }

    /// Restarts all nodes one after another, as for a new version of the broker.
    fn begin_to_roll(&mut self, world: &mut World) {
        if !self.rolling {
            self.rolling = true;
            let nodes = world.servers.len();
            let next = self.dice.between(0, nodes as u64 - 1) as usize;
            let downtime = self.dice.between(ROLL_LOOK, STOP_PATIENCE);
            self.roll(Roll { next, left: nodes, downtime }, world);
        }
    }

    /// The next node, as soon as all of them serve.
    pub(crate) fn roll(&mut self, mut roll: Roll, world: &mut World) {
        if world.now_ns >= self.weather.faults_until {
            return;
        }
        if world.servers.iter().all(|server| server.is_ready() && !server.stopping) {
            if roll.left == 0 {
                world.rarities.sometimes(Rarity::RolledThrough);
                self.rolling = false;
                return;
            }
            if self.restart(roll.next, roll.downtime, world) {
                roll = Roll { next: (roll.next + 1) % world.servers.len(), left: roll.left - 1, ..roll };
            }
        }
        world.alarm(world.now_ns + ROLL_LOOK, Alarm::Roll(roll));
    }

    /// One machine, whether its process runs or not.
    fn power_loss(&mut self, world: &mut World) {
        let victim = self.victim(world);
        if self.may_lose(victim, world) {
            self.lose_power(victim, world);
        }
    }

    fn lose_power(&mut self, victim: usize, world: &mut World) {
        let downtime = self.dice.between(MS, self.weather.downtime_max);
        world.lose_power(victim);
        if !world.servers[victim].starting {
            world.start_at(victim, world.now_ns + downtime);
        }
    }

    /// All machines at once; each comes back in its own time.
    pub(crate) fn blackout(&mut self, world: &mut World) {
        world.rarities.sometimes(Rarity::Blackout);
        for victim in 0..world.servers.len() {
            self.lose_power(victim, world);
        }
    }

    /// One disk, until it is mended.
    fn bad_disk(&mut self, world: &mut World) {
        let victim = self.victim(world);
        let until = world.now_ns + self.dice.between(MS, self.weather.downtime_max);
        if !self.may_lose(victim, world) {
            return;
        }
        let room = self.dice.between(0, 20_000) as usize;
        let slow = self.dice.between(50, 1000) * MS;
        let server = &mut world.servers[victim];
        let is_broker = self.cluster.is_broker(victim);
        server.struck = true;
        let capacity = server.disk.used() + room;
        let faults = &mut server.disk.faults;
        match self.dice.between(0, 4) {
            0 => faults.flush_fails = true,
            1 => faults.writes_fail = true,
            2 if is_broker => faults.reads_fail = true,
            3 => faults.capacity = Some(capacity),
            _ => server.slow_flush_max = Some(slow),
        }
        world.alarm(until, Alarm::Mend(victim));
    }

    /// Between two servers, or a server and a client.
    fn cut(&mut self, world: &mut World, both_ways: bool) {
        let one = self.victim(world);
        let is_broker = self.cluster.is_broker(one);
        let other = if is_broker && self.clients > 0 && self.dice.percent(25) {
            Host::Client(self.dice.between(0, self.clients as u64 - 1) as usize)
        } else {
            let others = world.servers.len() as u64 - 1;
            Host::Server((one + self.dice.between(1, others) as usize) % world.servers.len())
        };
        let (mut from, mut to) = (Host::Server(one), other);
        if self.dice.percent(50) {
            (from, to) = (to, from);
        }
        let until = world.now_ns + self.dice.between(MS, self.weather.cut_max);
        Self::cut_link(world, from, to, both_ways, until);
    }

    /// One server from all other servers. Clients still reach it.
    fn isolate(&mut self, world: &mut World) {
        let one = self.victim(world);
        let until = world.now_ns + self.dice.between(MS, self.weather.cut_max);
        for other in (0..world.servers.len()).filter(|other| *other != one) {
            Self::cut_link(world, Host::Server(one), Host::Server(other), true, until);
        }
    }

    fn cut_link(world: &mut World, from: Host, to: Host, both_ways: bool, until: u64) {
        world.net.cut(from, to);
        world.alarm(until, Alarm::Heal(from, to));
        if both_ways {
            world.net.cut(to, from);
            world.alarm(until, Alarm::Heal(to, from));
        }
        for (wire, side) in world.net.breaks(from, to) {
            world.break_off(wire, side);
        }
    }

    /// The link from all clients, or from another node, to a broker.
    fn slow_down(&mut self, world: &mut World) {
        let to = self.dice.between(1, self.cluster.brokers as u64) as usize;
        let from = if self.dice.percent(70) { None } else { Some(self.victim(world)) };
        let until = world.now_ns + self.dice.between(MS, 4 * self.weather.cut_max);
        let latency_ns = self.dice.magnitude(50, SLOWEST_MS) * MS;
        let link = LinkId::new(from, to);
        world.set_link(link, LinkMode::Slow { latency_ns, bytes_per_s: 0 });
        world.alarm(until, Alarm::Hasten(link));
        self.slow.insert(link);
    }

    /// Everything is mended, and nothing breaks any more. Until when something may still arrive that was sent before.
    pub(crate) fn calm(&mut self, world: &mut World) -> u64 {
        for link in &self.slow {
            world.set_link(*link, LinkMode::Pass);
        }
        for (from, to) in world.net.cuts() {
            world.heal(from, to);
        }
        for server in 0..world.servers.len() {
            world.mend(server);
        }
        if self.slow.is_empty() { world.now_ns } else { world.now_ns + SLOWEST_MS * MS + LATE }
    }
}
