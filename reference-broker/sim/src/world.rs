//! The simulated world: virtual time, servers, clients, and what is to happen next.
//!
//! In:  a [`Plan`]. Out: steps of nodes and clients in a total order of (time, number).
//! Owns: the event queue, the network, the disks, the trace.
//! Never: judges; the [`Ledger`] and the [`Watch`] do.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use broker_core::disk::MemDisk;
use broker_core::{ConnId, Effect, Event, ListenerKind, Node, NodeConfig, NodeId, SyncToken};
use bytes::{Bytes, BytesMut};

use crate::client::{Client, ClientEffect, ClientEvent, ClientTurn, TOPIC};
use crate::dice::{Concern, Dice};
use crate::ledger::Ledger;
use crate::net::{Arrival, Delivery, Host, Item, Network, Side, WireId};
use crate::plan::{MS, Options, Plan};
use crate::trace::Trace;
use crate::watch::Watch;

/// As in the server: how long a connection may take to stand.
const DIAL_TIMEOUT: u64 = 1000 * MS;
/// Every so many steps all committed bytes are compared.
const FULL_CHECK_STEPS: u64 = 1000;
/// The time on every node's wall clock at the start, before its skew.
const WALL_START_MS: i64 = 1_800_000_000_000;

/// What is to happen at some time.
#[derive(Clone, Copy, Debug)]
enum Due {
    Tick {
        server: usize,
        incarnation: u32,
    },
    Synced {
        server: usize,
        incarnation: u32,
        token: SyncToken,
    },
    Arrive {
        wire: WireId,
        to: Side,
    },
    DialTimeout {
        host: Host,
        conn: ConnId,
        wire: WireId,
    },
    Wake {
        client: usize,
    },
    Start {
        server: usize,
    },
    /// For [`crate::run`]: the next fault, or the end of one.
    Alarm(Alarm),
}

/// What the storm has asked to be woken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alarm {
    NextFault,
    Heal(Host, Host),
    Calm,
    Look,
}

/// A connection as one host knows it.
struct Ours {
    wire: WireId,
    side: Side,
    connected: bool,
}

pub(crate) struct Server {
    config: NodeConfig,
    disk: MemDisk,
    node: Option<Node>,
    pub(crate) incarnation: u32,
    booted_ns: u64,
    wall_skew_ms: i64,
    conns: BTreeMap<ConnId, Ours>,
    accepted: u64,
    /// The earliest tick in the queue.
    tick_ns: u64,
    pub(crate) stopping: bool,
    pub(crate) starting: bool,
}

struct ClientSlot {
    client: Box<dyn Client>,
    conns: BTreeMap<ConnId, Ours>,
    wake_ns: u64,
}

pub(crate) struct World {
    pub(crate) now_ns: u64,
    queue: BTreeMap<(u64, u64), Due>,
    next_number: u64,
    pub(crate) net: Network,
    pub(crate) servers: Vec<Server>,
    clients: Vec<ClientSlot>,
    disk_dice: Dice,
    flush_delay_max: u64,
    pub(crate) ledger: Ledger,
    pub(crate) watch: Watch,
    trace: Trace,
    pub(crate) steps: u64,
    options: Options,
    effects: Vec<Effect>,
    arrivals: Vec<Arrival>,
    /// A node has panicked: nothing after that means anything.
    pub(crate) crashed: bool,
}

impl World {
    pub(crate) fn new(seed: u64, plan: &Plan, configs: Vec<NodeConfig>, options: Options) -> Self {
        let mut disk_dice = Dice::new(seed, Concern::Disk);
        let servers =
            configs.into_iter().map(|config| Server::new(config, plan.weather.wall_skew_ms, &mut disk_dice));
        let mut world = Self {
            now_ns: 0,
            queue: BTreeMap::new(),
            next_number: 0,
            net: Network::new(seed, &plan.weather),
            servers: servers.collect(),
            clients: Vec::new(),
            disk_dice,
            flush_delay_max: plan.weather.flush_delay_max,
            ledger: Ledger::default(),
            watch: Watch::default(),
            trace: Trace::new(),
            steps: 0,
            options,
            effects: Vec::new(),
            arrivals: Vec::new(),
            crashed: false,
        };
        for server in 0..world.servers.len() {
            world.servers[server].starting = true;
            world.push(0, Due::Start { server });
        }
        world
    }

