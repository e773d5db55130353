//! A cluster that is measured: one that is already there, or one that is started for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mqproof_core::ids::NodeId;
use mqproof_core::plan::{Durability, Flush, Plan, TopicPlan, Topology};
use mqproof_drivers::Connection;
use mqproof_drivers::admin::{Admin, NewTopic};
use mqproof_drivers::kafka::light::{Acks, Batch, LightConnection, Meter, Pace, ProduceOrder, produce};
use serde::Serialize;
use tokio::runtime::Handle;

use super::error::BenchError;
use super::settings::Settings;
use super::target::ProcessSource;
use super::topic::Topic;
use super::workload::Workload;
use crate::clock::now_ns;
use crate::commands::REFERENCE_VERSION;
use crate::conduct::{System, connect, first_answer, wait_for_brokers};
use crate::provision::{Cluster, ClusterPool, ContainerOrder, Embedded, Failover, ProvisionError, product};

/// Nodes of a cluster that is started here.
const NODES: u32 = 3;
/// Between two attempts at a broker that is not there yet.
const KNOCK: Duration = Duration::from_millis(5);
/// Kafka's, which other brokers need not know: without it what a block wrote stays on the disk for a minute.
const DELETE_DELAY: (&str, &str) = ("file.delete.delay.ms", "1000");

/// What clusters are started with.
pub struct Ground<'a> {
    /// Data, configuration and logs go under it.
    pub dir: &'a Path,
    /// For proxies and the container engine.
    pub runtime: &'a Handle,
    /// Names what is made.
    pub run_id: u64,
}

/// A cluster, and what is known of it.
pub struct SystemUnderTest {
    bootstrap: String,
    admin: Box<dyn Admin>,
    cluster: Option<Box<dyn Cluster>>,
    processes: Option<ProcessSource>,
    facts: SystemFacts,
    /// Stands in the names of topics.
    run_id: u64,
    topics_made: u32,
    takes_delete_delay: bool,
    /// Removed with it.
    dir: Option<PathBuf>,
}

/// What a reader must know of a system.
#[derive(Clone, Debug, Serialize)]
pub struct SystemFacts {
    /// Its name in the table.
    pub name: String,
    /// `embedded`, `containers` or `external`.
    pub profile: String,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// The image of its nodes.
    pub image: Option<String>,
    /// Where clients begin.
    pub address: String,
    /// Brokers that answer.
    pub brokers: u32,
    /// Processes whose processor time and memory are counted; None: not measured.
    pub processes: Option<usize>,
}

impl SystemUnderTest {
    /// Connects to a cluster that is already there.
    pub fn reach(
        name: &str,
        address: &str,
        processes: Option<ProcessSource>,
        run_id: u64,
    ) -> Result<Self, BenchError> {
        let admin = connect(System::Kafka, address, &BTreeMap::new())?;
        let brokers = first_answer(&*admin, address)?.brokers.len() as u32;
        let version = admin.version(Duration::from_secs(3));
        let facts = SystemFacts {
            name: name.to_owned(),
            profile: "external".to_owned(),
            version,
            image: None,
            address: address.to_owned(),
            brokers,
            processes: processes.as_ref().map(|source| source.pids().len()),
        };
        Ok(Self::new(admin, None, processes, facts, run_id))
    }

    /// Starts a product's cluster of three, and waits until it has acknowledged a record by all its replicas. Returns how long that took.
    pub fn start(
        name: &str,
        product: &'static str,
        ground: &Ground<'_>,
    ) -> Result<(Self, Duration), BenchError> {
        let dir = ground.dir.join(format!("{product}-{:x}", now_ns()));
        std::fs::create_dir_all(&dir).map_err(|source| BenchError::Io {
            what: format!("cannot create `{}`", dir.display()),
            source,
        })?;
        let begun = Instant::now();
        let mut cluster = start_nodes(product, &dir, ground)?;
        let bootstrap = cluster.bootstrap();
        let first = bootstrap.split(',').next().unwrap_or_default();
        knock(first, cluster.ready_within())?;
        let admin = connect(System::Kafka, &bootstrap, &cluster.client_settings())?;
        wait_for_brokers(&*admin, NODES as usize, cluster.ready_within()).map_err(|why| {
            let log = cluster.hands().map(|hands| hands.log_tail(NodeId(1))).unwrap_or_default();
            ProvisionError::NotReady { what: format!("the cluster is not ready: {why}"), log }
        })?;
        let facts = SystemFacts {
            name: name.to_owned(),
            profile: cluster.profile().to_owned(),
            version: cluster.version().or_else(|| Some(REFERENCE_VERSION.to_owned())),
            image: cluster.image(),
            address: bootstrap,
            brokers: NODES,
            processes: None,
        };
        let processes = ProcessSource::Pids(pids(&mut *cluster));
        let facts = SystemFacts { processes: Some(processes.pids().len()), ..facts };
        let mut system = Self::new(admin, Some(cluster), Some(processes), facts, ground.run_id);
        system.dir = Some(dir);
        system.first_acknowledgement()?;
        Ok((system, begun.elapsed()))
    }

    fn new(
        admin: Box<dyn Admin>,
        cluster: Option<Box<dyn Cluster>>,
        processes: Option<ProcessSource>,
        facts: SystemFacts,
        run_id: u64,
    ) -> Self {
        let bootstrap = facts.address.clone();
        let (topics_made, takes_delete_delay, dir) = (0, true, None);
        Self { bootstrap, admin, cluster, processes, facts, run_id, topics_made, takes_delete_delay, dir }
    }

