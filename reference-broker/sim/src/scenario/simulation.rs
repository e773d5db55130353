//! A simulated cluster under somebody else's hand, with the clients of a plan.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use broker_core::{Defect, Defects, Endpoint, Event, FlushPolicy, NodeConfig, NodeId, Peer, Role};
use mqproof_core::history::{JournalKind, JournalMeta, SealReason};
use mqproof_core::ids;
use mqproof_core::plan::{ConsumerPlan, Flush, Isolation, Plan, ProducerPlan};

use super::drainer::{Drainer, LogSpan};
use super::member::Member;
use super::prober::{Answer, Desk, NewTopic, Prober, Question};
use super::sender::Sender;
use super::tape::{SharedTape, Tape};
use crate::client::Client;
use crate::dice::{Concern, Dice};
use crate::ledger::Violation;
use crate::links::{LinkId, LinkMode, LinkStats};
use crate::net::Host;
use crate::plan::{Climate, MS, Options};
use crate::world::{CLIENT_PORT, INTERNAL_PORT, World};

/// A fast local network and a fast disk.
const CLIMATE: Climate =
    Climate { net_delay: MS / 20, net_jitter: MS / 10, flush_delay_max: MS, wall_skew_ms: 50 };
/// Between two full comparisons of all committed bytes, in steps of nodes.
const FULL_CHECK_STEPS: u64 = 20_000;

/// What is simulated.
pub struct SimOrder<'a> {
    /// The cluster and its clients.
    pub plan: &'a Plan,
    /// Stands in every message.
    pub run_id: u64,
    /// Planted bugs, by name.
    pub defects: &'a [String],
}

/// A client of the simulation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClientRef(usize);

/// A partition, as the nodes that live see it together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSeen {
    /// Who leads it, if anybody.
    pub leader: Option<ids::NodeId>,
    /// The epoch of the newest leader that is known.
    pub epoch: i32,
    /// Its replicas.
    pub replicas: Vec<ids::NodeId>,
    /// Those in sync.
    pub isr: Vec<ids::NodeId>,
    /// Where its log starts, and how far it is committed, at the leader.
    pub bounds: Option<(u64, u64)>,
    /// Below it nothing is undecided, at the leader.
    pub last_stable: Option<u64>,
}

/// The number of the drain reader that is handed committed records only.
const COMMITTED_READER: u16 = 3;

/// A cluster in virtual time. Brokers are nodes `1..=brokers`, controllers follow them.
pub struct Simulation {
    plan: Plan,
    run_id: u64,
    world: World,
    dice: Dice,
    desk: Rc<RefCell<Desk>>,
    prober: usize,
    tapes: BTreeMap<usize, SharedTape>,
}

impl Simulation {
    /// A cluster whose nodes are about to boot. All that happens follows from the plan's seed and what is done to it.
    pub fn new(order: &SimOrder<'_>) -> Result<Self, String> {
        let plan = order.plan;
        let defects: Defects =
            order.defects.iter().map(|name| name.parse::<Defect>()).collect::<Result<_, _>>()?;
        let nodes = plan.topology.brokers + plan.topology.controllers;
        let configs = (1..=nodes).map(|node| node_config(node, plan, defects)).collect();
        let options = Options { defects, max_steps: u64::MAX, ..Options::default() };
        let mut world = World::new(plan.seed, CLIMATE, configs, options);
        world.full_check_steps = FULL_CHECK_STEPS;
        let mut dice = Dice::new(plan.seed, Concern::Workload);
        let desk = Rc::new(RefCell::new(Desk::default()));
        let probe_dice = Dice::new(dice.number(), Concern::Workload);
        let prober = Prober::new(probe_dice, Rc::clone(&desk));
        let prober = world.add_client(Box::new(prober));
        let (plan, run_id) = (plan.clone(), order.run_id);
        Ok(Self { plan, run_id, world, dice, desk, prober, tapes: BTreeMap::new() })
    }

