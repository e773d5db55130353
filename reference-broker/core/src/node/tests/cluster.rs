//! A cluster in one thread: frames are handed over at once, time moves only when asked, links can be cut.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use crate::disk::MemDisk;
use crate::ids::{ConnId, NodeId};
use crate::node::{
    Effect, Endpoint, Event, ListenerKind, Node, NodeConfig, Now, PartitionView, Peer, Role, SyncToken,
};
use crate::record::batches;
use crate::wire::{self, Asked};

pub(super) const CONTROLLER: NodeId = NodeId(100);
const MS: u64 = 1_000_000;

/// Where a connection ends.
type End = (NodeId, ConnId);

/// One running process.
struct Process {
    node: Node,
    syncs: Vec<SyncToken>,
}

/// A connection of the test itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Client(NodeId, ConnId);

pub(super) struct Cluster {
    pub(super) now: Now,
    configs: BTreeMap<NodeId, NodeConfig>,
    disks: BTreeMap<NodeId, MemDisk>,
    running: BTreeMap<NodeId, Process>,
    links: BTreeMap<End, End>,
    next_accepted: u64,
    events: VecDeque<(NodeId, Event)>,
    answers: BTreeMap<Client, VecDeque<Bytes>>,
    pub(super) closed: BTreeSet<Client>,
    pub(super) exits: Vec<(NodeId, bool, String)>,
    /// Links over which nothing passes: pairs of dialler and dialled.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Flushes end only when told so.
    pub(super) hold_syncs: bool,
    /// The rules that were broken; only with planted bugs.
    pub(super) broken: BTreeSet<&'static str>,
}

impl Cluster {
    /// A controller and brokers 1 to `brokers`, all running and not fenced.
    pub(super) fn start(brokers: i32, adapt: impl Fn(&mut NodeConfig)) -> Self {
        let mut cluster = Self {
            now: Now { mono_ns: MS, wall_ms: 1_700_000_000_000 },
            configs: BTreeMap::new(),
            disks: BTreeMap::new(),
            running: BTreeMap::new(),
            links: BTreeMap::new(),
            next_accepted: 2,
            events: VecDeque::new(),
            answers: BTreeMap::new(),
            closed: BTreeSet::new(),
            exits: Vec::new(),
            cut: BTreeSet::new(),
            hold_syncs: false,
            broken: BTreeSet::new(),
        };
        let endpoint = |node: NodeId| Endpoint { host: format!("n{node}"), port: 9092 };
        for node in std::iter::once(CONTROLLER).chain((1..=brokers).map(NodeId)) {
            let role = if node == CONTROLLER { Role::Controller } else { Role::Broker };
            let mut config =
                NodeConfig::new(node, role, endpoint(node), endpoint(node)).with_quick_failover();
            config.controllers = vec![Peer { node: CONTROLLER, endpoint: endpoint(CONTROLLER) }];
            config.default_replication_factor = config.default_replication_factor.min(brokers as i16);
            // The time stamps of tests are their own.
            config.retention_ms = -1;
            adapt(&mut config);
            cluster.configs.insert(node, config);
            cluster.disks.insert(node, MemDisk::new());
            cluster.boot(node);
        }
        cluster.until("all brokers are ready", |cluster| {
            cluster.running.values().all(|process| process.node.is_ready())
        });
        cluster
    }

    pub(super) fn boot(&mut self, node: NodeId) {
        let mut effects = Vec::new();
        let disk = self.disks.get_mut(&node).expect("a disk");
        let config = self.configs[&node].clone();
        let booted = Node::boot(config, self.now, disk, &mut effects).expect("boots");
        self.running.insert(node, Process { node: booted, syncs: Vec::new() });
        self.carry_out(node, effects);
        self.settle();
    }

    /// Ends a process at once; its disk keeps what was written.
    pub(super) fn kill(&mut self, node: NodeId) {
        self.running.remove(&node);
        self.disks.get_mut(&node).expect("a disk").close_all();
        self.events.retain(|(to, _)| *to != node);
        let ends: Vec<End> = self.links.keys().filter(|(at, _)| *at == node).copied().collect();
        for end in ends {
            self.hang_up(end);
        }
        let clients: Vec<Client> = self.answers.keys().filter(|client| client.0 == node).copied().collect();
        self.closed.extend(clients);
        self.settle();
    }

    /// Nothing passes from now on over connections that `from` dials to `to`, and they stay open.
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Changes the configuration that a node boots with next.
    pub(super) fn adapt(&mut self, node: NodeId, adapt: impl FnOnce(&mut NodeConfig)) {
        adapt(self.configs.get_mut(&node).expect("a configuration"));
    }

