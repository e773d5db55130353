//! The simulated world: virtual time, servers, clients, and what is to happen next.
//!
//! In:  a [`Climate`] and the nodes' settings. Out: steps of nodes and clients in a total order of (time, number).
//! Owns: the event queue, the network, the disks, the trace.
//! Never: judges; the [`Ledger`] and the [`Watch`] do.

mod clients;
mod connections;
mod disks;
mod processes;
mod server;

use std::collections::BTreeMap;

use broker_core::controller::{MetadataAudit, PartitionState, TopicPartitionId};
use broker_core::{ConnId, Effect, NodeConfig, Role, SyncToken};

use crate::client::{Client, ClientEvent};
use crate::dice::{Concern, Dice};
use crate::ledger::Ledger;
use crate::links::LinkId;
use crate::metadata::Metadata;
use crate::net::{Arrival, Host, Network, Side, WireId};
use crate::plan::{Climate, Options};
use crate::promise::Promise;
use crate::rarity::{Rarities, Rarity};
use crate::trace::Trace;
use crate::voters::Voters;
use crate::watch::Watch;

pub(crate) use server::Server;

/// Every so many steps all committed bytes are compared.
const FULL_CHECK_STEPS: u64 = 1000;

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
    /// The disk of a server works again.
    Mend(usize),
    /// All nodes lose their power now, whatever was promised.
    Blackout,
    /// Whether the next node may be restarted.
    Roll(Roll),
    /// A link is as fast again as it was.
    Hasten(LinkId),
    Calm,
    Look,
}

/// How far all nodes have been restarted, one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Roll {
    pub(crate) next: usize,
    pub(crate) left: usize,
    /// Of each, with its orderly stop.
    pub(crate) downtime: u64,
}

/// A connection as one host knows it.
struct Ours {
    wire: WireId,
    side: Side,
    connected: bool,
}

struct ClientSlot {
    /// None once its process was killed.
    client: Option<Box<dyn Client>>,
    conns: BTreeMap<ConnId, Ours>,
    wake_ns: u64,
}

pub(crate) struct World {
    pub(crate) now_ns: u64,
    queue: BTreeMap<(u64, u64), Due>,
    next_number: u64,
    pub(crate) net: Network,
    pub(crate) servers: Vec<Server>,
    /// The id of the first server.
    first_id: i32,
    brokers: u64,
    clients: Vec<ClientSlot>,
    disk_dice: Dice,
    flush_delay_max: u64,
    pub(crate) rarities: Rarities,
    pub(crate) promise: Promise,
    pub(crate) ledger: Ledger,
    pub(crate) watch: Watch,
    pub(crate) voters: Voters,
    /// Reads what is committed in the metadata log, once, whoever of the voters shows it.
    audit: MetadataAudit,
    metadata: Metadata,
    trace: Trace,
    /// The last that was told of each partition.
    said: BTreeMap<TopicPartitionId, PartitionState>,
    pub(crate) steps: u64,
    /// Deaths at the crash point.
    pub(crate) crashes: u64,
    /// The trace after each thousand steps, with the committed bytes of that moment in it.
    pub(crate) windows: Vec<u64>,
    pub(crate) full_check_steps: u64,
    options: Options,
    effects: Vec<Effect>,
    arrivals: Vec<Arrival>,
    /// A node has panicked: nothing after that means anything.
    pub(crate) crashed: bool,
}

impl World {
    /// Nodes whose ids count up, whatever the first one is.
    pub(crate) fn new(seed: u64, climate: Climate, configs: Vec<NodeConfig>, options: Options) -> Self {
        let mut disk_dice = Dice::new(seed, Concern::Disk);
        let first_id = configs.first().map_or(0, |config| config.node_id.0);
        let promise = Promise::of(&configs);
        let brokers = configs.iter().filter(|config| config.role == Role::Broker).count() as u64;
        let servers =
            configs.into_iter().map(|config| Server::new(config, climate.wall_skew_ms, &mut disk_dice));
        let mut world = Self {
            now_ns: 0,
            queue: BTreeMap::new(),
            next_number: 0,
            net: Network::new(seed, climate),
            servers: servers.collect(),
            first_id,
            brokers,
            clients: Vec::new(),
            disk_dice,
            flush_delay_max: climate.flush_delay_max,
            rarities: Rarities::default(),
            promise,
            ledger: Ledger::default(),
            watch: Watch::default(),
            voters: Voters::default(),
            audit: MetadataAudit::new(false),
            metadata: Metadata::default(),
            trace: Trace::new(),
            said: BTreeMap::new(),
            steps: 0,
            crashes: 0,
            windows: Vec::new(),
            full_check_steps: FULL_CHECK_STEPS,
            options,
            effects: Vec::new(),
            arrivals: Vec::new(),
            crashed: false,
        };
        if let Some(point) = options.crash
            && let Some(server) = world.servers.get_mut(point.node)
        {
            server.disk.set_trap(point.change, point.moment);
        }
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

    pub(crate) fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.options.verbose {
            eprintln!("{:>12.6} {}", self.now_ns as f64 / 1e9, what());
        }
    }

    /// When the next event is.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at_ns, _), _)| *at_ns)
    }

    /// Lets time pass up to the next event, and carries it out. An alarm comes out for the storm.
    pub(crate) fn turn(&mut self) -> Option<Alarm> {
        let ((at_ns, number), due) = self.queue.pop_first()?;
        self.now_ns = at_ns;
        self.ledger.set_time(at_ns);
        self.trace.add(&[at_ns, number]);
        if let Some(held) = self.held(&due) {
            held.push(due);
            return None;
        }
        match due {
            Due::Alarm(alarm) => return Some(alarm),
            Due::Tick { server, incarnation } => self.tick(server, incarnation),
            Due::Synced { server, incarnation, token } => {
                if self.servers[server].incarnation == incarnation {
                    self.synced(server, token);
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

    /// Compares all committed bytes of all nodes that run.
    pub(crate) fn full_check(&mut self) {
        for server in self.servers.iter_mut().filter(|server| !server.disk.faults.reads_fail) {
            if let Some(node) = &server.node {
                let (id, disk) = (server.config.node_id, &mut server.disk);
                self.watch.committed_bytes(id, node, disk, node.image(), &mut self.trace, &mut self.ledger);
                self.voters.committed_bytes(id, node, disk, &mut self.trace, &mut self.ledger);
            }
        }
        self.windows.push(self.trace.hash());
    }

    /// All that was rare and happened.
    pub(crate) fn rarities(&self) -> Rarities {
        let mut all = self.rarities.clone();
        self.servers.iter().for_each(|server| all.merge(&server.disk.rarities));
        self.watch.rarities(&mut all);
        self.ledger.rarities(&mut all);
        all.merge(&self.voters.rarities);
        all.merge(&self.metadata.rarities);
        all.add(Rarity::ControllerElected, self.voters.elections().saturating_sub(1));
        all
    }
}

pub(crate) const CLIENT_PORT: u16 = 9092;
pub(crate) const INTERNAL_PORT: u16 = 9093;
