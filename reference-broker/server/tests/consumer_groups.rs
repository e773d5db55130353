//! Groups of the consumer protocol (KIP-848) as librdkafka speaks it: three brokers and a controller, each a process of
//! its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod cluster;
mod common;
mod failover;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use cluster::{Cluster, PARTITIONS, PATIENCE};

const TOPIC: &str = "orders";
const GROUP: &str = "readers";

/// A member of the group, and what it has read.
struct Member {
    consumer: BaseConsumer,
    values: BTreeSet<String>,
}

impl Member {
    fn join(cluster: &Cluster, assignor: &str) -> Self {
        let consumer: BaseConsumer = cluster
            .config()
            .set("group.id", GROUP)
            .set("group.protocol", "consumer")
            .set("group.remote.assignor", assignor)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[TOPIC]).unwrap();
        Self { consumer, values: BTreeSet::new() }
    }

    fn poll(&mut self) {
        if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(50)) {
            self.values.insert(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
        }
    }

    fn assigned(&self) -> BTreeSet<i32> {
        let assignment = self.consumer.assignment().unwrap();
        assignment
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect()
    }
}

/// Lets all members poll until it is so.
fn until(what: &str, members: &mut [&mut Member], holds: impl Fn(&[&mut Member]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(members) {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        for member in members.iter_mut() {
            member.poll();
        }
    }
}

/// Writes values to all partitions in turn, acknowledged by all replicas.
fn produce(cluster: &Cluster, values: std::ops::Range<usize>) -> BTreeSet<String> {
    let producer: BaseProducer = cluster.config().set("acks", "all").set("linger.ms", "0").create().unwrap();
    let values: Vec<String> = values.map(|number| format!("v{number}")).collect();
    for (number, value) in values.iter().enumerate() {
        let record = BaseRecord::<(), _>::to(TOPIC).payload(value).partition(number as i32 % PARTITIONS);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    values.into_iter().collect()
}

fn committed(cluster: &Cluster) -> Vec<Offset> {
    let consumer: BaseConsumer = cluster.config().set("group.id", GROUP).create().unwrap();
    let mut asked = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        asked.add_partition(TOPIC, partition);
    }
    let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
    answer.elements().iter().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset).collect()
}

#[test]
fn members_share_partitions_out_and_go_on_when_their_coordinator_dies() {
    let mut cluster = Cluster::start(&[
        "group.consumer.heartbeat.interval.ms=200",
        "group.consumer.session.timeout.ms=6000",
        "offsets.topic.num.partitions=3",
    ]);
    let mut expected = produce(&cluster, 0..30);
    let mut first = Member::join(&cluster, "uniform");
    until("one member has all", &mut [&mut first], |members| {
        members[0].assigned().len() == PARTITIONS as usize && members[0].values.len() == 30
    });
    first.consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    assert_eq!(committed(&cluster), [Offset::Offset(10); 3]);

    let mut second = Member::join(&cluster, "uniform");
    let shared = |members: &[&mut Member]| {
        let (one, other) = (members[0].assigned(), members[1].assigned());
        let all = one.union(&other).count() == PARTITIONS as usize;
        all && one.is_disjoint(&other) && !one.is_empty() && !other.is_empty()
    };
    until("two members share", &mut [&mut first, &mut second], shared);

    let coordinator = cluster.coordinator(0, GROUP);
    cluster.kill(coordinator);
    expected.extend(produce(&cluster, 30..60));
    until("all is read after the coordinator has died", &mut [&mut first, &mut second], |members| {
        let read: BTreeSet<&String> = members.iter().flat_map(|member| &member.values).collect();
        read.len() == 60 && shared(members)
    });
    cluster.start_broker(coordinator);
    cluster.await_up(coordinator);
    drop(second);
    until("who is left has all", &mut [&mut first], |members| {
        members[0].assigned().len() == PARTITIONS as usize
    });
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = first.consumer.commit_consumer_state(CommitMode::Sync) {
        assert!(Instant::now() < deadline, "cannot commit: {error}");
        first.poll();
    }
    expected.extend(produce(&cluster, 60..66));
    until("it reads on", &mut [&mut first], |members| members[0].values.contains("v65"));
    assert_eq!(expected.len(), 66);
}
