//! A controller and a broker in one thread: frames are handed over at once, and time moves from timer to timer.

use std::collections::{BTreeMap, VecDeque};

use broker_core::disk::MemDisk;
use broker_core::wire::{self, Asked};
use broker_core::{ConnId, Effect, Endpoint, Event, ListenerKind, Node, NodeConfig, NodeId, Now, Peer, Role};
use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;

pub const TOPIC: &str = "orders";
const CONTROLLER: NodeId = NodeId(100);
const BROKER: NodeId = NodeId(1);
/// The connection of the benchmark itself; accepted ones are even.
const CLIENT: ConnId = ConnId(1_000_000);

type End = (NodeId, ConnId);

/// Both nodes, and one client's connection to the broker.
pub struct Pair {
    now: Now,
    nodes: BTreeMap<NodeId, (Node, MemDisk)>,
    links: BTreeMap<End, End>,
    accepted: u64,
    events: VecDeque<(NodeId, Event)>,
    /// Bytes of the answers that the client was sent.
    pub answered: usize,
}

impl Pair {
    /// Both run, and the topic has its one partition on the broker.
    pub fn start() -> Self {
        let now = Now { mono_ns: 1_000_000, wall_ms: 1_700_000_000_000 };
        let mut pair = Self {
            now,
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            accepted: 2,
            events: VecDeque::new(),
            answered: 0,
        };
        for (node, role) in [(CONTROLLER, Role::Controller), (BROKER, Role::Broker)] {
            let mut config = NodeConfig::new(node, role, endpoint(node), endpoint(node));
            config.controllers = vec![Peer { node: CONTROLLER, endpoint: endpoint(CONTROLLER) }];
            config.retention_ms = -1;
            let (mut disk, mut effects) = (MemDisk::new(), Vec::new());
            let booted = Node::boot(config, now, &mut disk, &mut effects).expect("an empty disk is good");
            pair.nodes.insert(node, (booted, disk));
            pair.carry_out(node, effects);
        }
        pair.until(|pair| pair.nodes.values().all(|(node, _)| node.is_ready()));
        pair.events.push_back((BROKER, Event::Accepted { conn: CLIENT, listener: ListenerKind::Client }));
        let topic = CreatableTopic::default()
            .with_name(topic_name())
            .with_num_partitions(1)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
        pair.send(frame(ApiKey::CreateTopics, 5, &RequestKind::CreateTopics(request)));
        pair.until(|pair| pair.nodes[&BROKER].0.partitions().iter().any(|view| view.is_leader));
        pair
    }

    /// Hands a frame of the client to the broker, and carries out all that follows from it.
    pub fn send(&mut self, frame: Bytes) {
        self.events.push_back((BROKER, Event::Frame { conn: CLIENT, frame }));
        self.settle();
    }

    /// Where the log of the topic's one partition ends.
    pub fn log_end(&self) -> i64 {
        let partitions = self.nodes[&BROKER].0.partitions();
        partitions.iter().map(|view| view.log_end.0).sum()
    }

    fn settle(&mut self) {
        while let Some((to, event)) = self.events.pop_front() {
            let (node, disk) = self.nodes.get_mut(&to).expect("one of the two");
            let mut effects = Vec::new();
            node.step(self.now, event, disk, &mut effects);
            self.carry_out(to, effects);
        }
    }

    fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            self.settle();
            if holds(self) {
                return;
            }
            let due = self.nodes.iter().map(|(id, (node, _))| (node.next_tick_ns(), *id)).min();
            let (at, node) = due.expect("there are two");
            self.now.wall_ms += 1;
            self.now.mono_ns = at.max(self.now.mono_ns + 1);
            self.events.push_back((node, Event::Tick));
        }
        panic!("the pair does not come to be ready");
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial { conn, node: to, .. } => self.dial((node, conn), to),
                Effect::Send { conn: CLIENT, parts } => {
                    self.answered += parts.iter().map(Bytes::len).sum::<usize>();
                }
                Effect::Send { conn, parts } => {
                    if let Some(&(to, conn)) = self.links.get(&(node, conn)) {
                        self.events.push_back((to, Event::Frame { conn, frame: parts.concat().into() }));
                    }
                }
                Effect::Close { conn } => assert_ne!(conn, CLIENT, "a good request was refused"),
                Effect::Sync { token, .. } => {
                    self.events.push_back((node, Event::Synced { token, result: Ok(()) }));
                }
                Effect::Admitted { .. } => {}
                Effect::Exit { reason, .. } => panic!("node {node} has ended: {reason}"),
            }
        }
    }

    fn dial(&mut self, from: End, to: NodeId) {
        if !self.nodes.contains_key(&to) {
            return self.events.push_back((from.0, Event::Closed { conn: from.1 }));
        }
        let end = (to, ConnId(self.accepted));
        self.accepted += 2;
        self.links.insert(from, end);
        self.links.insert(end, from);
        self.events.push_back((to, Event::Accepted { conn: end.1, listener: ListenerKind::Internal }));
        self.events.push_back((from.0, Event::Connected { conn: from.1 }));
    }
}

fn endpoint(node: NodeId) -> Endpoint {
    Endpoint { host: format!("n{node}"), port: 9092 }
}

/// The topic's name, as the codec wants it.
pub fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// A request as it comes from a socket.
pub fn frame(api: ApiKey, version: i16, request: &RequestKind) -> Bytes {
    wire::encode_request(Asked { api, version, correlation: 7 }, "bench", request).expect("a good request")
}