    /// One record, acknowledged by all replicas.
    fn first_acknowledgement(&mut self) -> Result<(), BenchError> {
        let topic = self.create(1, NODES, BTreeMap::new())?;
        let batch = Batch::new(1, 100, wall_ms());
        for (address, partitions) in &topic.leaders {
            let connection = LightConnection::open(address, Duration::from_secs(5))?;
            let order = ProduceOrder { topic: &topic.name, partitions, acks: Acks::All, batch: &batch };
            let meter = Meter::default();
            std::thread::scope(|scope| {
                let sending =
                    scope.spawn(|| produce(connection, &order, Pace::Closed { in_flight: 1 }, &meter));
                while meter.records() == 0 && !sending.is_finished() {
                    std::thread::sleep(Duration::from_micros(200));
                }
                meter.end();
                sending.join().expect("the sender does not panic")
            })?;
        }
        topic.delete(&*self.admin)
    }

    /// What a reader must know of it.
    pub fn facts(&self) -> &SystemFacts {
        &self.facts
    }

    /// Its name in the table.
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// For questions and orders.
    pub fn admin(&self) -> &dyn Admin {
        &*self.admin
    }

    /// Where its clients connect.
    pub fn connection(&self) -> Connection {
        Connection { bootstrap: self.bootstrap.clone(), settings: BTreeMap::new() }
    }

    /// Seconds of processor time that its processes used so far; None: not measured.
    pub fn cpu_s(&self) -> Option<f64> {
        self.processes.as_ref()?.cpu_s()
    }

    /// Bytes of memory that its processes have resident; None: not measured.
    pub fn resident_bytes(&self) -> Option<f64> {
        self.processes.as_ref()?.resident_bytes()
    }

    /// Makes a topic for a block.
    pub fn create_topic(&mut self, workload: &Workload, settings: &Settings) -> Result<Topic, BenchError> {
        let replicas = settings.replicas.min(self.facts.brokers);
        self.create(settings.partitions, replicas, workload.topic_settings())
    }

    fn create(
        &mut self,
        partitions: u32,
        replicas: u32,
        settings: BTreeMap<String, String>,
    ) -> Result<Topic, BenchError> {
        self.topics_made += 1;
        let name = format!("mqproof-bench-{:08x}-{}", self.run_id as u32, self.topics_made);
        let plain = NewTopic { name, partitions, replicas, groups: Vec::new(), settings };
        if self.takes_delete_delay {
            let mut with = plain.clone();
            with.settings.insert(DELETE_DELAY.0.to_owned(), DELETE_DELAY.1.to_owned());
            match Topic::create(&*self.admin, &with) {
                // A broker that does not know the setting refuses the topic.
                Err(BenchError::Admin(_)) => self.takes_delete_delay = false,
                created => return created,
            }
        }
        Topic::create(&*self.admin, &plain)
    }

    /// Ends it, if it was started here.
    pub fn stop(mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.shut_down();
        }
    }
}

impl Drop for SystemUnderTest {
    fn drop(&mut self) {
        self.cluster = None;
        if let Some(dir) = &self.dir {
            // What cannot be removed lies in the directory for temporary files.
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// Milliseconds since 1970, for records.
pub fn wall_ms() -> i64 {
    (mqproof_drivers::clock::wall_ns() / 1_000_000) as i64
}

fn start_nodes(name: &str, dir: &Path, ground: &Ground<'_>) -> Result<Box<dyn Cluster>, ProvisionError> {
    let plan = plan(ground.run_id);
    match product(name) {
        None => Ok(Box::new(Embedded::start(&plan, Failover::AsKafka, dir, &[], ground.runtime)?)),
        Some(product) => {
            let order = ContainerOrder {
                product,
                profile: Vec::new(),
                plan: &plan,
                dir,
                run_id: ground.run_id,
                runtime: ground.runtime,
            };
            Ok(Box::new(ClusterPool::default().take(&order)?))
        }
    }
}

/// Three brokers that vote with three voters, as Kafka's combined nodes do.
fn plan(seed: u64) -> Plan {
    let topic = TopicPlan { partitions: 1, replicas: NODES, min_in_sync: 2, flush: Flush::PageCache };
    let topology = Topology {
        brokers: NODES,
        controllers: NODES,
        topics: BTreeMap::from([("bench".to_owned(), topic)]),
    };
    Plan {
        schema: 1,
        scenario: "bench".to_owned(),
        about: String::new(),
        decides: Vec::new(),
        seed,
        matrix: BTreeMap::new(),
        topology,
        durability: Durability::Quorum,
        producers: Vec::new(),
        consumers: Vec::new(),
        faults: Vec::new(),
        expect: BTreeMap::new(),
        load_ms: 0,
        stretch: 1,
        rto_window_ms: 0,
        workload_digest: 0,
        messages_expected: None,
        bytes_expected: None,
    }
}

/// Waits until a broker answers.
fn knock(address: &str, within: Duration) -> Result<(), BenchError> {
    let until = Instant::now() + within;
    loop {
        match LightConnection::open(address, Duration::from_millis(500)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => std::thread::sleep(KNOCK),
        }
    }
}

fn pids(cluster: &mut dyn Cluster) -> Vec<u32> {
    let nodes: Vec<NodeId> = cluster.brokers().into_iter().chain(cluster.controllers()).collect();
    let Some(hands) = cluster.hands() else { return Vec::new() };
    nodes.into_iter().filter_map(|node| hands.pid(node)).collect()
}