    // --- time ---

    /// The virtual time, ns since the nodes were started.
    pub fn now_ns(&self) -> u64 {
        self.world.now_ns
    }

    /// Lets time pass. Stops where a node has panicked: nothing after that means anything.
    pub fn advance(&mut self, until_ns: u64) {
        while !self.world.crashed && self.world.next_ns().is_some_and(|next| next <= until_ns) {
            self.world.turn();
        }
        self.world.now_ns = self.world.now_ns.max(until_ns);
    }

    /// Whether a node has panicked.
    pub fn has_crashed(&self) -> bool {
        self.world.crashed
    }

    // --- clients ---

    /// Starts producer number `number` of the plan.
    pub fn start_producer(&mut self, number: u16, load_begins_ns: u64) -> ClientRef {
        let plan = &self.plan.producers[usize::from(number)];
        let meta = self.producer_meta(plan, number, load_begins_ns);
        let tape = Tape::shared(meta);
        let plan = &self.plan.producers[usize::from(number)];
        let partitions = self.plan.topology.topics.get(&plan.topic).map_or(1, |topic| topic.partitions);
        let dice = Dice::new(self.dice.number(), Concern::Workload);
        let durability = self.plan.durability;
        let sender =
            Sender::new(plan, number, durability, partitions, load_begins_ns, dice, Rc::clone(&tape));
        self.add(Box::new(sender), tape)
    }

    /// Starts an incarnation of consumer number `number` of the plan.
    pub fn start_consumer(&mut self, number: u16, incarnation: u16, load_begins_ns: u64) -> ClientRef {
        let plan = &self.plan.consumers[usize::from(number)];
        let meta = self.consumer_meta(plan, number, incarnation, load_begins_ns);
        let tape = Tape::shared(meta);
        let dice = [0, 1].map(|_| Dice::new(self.dice.number(), Concern::Workload));
        let topics = &self.plan.topology.topics;
        let partitions = topics.iter().map(|(name, topic)| (name.clone(), topic.partitions)).collect();
        let plan = &self.plan.consumers[usize::from(number)];
        let member = Member::new(plan, partitions, load_begins_ns, dice, Rc::clone(&tape));
        self.add(Box::new(member), tape)
    }

    /// Starts drain reader 1 or 2 of a topic, or 3, which is handed committed records only.
    pub fn start_drain(
        &mut self,
        number: u16,
        topic: &str,
        spans: Vec<LogSpan>,
        load_begins_ns: u64,
    ) -> ClientRef {
        let meta = JournalMeta {
            kind: JournalKind::Drain,
            role: format!("drain-{topic}"),
            group: Some(format!("drain-{number}")),
            ..self.meta(topic, number, load_begins_ns)
        };
        let tape = Tape::shared(meta);
        let dice = Dice::new(self.dice.number(), Concern::Workload);
        let isolation = match number {
            COMMITTED_READER => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        };
        let drainer = Drainer::new(topic, isolation, spans, dice, Rc::clone(&tape));
        self.add(Box::new(drainer), tape)
    }

    fn add(&mut self, client: Box<dyn Client>, tape: SharedTape) -> ClientRef {
        let index = self.world.add_client(client);
        self.tapes.insert(index, tape);
        ClientRef(index)
    }

    fn meta(&self, topic: &str, number: u16, load_begins_ns: u64) -> JournalMeta {
        JournalMeta {
            run_id: self.run_id,
            number,
            topic: Some(topic.to_owned()),
            topics: vec![topic.to_owned()],
            boot_id: BOOT.into(),
            load_begins_ns,
            ..JournalMeta::default()
        }
    }

    fn producer_meta(&self, plan: &ProducerPlan, number: u16, load_begins_ns: u64) -> JournalMeta {
        JournalMeta {
            kind: JournalKind::Producer,
            role: plan.role.clone(),
            ..self.meta(&plan.topic, number, load_begins_ns)
        }
    }

