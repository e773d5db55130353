//! Transactions as librdkafka sees them: three brokers and a controller, each a process of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod cluster;
mod common;
mod failover;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use cluster::{Cluster, PARTITIONS, PATIENCE};

impl Cluster {
    fn producer(&self, transactional_id: &str) -> BaseProducer {
        self.producer_with_timeout(transactional_id, 60_000)
    }

    fn producer_with_timeout(&self, transactional_id: &str, timeout_ms: u32) -> BaseProducer {
        let producer: BaseProducer = self
            .config()
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", timeout_ms.to_string())
            .set("linger.ms", "0")
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    fn consumer(&self, isolation: &str, group: &str) -> BaseConsumer {
        self.config()
            .set("group.id", group)
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap()
    }

    /// All values of a topic up to the ends of its partitions, sorted.
    fn read(&self, isolation: &str, topic: &str) -> Vec<String> {
        let consumer = self.consumer(isolation, "drain");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let (mut values, mut ended) = (Vec::new(), 0);
        let deadline = Instant::now() + PATIENCE;
        while ended < PARTITIONS {
            assert!(Instant::now() < deadline, "`{topic}` has no end");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(_)) | None => {}
            }
        }
        values.sort();
        values
    }

    fn committed(&self, topic: &str) -> Vec<String> {
        self.read("read_committed", topic)
    }

    fn await_committed(&self, topic: &str, expected: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while self.committed(topic) != expected {
            assert!(Instant::now() < deadline, "{:?} and not {expected:?}", self.committed(topic));
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The committed offset of partition 0, as a group would go on from it.
    fn group_offset(&self, group: &str, topic: &str) -> Option<i64> {
        let consumer = self.consumer("read_uncommitted", group);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
        match answer.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }
}

/// One record to each partition, all of them delivered.
fn send_everywhere(producer: &BaseProducer, topic: &str, value: &str) {
    for partition in 0..PARTITIONS {
        let value = format!("{value}{partition}");
        let record = BaseRecord::<(), _, ()>::to(topic).partition(partition).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn is_fenced(error: &KafkaError) -> bool {
    let KafkaError::Transaction(error) = error else { return false };
    let fenced =
        [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::InvalidProducerEpoch, RDKafkaErrorCode::ProducerFenced];
    error.is_fatal() && fenced.contains(&error.code())
}

fn a_commit_is_seen_and_an_abort_is_not(cluster: &Cluster) {
    let producer = cluster.producer("outcome");
    producer.begin_transaction().unwrap();
    send_everywhere(&producer, "outcome", "a");
    producer.commit_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_everywhere(&producer, "outcome", "b");
    producer.abort_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send_everywhere(&producer, "outcome", "c");
    producer.commit_transaction(PATIENCE).unwrap();
    cluster.await_committed("outcome", &["a0", "a1", "a2", "c0", "c1", "c2"]);
    assert_eq!(cluster.read("read_uncommitted", "outcome").len(), 9);
}

fn an_open_transaction_holds_back_what_comes_after_it(cluster: &Cluster) {
    let producer = cluster.producer("open");
    producer.begin_transaction().unwrap();
    send_everywhere(&producer, "open", "a");
    send_everywhere(&plain(cluster), "open", "b");
    assert_eq!(cluster.committed("open"), Vec::<String>::new());
    assert_eq!(cluster.read("read_uncommitted", "open").len(), 6);
    producer.commit_transaction(PATIENCE).unwrap();
    cluster.await_committed("open", &["a0", "a1", "a2", "b0", "b1", "b2"]);
}

fn offsets_count_when_their_transaction_is_committed(cluster: &Cluster) {
    let producer = cluster.producer("offsets");
    let consumer = cluster.consumer("read_committed", "readers");
    for (offset, commit, expected) in [(5, true, Some(5)), (9, false, Some(5)), (12, true, Some(12))] {
        let before = cluster.group_offset("readers", "outcome");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("outcome", 0, Offset::Offset(offset)).unwrap();
        producer.begin_transaction().unwrap();
        send_everywhere(&producer, "offsets", "x");
        let group = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets, &group, PATIENCE).unwrap();
        assert_eq!(cluster.group_offset("readers", "outcome"), before, "before the end");
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        while cluster.group_offset("readers", "outcome") != expected {
            assert!(Instant::now() < deadline, "not {expected:?} after the end");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn a_zombie_is_fenced(cluster: &Cluster) {
    let zombie = cluster.producer("zombie");
    zombie.begin_transaction().unwrap();
    send_everywhere(&zombie, "zombie", "old");
    let successor = cluster.producer("zombie");
    let error = zombie.commit_transaction(PATIENCE).unwrap_err();
    assert!(is_fenced(&error), "{error:?}");
    successor.begin_transaction().unwrap();
    send_everywhere(&successor, "zombie", "new");
    successor.commit_transaction(PATIENCE).unwrap();
    cluster.await_committed("zombie", &["new0", "new1", "new2"]);
}

fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(cluster: &Cluster) {
    let slow = cluster.producer_with_timeout("slow", 1_000);
    slow.begin_transaction().unwrap();
    send_everywhere(&slow, "slow", "late");
    send_everywhere(&plain(cluster), "slow", "other");
    cluster.await_committed("slow", &["other0", "other1", "other2"]);
    let error = slow.commit_transaction(PATIENCE).unwrap_err();
    assert!(is_fenced(&error), "{error:?}");
}

fn plain(cluster: &Cluster) -> BaseProducer {
    cluster.config().create().unwrap()
}

#[test]
fn librdkafka_finds_transactions_as_it_expects_them() {
    let cluster = Cluster::start(&[]);
    a_commit_is_seen_and_an_abort_is_not(&cluster);
    an_open_transaction_holds_back_what_comes_after_it(&cluster);
    offsets_count_when_their_transaction_is_committed(&cluster);
    a_zombie_is_fenced(&cluster);
    a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(&cluster);
}

#[test]
fn transactions_go_on_when_their_coordinator_is_killed() {
    let mut cluster = Cluster::start(&[]);
    let producer = cluster.producer("killed");
    producer.begin_transaction().unwrap();
    send_everywhere(&producer, "killed", "a");
    producer.commit_transaction(PATIENCE).unwrap();
    for (value, commit) in [("b", true), ("c", false), ("d", true)] {
        producer.begin_transaction().unwrap();
        send_everywhere(&producer, "killed", value);
        let node = cluster.coordinator(1, "killed");
        cluster.kill(node);
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        cluster.start_broker(node);
        cluster.await_up(node);
    }
    cluster.await_committed("killed", &["a0", "a1", "a2", "b0", "b1", "b2", "d0", "d1", "d2"]);
}
