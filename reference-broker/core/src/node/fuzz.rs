//! Nodes that are sent bytes by strangers, and nodes that find their files damaged.
//!
//! In:  a client's stream of bytes; or damage to the data directories of a controller and its broker.
//! Never: a node panics, stops because of a client, answers out of turn or without measure, or serves nobody else any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, MetadataRequest, ProduceRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{Effect, Endpoint, Event, ListenerKind, Node, NodeConfig, Now, Peer, Role};
use crate::disk::{MemDisk, damage};
use crate::ids::{ConnId, NodeId};
use crate::record::BatchBuilder;
use crate::wire::{self, Asked};

const CONTROLLER: NodeId = NodeId(100);
const BROKER: NodeId = NodeId(1);
const MS: u64 = 1_000_000;
/// `socket.request.max.bytes` of the broker.
const FRAME_MAX: usize = 64 << 10;
/// What a node may answer to so many bytes: an answer may be much longer than its question, but not without measure.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const ANSWER_FACTOR: usize = 1 << 10;
/// Nothing that a node does on its own takes so many steps.
const STEPS_MAX: usize = 100_000;
/// The time that passes after the last byte: what waits comes to its end.
const AFTERWARDS_MS: u64 = 2_000;

type End = (NodeId, ConnId);

/// A controller, a broker, and the connections of clients.
struct World {
    now: Now,
    nodes: BTreeMap<NodeId, (Node, MemDisk)>,
    links: BTreeMap<End, End>,
    accepted: u64,
    events: VecDeque<(NodeId, Event)>,
    answers: BTreeMap<ConnId, VecDeque<Bytes>>,
    closed: BTreeSet<ConnId>,
    /// Who has ended, and why.
    exits: Vec<(NodeId, String)>,
    /// What they have left.
    stopped: BTreeMap<NodeId, MemDisk>,
}

impl World {
    /// Starts both nodes with the files they have; an error is one that says why a node does not start.
    fn boot(disks: [(NodeId, MemDisk); 2]) -> Result<Self, super::BootError> {
        let mut world = Self {
            now: Now { mono_ns: MS, wall_ms: 1_700_000_000_000 },
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            accepted: 2,
            events: VecDeque::new(),
            answers: BTreeMap::new(),
            closed: BTreeSet::new(),
            exits: Vec::new(),
            stopped: BTreeMap::new(),
        };
        for (node, mut disk) in disks {
            let mut effects = Vec::new();
            let booted = Node::boot(config(node), world.now, &mut disk, &mut effects)?;
            world.nodes.insert(node, (booted, disk));
            world.carry_out(node, effects);
        }
        Ok(world)
    }