    fn consumer_meta(
        &self,
        plan: &ConsumerPlan,
        number: u16,
        incarnation: u16,
        load_begins_ns: u64,
    ) -> JournalMeta {
        JournalMeta {
            kind: JournalKind::Consumer,
            role: plan.role.clone(),
            incarnation,
            group: Some(plan.group.clone()),
            ..self.meta(&plan.topic, number, load_begins_ns)
        }
    }

    /// Whether a client has done all that it is there for.
    pub fn is_done(&mut self, client: ClientRef) -> bool {
        self.world.client(client.0).is_none_or(|client| client.is_done())
    }

    /// Asks a client to finish what it has begun, and to leave.
    pub fn finish(&mut self, client: ClientRef) {
        self.world.client(client.0).into_iter().for_each(super::super::client::Client::finish);
        self.world.nudge(client.0);
    }

    /// What a client waits for, for people.
    pub fn status(&mut self, client: ClientRef) -> String {
        self.world.client(client.0).map_or("it has ended".into(), |client| client.status())
    }

    /// SIGKILL: the process of a client is gone, and its tape is sealed as it is.
    pub fn kill_client(&mut self, client: ClientRef, reason: SealReason) {
        self.world.kill_client(client.0);
        if let Some(tape) = self.tapes.get(&client.0) {
            tape.borrow_mut().sealed.get_or_insert(reason);
        }
    }

