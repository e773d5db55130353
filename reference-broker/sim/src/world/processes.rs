//! Processes: they start, take steps, stand still, end, and are looked at after each step.

use std::panic::{AssertUnwindSafe, catch_unwind};

use broker_core::{Effect, Event, ListenerKind, Node};
use bytes::{Bytes, BytesMut};

use super::{CLIENT_PORT, Due, World};
use crate::client::TOPIC;
use crate::net::Host;
use crate::plan::MS;
use crate::rarity::Rarity;

/// How long a node is away that has died at a crash point.
const CRASH_DOWNTIME: u64 = 30 * MS;

impl World {
    /// Where something that is due waits, if its process stands still.
    pub(super) fn held(&mut self, due: &Due) -> Option<&mut Vec<Due>> {
        let server = match *due {
            Due::Tick { server, .. } | Due::Synced { server, .. } => server,
            Due::Arrive { wire, to } => match self.net.host(wire, to)? {
                Host::Server(server) => server,
                Host::Client(_) => return None,
            },
            Due::DialTimeout { host: Host::Server(server), .. } => server,
            _ => return None,
        };
        self.servers.get_mut(server)?.held.as_mut()
    }

    /// SIGSTOP: the process stands still, and what comes in waits. False if there is none.
    pub(crate) fn pause(&mut self, index: usize) -> bool {
        let server = &mut self.servers[index];
        if server.node.is_some() && server.held.is_none() {
            server.held = Some(Vec::new());
        }
        server.held.is_some()
    }

    /// SIGCONT. False if it did not stand still.
    pub(crate) fn resume(&mut self, index: usize) -> bool {
        let Some(held) = self.servers[index].held.take() else { return false };
        for due in held {
            self.push(self.now_ns, due);
        }
        true
    }

    /// Boots a process on the disk that the last one left.
    pub(super) fn start(&mut self, index: usize) {
        let now_ns = self.now_ns;
        let server = &mut self.servers[index];
        server.starting = false;
        if server.stopping {
            // The orderly stop took too long.
            self.kill(index);
        }
        let server = &mut self.servers[index];
        if server.node.is_some() {
            return;
        }
        server.incarnation += 1;
        server.booted_ns = now_ns;
        server.tick_ns = u64::MAX;
        server.stopping = false;
        server.served = false;
        server.struck = server.disk.faults.is_failing();
        let (config, now) = (server.config.clone(), server.now(now_ns));
        let _span = self.span(index).entered();
        let server = &mut self.servers[index];
        let (disk, effects) = (&mut server.disk, &mut self.effects);
        let booted = catch_unwind(AssertUnwindSafe(|| Node::boot(config, now, disk, effects)));
        self.say(|| format!("node {index} starts"));
        if self.servers[index].disk.take_sprung() {
            return self.die_at_crash_point(index);
        }
        match booted {
            Ok(Ok(node)) => self.servers[index].node = Some(node),
            Ok(Err(error)) if self.servers[index].struck => {
                self.say(|| format!("node {index} cannot start: {error}"));
                self.effects.clear();
                self.rarities.sometimes(Rarity::BootRefused);
                self.servers[index].disk.close_all();
                return;
            }
            Ok(Err(error)) => {
                self.ledger.violation("boot-failed", format!("node {index}: {error}"));
                self.crashed = true;
            }
            Err(panic) => self.panicked(index, &*panic),
        }
        self.after_step(index);
    }

    /// What a node logs bears its number and the virtual time.
    fn span(&self, index: usize) -> tracing::span::Span {
        if !self.options.verbose {
            return tracing::span::Span::none();
        }
        let at = format_args!("{:.6}", self.now_ns as f64 / 1e9).to_string();
        tracing::info_span!("node", index, at)
    }

    pub(super) fn tick(&mut self, index: usize, incarnation: u32) {
        let server = &mut self.servers[index];
        if server.incarnation != incarnation || server.tick_ns > self.now_ns {
            return;
        }
        server.tick_ns = u64::MAX;
        let due = server.node.as_ref().map_or(u64::MAX, Node::next_tick_ns);
        if due <= server.now(self.now_ns).mono_ns {
            self.step_server(index, Event::Tick);
        } else {
            self.schedule_tick(index);
        }
    }

    pub(crate) fn step_server(&mut self, index: usize, event: Event) {
        let _span = self.span(index).entered();
        let server = &mut self.servers[index];
        let now = server.now(self.now_ns);
        let Some(node) = &mut server.node else { return };
        let (disk, effects) = (&mut server.disk, &mut self.effects);
        let stepped = catch_unwind(AssertUnwindSafe(|| node.step(now, event, disk, effects)));
        if let Err(panic) = stepped {
            self.panicked(index, &*panic);
        } else if self.servers[index].disk.take_sprung() {
            return self.die_at_crash_point(index);
        }
        self.after_step(index);
    }

    /// A node has come to the change of its disk at which it was to die. What its step had to say is not said.
    fn die_at_crash_point(&mut self, index: usize) {
        self.effects.clear();
        self.steps += 1;
        self.crashes += 1;
        let Some(point) = self.options.crash else { return };
        if point.power {
            self.lose_power(index);
        } else {
            self.kill(index);
        }
        let server = &mut self.servers[index];
        server.disk.close_all();
        if let Some(more) = point.again.filter(|_| self.crashes == 1) {
            server.disk.set_trap(server.disk.changes + more, point.moment);
        }
        if !server.starting {
            self.start_at(index, self.now_ns + CRASH_DOWNTIME);
        }
    }

