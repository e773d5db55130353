//! The clients of a simulated cell, and their crashes.

use broker_sim::scenario::{ClientRef, LogSpan, Simulation};
use mqproof_core::history::{EventKind, SealReason};
use mqproof_core::plan::{CrashPlan, Plan};

use super::record::Record;

const SIGKILL: u64 = 9 | 1 << 32;

/// What a client is there for; the number stands in `Process` events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Producer = 1,
    Consumer = 2,
    Drain = 3,
}

struct One {
    client: ClientRef,
    kind: Kind,
    number: u16,
    incarnation: u16,
    ended: bool,
}

/// A crash of the plan that is still to come, or to be mended.
struct Crash {
    /// The consumer that it hits.
    number: u16,
    plan: CrashPlan,
    restart_ns: Option<u64>,
}

/// All clients, in the order of their start.
pub struct Clients {
    load_begins_ns: u64,
    all: Vec<One>,
    crashes: Vec<Crash>,
}

impl Clients {
    /// Starts those of the plan.
    pub fn start(plan: &Plan, load_begins_ns: u64, simulation: &mut Simulation, record: &mut Record) -> Self {
        let mut clients = Self { load_begins_ns, all: Vec::new(), crashes: Vec::new() };
        for number in 0..plan.producers.len() as u16 {
            let client = simulation.start_producer(number, load_begins_ns);
            clients.add(client, Kind::Producer, number, 0, record);
        }
        for (number, consumer) in (0..).zip(&plan.consumers) {
            let client = simulation.start_consumer(number, 0, load_begins_ns);
            clients.add(client, Kind::Consumer, number, 0, record);
            let crashes = consumer.crashes.iter();
            clients.crashes.extend(crashes.map(|plan| Crash { number, plan: *plan, restart_ns: None }));
        }
        clients
    }

    fn add(&mut self, client: ClientRef, kind: Kind, number: u16, incarnation: u16, record: &mut Record) {
        let one = One { client, kind, number, incarnation, ended: false };
        note(record, &one, 0, 0);
        self.all.push(one);
    }

    /// Starts a drain reader of a topic.
    pub fn drain(
        &mut self,
        number: u16,
        topic: &str,
        spans: Vec<LogSpan>,
        simulation: &mut Simulation,
        record: &mut Record,
    ) {
        let client = simulation.start_drain(number, topic, spans, self.load_begins_ns);
        self.add(client, Kind::Drain, number, 0, record);
    }

    /// Does the crashes that are due, and takes note of clients that have ended.
    pub fn turn(&mut self, simulation: &mut Simulation, record: &mut Record) {
        let now_ns = simulation.now_ns();
        let mut restarts = Vec::new();
        for (at, crash) in self.crashes.iter_mut().enumerate() {
            match crash.restart_ns {
                None if now_ns >= self.load_begins_ns + crash.plan.at_ms * 1_000_000 => {
                    crash.restart_ns = Some(now_ns + crash.plan.for_ms * 1_000_000);
                    let hit = |one: &&mut One| {
                        one.kind == Kind::Consumer && one.number == crash.number && !one.ended
                    };
                    if let Some(one) = self.all.iter_mut().find(hit) {
                        kill(one, SealReason::Killed, simulation, record);
                    }
                }
                Some(at_ns) if now_ns >= at_ns => restarts.push(at),
                _ => {}
            }
        }
        for at in restarts.into_iter().rev() {
            let number = self.crashes.remove(at).number;
            let before = self.all.iter().filter(|one| one.kind == Kind::Consumer && one.number == number);
            let incarnation = before.map(|one| one.incarnation + 1).max().unwrap_or(0);
            let client = simulation.start_consumer(number, incarnation, self.load_begins_ns);
            self.add(client, Kind::Consumer, number, incarnation, record);
        }
        for one in self.all.iter_mut().filter(|one| !one.ended) {
            if simulation.is_done(one.client) {
                one.ended = true;
                note(record, one, 1, 0);
                simulation.kill_client(one.client, SealReason::Clean);
            }
        }
    }

    /// Whether a crash is still to come or to be mended.
    pub fn has_crashes_left(&self) -> bool {
        !self.crashes.is_empty()
    }

    /// Whether all producers have ended.
    pub fn producers_ended(&self) -> bool {
        self.all.iter().filter(|one| one.kind == Kind::Producer).all(|one| one.ended)
    }

    /// Whether all drain readers have ended.
    pub fn drains_ended(&self) -> bool {
        self.all.iter().filter(|one| one.kind == Kind::Drain).all(|one| one.ended)
    }

    /// Whether all have.
    pub fn all_ended(&self) -> bool {
        self.all.iter().all(|one| one.ended)
    }

    /// Asks every client to finish.
    pub fn finish(&self, simulation: &mut Simulation) {
        for one in self.all.iter().filter(|one| !one.ended) {
            simulation.finish(one.client);
        }
    }

    /// Kills what did not end by itself, and says what it waited for.
    pub fn end_all(
        &mut self,
        reason: SealReason,
        simulation: &mut Simulation,
        record: &mut Record,
    ) -> Vec<String> {
        let mut waited = Vec::new();
        for one in self.all.iter_mut().filter(|one| !one.ended) {
            waited.push(simulation.status(one.client));
            kill(one, reason, simulation, record);
        }
        waited
    }
}

fn kill(one: &mut One, reason: SealReason, simulation: &mut Simulation, record: &mut Record) {
    one.ended = true;
    simulation.kill_client(one.client, reason);
    note(record, one, 1, SIGKILL);
}

fn note(record: &mut Record, one: &One, flags: u8, code: u64) {
    record.note(EventKind::Process, flags, pid(one), code, u32::from(one.number), one.kind as u16);
}

/// Stands for the process of a client.
fn pid(one: &One) -> u64 {
    10_000 * one.kind as u64 + 10 * u64::from(one.number) + u64::from(one.incarnation)
}
