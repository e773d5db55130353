//! Faults: who is hit, when, and for how long.
//!
//! In:  the weather of a plan. Out: kills, stops, cuts, and their end.
//! Owns: the stream of random numbers for faults. Never: hits anything after the calm has begun.

use broker_core::Event;

use crate::dice::{Concern, Dice};
use crate::net::Host;
use crate::plan::{BROKERS, MS, Weather};
use crate::world::{Alarm, World};

/// An orderly stop is given so long; then the process is killed.
const STOP_PATIENCE: u64 = 400 * MS;

pub(crate) struct Storm<'a> {
    weather: &'a Weather,
    clients: usize,
    dice: Dice,
    /// How many faults there were.
    pub(crate) faults: u64,
}

impl<'a> Storm<'a> {
    pub(crate) fn new(seed: u64, weather: &'a Weather, clients: usize, world: &mut World) -> Self {
        world.alarm(weather.faults_from, Alarm::NextFault);
        world.alarm(weather.faults_until, Alarm::Calm);
        Self { weather, clients, dice: Dice::new(seed, Concern::Faults), faults: 0 }
    }

    /// One fault, and the appointment for the next one.
    pub(crate) fn strike(&mut self, world: &mut World) {
        let next = world.now_ns + self.dice.between(1, self.weather.fault_pause * 2);
        if next < self.weather.faults_until {
            world.alarm(next, Alarm::NextFault);
        }
        self.faults += 1;
        match self.draw_kind() {
            0 => self.kill(world),
            1 => self.stop(world),
            2 => self.cut(world, true),
            _ => self.cut(world, false),
        }
    }

    fn draw_kind(&mut self) -> usize {
        let weights = self.weather.weights;
        let mut ticket = self.dice.between(1, weights.iter().sum());
        for (kind, weight) in weights.into_iter().enumerate() {
            if ticket <= weight {
                return kind;
            }
            ticket -= weight;
        }
        weights.len() - 1
    }

    /// The controller is hit less often than it would be as one of four.
    fn victim(&mut self) -> usize {
        if self.dice.percent(15) { 0 } else { self.dice.between(1, BROKERS as u64) as usize }
    }

    /// One process, sometimes two at once.
    fn kill(&mut self, world: &mut World) {
        let count = if self.dice.percent(20) { 2 } else { 1 };
        for _ in 0..count {
            let victim = self.victim();
            let downtime = self.dice.between(MS, self.weather.downtime_max);
            if world.servers[victim].is_up() {
                world.kill(victim);
                world.start_at(victim, world.now_ns + downtime);
            }
        }
    }

    fn stop(&mut self, world: &mut World) {
        let victim = self.victim();
        let downtime = STOP_PATIENCE + self.dice.between(MS, self.weather.downtime_max);
        let server = &mut world.servers[victim];
        if server.is_up() && !server.stopping {
            server.stopping = true;
            world.start_at(victim, world.now_ns + downtime);
            world.step_server(victim, Event::Shutdown);
        }
    }

    /// Between two servers, or a broker and a client.
    fn cut(&mut self, world: &mut World, both_ways: bool) {
        let broker = self.dice.between(1, BROKERS as u64) as usize;
        let other = if self.clients > 0 && self.dice.percent(25) {
            Host::Client(self.dice.between(0, self.clients as u64 - 1) as usize)
        } else {
            Host::Server((broker + self.dice.between(1, BROKERS as u64) as usize) % (BROKERS + 1))
        };
        let (mut from, mut to) = (Host::Server(broker), other);
        if self.dice.percent(50) {
            (from, to) = (to, from);
        }
        let until = world.now_ns + self.dice.between(MS, self.weather.cut_max);
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

    /// Everything is mended, and nothing breaks any more.
    pub(crate) fn calm(world: &mut World) {
        for (from, to) in world.net.cuts() {
            world.heal(from, to);
        }
        for server in 0..world.servers.len() {
            if !world.servers[server].is_up() && !world.servers[server].starting {
                world.start_at(server, world.now_ns);
            }
        }
    }
}