    fn push(&mut self, at_ns: u64, due: Due) {
        self.next_number += 1;
        self.queue.insert((at_ns.max(self.now_ns), self.next_number), due);
    }

    pub(crate) fn alarm(&mut self, at_ns: u64, alarm: Alarm) {
        self.push(at_ns, Due::Alarm(alarm));
    }

    pub(crate) fn add_client(&mut self, client: Box<dyn Client>) -> usize {
        self.clients.push(ClientSlot { client, conns: BTreeMap::new(), wake_ns: u64::MAX });
        let client = self.clients.len() - 1;
        self.wake_at(client, self.now_ns);
        client
    }

    pub(crate) fn client(&mut self, client: usize) -> &mut dyn Client {
        self.clients[client].client.as_mut()
    }

    /// A client takes another look at what it has to do.
    pub(crate) fn nudge(&mut self, client: usize) {
        self.wake_at(client, self.now_ns);
    }

    pub(crate) fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.options.verbose {
            eprintln!("{:>12.6} {}", self.now_ns as f64 / 1e9, what());
        }
    }

    /// Lets time pass up to the next event, and carries it out. An alarm comes out for the storm.
    pub(crate) fn turn(&mut self) -> Option<Alarm> {
        let ((at_ns, number), due) = self.queue.pop_first()?;
        self.now_ns = at_ns;
        self.ledger.set_time(at_ns);
        self.trace.add(&[at_ns, number]);
        match due {
            Due::Alarm(alarm) => return Some(alarm),
            Due::Tick { server, incarnation } => self.tick(server, incarnation),
            Due::Synced { server, incarnation, token } => {
                if self.servers[server].incarnation == incarnation {
                    self.step_server(server, Event::Synced { token, result: Ok(()) });
                }
            }
            Due::Arrive { wire, to } => {
                if let Some(delivery) = self.net.arrive(wire, to) {
                    self.deliver(delivery);
                }
            }
            Due::DialTimeout { host, conn, wire } => self.dial_timeout(host, conn, wire),
            Due::Wake { client } => {
                if self.clients[client].wake_ns <= at_ns {
                    self.clients[client].wake_ns = u64::MAX;
                    self.step_client(client, ClientEvent::Wake);
                }
            }
            Due::Start { server } => self.start(server),
        }
        None
    }

    // --- servers ---

    /// Boots a process on the disk that the last one left.
    fn start(&mut self, index: usize) {
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
        let (config, now) = (server.config.clone(), server.now(now_ns));
        let (disk, effects) = (&mut server.disk, &mut self.effects);
        let booted = catch_unwind(AssertUnwindSafe(|| Node::boot(config, now, disk, effects)));
        self.say(|| format!("node {index} starts"));
        match booted {
            Ok(Ok(node)) => self.servers[index].node = Some(node),
            Ok(Err(error)) => {
                self.ledger.violation("boot-failed", format!("node {index}: {error}"));
                self.crashed = true;
            }
            Err(panic) => self.panicked(index, &*panic),
        }
        self.after_step(index);
    }

    fn tick(&mut self, index: usize, incarnation: u32) {
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
        let server = &mut self.servers[index];
        let now = server.now(self.now_ns);
        let Some(node) = &mut server.node else { return };
        let (disk, effects) = (&mut server.disk, &mut self.effects);
        let stepped = catch_unwind(AssertUnwindSafe(|| node.step(now, event, disk, effects)));
        if let Err(panic) = stepped {
            self.panicked(index, &*panic);
        }
        self.after_step(index);
    }

    fn panicked(&mut self, index: usize, panic: &(dyn std::any::Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        self.ledger.violation("panic", format!("node {index}: {text}"));
        self.crashed = true;
    }

    fn after_step(&mut self, index: usize) {
        self.steps += 1;
        self.perform(index);
        self.schedule_tick(index);
        let server = &mut self.servers[index];
        let Some(node) = &mut server.node else { return };
        for violation in node.invariants() {
            let at = format!("node {index} partition {}", violation.partition.partition);
            self.ledger.violation("invariant", format!("{at}: {}: {}", violation.rule, violation.detail));
        }
        self.watch.after_step(
            server.config.node_id,
            server.incarnation,
            node.partitions(),
            TOPIC,
            &mut self.ledger,
        );
        if self.steps.is_multiple_of(FULL_CHECK_STEPS) {
            self.full_check();
        }
    }

    /// Compares all committed bytes of all nodes that run.
    pub(crate) fn full_check(&mut self) {
        for server in &mut self.servers {
            if let Some(node) = &server.node {
                self.watch.committed_bytes(server.config.node_id, node, &mut server.disk, &mut self.ledger);
            }
        }
    }

    /// Carries out the effects of the last step of a node, in order.
    fn perform(&mut self, index: usize) {
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
                Effect::Close { conn } => self.close(Host::Server(index), conn),
                Effect::Sync { files: _, token } => {
                    let at_ns = self.now_ns + self.disk_dice.between(1, self.flush_delay_max);
                    let incarnation = self.servers[index].incarnation;
                    self.push(at_ns, Due::Synced { server: index, incarnation, token });
                }
                Effect::Exit { clean, reason } => {
                    self.say(|| format!("node {index} exits: {reason}"));
                    if !clean {
                        self.ledger.violation("gave-up", format!("node {index}: {reason}"));
                    }
                    self.kill(index);
                }
            }
        }
        self.effects = effects;
    }

    fn schedule_tick(&mut self, index: usize) {
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

    /// The process is gone from one moment to the next. What it wrote is there, flushed or not.
    pub(crate) fn kill(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if server.node.take().is_none() {
            return;
        }
        server.disk.close_all();
        let node_id = server.config.node_id;
        self.watch.died(node_id);
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

    // --- connections ---

    fn take_arrivals(&mut self) {
        for arrival in std::mem::take(&mut self.arrivals) {
            self.push(arrival.at_ns, Due::Arrive { wire: arrival.wire, to: arrival.to });
        }
    }

    fn conns(&mut self, host: Host) -> &mut BTreeMap<ConnId, Ours> {
        match host {
            Host::Server(index) => &mut self.servers[index].conns,
            Host::Client(index) => &mut self.clients[index].conns,
        }
    }

    fn dial(&mut self, host: Host, conn: ConnId, to: Host, listener: ListenerKind) {
        let wire = self.net.dial(self.now_ns, (host, conn), to, listener, &mut self.arrivals);
        self.conns(host).insert(conn, Ours { wire, side: Side::Dialer, connected: false });
        self.push(self.now_ns + DIAL_TIMEOUT, Due::DialTimeout { host, conn, wire });
        self.take_arrivals();
    }

    fn send(&mut self, host: Host, conn: ConnId, frame: Bytes) {
        self.trace.add(&[frame.len() as u64, u64::from(crc32c::crc32c(&frame))]);
        let Some(ours) = self.conns(host).get(&conn) else { return };
        let (wire, side) = (ours.wire, ours.side);
        self.net.send(self.now_ns, wire, side, Item::Frame(frame), &mut self.arrivals);
        self.take_arrivals();
    }

    fn close(&mut self, host: Host, conn: ConnId) {
        if let Some(ours) = self.conns(host).remove(&conn) {
            self.net.hang_up(self.now_ns, ours.wire, ours.side, &mut self.arrivals);
            self.take_arrivals();
        }
    }

    /// A connection ends under its host, which is told.
    pub(crate) fn break_off(&mut self, wire: WireId, side: Side) {
        let Some((host, conn)) = self.net.broken(wire, side) else { return };
        if self.conns(host).remove(&conn).is_some() {
            self.net.hang_up(self.now_ns, wire, side, &mut self.arrivals);
            self.take_arrivals();
            self.tell(host, conn, Told::Closed);
        }
    }

    pub(crate) fn heal(&mut self, from: Host, to: Host) {
        self.net.heal(self.now_ns, from, to, &mut self.arrivals);
        self.take_arrivals();
    }

    fn dial_timeout(&mut self, host: Host, conn: ConnId, wire: WireId) {
        if self.conns(host).get(&conn).is_some_and(|ours| ours.wire == wire && !ours.connected) {
            self.break_off(wire, Side::Dialer);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { host, wire, side, listener, conn, item } = delivery;
        match (item, conn) {
            (Item::Open, _) if side == Side::Acceptor => self.accept(host, wire, listener),
            (Item::Open, Some(conn)) => {
                if let Some(ours) = self.conns(host).get_mut(&conn) {
                    ours.connected = true;
                    self.tell(host, conn, Told::Connected);
                }
            }
            (Item::Frame(frame), Some(conn)) => self.tell(host, conn, Told::Frame(frame)),
            (Item::Closed, Some(conn)) => {
                self.net.let_go(wire, side);
                if self.conns(host).remove(&conn).is_some() {
                    self.tell(host, conn, Told::Closed);
                }
            }
            // The acceptor was not there when the connection opened.
            (_, None) => self.net.let_go(wire, side),
        }
    }

    fn accept(&mut self, host: Host, wire: WireId, listener: ListenerKind) {
        let Host::Server(index) = host else { return };
        let server = &mut self.servers[index];
        if server.node.is_none() {
            self.net.hang_up(self.now_ns, wire, Side::Acceptor, &mut self.arrivals);
            return self.take_arrivals();
        }
        server.accepted += 1;
        let conn = ConnId(server.accepted * 2);
        server.conns.insert(conn, Ours { wire, side: Side::Acceptor, connected: true });
        self.net.number(wire, conn);
        self.net.send(self.now_ns, wire, Side::Acceptor, Item::Open, &mut self.arrivals);
        self.take_arrivals();
        self.step_server(index, Event::Accepted { conn, listener });
    }

    fn tell(&mut self, host: Host, conn: ConnId, told: Told) {
        match host {
            Host::Server(index) => self.step_server(
                index,
                match told {
                    Told::Connected => Event::Connected { conn },
                    Told::Closed => Event::Closed { conn },
                    Told::Frame(frame) => Event::Frame { conn, frame },
                },
            ),
            Host::Client(index) => self.step_client(
                index,
                match told {
                    Told::Connected => ClientEvent::Connected(conn),
                    Told::Closed => ClientEvent::Closed(conn),
                    Told::Frame(frame) => ClientEvent::Frame(conn, frame),
                },
            ),
        }
    }

    // --- clients ---

    fn wake_at(&mut self, client: usize, at_ns: u64) {
        if at_ns < self.clients[client].wake_ns {
            self.clients[client].wake_ns = at_ns;
            self.push(at_ns, Due::Wake { client });
        }
    }

    fn step_client(&mut self, index: usize, event: ClientEvent) {
        let mut effects = Vec::new();
        let mut turn = ClientTurn { now_ns: self.now_ns, effects: &mut effects, ledger: &mut self.ledger };
        let wake_ns = self.clients[index].client.step(event, &mut turn);
        let host = Host::Client(index);
        for effect in effects {
            match effect {
                ClientEffect::Dial(conn, node) => {
                    self.dial(host, conn, Host::Server(node.0 as usize), ListenerKind::Client);
                }
                ClientEffect::Send(conn, frame) => self.send(host, conn, frame),
                ClientEffect::Close(conn) => self.close(host, conn),
            }
        }
        for (partition, end) in self.ledger.take_fresh_acks() {
            self.watch.acknowledged(partition, end, &mut self.ledger);
        }
        if wake_ns != u64::MAX {
            self.wake_at(index, wake_ns);
        }
    }
}

enum Told {
    Connected,
    Closed,
    Frame(Bytes),
}

pub(crate) const CLIENT_PORT: u16 = 9092;
pub(crate) const INTERNAL_PORT: u16 = 9093;

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

impl Server {
    fn new(config: NodeConfig, skew_max_ms: u64, dice: &mut Dice) -> Self {
        Self {
            config,
            disk: MemDisk::new(),
            node: None,
            incarnation: 0,
            booted_ns: 0,
            wall_skew_ms: dice.between(0, skew_max_ms) as i64,
            conns: BTreeMap::new(),
            accepted: 0,
            tick_ns: u64::MAX,
            stopping: false,
            starting: false,
        }
    }

    /// The node's own clocks: monotonic since its boot, wall with its skew.
    fn now(&self, now_ns: u64) -> broker_core::node::Now {
        broker_core::node::Now {
            mono_ns: now_ns - self.booted_ns,
            wall_ms: WALL_START_MS + self.wall_skew_ms + (now_ns / MS) as i64,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.node.is_some()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.node.as_ref().is_some_and(Node::is_ready)
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.node_id
    }
}
