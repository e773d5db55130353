//! Questions and orders to a RocketMQ cluster, by remoting.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::{BrokerSet, Cluster, ClusterError, View, properties};
use super::remoting::json::{Table, TopicConfig};
use super::remoting::{Request, code, json as bodies};
use crate::Connection;
use crate::admin::{Admin, AdminError, BrokerInfo, ClusterInfo, NewTopic, PartitionInfo};

/// Between two looks whether name servers know a new topic.
const LOOK: Duration = Duration::from_millis(20);
/// Reads and writes.
const READ_WRITE: u32 = 6;

/// The conductor's client.
pub struct RocketmqAdmin {
    cluster: Cluster,
}

impl RocketmqAdmin {
    /// A client that connects when it is first asked.
    pub fn new(connection: &Connection) -> Self {
        Self { cluster: Cluster::new(connection) }
    }

    /// Creates a topic on every broker that lives: a new master knows only what it had itself.
    fn create_topic(&self, topic: &NewTopic, view: &View, deadline: Instant) -> Result<(), ClusterError> {
        let kind = topic.settings.get("message.type").map_or("NORMAL", String::as_str);
        let request = Request::new(code::UPDATE_AND_CREATE_TOPIC)
            .with("topic", &topic.name)
            .with("defaultTopic", "TBW102")
            .with("readQueueNums", topic.partitions)
            .with("writeQueueNums", topic.partitions)
            .with("perm", READ_WRITE)
            .with("topicFilterType", "SINGLE_TAG")
            .with("topicSysFlag", 0)
            .with("order", kind == "FIFO")
            .with("attributes", format!("+message.type={kind}"));
        for address in copies(view) {
            self.cluster.ask(address, &request, deadline)?;
            for group in &topic.groups {
                self.cluster.ask(address, &group_request(group), deadline)?;
            }
        }
        while !self.cluster.is_routed(&topic.name, deadline) {
            if Instant::now() + LOOK >= deadline {
                return Err(ClusterError::NoRoute(topic.name.clone()));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn delete_topic(&self, topic: &str, view: &View, deadline: Instant) -> Result<(), ClusterError> {
        let request = Request::new(code::DELETE_TOPIC_IN_BROKER).with("topic", topic);
        let look = Request::new(code::GET_TOPIC_CONFIG).with("topic", topic);
        for address in copies(view) {
            // 5.5.0 without its timer wheel deletes the topic, and then fails for want of the timer's figures.
            if let Err(why) = self.cluster.ask(address, &request, deadline) {
                match self.cluster.ask(address, &look, deadline) {
                    Err(ClusterError::Refused { code: code::TOPIC_NOT_EXIST, .. }) => {}
                    _ => return Err(why),
                }
            }
        }
        let request = Request::new(code::DELETE_TOPIC_IN_NAME_SERVER).with("topic", topic);
        for address in self.cluster.name_servers() {
            self.cluster.ask(address, &request, deadline)?;
        }
        Ok(())
    }

    fn partitions(
        &self,
        topic: &str,
        view: &View,
        deadline: Instant,
    ) -> Result<Vec<PartitionInfo>, ClusterError> {
        let node = |address: &String| self.cluster.node(address);
        let queues = self.cluster.queues(topic, deadline)?;
        let none = BrokerSet::default();
        let partition = |(partition, queue): (usize, &super::cluster::Queue)| {
            let broker = view.brokers.get(&queue.broker).unwrap_or(&none);
            PartitionInfo {
                topic: topic.to_owned(),
                partition: partition as u32,
                leader: broker.master.as_ref().map(node),
                replicas: broker.all.iter().map(node).collect(),
                isr: broker.in_sync.iter().map(node).collect(),
            }
        };
        Ok(queues.iter().enumerate().map(partition).collect())
    }

    fn committed_of(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
        deadline: Instant,
    ) -> Result<Option<u64>, ClusterError> {
        let request = Request::new(code::QUERY_CONSUMER_OFFSET)
            .with("consumerGroup", group)
            // Else a group that never committed looks as if it had committed 0.
            .with("setZeroIfNotFound", false);
        match self.cluster.ask_master(topic, partition, request, deadline) {
            Ok(answer) => Ok(answer.number("offset").and_then(|offset| u64::try_from(offset).ok())),
            Err(ClusterError::Refused { code: code::QUERY_NOT_FOUND, .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }

    fn read_topic_settings(
        &self,
        topic: &str,
        deadline: Instant,
    ) -> Result<BTreeMap<String, String>, ClusterError> {
        let address = self.cluster.master(&self.cluster.queue(topic, 0, deadline)?.broker, deadline)?;
        let request = Request::new(code::GET_TOPIC_CONFIG).with("topic", topic);
        let answer = self.cluster.ask(&address, &request, deadline)?;
        let config: TopicConfig =
            bodies::parse(&answer.body).map_err(|why| ClusterError::Body { address, why })?;
        let mut settings = config.attributes;
        settings.insert("readQueueNums".to_owned(), config.read_queue_nums.to_string());
        settings.insert("writeQueueNums".to_owned(), config.write_queue_nums.to_string());
        settings.insert("perm".to_owned(), config.perm.to_string());
        settings.insert("order".to_owned(), config.order.to_string());
        Ok(settings)
    }
}

impl Admin for RocketmqAdmin {
    fn describe(&self, topics: &[String], timeout: Duration) -> Result<ClusterInfo, AdminError> {
        let deadline = Instant::now() + timeout;
        let what = failed("describe");
        let view = self.cluster.view(deadline).map_err(&what)?;
        let alive = view.brokers.values().flat_map(|broker| &broker.alive);
        let mut brokers: Vec<BrokerInfo> = alive
            .map(|address| BrokerInfo { id: self.cluster.node(address), address: address.clone() })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        let mut partitions = Vec::new();
        for topic in topics {
            match self.partitions(topic, &view, deadline) {
                Ok(found) => partitions.extend(found),
                Err(ClusterError::NoRoute(_)) => {}
                Err(why) => return Err(what(why)),
            }
        }
        let controller = view.controller.as_ref().map(|address| self.cluster.node(address));
        Ok(ClusterInfo { brokers, partitions, controller })
    }

    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), AdminError> {
        let deadline = Instant::now() + timeout;
        for topic in topics {
            let what = failed(format!("create topic `{}`", topic.name));
            if self.cluster.queues(&topic.name, deadline).is_ok() {
                return Err(AdminError {
                    what: format!("create topic `{}`", topic.name),
                    why: "it exists".into(),
                });
            }
            let view = self.cluster.view(deadline).map_err(&what)?;
            self.create_topic(topic, &view, deadline).map_err(&what)?;
        }
        Ok(())
    }

    fn delete_topics(&self, topics: &[String], timeout: Duration) -> Result<(), AdminError> {
        let deadline = Instant::now() + timeout;
        let view = self.cluster.view(deadline).map_err(failed("delete topics"))?;
        topics.iter().try_for_each(|topic| {
            self.delete_topic(topic, &view, deadline).map_err(failed(format!("delete topic `{topic}`")))
        })
    }

    fn log_bounds(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(u64, u64), AdminError> {
        let bounds = self.cluster.log_bounds(topic, partition, Instant::now() + timeout);
        bounds.map_err(failed(format!("log bounds of {topic}/{partition}")))
    }

    fn replicated_bounds(
        &self,
        topic: &str,
        partition: u32,
        timeout: Duration,
    ) -> Result<(u64, u64), AdminError> {
        let bounds = self.cluster.replicated_bounds(topic, partition, Instant::now() + timeout);
        bounds.map_err(failed(format!("replicated bounds of {topic}/{partition}")))
    }

    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: u32,
        timeout: Duration,
    ) -> Result<Vec<Option<u64>>, AdminError> {
        let deadline = Instant::now() + timeout;
        (0..partitions)
            .map(|partition| {
                let committed = self.committed_of(group, topic, partition, deadline);
                committed.map_err(failed(format!("offsets of group {group}")))
            })
            .collect()
    }

    fn topic_settings(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<String, String>, AdminError> {
        let settings = self.read_topic_settings(topic, Instant::now() + timeout);
        settings.map_err(failed(format!("settings of topic `{topic}`")))
    }

    fn broker_settings(
        &self,
        broker: i32,
        timeout: Duration,
    ) -> Result<BTreeMap<String, String>, AdminError> {
        let deadline = Instant::now() + timeout;
        let answer = self
            .cluster
            .broker_at(broker, deadline)
            .and_then(|address| self.cluster.ask(&address, &Request::new(code::GET_BROKER_CONFIG), deadline));
        answer.map(|answer| properties(&answer.body)).map_err(failed(format!("settings of broker {broker}")))
    }

    fn version(&self, timeout: Duration) -> Option<String> {
        let deadline = Instant::now() + timeout;
        let view = self.cluster.view(deadline).ok()?;
        let address = view.brokers.values().find_map(|broker| broker.alive.first())?;
        let answer =
            self.cluster.ask(address, &Request::new(code::GET_BROKER_RUNTIME_INFO), deadline).ok()?;
        let mut table = bodies::parse::<Table>(&answer.body).ok()?.table;
        let version = table.remove("brokerVersionDesc")?;
        Some(version.trim_start_matches('V').replace('_', "."))
    }

    fn library(&self) -> String {
        super::library()
    }
}

/// The addresses of all copies that live.
fn copies(view: &View) -> impl Iterator<Item = &String> {
    view.brokers.values().flat_map(|broker| &broker.alive)
}

fn group_request(group: &str) -> Request {
    let config = json!({
        "groupName": group,
        "consumeEnable": true,
        "consumeFromMinEnable": true,
        "consumeBroadcastEnable": false,
        "retryQueueNums": 1,
        // Outside tests of it nothing goes to the dead letters.
        "retryMaxTimes": i32::MAX,
        "brokerId": 0,
        "whichBrokerWhenConsumeSlowly": 1,
        "notifyConsumerIdsChangedEnable": true,
    });
    Request::new(code::UPDATE_AND_CREATE_SUBSCRIPTION_GROUP).body(config.to_string())
}

fn failed(what: impl Into<String>) -> impl Fn(ClusterError) -> AdminError {
    let what = what.into();
    move |why| AdminError { what: what.clone(), why: why.to_string() }
}
