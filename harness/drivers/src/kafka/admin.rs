//! Questions and orders to a Kafka-wire cluster.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use mqproof_core::plan::Isolation;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic as KafkaTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::complaint::complaint;
use super::settings::{Connection, check_tls};
use crate::admin::{Admin, AdminError, BrokerInfo, ClusterInfo, Complaint, NewTopic, PartitionInfo};
use crate::library_log::LibraryLog;

/// How long to wait after the library has dropped the broker that was asked.
const BROKER_DROPPED_PAUSE: Duration = Duration::from_millis(100);

/// An admin client, and one idle consumer per group whose offsets were asked for.
pub struct KafkaAdmin {
    client: AdminClient<LibraryLog>,
    connection: Connection,
    log: LibraryLog,
    probers: Mutex<BTreeMap<String, Arc<BaseConsumer<LibraryLog>>>>,
    /// Ask where logs end: for readers of all records, for readers of committed ones.
    bounds: [BaseConsumer<LibraryLog>; 2],
}

impl KafkaAdmin {
    /// An admin client; it connects when it is first asked.
    pub fn new(connection: Connection, log: LibraryLog) -> Result<Self, AdminError> {
        check_tls(&connection.settings).map_err(|why| failed("client settings", why))?;
        let client =
            connection.admin().create_with_context(log.clone()).map_err(|why| failed("admin client", why))?;
        let prober = |isolation| {
            connection
                .bounds_prober(isolation)
                .create_with_context(log.clone())
                .map_err(|why| failed("bounds prober", why))
        };
        let bounds = [prober(Isolation::ReadUncommitted)?, prober(Isolation::ReadCommitted)?];
        Ok(Self { client, connection, log, probers: Mutex::default(), bounds })
    }

    fn bounds_for(
        &self,
        isolation: Isolation,
        topic: &str,
        partition: u32,
        timeout: Duration,
    ) -> Result<(u64, u64), AdminError> {
        self.bounds[usize::from(isolation == Isolation::ReadCommitted)]
            .fetch_watermarks(topic, partition as i32, timeout)
            .map(|(start, end)| (start as u64, end as u64))
            .map_err(|why| failed(&format!("log bounds of {topic}/{partition}"), why))
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
        let answer =
            again(timeout, |left, _| block_on(self.client.describe_configs([resource], &options(left))))
                .map_err(|why| failed(&what, why))?;
        let resource = answer
            .into_iter()
            .next()
            .ok_or_else(|| failed(&what, "no answer"))?
            .map_err(|why| failed(&what, why))?;
        // The library drops the error of a resource, such as a topic that the asked broker does not know yet: nothing
        // has no settings at all.
        if resource.entries.is_empty() {
            return Err(failed(&what, "the broker told none"));
        }
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
        let results = again(timeout, |left, is_first| {
            let results = block_on(self.client.create_topics(&topics, &options(left)))?;
            Ok(unless_done_before(results, is_first, RDKafkaErrorCode::TopicAlreadyExists))
        });
        all_done("create topics", results)
    }

    fn delete_topics(&self, topics: &[String], timeout: Duration) -> Result<(), AdminError> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let results = again(timeout, |left, is_first| {
            let results = block_on(self.client.delete_topics(&names, &options(left)))?;
            Ok(unless_done_before(results, is_first, RDKafkaErrorCode::UnknownTopicOrPartition))
        });
        all_done("delete topics", results)
    }

    fn log_bounds(&self, topic: &str, partition: u32, timeout: Duration) -> Result<(u64, u64), AdminError> {
        self.bounds_for(Isolation::ReadUncommitted, topic, partition, timeout)
    }

    fn last_stable_offset(
        &self,
        topic: &str,
        partition: u32,
        timeout: Duration,
    ) -> Result<Option<u64>, AdminError> {
        let (_, end) = self.bounds_for(Isolation::ReadCommitted, topic, partition, timeout)?;
        Ok(Some(end))
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

    fn complaint(&self, timeout: Duration) -> Option<Complaint> {
        complaint(&self.connection, &self.log, timeout)
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

/// Asks again, in what is left of the time, when the library has dropped the broker that it had asked: it does so when the
/// cluster's list of brokers changes, as it does while nodes start, and asks nobody else by itself. The second argument of
/// `ask` says whether nothing was asked before; a request that was dropped may have been carried out.
fn again<T>(
    timeout: Duration,
    mut ask: impl FnMut(Duration, bool) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let until = Instant::now() + timeout;
    let mut is_first = true;
    loop {
        match ask(until.saturating_duration_since(Instant::now()), is_first) {
            Err(why) if was_dropped(&why) && Instant::now() < until => thread::sleep(BROKER_DROPPED_PAUSE),
            other => return other,
        }
        is_first = false;
    }
}

fn was_dropped(why: &KafkaError) -> bool {
    matches!(why, KafkaError::AdminOp(RDKafkaErrorCode::DestroyBroker))
}

/// Results in which `code` is no error if an earlier attempt may have had its effect.
fn unless_done_before(results: Vec<TopicResult>, is_first: bool, code: RDKafkaErrorCode) -> Vec<TopicResult> {
    let settled = |result: TopicResult| match result {
        Err((topic, why)) if why == code && !is_first => Ok(topic),
        other => other,
    };
    results.into_iter().map(settled).collect()
}

fn all_done(what: &str, results: Result<Vec<TopicResult>, KafkaError>) -> Result<(), AdminError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn dropped<T>() -> Result<T, KafkaError> {
        Err(KafkaError::AdminOp(RDKafkaErrorCode::DestroyBroker))
    }

    #[test]
    fn a_request_whose_broker_was_dropped_is_sent_again_and_may_find_its_work_done() {
        let exists = RDKafkaErrorCode::TopicAlreadyExists;
        let mut attempts = Vec::new();
        let results = again(LONG, |_, is_first| {
            attempts.push(is_first);
            if is_first {
                dropped()
            } else {
                Ok(unless_done_before(vec![Err(("t".into(), exists))], is_first, exists))
            }
        });
        assert_eq!(results.unwrap(), [Ok("t".to_owned())]);
        assert_eq!(attempts, [true, false]);
    }

    #[test]
    fn a_topic_that_was_there_before_the_first_attempt_is_an_error() {
        let exists = RDKafkaErrorCode::TopicAlreadyExists;
        let results = vec![Err(("t".to_owned(), exists))];
        assert_eq!(unless_done_before(results.clone(), true, exists), results);
    }

    #[test]
    fn other_errors_and_the_end_of_the_time_end_the_attempts() {
        let mut asked = 0;
        let refused: Result<(), _> = again(LONG, |_, _| {
            asked += 1;
            Err(KafkaError::AdminOp(RDKafkaErrorCode::PolicyViolation))
        });
        assert!(refused.is_err());
        assert_eq!(asked, 1);
        assert!(again(Duration::ZERO, |_, _| dropped::<()>()).is_err());
    }
}
