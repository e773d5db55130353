//! Questions and orders to a Kafka-wire cluster.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic as KafkaTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::settings::Connection;
use crate::admin::{Admin, AdminError, BrokerInfo, ClusterInfo, NewTopic, PartitionInfo};
use crate::library_log::LibraryLog;

/// An admin client, and one idle consumer per group whose offsets were asked for.
pub struct KafkaAdmin {
    client: AdminClient<LibraryLog>,
    connection: Connection,
    log: LibraryLog,
    probers: Mutex<BTreeMap<String, Arc<BaseConsumer<LibraryLog>>>>,
}

impl KafkaAdmin {
    /// An admin client; it connects when it is first asked.
    pub fn new(connection: Connection, log: LibraryLog) -> Result<Self, AdminError> {
        let client =
            connection.admin().create_with_context(log.clone()).map_err(|why| failed("admin client", why))?;
        Ok(Self { client, connection, log, probers: Mutex::default() })
    }

    fn prober(&self, group: &str) -> Result<Arc<BaseConsumer<LibraryLog>>, AdminError> {
        let mut probers = self.probers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prober) = probers.get(group) {
            return Ok(Arc::clone(prober));
        }
        let prober = self
            .connection
            .group_prober(group)
            .create_with_context(self.log.clone())
            .map_err(|why| failed("group prober", why))?;
        let prober = Arc::new(prober);
        probers.insert(group.to_owned(), Arc::clone(&prober));
        Ok(prober)
    }

    fn settings(
        &self,
        resource: &ResourceSpecifier<'_>,
        timeout: Duration,
    ) -> Result<BTreeMap<String, String>, AdminError> {
        let what = format!("settings of {resource:?}");
        let answer = block_on(self.client.describe_configs([resource], &options(timeout)))
            .map_err(|why| failed(&what, why))?;
        let resource = answer
            .into_iter()
            .next()
            .ok_or_else(|| failed(&what, "no answer"))?
            .map_err(|why| failed(&what, why))?;
        Ok(resource
            .entries
            .into_iter()
            .filter_map(|entry| entry.value.map(|value| (entry.name, value)))
            .collect())
    }
}

impl Admin for KafkaAdmin {
    fn describe(&self, topics: &[String], timeout: Duration) -> Result<ClusterInfo, AdminError> {
        let only = match topics {
            [topic] => Some(topic.as_str()),
            _ => None,
        };
        let metadata =
            self.client.inner().fetch_metadata(only, timeout).map_err(|why| failed("metadata", why))?;
        let brokers = metadata
            .brokers()
            .iter()
            .map(|broker| BrokerInfo {
                id: broker.id(),
                address: format!("{}:{}", broker.host(), broker.port()),
            })
            .collect();
        let partitions = metadata
            .topics()
            .iter()
            .filter(|topic| topics.iter().any(|asked| asked == topic.name()))
            .flat_map(partitions_of)
            .collect();
        // With KRaft a broker names any broker as the controller, so its word is not taken.
        Ok(ClusterInfo { brokers, partitions, controller: None })
    }

    fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Result<(), AdminError> {
        let topics: Vec<KafkaTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let replication = TopicReplication::Fixed(topic.replicas as i32);
                topic.settings.iter().fold(
                    KafkaTopic::new(&topic.name, topic.partitions as i32, replication),
                    |new, (name, value)| new.set(name, value),
                )
            })
            .collect();
        let results = block_on(self.client.create_topics(&topics, &options(timeout)));
        all_done("create topics", results)
    }

    fn delete_topics(&self, topics: &[String], timeout: Duration) -> Result<(), AdminError> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let results = block_on(self.client.delete_topics(&names, &options(timeout)));
        all_done("delete topics", results)
    }

    fn log_bounds(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(u64, u64), AdminError> {
        self.client
            .inner()
            .fetch_watermarks(topic, partition as i32, timeout)
            .map(|(start, end)| (start as u64, end as u64))
            .map_err(|why| failed(&format!("log bounds of {topic}/{partition}"), why))
    }

    fn committed(
        &self,
        group: &str,
        topic: &str,
        partitions: u32,
        timeout: Duration,
    ) -> Result<Vec<Option<u64>>, AdminError> {
        let mut asked = TopicPartitionList::new();
        (0..partitions as i32).for_each(|partition| {
            asked.add_partition(topic, partition);
        });
        let what = format!("offsets of group {group}");
        let answer =
            self.prober(group)?.committed_offsets(asked, timeout).map_err(|why| failed(&what, why))?;
        (0..partitions as i32)
            .map(|partition| match answer.find_partition(topic, partition) {
                Some(element) => {
                    element.error().map_err(|why| failed(&what, why))?;
                    Ok(match element.offset() {
                        Offset::Offset(next) => u64::try_from(next).ok(),
                        _ => None,
                    })
                }
                None => Ok(None),
            })
            .collect()
    }

    fn topic_settings(&self, topic: &str, timeout: Duration) -> Result<BTreeMap<String, String>, AdminError> {
        self.settings(&ResourceSpecifier::Topic(topic), timeout)
    }

    fn broker_settings(
        &self,
        broker: i32,
        timeout: Duration,
    ) -> Result<BTreeMap<String, String>, AdminError> {
        self.settings(&ResourceSpecifier::Broker(broker), timeout)
    }

    fn version(&self, timeout: Duration) -> Option<String> {
        // The protocol has no call for it; older brokers name the version of their protocol among their settings.
        let broker = self.describe(&[], timeout).ok()?.brokers.first()?.id;
        self.broker_settings(broker, timeout).ok()?.remove("inter.broker.protocol.version")
    }

    fn library(&self) -> String {
        super::library()
    }
}

fn partitions_of(topic: &MetadataTopic) -> Vec<PartitionInfo> {
    topic
        .partitions()
        .iter()
        .map(|partition| PartitionInfo {
            topic: topic.name().to_owned(),
            partition: partition.id() as u32,
            leader: (partition.leader() >= 0).then(|| partition.leader()),
            replicas: partition.replicas().to_vec(),
            isr: partition.isr().to_vec(),
        })
        .collect()
}

fn options(timeout: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

fn all_done(
    what: &str,
    results: Result<Vec<TopicResult>, rdkafka::error::KafkaError>,
) -> Result<(), AdminError> {
    for result in results.map_err(|why| failed(what, why))? {
        result.map_err(|(topic, why)| failed(&format!("{what}: `{topic}`"), why))?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over the library's error, which ends here")]
fn failed(what: &str, why: impl ToString) -> AdminError {
    AdminError { what: what.to_owned(), why: why.to_string() }
}

/// Waits for one of the admin client's futures, which its own thread completes within their time-out.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}
