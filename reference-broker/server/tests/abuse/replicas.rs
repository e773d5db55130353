//! The same, where two other replicas have everything.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};

use super::cluster::{self, Cluster};
use super::common::PATIENCE;
use super::disk::Mount;
use super::node::{flip, length, partitions, segments};
use super::{TOPIC, alone};

impl Cluster {
    /// Waits for the end of a broker's process; its exit status.
    fn await_end(&mut self, broker: i32) -> Option<i32> {
        let at = self.processes.iter().position(|(id, _)| *id == broker).unwrap();
        let (_, mut child) = self.processes.remove(at);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() >= deadline {
                child.kill().unwrap();
                panic!("broker {broker} does not end");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self, broker: i32) {
        let (_, child) = self.processes.iter().find(|(id, _)| *id == broker).unwrap();
        kill_process(Pid::from_child(child), Signal::TERM).unwrap();
        assert_eq!(self.await_end(broker), Some(0));
    }

    fn data(&self, broker: i32) -> PathBuf {
        self.directory.path().join(broker.to_string())
    }

    fn said(&self, broker: i32) -> String {
        fs::read_to_string(self.directory.path().join(format!("{broker}.log"))).unwrap()
    }

    /// Numbered values to the first partition, acknowledged by all replicas in sync.
    fn produce(&self, numbers: std::ops::Range<usize>) {
        let producer: BaseProducer =
            self.config().set("acks", "all").set("batch.num.messages", "10").create().unwrap();
        for number in numbers {
            let value = format!("{number:.<500}");
            let record = BaseRecord::<(), _>::to(TOPIC).payload(&value).partition(0);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(cluster::PATIENCE).unwrap();
    }

    /// The leader of the first partition and its in-sync set.
    fn roles(&self) -> (i32, Vec<i32>) {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(Some(TOPIC), cluster::PATIENCE).unwrap();
        let partition =
            metadata.topics()[0].partitions().iter().find(|partition| partition.id() == 0).unwrap();
        (partition.leader(), partition.isr().to_vec())
    }

    fn await_roles(&self, what: &str, holds: impl Fn(i32, &[i32]) -> bool) {
        let deadline = Instant::now() + cluster::PATIENCE;
        loop {
            let (leader, isr) = self.roles();
            if holds(leader, &isr) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {leader} leads, {isr:?} are in sync");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn assert_has_all(&self, count: usize) {
        let consumer: BaseConsumer = self.config().set("group.id", "nobody").create().unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        let deadline = Instant::now() + cluster::PATIENCE;
        for number in 0..count {
            let value = loop {
                assert!(Instant::now() < deadline, "value {number} does not come");
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                    break String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
                }
            };
            assert_eq!(value, format!("{number:.<500}"));
        }
    }
}

#[test]
fn of_three_replicas_one_that_is_damaged_loses_nothing_and_comes_back_from_the_others() {
    let _alone = alone();
    let mut cluster = Cluster::start(&["log.segment.bytes=20000", "min.insync.replicas=2"]);
    cluster.produce(0..200);
    let (damaged, _) = cluster.roles();
    cluster.stop(damaged);
    let segments = segments(&cluster.data(damaged));
    for segment in [&segments[1], &segments[segments.len() - 1]] {
        flip(segment, length(segment) / 2);
    }
    cluster.start_broker(damaged);
    assert_eq!(cluster.await_end(damaged), Some(5));
    let said = cluster.said(damaged);
    let line = said.lines().find(|line| line.contains("the log is damaged")).unwrap_or_default();
    assert!(line.contains("ERROR") && line.contains("is damaged at byte") && line.contains("hint"), "{said}");
    cluster.produce(200..210);
    cluster.assert_has_all(210);

    for partition in partitions(&cluster.data(damaged)) {
        fs::rename(&partition, cluster.directory.path().join(partition.file_name().unwrap())).unwrap();
    }
    cluster.start_broker(damaged);
    cluster.await_roles("it is back", |_, isr| isr.len() == 3);
    for other in cluster::BROKERS.into_iter().filter(|broker| *broker != damaged) {
        cluster.stop(other);
        cluster.await_roles("another leads", |leader, _| leader != other && leader > 0);
    }
    assert_eq!(cluster.roles().0, damaged);
    cluster.assert_has_all(210);
}

#[test]
fn of_three_replicas_one_whose_disk_is_full_gives_way_to_the_others() {
    let _alone = alone();
    let mut cluster = Cluster::start(&["log.segment.bytes=20000", "min.insync.replicas=2"]);
    cluster.produce(0..10);
    let (leader, _) = cluster.roles();
    let full = cluster::BROKERS.into_iter().find(|broker| *broker != leader).unwrap();
    cluster.stop(full);
    let data = cluster.data(full);
    let away = cluster.directory.path().join("away");
    fs::rename(&data, &away).unwrap();
    let _mount = Mount::new(&data, "600k");
    let copied = Command::new("cp").arg("-a").arg(away.join(".")).arg(&data).status().unwrap();
    assert!(copied.success());
    cluster.start_broker(full);
    cluster.await_roles("it is back", |_, isr| isr.len() == 3);
    // Some are acknowledged while it still can, some when it has gone.
    cluster.produce(10..1_200);
    assert_eq!(cluster.await_end(full), Some(5));
    let said = cluster.said(full);
    assert!(said.lines().any(|line| line.contains("ERROR") && line.contains("no space left")), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    cluster.assert_has_all(1_200);
}