    /// Tells what is newly committed of leaders and in-sync sets.
    fn say_partitions(&mut self) {
        if !self.options.verbose {
            return;
        }
        let image = self.audit.image();
        for (id, partition) in image.partitions() {
            let state = &partition.state;
            if self.said.insert(id, state.clone()).as_ref() != Some(state) {
                let topic = image.topic(id.topic).map_or("", |topic| topic.name.as_str());
                eprintln!("{:>12.6} {topic} {}: {state:?}", self.now_ns as f64 / 1e9, id.partition);
            }
        }
    }

    pub(super) fn panicked(&mut self, index: usize, panic: &(dyn std::any::Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        self.ledger.violation("panic", format!("node {index}: {text}"));
        self.crashed = true;
    }

    pub(super) fn after_step(&mut self, index: usize) {
        self.steps += 1;
        self.perform(index);
        self.schedule_tick(index);
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return };
        server.served = server.served || node.is_ready();
        for violation in node.invariants() {
            let at = format!("node {index} partition {}", violation.partition.partition);
            self.ledger.violation("invariant", format!("{at}: {}: {}", violation.rule, violation.detail));
        }
        if let Some(view) = node.quorum() {
            self.voters.after_step(server.config.node_id, server.incarnation, view, &mut self.ledger);
        }
        match node.audit_metadata(&mut self.audit, &mut server.disk) {
            Ok(found) => {
                for violation in found {
                    self.ledger.violation("metadata", violation.to_string());
                }
            }
            // A disk that gives nothing says nothing about the log.
            Err(_) if server.disk.faults.reads_fail => {}
            Err(error) => self.ledger.violation("metadata", format!("node {index}: {error}")),
        }
        self.metadata.learn(self.audit.image());
        self.metadata.after_step(server.config.node_id, node, &mut server.disk, &mut self.ledger);
        self.watch.after_step(
            server.config.node_id,
            server.incarnation,
            node.partitions(),
            TOPIC,
            &self.audit,
            &mut self.ledger,
        );
        self.say_partitions();
        if self.steps.is_multiple_of(self.full_check_steps) {
            self.full_check();
        }
    }

    /// Carries out the effects of the last step of a node, in order.
    pub(super) fn perform(&mut self, index: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Dial { conn, node: _, endpoint } => {
                    let to =
                        Host::Server(endpoint.host.trim_start_matches("node-").parse().unwrap_or(usize::MAX));
                    let listener = if endpoint.port == CLIENT_PORT {
                        ListenerKind::Client
                    } else {
                        ListenerKind::Internal
                    };
                    self.dial(Host::Server(index), conn, to, listener);
                }
                Effect::Send { conn, parts } => self.send(Host::Server(index), conn, join(parts)),
                Effect::Admitted { .. } => {}
                Effect::Close { conn } => self.close(Host::Server(index), conn),
                Effect::Sync { files, token } => self.sync(index, &files, token),
                Effect::Exit { clean, reason } => self.exited(index, clean, &reason),
            }
        }
        self.effects = effects;
    }

    pub(super) fn schedule_tick(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let Some(node) = &server.node else { return };
        let due = node.next_tick_ns();
        if due == u64::MAX {
            return;
        }
        let at_ns = due.saturating_add(server.booted_ns).max(self.now_ns);
        if at_ns < server.tick_ns {
            server.tick_ns = at_ns;
            let incarnation = server.incarnation;
            self.push(at_ns, Due::Tick { server: index, incarnation });
        }
    }

    /// A process has ended by itself.
    pub(super) fn exited(&mut self, index: usize, clean: bool, reason: &str) {
        self.say(|| format!("node {index} exits: {reason}"));
        let server = &self.servers[index];
        match (clean, server.struck) {
            (true, _) => return self.end(index),
            (false, true) => self.rarities.sometimes(Rarity::Halted),
            (false, false) => self.ledger.violation("gave-up", format!("node {index}: {reason}")),
        }
        self.kill(index);
        if std::mem::take(&mut self.servers[index].disk.dropped) {
            self.lost_unflushed(index);
        }
    }

    /// The process is gone from one moment to the next. What it wrote is there, flushed or not.
    pub(crate) fn kill(&mut self, index: usize) {
        if self.servers[index].node.is_none() {
            return;
        }
        if !self.servers[index].served {
            self.rarities.sometimes(Rarity::DiedWhileStarting);
        }
        self.died_unclean(index);
        self.end(index);
    }

    /// The process ends.
    pub(super) fn end(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if server.node.take().is_none() {
            return;
        }
        server.held = None;
        server.flushes.clear();
        server.disk.close_all();
        let node_id = server.config.node_id;
        self.watch.died(node_id);
        self.voters.died(node_id);
        self.metadata.died(node_id);
        for (_, ours) in std::mem::take(&mut self.servers[index].conns) {
            self.net.hang_up(self.now_ns, ours.wire, ours.side, &mut self.arrivals);
        }
        self.take_arrivals();
        self.say(|| format!("node {index} is dead"));
    }

    pub(crate) fn start_at(&mut self, index: usize, at_ns: u64) {
        self.servers[index].starting = true;
        self.push(at_ns, Due::Start { server: index });
    }
}

fn join(parts: Vec<Bytes>) -> Bytes {
    if parts.len() == 1 {
        return parts.into_iter().next().unwrap_or_default();
    }
    let mut frame = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    for part in parts {
        frame.extend_from_slice(&part);
    }
    frame.freeze()
}