    /// A cluster with a topic that has a record.
    fn busy() -> Self {
        let fresh = [CONTROLLER, BROKER].map(|node| (node, MemDisk::new()));
        let mut world = Self::boot(fresh).expect("empty disks are good");
        world.run_ms(500);
        let client = world.connect();
        let topic = CreatableTopic::default()
            .with_name(topic_name())
            .with_num_partitions(1)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000);
        world.ask(client, ApiKey::CreateTopics, 5, &request.into());
        world.run_ms(100);
        assert_eq!(world.serves(client), (true, true));
        world
    }

    fn connect(&mut self) -> ConnId {
        let conn = ConnId(self.accepted);
        self.accepted += 2;
        self.answers.insert(conn, VecDeque::new());
        self.events.push_back((BROKER, Event::Accepted { conn, listener: ListenerKind::Client }));
        self.settle();
        conn
    }

    /// Hands over a frame of a client, unless its connection is closed.
    fn frame(&mut self, conn: ConnId, frame: Bytes) {
        if !self.closed.contains(&conn) {
            self.events.push_back((BROKER, Event::Frame { conn, frame }));
            self.settle();
        }
    }

    fn ask(
        &mut self,
        conn: ConnId,
        api: ApiKey,
        version: i16,
        request: &RequestKind,
    ) -> Option<ResponseKind> {
        let asked = Asked { api, version, correlation: 7 };
        self.frame(conn, wire::encode_request(asked, "good", request).expect("a good request"));
        for _ in 0..100 {
            if let Some(answer) = self.answers.get_mut(&conn).and_then(VecDeque::pop_front) {
                return Some(wire::decode_response(asked, answer).expect("a good answer"));
            }
            self.run_ms(10);
        }
        None
    }

    /// Whether a client with good manners is answered, and whether its record is taken: others may have deleted its topic.
    fn serves(&mut self, conn: ConnId) -> (bool, bool) {
        let everything = MetadataRequest::default().with_topics(None);
        let metadata = self.ask(conn, ApiKey::Metadata, 12, &everything.into());
        let records = BatchBuilder::new(1_700_000_000_000).record(None, Some(b"value")).build();
        let data = PartitionProduceData::default().with_records(Some(records));
        let topic = TopicProduceData::default().with_name(topic_name()).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(500).with_topic_data(vec![topic]);
        match self.ask(conn, ApiKey::Produce, 9, &request.into()) {
            Some(ResponseKind::Produce(answer)) => {
                (metadata.is_some(), answer.responses[0].partition_responses[0].error_code == 0)
            }
            _ => (false, false),
        }
    }

    fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            let Some((to, event)) = self.events.pop_front() else { return };
            let Some((node, disk)) = self.nodes.get_mut(&to) else { continue };
            let mut effects = Vec::new();
            node.step(self.now, event, disk, &mut effects);
            let broken = node.invariants();
            assert!(broken.is_empty(), "{broken:?}");
            self.carry_out(to, effects);
        }
        panic!("the nodes do not come to rest");
    }

    fn run_ms(&mut self, ms: u64) {
        let end = self.now.mono_ns + ms * MS;
        self.settle();
        for _ in 0..STEPS_MAX {
            let due = self.nodes.iter().map(|(id, (node, _))| (node.next_tick_ns(), *id)).min();
            let Some((at, node)) = due.filter(|(at, _)| *at <= end) else {
                return self.set_time(end);
            };
            self.set_time(at.max(self.now.mono_ns + 1));
            self.events.push_back((node, Event::Tick));
            self.settle();
        }
        panic!("ticks without end");
    }

    fn set_time(&mut self, mono_ns: u64) {
        self.now.wall_ms += (mono_ns / MS - self.now.mono_ns / MS) as i64;
        self.now.mono_ns = mono_ns;
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dial { conn, node: to, .. } => self.dial((node, conn), to),
                Effect::Send { conn, parts } => {
                    let frame = Bytes::from(parts.concat());
                    if let Some(&(to, conn)) = self.links.get(&(node, conn)) {
                        self.events.push_back((to, Event::Frame { conn, frame }));
                    } else if let Some(answers) = self.answers.get_mut(&conn) {
                        answers.push_back(frame);
                    }
                }
                Effect::Close { conn } => self.hang_up((node, conn)),
                Effect::Sync { token, .. } => {
                    self.events.push_back((node, Event::Synced { token, result: Ok(()) }));
                }
                Effect::Admitted { .. } => {}
                Effect::Exit { reason, .. } => {
                    self.exits.push((node, reason));
                    self.stopped.extend(self.nodes.remove(&node).map(|(_, disk)| (node, disk)));
                    let ends: Vec<End> = self.links.keys().filter(|(at, _)| *at == node).copied().collect();
                    for end in ends {
                        self.hang_up(end);
                    }
                }
            }
        }
    }

    fn hang_up(&mut self, end: End) {
        match self.links.remove(&end) {
            Some((other, conn)) => {
                self.links.remove(&(other, conn));
                self.events.push_back((other, Event::Closed { conn }));
            }
            None => drop(self.closed.insert(end.1)),
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

const TOPIC: &str = "orders";

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn config(node: NodeId) -> NodeConfig {
    let endpoint = |node: NodeId| Endpoint { host: format!("n{node}"), port: 9092 };
    let role = if node == CONTROLLER { Role::Controller } else { Role::Broker };
    NodeConfig {
        controllers: vec![Peer { node: CONTROLLER, endpoint: endpoint(CONTROLLER) }],
        default_replication_factor: 1,
        offsets_topic_replication_factor: 1,
        transaction_topic_replication_factor: 1,
        retention_ms: -1,
        request_max_bytes: FRAME_MAX,
        segment_bytes: 1_000,
        metadata_segment_bytes: 1_000,
        metadata_snapshot_bytes: 1_500,
        ..NodeConfig::new(node, role, endpoint(node), endpoint(node)).with_quick_failover()
    }
}

/// Sends a broker this stream on one connection: lengths and frames, as far as they go. It answers, waits for more, or closes the
/// connection; and others are served afterwards.
///
/// # Panics
/// If it does anything else.
pub fn client_stream(stream: &[u8]) {
    let mut world = World::busy();
    let conn = world.connect();
    let mut rest = stream;
    let mut asked = Vec::new();
    while let Some((prefix, body)) = rest.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(i32::from_be_bytes(*prefix)) else { break };
        if length > FRAME_MAX || length > body.len() {
            break;
        }
        let (frame, after) = body.split_at(length);
        asked.extend(frame.get(4..8).map(<[u8]>::to_vec));
        world.frame(conn, Bytes::copy_from_slice(frame));
        rest = after;
    }
    world.run_ms(AFTERWARDS_MS);
    assert!(world.exits.is_empty(), "stopped by a client: {:?}", world.exits);
    let answers = world.answers.remove(&conn).unwrap_or_default();
    let size: usize = answers.iter().map(Bytes::len).sum();
    let bound = ANSWER_BYTES_MAX + stream.len() * ANSWER_FACTOR;
    assert!(size <= bound, "{size} bytes for {}", stream.len());
    // In the order of the requests, of which those without acks have no answer.
    let mut questions = asked.into_iter();
    for answer in &answers {
        let correlation = &answer[..4];
        assert!(questions.any(|asked| asked == correlation), "an answer to nothing: {correlation:?}");
    }
    let other = world.connect();
    let (is_answered, _) = world.serves(other);
    assert!(is_answered, "nobody else is served any more");
}

/// Starts a controller and a broker whose files have suffered what the bytes describe. Each of them starts, or says why it does not.
///
/// # Panics
/// If one of them does neither.
pub fn damaged_node(bytes: &[u8]) {
    static DISKS: OnceLock<[(NodeId, MemDisk); 2]> = OnceLock::new();
    let disks = DISKS.get_or_init(|| {
        let mut world = World::busy();
        let client = world.connect();
        for number in 0..20 {
            let name = TopicName(StrBytes::from_string(format!("topic-{number}")));
            let topic =
                CreatableTopic::default().with_name(name).with_num_partitions(1).with_replication_factor(1);
            let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000);
            world.ask(client, ApiKey::CreateTopics, 5, &request.into());
            world.serves(client);
        }
        world.run_ms(6_000);
        world.events.push_back((BROKER, Event::Shutdown));
        world.run_ms(1_000);
        let running = world.nodes.remove(&CONTROLLER).map(|(_, disk)| (CONTROLLER, disk));
        let mut disks = running.into_iter().chain(world.stopped);
        let mut next = || {
            let (node, mut disk) = disks.next().expect("a disk of each");
            disk.close_all();
            (node, disk)
        };
        [next(), next()]
    });
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut disks = disks.clone();
    damage(&mut disks[usize::from(first % 2)].1, rest);
    match World::boot(disks) {
        Ok(mut world) => world.run_ms(AFTERWARDS_MS),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
