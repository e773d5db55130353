//! What the conductor asks of a cluster, whatever its protocol.

use std::collections::BTreeMap;
use std::time::Duration;

/// A question could not be answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct AdminError {
    /// What was asked.
    pub what: String,
    /// What the client library or the cluster said.
    pub why: String,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each.
    pub replicas: u32,
    /// Groups that will read it. A product whose queues are read destructively makes a copy for each.
    pub groups: Vec<String>,
    /// Settings, in the product's own names.
    pub settings: BTreeMap<String, String>,
}

/// A broker as the cluster tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerInfo {
    /// Its id.
    pub id: i32,
    /// Where clients are told to reach it.
    pub address: String,
}

/// A partition as the cluster tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// Its replicas.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub isr: Vec<i32>,
}

/// The cluster as it tells itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// Live brokers.
    pub brokers: Vec<BrokerInfo>,
    /// Partitions of the topics that were asked for.
    pub partitions: Vec<PartitionInfo>,
    /// The active controller, where the protocol tells.
    pub controller: Option<i32>,
}

/// Why a connection does not come about, in the client library's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Whether somebody is there and refuses: wrong credentials, an unknown authority, a handshake that failed.
    pub is_refusal: bool,
    /// What the library said.
    pub text: String,
}

/// Questions and orders of the conductor. Every call returns within its time-out.
pub trait Admin: Send {
    /// Live brokers, and the partitions of these topics.
    fn describe(&self, topics: &[String], timeout: Duration) -> Result<ClusterInfo, AdminError>;
    /// Creates topics; an existing one is an error.
    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), AdminError>;
    /// Deletes topics.
    fn delete_topics(&self, topics: &[String], timeout: Duration) -> Result<(), AdminError>;
    /// Log start and end (exclusive) of a partition. The end is the high watermark: what a consumer can read up to.
    fn log_bounds(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(u64, u64), AdminError>;
    /// The same, but the end is that of what more than one copy surely has, where that is not what a consumer can read.
    fn replicated_bounds(
        &self,
        topic: &str,
        partition: u32,
        timeout: Duration,
    ) -> Result<(u64, u64), AdminError> {
        self.log_bounds(topic, partition, timeout)
    }
    /// Below it no transaction is undecided; None where the product has no transactions of several messages.
    fn last_stable_offset(
        &self,
        topic: &str,
        partition: u32,
        timeout: Duration,
    ) -> Result<Option<u64>, AdminError> {
        let _ = (topic, partition, timeout);
        Ok(None)
    }
    /// The offsets a group has committed, by partition number; None where it has not.
    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: u32,
        timeout: Duration,
    ) -> Result<Vec<Option<u64>>, AdminError>;
    /// Messages that wait for a group or are out to it unsettled, by partition, as every node that answers sees it (the
    /// highest number counts). Only where messages leave the broker when they are settled.
    fn backlog(
        &self,
        group: &str,
        topic: &str,
        partitions: u32,
        timeout: Duration,
    ) -> Result<Vec<u64>, AdminError> {
        let _ = (topic, partitions, timeout);
        let why = "this product's groups have offsets, not queues".to_owned();
        Err(AdminError { what: format!("backlog of group {group}"), why })
    }
    /// Settings of a topic that are in force.
    fn topic_settings(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<String, String>, AdminError>;
    /// Settings of a broker that are in force.
    fn broker_settings(&self, broker: i32, timeout: Duration)
    -> Result<BTreeMap<String, String>, AdminError>;
    /// Connects once more, to learn what the client library has to say about it. For a cluster that did not answer.
    fn complaint(&self, timeout: Duration) -> Option<Complaint> {
        let _ = timeout;
        None
    }
    /// The product's version, as far as the protocol tells.
    fn version(&self, timeout: Duration) -> Option<String>;
    /// The client library and its version.
    fn library(&self) -> String;
}