    /// Messages acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.tapes.values().map(|tape| tape.borrow().acked).sum()
    }

    /// What all clients recorded.
    pub fn tapes(&self) -> Vec<Tape> {
        self.tapes.values().map(|tape| tape.borrow().clone()).collect()
    }

    // --- the conductor's questions ---

    /// Has topics created; [`Self::is_answered`] tells when they are.
    pub fn create_topics(&mut self, topics: Vec<NewTopic>) {
        self.ask(Question::Create(topics));
    }

    /// Asks where a group left off; [`Self::committed`] tells it.
    pub fn ask_committed(&mut self, group: &str, topic: &str) {
        let partitions = self.plan.topology.topics.get(topic).map_or(0, |topic| topic.partitions);
        self.ask(Question::Committed { group: group.to_owned(), topic: topic.to_owned(), partitions });
    }

    fn ask(&mut self, question: Question) {
        *self.desk.borrow_mut() = Desk { question: Some(question), ..Desk::default() };
        self.world.nudge(self.prober);
    }

    /// Whether the last question was answered.
    pub fn is_answered(&self) -> bool {
        self.desk.borrow().answer.is_some()
    }

    /// The offsets that were asked for, by partition; None while they are not told.
    pub fn committed(&self) -> Option<BTreeMap<i32, Option<u64>>> {
        match &self.desk.borrow().answer {
            Some(Answer::Committed(offsets)) => Some(offsets.clone()),
            _ => None,
        }
    }

    /// The error of the last try to answer the conductor.
    pub fn last_error(&self) -> i16 {
        self.desk.borrow().last_error
    }

    // --- nodes and links ---

    fn index(&self, node: ids::NodeId) -> Option<usize> {
        let index = (node.0 as usize).checked_sub(1)?;
        (index < self.world.servers.len()).then_some(index)
    }

    /// Boots a node that does not run. What happened to its machine before is over.
    pub fn start(&mut self, node: ids::NodeId) -> bool {
        let Some(index) = self.index(node) else { return false };
        self.world.silence(Host::Server(index), false);
        self.world.servers[index].stopping = false;
        self.world.start_at(index, self.world.now_ns);
        true
    }

    /// SIGKILL.
    pub fn kill(&mut self, node: ids::NodeId) -> bool {
        self.act(node, super::super::world::World::kill)
    }

    /// Empties the disk of a node that does not run.
    pub fn wipe(&mut self, node: ids::NodeId) -> bool {
        let down = self.index(node).filter(|index| !self.world.servers[*index].is_up());
        down.map(|index| self.world.wipe(index)).is_some()
    }

    /// The disk of a node that does not run loses what was not flushed, as when the power fails; whether there was something.
    pub fn forget(&mut self, node: ids::NodeId) -> Option<bool> {
        let down = self.index(node).filter(|index| !self.world.servers[*index].is_up());
        down.map(|index| self.world.forget_unflushed(index))
    }

    /// SIGTERM.
    pub fn stop(&mut self, node: ids::NodeId) -> bool {
        self.act(node, |world, index| {
            world.servers[index].stopping = true;
            world.step_server(index, Event::Shutdown);
        })
    }

    fn act(&mut self, node: ids::NodeId, act: impl FnOnce(&mut World, usize)) -> bool {
        let found = self.index(node).filter(|index| self.world.servers[*index].is_up());
        found.map(|index| act(&mut self.world, index)).is_some()
    }

    /// SIGSTOP.
    pub fn pause(&mut self, node: ids::NodeId) -> bool {
        self.index(node).is_some_and(|index| self.world.pause(index))
    }

    /// SIGCONT.
    pub fn resume(&mut self, node: ids::NodeId) -> bool {
        self.index(node).is_some_and(|index| self.world.resume(index))
    }

    /// Whether it was stopped by SIGSTOP.
    pub fn is_paused(&self, node: ids::NodeId) -> bool {
        self.index(node).is_some_and(|index| self.world.servers[index].is_paused())
    }

    /// Nothing that it sends leaves its machine any more, and nothing reaches it.
    pub fn silence(&mut self, node: ids::NodeId) -> bool {
        self.index(node).map(|index| self.world.silence(Host::Server(index), true)).is_some()
    }

    /// Whether its process runs or is about to.
    pub fn is_up(&self, node: ids::NodeId) -> bool {
        let is_up = |index: usize| {
            let server = &self.world.servers[index];
            server.is_up() || server.starting
        };
        self.index(node).is_some_and(is_up)
    }

    /// Whether it serves.
    pub fn is_ready(&self, node: ids::NodeId) -> bool {
        self.index(node).is_some_and(|index| self.world.servers[index].is_ready())
    }

    /// Changes what the link does on which `from` dials `to`; None: all clients.
    pub fn set_link(&mut self, from: Option<ids::NodeId>, to: ids::NodeId, mode: LinkMode) -> bool {
        let Some(link) = self.link(from, to) else { return false };
        self.world.set_link(link, mode);
        true
    }

    /// What a link did since the start.
    pub fn link_stats(&self, from: Option<ids::NodeId>, to: ids::NodeId) -> Option<LinkStats> {
        Some(self.world.net.link_stats(self.link(from, to)?))
    }

    fn link(&self, from: Option<ids::NodeId>, to: ids::NodeId) -> Option<LinkId> {
        let from = match from {
            Some(node) => Some(self.index(node)?),
            None => None,
        };
        Some(LinkId::new(from, self.index(to)?))
    }

    // --- what can be seen from outside ---

    /// The active controller, if it lives.
    pub fn controller(&self) -> Option<ids::NodeId> {
        self.world.voters.leader().map(outer)
    }

    /// The partitions of the plan's topics.
    pub fn partitions(&self) -> BTreeMap<(String, u32), PartitionSeen> {
        let nodes: Vec<_> = self.world.servers.iter().filter_map(|server| server.node()).collect();
        let Some(newest) = nodes.iter().map(|node| node.image()).max_by_key(|image| image.next_offset())
        else {
            return BTreeMap::new();
        };
        let mut seen = BTreeMap::new();
        for topic in newest.topics().filter(|topic| self.plan.topology.topics.contains_key(&topic.name)) {
            for (partition, state) in &topic.partitions {
                seen.insert(
                    (topic.name.clone(), partition.0 as u32),
                    PartitionSeen {
                        leader: None,
                        epoch: state.state.leader_epoch.0,
                        replicas: state.replicas.iter().copied().map(outer).collect(),
                        isr: state.state.isr.iter().copied().map(outer).collect(),
                        bounds: None,
                        last_stable: None,
                    },
                );
            }
        }
        // Only who says of itself that it leads, in the newest epoch, does.
        for server in &self.world.servers {
            for view in server.node().into_iter().flat_map(broker_core::Node::partitions) {
                let Some(one) = seen.get_mut(&(view.topic.clone(), view.id.partition.0 as u32)) else {
                    continue;
                };
                if view.is_leader && view.leader_epoch.0 >= one.epoch {
                    one.leader = Some(outer(server.id()));
                    one.epoch = view.leader_epoch.0;
                    one.bounds = Some((view.log_start.0 as u64, view.high_watermark.0 as u64));
                    one.last_stable = Some(view.last_stable.0 as u64);
                }
            }
        }
        seen
    }

    /// The settings of a topic, as the cluster has them.
    pub fn topic_settings(&self, name: &str) -> BTreeMap<String, String> {
        let mut nodes = self.world.servers.iter().filter_map(|server| server.node());
        nodes.find_map(|node| Some(node.image().topic_named(name)?.configs.clone())).unwrap_or_default()
    }

    /// Compares all committed bytes of all nodes once more.
    pub fn full_check(&mut self) {
        self.world.full_check();
    }

    /// Rules of the broker that were broken, earliest first; the first few of each kind.
    pub fn violations(&self) -> &[Violation] {
        self.world.ledger.violations()
    }

    /// Fingerprint of all that happened; the same for the same plan, defects and build.
    pub fn trace_hash(&self) -> u64 {
        self.world.trace_hash()
    }

    /// Steps of nodes so far.
    pub fn steps(&self) -> u64 {
        self.world.steps
    }
}

