//! Questions and orders to a RabbitMQ cluster: orders over AMQP, questions to the nodes themselves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lapin::Connection as Amqp;
use tokio::runtime::Runtime;

use super::amqp::connect;
use super::declare::{declare_partition, delete, knows_unlimited};
use super::facts::{Facts, QueueFacts};
use super::names::{partition_of, queue};
use super::settings::{QueueType, Settings};
use crate::admin::{Admin, AdminError, BrokerInfo, ClusterInfo, NewTopic, PartitionInfo};
use crate::connection::Connection;
use crate::library_log::LibraryLog;

const LOOK: Duration = Duration::from_millis(20);
const AMQP_PORT: u16 = 5_672;
const LIMIT: &str = "x-delivery-limit";
const NO_OFFSETS: &str = "queues have no offsets";

/// Connections for orders, links to the nodes for questions.
pub struct RabbitAdmin {
    settings: Settings,
    facts: Facts,
    runtime: Runtime,
    /// Queues of each topic by partition; they never change while a topic lives.
    layouts: Mutex<BTreeMap<String, BTreeMap<u32, Vec<String>>>>,
    log: LibraryLog,
}

impl RabbitAdmin {
    /// Begins to connect to the nodes.
    pub fn new(connection: &Connection, log: &LibraryLog) -> Result<Self, AdminError> {
        let settings = Settings::new(connection).map_err(|why| failed(why.what, why.why))?;
        let facts = Facts::new(&settings).map_err(|why| failed(why.what, why.why))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|why| failed("runtime", why))?;
        Ok(Self { settings, facts, runtime, layouts: Mutex::default(), log: log.clone() })
    }

    fn layout(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<u32, Vec<String>>, String> {
        let known = self.layouts.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
        if let Some(layout) = known {
            return Ok(layout);
        }
        let layout = self.facts.layout(topic, timeout)?;
        if layout.is_empty() {
            return Err(format!("there is no topic `{topic}`"));
        }
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        layouts.insert(topic.to_owned(), layout.clone());
        Ok(layout)
    }

    fn forget(&self, topic: &str) {
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }

    /// The first queue of each partition: those of all groups begin at the same node.
    fn heads(&self, topic: &str, timeout: Duration) -> Result<Vec<(u32, String)>, String> {
        let layout = self.layout(topic, timeout)?;
        layout
            .into_iter()
            .map(|(partition, queues)| {
                let first = queues.into_iter().next();
                Ok((
                    partition,
                    first.ok_or_else(|| format!("partition {partition} of `{topic}` has no queue"))?,
                ))
            })
            .collect()
    }

    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Vec<(u32, QueueFacts)>, String> {
        let heads = self.heads(topic, timeout)?;
        let names: Vec<String> = heads.iter().map(|(_, name)| name.clone()).collect();
        let facts = self.facts.queues(&names, timeout)?;
        heads
            .into_iter()
            .zip(facts)
            .map(|((partition, name), facts)| {
                Ok((partition, facts.ok_or_else(|| format!("there is no queue `{name}`"))?))
            })
            .collect()
    }

    /// Declares a topic, each partition from another node, and waits until all its queues have their members.
    fn create(&self, topic: &NewTopic, deadline: Instant) -> Result<(), String> {
        let kind = match topic.settings.get("x-queue-type") {
            Some(name) => QueueType::parse(name).map_err(|why| why.to_string())?,
            None => {
                self.settings.queue_type.ok_or("no queue type (hint: queue-type=classic|quorum|stream)")?
            }
        };
        let left = || deadline.saturating_duration_since(Instant::now());
        if !self.facts.layout(&topic.name, left())?.is_empty() {
            return Err("it exists".to_owned());
        }
        let topic = &self.without_unknown_limit(topic, left())?;
        while !self.facts.is_complete(left())? {
            if left().is_zero() {
                return Err("the nodes do not see each other".to_owned());
            }
            std::thread::sleep(LOOK);
        }
        self.runtime.block_on(async {
            let mut connections: BTreeMap<usize, Amqp> = BTreeMap::new();
            for partition in 0..topic.partitions {
                let at = partition as usize % self.settings.addresses.len();
                if let Entry::Vacant(vacant) = connections.entry(at) {
                    vacant.insert(self.dial(at).await?);
                }
                let declared = declare_partition(&connections[&at], topic, kind, partition);
                tokio::time::timeout(left(), declared).await.map_err(|_| "no answer in time")??;
            }
            for connection in connections.into_values() {
                let _ = tokio::time::timeout(left(), connection.close(200, "done".into())).await;
            }
            Ok::<(), String>(())
        })?;
        self.wait_for_members(topic, kind, deadline)
    }

    /// Leaves out the delivery limit "none" where the version has no such thing.
    fn without_unknown_limit(&self, topic: &NewTopic, timeout: Duration) -> Result<NewTopic, String> {
        let mut topic = topic.clone();
        let version = self.facts.version(timeout).ok_or("no node tells its version")?;
        if !knows_unlimited(&version) && topic.settings.get(LIMIT).is_some_and(|limit| limit == "-1") {
            topic.settings.remove(LIMIT);
        }
        Ok(topic)
    }

    async fn dial(&self, at: usize) -> Result<Amqp, String> {
        let (host, port) = &self.settings.addresses[at % self.settings.addresses.len()];
        connect(&self.settings, host, *port, "mqproof admin")
            .await
            .map_err(|why| format!("{host}:{port}: {why}"))
    }

    fn wait_for_members(&self, topic: &NewTopic, kind: QueueType, deadline: Instant) -> Result<(), String> {
        let wanted = if kind == QueueType::Classic { 1 } else { topic.replicas as usize };
        let complete =
            |facts: &QueueFacts| facts.leader.is_some() && facts.online.len() == wanted && facts.kind == kind;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let why = match self.partitions(&topic.name, left) {
                Ok(partitions)
                    if partitions.len() == topic.partitions as usize
                        && partitions.iter().all(|(_, facts)| complete(facts)) =>
                {
                    return Ok(());
                }
                Ok(partitions) => format!("not all members of {partitions:?} are there"),
                Err(why) => why,
            };
            if Instant::now() >= deadline {
                return Err(why);
            }
            self.forget(&topic.name);
            std::thread::sleep(LOOK);
        }
    }

    fn delete(&self, topic: &str, deadline: Instant) -> Result<(), String> {
        let left = || deadline.saturating_duration_since(Instant::now());
        let layout = self.layout(topic, left())?;
        let queues: Vec<String> = layout.values().flatten().cloned().collect();
        let mut why = String::new();
        for at in 0..self.settings.addresses.len() {
            let deleted = self.runtime.block_on(async {
                let connection = self.dial(at).await?;
                let deleted = delete(&connection, topic, layout.len() as u32, &queues);
                tokio::time::timeout(left(), deleted).await.map_err(|_| "no answer in time")?
            });
            match deleted {
                Ok(()) => {
                    self.forget(topic);
                    return Ok(());
                }
                Err(again) => {
                    self.log.line("delete", &again);
                    why = again;
                }
            }
        }
        Err(why)
    }

    fn address_of(&self, node: i32) -> String {
        let host = self.settings.nodes.get(&node).map_or("", String::as_str);
        let port = self
            .settings
            .addresses
            .iter()
            .find(|(name, _)| name == host)
            .map_or(AMQP_PORT, |(_, port)| *port);
        format!("{host}:{port}")
    }
}