    pub(super) fn node(&mut self, node: NodeId) -> &mut Node {
        &mut self.running.get_mut(&node).expect("runs").node
    }

    pub(super) fn shut_down(&mut self, node: NodeId) {
        self.events.push_back((node, Event::Shutdown));
        self.settle();
    }

    /// Lets time pass, tick by tick.
    pub(super) fn run_ms(&mut self, ms: u64) {
        let end = self.now.mono_ns + ms * MS;
        while self.next_tick(end) {
            self.settle();
        }
        self.set_time(end.max(self.now.mono_ns));
    }

    /// Lets time pass up to the next tick of a node; false if there is none up to `end`.
    fn next_tick(&mut self, end: u64) -> bool {
        let due = self.running.iter().map(|(id, process)| (process.node.next_tick_ns(), *id)).min();
        let Some((at, node)) = due.filter(|(at, _)| *at <= end) else { return false };
        self.set_time(at.max(self.now.mono_ns + 1));
        self.events.push_back((node, Event::Tick));
        true
    }

    fn set_time(&mut self, mono_ns: u64) {
        self.now.wall_ms += (mono_ns / MS - self.now.mono_ns / MS) as i64;
        self.now.mono_ns = mono_ns;
    }

    /// Lets time pass until something holds, for at most ten seconds.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        for _ in 0..1_000 {
            if holds(self) {
                return;
            }
            self.run_ms(10);
        }
        panic!("never: {what}");
    }

    pub(super) fn finish_syncs(&mut self, node: NodeId) {
        for token in std::mem::take(&mut self.running.get_mut(&node).expect("runs").syncs) {
            self.events.push_back((node, Event::Synced { token, result: Ok(()) }));
        }
        self.settle();
    }

    /// Lets time pass until something holds, for at most a second, and looks after every single event.
    pub(super) fn until_event(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) {
        let end = self.now.mono_ns + 1_000 * MS;
        while !holds(self) {
            if !self.step() {
                assert!(self.now.mono_ns < end, "never: {what}");
                self.next_tick(end);
            }
        }
    }

    /// Carries out what is in flight, without time passing.
    fn settle(&mut self) {
        while self.step() {}
    }

    /// One event that is in flight; false if there is none.
    fn step(&mut self) -> bool {
        let Some((node, event)) = self.events.pop_front() else { return false };
        if let Some(process) = self.running.get_mut(&node) {
            let disk = self.disks.get_mut(&node).expect("a disk");
            let mut effects = Vec::new();
            process.node.step(self.now, event, disk, &mut effects);
            let broken = process.node.invariants();
            assert!(
                broken.is_empty() || !self.configs[&node].defects.iter().eq([]),
                "node {node}: {broken:?}"
            );
            self.broken.extend(broken.iter().map(|violation| violation.rule));
            self.carry_out(node, effects);
        }
        true
    }

    /// The directories and files of a node, by their paths.
    pub(super) fn paths(&self, node: NodeId) -> Vec<String> {
        self.disks[&node].paths().map(ToOwned::to_owned).collect()
    }

    /// The newest frame of a client goes before everything else that is in flight.
    pub(super) fn send_first(
        &mut self,
        client: Client,
        api: ApiKey,
        version: i16,
        request: impl Into<RequestKind>,
    ) {
        let asked = Asked { api, version, correlation: 7 };
        let frame = wire::encode_request(asked, "test", &request.into()).expect("encodes");
        self.events.push_front((client.0, Event::Frame { conn: client.1, frame }));
        self.step();
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial { conn, node: to, .. } => self.dial((node, conn), to),
                Effect::Send { conn, parts } => self.pass_on((node, conn), &parts),
                Effect::Admitted { .. } => {}
                Effect::Close { conn } => self.hang_up((node, conn)),
                Effect::Sync { token, .. } if self.hold_syncs => {
                    self.running.get_mut(&node).expect("runs").syncs.push(token);
                }
                Effect::Sync { token, .. } => {
                    self.events.push_back((node, Event::Synced { token, result: Ok(()) }));
                }
                Effect::Exit { clean, reason } => {
                    self.exits.push((node, clean, reason));
                    return self.kill(node);
                }
            }
        }
    }

    fn dial(&mut self, from: End, to: NodeId) {
        if !self.running.contains_key(&to) {
            return self.events.push_back((from.0, Event::Closed { conn: from.1 }));
        }
        let accepted = ConnId(self.next_accepted);
        self.next_accepted += 2;
        self.links.insert(from, (to, accepted));
        self.links.insert((to, accepted), from);
        self.events.push_back((to, Event::Accepted { conn: accepted, listener: ListenerKind::Internal }));
        self.events.push_back((from.0, Event::Connected { conn: from.1 }));
    }

    fn pass_on(&mut self, from: End, parts: &[Bytes]) {
        let frame = Bytes::from(parts.concat());
        if let Some(answers) = self.answers.get_mut(&Client(from.0, from.1)) {
            answers.push_back(frame);
        } else if let Some(&(to, conn)) = self.links.get(&from) {
            let (dialler, dialled) = if from.1.0 % 2 == 1 { (from.0, to) } else { (to, from.0) };
            if !self.cut.contains(&(dialler, dialled)) {
                self.events.push_back((to, Event::Frame { conn, frame }));
            }
        }
    }

    fn hang_up(&mut self, end: End) {
        let client = Client(end.0, end.1);
        if self.answers.contains_key(&client) {
            self.closed.insert(client);
        }
        if let Some((other, conn)) = self.links.remove(&end) {
            self.links.remove(&(other, conn));
            self.events.push_back((other, Event::Closed { conn }));
        }
    }

    /// Connects to a broker's client listener.
    pub(super) fn connect(&mut self, node: NodeId) -> Client {
        self.connect_to(node, ListenerKind::Client)
    }

    /// Connects to one of a node's listeners.
    pub(super) fn connect_to(&mut self, node: NodeId, listener: ListenerKind) -> Client {
        let conn = ConnId(self.next_accepted);
        self.next_accepted += 2;
        self.events.push_back((node, Event::Accepted { conn, listener }));
        let client = Client(node, conn);
        self.answers.insert(client, VecDeque::new());
        self.settle();
        client
    }

    pub(super) fn send_frame(&mut self, client: Client, frame: Bytes) {
        self.events.push_back((client.0, Event::Frame { conn: client.1, frame }));
        self.settle();
    }

    pub(super) fn send(
        &mut self,
        client: Client,
        api: ApiKey,
        version: i16,
        request: impl Into<RequestKind>,
    ) {
        let asked = Asked { api, version, correlation: 7 };
        let frame = wire::encode_request(asked, "test", &request.into()).expect("encodes");
        self.send_frame(client, frame);
    }

    /// The next answer as it came.
    pub(super) fn raw_answer(&mut self, client: Client) -> Option<Bytes> {
        self.answers.get_mut(&client)?.pop_front()
    }

    /// The next answer, if it is there.
    pub(super) fn answer(&mut self, client: Client, api: ApiKey, version: i16) -> Option<ResponseKind> {
        let frame = self.raw_answer(client)?;
        Some(wire::decode_response(Asked { api, version, correlation: 7 }, frame).expect("decodes"))
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(
        &mut self,
        client: Client,
        api: ApiKey,
        version: i16,
        request: impl Into<RequestKind>,
    ) -> ResponseKind {
        self.send(client, api, version, request);
        self.await_answer(client, api, version)
    }

    pub(super) fn await_answer(&mut self, client: Client, api: ApiKey, version: i16) -> ResponseKind {
        for _ in 0..2_000 {
            if let Some(answer) = self.answer(client, api, version) {
                return answer;
            }
            self.run_ms(5);
        }
        panic!("no answer to {api:?}");
    }

    pub(super) fn view(&mut self, node: NodeId, topic: &str, partition: i32) -> Option<PartitionView> {
        let process = self.running.get(&node)?;
        process
            .node
            .partitions()
            .into_iter()
            .find(|view| view.topic == topic && view.id.partition.0 == partition)
    }

    /// The leader of a partition, as the controller sees it.
    pub(super) fn leader(&mut self, topic: &str, partition: i32) -> NodeId {
        let image = self.node(CONTROLLER).image();
        let partitions = &image.topic_named(topic).expect("a topic").partitions;
        partitions[&crate::ids::PartitionId(partition)].state.leader
    }

    /// All bytes of the log below the high watermark of a replica.
    pub(super) fn committed(&mut self, node: NodeId, topic: &str, partition: i32) -> Bytes {
        let view = self.view(node, topic, partition).expect("a replica");
        let process = self.running.get(&node).expect("runs");
        let disk = self.disks.get_mut(&node).expect("a disk");
        let mut bytes = BytesMut::new();
        let mut from = view.log_start;
        loop {
            let read = process.node.read_committed(view.id, from, 1 << 30, disk).expect("reads").concat();
            let last = batches(read.clone().into()).map(Result::unwrap).last();
            let Some(last) = last else { break };
            from = last.header.last_offset().next();
            bytes.extend_from_slice(&read);
        }
        bytes.freeze()
    }
}