/// Stands in journals for the boot in whose time the clock counts.
const BOOT: &str = "simulated";

fn outer(node: NodeId) -> ids::NodeId {
    ids::NodeId(node.0 as u32)
}

/// As `mqproof broker` is configured, on the simulator's addresses.
fn node_config(node: u32, plan: &Plan, defects: Defects) -> NodeConfig {
    let brokers = plan.topology.brokers;
    let at = |node: u32, port| Endpoint { host: format!("node-{}", node - 1), port };
    let role = if node <= brokers { Role::Broker } else { Role::Controller };
    let voters = brokers + 1..=brokers + plan.topology.controllers;
    let flush = plan.topology.topics.values().map(|topic| topic.flush).max_by_key(strictness);
    NodeConfig {
        seed: plan.seed ^ u64::from(node),
        controllers: voters
            .map(|voter| Peer { node: NodeId(voter as i32), endpoint: at(voter, INTERNAL_PORT) })
            .collect(),
        auto_create_topics: false,
        // Records are stamped with the virtual time, which begins at 0.
        retention_ms: -1,
        producer_id_expiration_ms: i64::MAX,
        broker_session_timeout_ms: 500,
        flush: match flush.unwrap_or(Flush::PageCache) {
            Flush::PageCache => FlushPolicy::PageCache,
            Flush::IntervalMs(ms) => FlushPolicy::IntervalMs(ms),
            Flush::BeforeAck => FlushPolicy::BeforeAck,
        },
        offsets_topic_replication_factor: brokers.min(3) as i16,
        transaction_topic_replication_factor: brokers.min(3) as i16,
        defects,
        ..NodeConfig::new(NodeId(node as i32), role, at(node, CLIENT_PORT), at(node, INTERNAL_PORT))
            .with_quick_failover()
    }
}

/// A broker has one policy: the strictest that any of its topics asks for.
fn strictness(flush: &Flush) -> (u8, std::cmp::Reverse<u64>) {
    match *flush {
        Flush::PageCache => (0, std::cmp::Reverse(0)),
        Flush::IntervalMs(ms) => (1, std::cmp::Reverse(ms)),
        Flush::BeforeAck => (2, std::cmp::Reverse(0)),
    }
}