impl Admin for RabbitAdmin {
    fn describe(&self, topics: &[String], timeout: Duration) -> Result<ClusterInfo, AdminError> {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let cluster = self.facts.cluster(timeout).map_err(|why| failed("cluster", why))?;
        let brokers = cluster.running.iter().map(|id| BrokerInfo { id: *id, address: self.address_of(*id) });
        let mut partitions = Vec::new();
        for topic in topics {
            let all =
                self.partitions(topic, left()).map_err(|why| failed(format!("topic `{topic}`"), why))?;
            partitions.extend(all.into_iter().map(|(partition, facts)| PartitionInfo {
                topic: topic.clone(),
                partition,
                leader: facts.leader,
                replicas: facts.members,
                isr: facts.online,
            }));
        }
        Ok(ClusterInfo { brokers: brokers.collect(), partitions, controller: cluster.controller })
    }

    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), AdminError> {
        let deadline = Instant::now() + timeout;
        topics.iter().try_for_each(|topic| {
            self.create(topic, deadline).map_err(|why| failed(format!("create topic `{}`", topic.name), why))
        })
    }

    fn delete_topics(&self, topics: &[String], timeout: Duration) -> Result<(), AdminError> {
        let deadline = Instant::now() + timeout;
        topics.iter().try_for_each(|topic| {
            self.delete(topic, deadline).map_err(|why| failed(format!("delete topic `{topic}`"), why))
        })
    }

    fn log_bounds(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(u64, u64), AdminError> {
        self.facts
            .stream_bounds(&queue(topic, None, partition), timeout)
            .map_err(|why| failed(format!("log bounds of {topic}/{partition}"), why))
    }

    fn committed(&self, group: &str, _: &str, _: u32, _: Duration) -> Result<Vec<Option<u64>>, AdminError> {
        Err(failed(format!("offsets of group {group}"), NO_OFFSETS))
    }

    fn backlog(
        &self,
        group: &str,
        topic: &str,
        partitions: u32,
        timeout: Duration,
    ) -> Result<Vec<u64>, AdminError> {
        let names: Vec<String> =
            (0..partitions).map(|partition| queue(topic, Some(group), partition)).collect();
        self.facts.backlog(&names, timeout).map_err(|why| failed(format!("backlog of group {group}"), why))
    }

    fn topic_settings(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<String, String>, AdminError> {
        let what = || format!("settings of topic `{topic}`");
        let deadline = Instant::now() + timeout;
        let layout = self.layout(topic, timeout).map_err(|why| failed(what(), why))?;
        let names: Vec<String> = layout.into_values().flatten().collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let queues = self.facts.queues(&names, left).map_err(|why| failed(what(), why))?;
        let mut settings = BTreeMap::new();
        for (name, facts) in names.iter().zip(queues) {
            let facts = facts.ok_or_else(|| failed(what(), format!("there is no queue `{name}`")))?;
            let members = [
                ("type", facts.kind.name().to_owned()),
                ("durable", facts.durable.to_string()),
                ("members", facts.members.len().to_string()),
                ("online", facts.online.len().to_string()),
            ];
            let members = members.map(|(name, value)| (name.to_owned(), value));
            for (setting, value) in facts.arguments.into_iter().chain(members) {
                // Queues of one topic are declared alike; one that is not shows.
                let shown: &mut String = settings.entry(setting).or_insert_with(|| value.clone());
                if *shown != value {
                    let partition = partition_of(name).map_or(String::new(), |number| number.to_string());
                    *shown = format!("{shown}; {value} in {partition}");
                }
            }
        }
        Ok(settings)
    }

    fn broker_settings(
        &self,
        broker: i32,
        timeout: Duration,
    ) -> Result<BTreeMap<String, String>, AdminError> {
        self.facts.settings(broker, timeout).map_err(|why| failed(format!("settings of node {broker}"), why))
    }

    fn version(&self, timeout: Duration) -> Option<String> {
        self.facts.version(timeout)
    }

    fn library(&self) -> String {
        super::library()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over the error, which ends here")]
fn failed(what: impl Into<String>, why: impl ToString) -> AdminError {
    AdminError { what: what.into(), why: why.to_string() }
}
