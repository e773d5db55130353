//! A consumer of librdkafka that reads from the follower in its rack (KIP-392), of three brokers that are processes of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod cluster;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataPartition;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use cluster::{BROKERS, Cluster, PATIENCE};

const TOPIC: &str = "near";
const VALUE_BYTES: usize = 1_000;

/// What the client says of itself: from whom it reads the partition, and how many bytes it has had from each broker.
#[derive(Default)]
struct Witness(Mutex<Seen>);

#[derive(Clone, Default)]
struct Seen {
    reads_from: Option<i32>,
    received: BTreeMap<i32, u64>,
}

impl ClientContext for Witness {
    fn stats(&self, statistics: Statistics) {
        let partition = statistics.topics.get(TOPIC).and_then(|topic| topic.partitions.get(&0));
        let mut seen = self.0.lock().unwrap();
        seen.reads_from = partition.map(|partition| partition.broker);
        seen.received = statistics.brokers.values().map(|broker| (broker.nodeid, broker.rxbytes)).collect();
    }
}

impl ConsumerContext for Witness {}

struct Reader {
    consumer: BaseConsumer<Witness>,
    values: Vec<String>,
}

impl Reader {
    /// Reads from the beginning, in this rack.
    fn start(cluster: &Cluster, rack: &str) -> Self {
        let consumer: BaseConsumer<Witness> = cluster
            .config()
            .set("group.id", "nobody")
            .set("client.rack", rack)
            .set("statistics.interval.ms", "100")
            .set("fetch.wait.max.ms", "100")
            .create_with_context(Witness::default())
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
        consumer.assign(&assignment).unwrap();
        Self { consumer, values: Vec::new() }
    }

    fn until(&mut self, what: &str, holds: impl Fn(&[String], &Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.consumer.context().0.lock().unwrap().clone();
            if holds(&self.values, &seen) {
                return;
            }
            let (count, from) = (self.values.len(), seen.reads_from);
            assert!(Instant::now() < deadline, "{what}: {count} records were read, now from {from:?}");
            if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(20)) {
                let value = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
                self.values.push(value.trim_end_matches('.').to_owned());
            }
        }
    }
}

fn create_topic(cluster: &Cluster) {
    let admin: AdminClient<DefaultClientContext> = cluster.config().create().unwrap();
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(3)).set("min.insync.replicas", "2");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // Not before all brokers have registered.
    loop {
        let results = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()));
        if matches!(results.as_deref(), Ok([Ok(_)])) {
            return;
        }
        assert!(Instant::now() < deadline, "{results:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn leader(cluster: &Cluster) -> i32 {
    let consumer: BaseConsumer = cluster.config().create().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metadata = consumer.fetch_metadata(Some(TOPIC), PATIENCE).unwrap();
        let leader = metadata.topics()[0].partitions().first().map(MetadataPartition::leader);
        match leader {
            Some(leader) if leader > 0 => return leader,
            _ => assert!(Instant::now() < deadline, "nobody leads"),
        }
    }
}

/// Numbered values, each acknowledged by all that are in sync.
fn produce(cluster: &Cluster, numbers: std::ops::Range<usize>) {
    let producer: BaseProducer =
        cluster.config().set("acks", "all").set("enable.idempotence", "true").create().unwrap();
    for number in numbers {
        let value = format!("{number:.<VALUE_BYTES$}");
        producer
            .send(BaseRecord::<(), _>::to(TOPIC).payload(&value).partition(0))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// SIGKILL.
fn kill(cluster: &mut Cluster, broker: i32) {
    let at = cluster.processes.iter().position(|(id, _)| *id == broker).unwrap();
    let (_, mut child) = cluster.processes.remove(at);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_consumer_reads_from_the_follower_in_its_rack_and_goes_back_when_that_one_dies() {
    let mut cluster = Cluster::start(&["replica.selector.class=RackAwareReplicaSelector"]);
    create_topic(&cluster);
    let leader = leader(&cluster);
    let near = BROKERS.into_iter().find(|broker| *broker != leader).unwrap();
    produce(&cluster, 0..1_000);
    let mut reader = Reader::start(&cluster, &format!("rack-{near}"));
    reader.until("it reads all from the follower", |values, seen| {
        values.len() == 1_000 && seen.reads_from == Some(near)
    });
    let of = |seen: &Seen, broker| seen.received.get(&broker).copied().unwrap_or(0);
    let all = 1_000 * VALUE_BYTES as u64;
    reader.until("the follower has sent it, and not the leader", |_, seen| {
        of(seen, near) > all && of(seen, leader) < all / 10
    });

    produce(&cluster, 1_000..1_100);
    reader.until("it reads what comes later, too", |values, seen| {
        values.len() == 1_100 && of(seen, near) > all + 100 * VALUE_BYTES as u64
    });

    kill(&mut cluster, near);
    produce(&cluster, 1_100..1_500);
    reader.until("it reads on from the leader", |values, seen| {
        values.len() >= 1_500 && seen.reads_from == Some(leader)
    });
    let expected: Vec<String> = (0..1_500).map(|number| number.to_string()).collect();
    assert_eq!(reader.values, expected);
}
