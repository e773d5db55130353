//! The RabbitMQ driver against a running cluster.
//!
//! `MQPROOF_RABBITMQ=HOST:PORT,…` names its nodes in the order of their numbers, `MQPROOF_RABBITMQ_COOKIE` their cookie.
//! Without a cluster these tests fail: they were asked for.

mod late;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use late::LateDoor;
use mqproof_core::history::{Event, Level, MemberChange, Outcome};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{
    ConsumerPlan, Durability, Isolation, Keys, Pace, Payload, ProducerPlan, Settle, Start,
};
use mqproof_drivers::admin::{Admin, NewTopic};
use mqproof_drivers::library_log::LibraryLog;
use mqproof_drivers::role::{
    CommitEnd, Completion, Consumer, Driver, GroupObserver, Handled, Outgoing, SendObserver,
};
use mqproof_drivers::{Connection, admin, driver};

const ANSWER: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(20);
const GROUP: &str = "g";
const MESSAGES: u64 = 300;

struct Cluster {
    connection: Connection,
    admin: Box<dyn Admin>,
    driver: Box<dyn Driver>,
    nodes: u32,
    topic: String,
}

impl Cluster {
    /// A topic of three partitions in queues of this type.
    fn with_topic(name: &str, queue_type: &str, groups: &[&str]) -> Self {
        let bootstrap = std::env::var("MQPROOF_RABBITMQ").expect("MQPROOF_RABBITMQ names a cluster");
        let cookie = std::env::var("MQPROOF_RABBITMQ_COOKIE").expect("MQPROOF_RABBITMQ_COOKIE");
        let hosts = bootstrap.split(',').map(|address| address.split(':').next().expect("a host"));
        let nodes: Vec<String> = (1..).zip(hosts).map(|(number, host)| format!("{number}={host}")).collect();
        let settings = [("queue-type", queue_type), ("nodes", &nodes.join(",")), ("cookie", &cookie)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let connection = Connection { bootstrap, settings };
        let log = LibraryLog::to_tracing();
        let cluster = Self {
            admin: admin("rabbitmq", &connection, &log).expect("an admin"),
            driver: driver("rabbitmq", &connection, &log).expect("a driver"),
            connection,
            nodes: nodes.len() as u32,
            topic: format!("live-{name}-{}", std::process::id()),
        };
        let topic = NewTopic {
            name: cluster.topic.clone(),
            partitions: 3,
            replicas: cluster.nodes,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            settings: if queue_type == "stream" {
                BTreeMap::new()
            } else {
                [("x-single-active-consumer", "true"), ("x-delivery-limit", "-1")]
                    .into_iter()
                    .filter(|(name, _)| queue_type == "quorum" || *name != "x-delivery-limit")
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect()
            },
        };
        cluster.admin.create_topics(&[topic], SOON).expect("the topic is created");
        cluster
    }

    fn consumer(&self, settle: Settle, observer: Arc<Group>) -> Box<dyn Consumer> {
        let plan = consumer_plan(&self.topic, settle);
        let mut consumer = self.driver.consumer(&plan, observer).expect("a consumer");
        consumer.connect(ANSWER).expect("it connects");
        consumer.subscribe().expect("it subscribes");
        consumer
    }

    /// Sends numbered messages with keys, and returns how each ended.
    fn produce(&self, durability: Durability) -> Vec<Completion> {
        let ends = Arc::new(Ends::default());
        let producer =
            self.driver.producer(&producer_plan(&self.topic), durability, ends.clone()).expect("a producer");
        producer.connect(ANSWER).expect("it connects");
        for number in 0..MESSAGES {
            let key = key_of(number);
            let payload = number.to_le_bytes();
            producer
                .send(&Outgoing { id: MessageId(number), key: Some(&key), payload: &payload })
                .expect("there is room");
        }
        let deadline = Instant::now() + SOON;
        while ends.0.lock().expect("not poisoned").len() < MESSAGES as usize && Instant::now() < deadline {
            producer.poll(Duration::from_millis(20));
        }
        ends.0.lock().expect("not poisoned").clone()
    }

    fn backlog(&self) -> u64 {
        let waiting = self.admin.backlog(GROUP, &self.topic, 3, ANSWER).expect("a backlog");
        waiting.iter().sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.admin.delete_topics(std::slice::from_ref(&self.topic), ANSWER);
    }
}

fn key_of(number: u64) -> [u8; 4] {
    (number as u32 % 40).to_le_bytes()
}

fn consumer_plan(topic: &str, settle: Settle) -> ConsumerPlan {
    ConsumerPlan {
        role: "reader".to_owned(),
        member: 0,
        group: GROUP.to_owned(),
        topic: topic.to_owned(),
        settle,
        start: Start::Earliest,
        processing_ns: 0,
        from_ns: 0,
        crashes: Vec::new(),
        isolation: Isolation::default(),
    }
}

fn producer_plan(topic: &str) -> ProducerPlan {
    ProducerPlan {
        role: "writer".to_owned(),
        instance: 0,
        instances: 1,
        topic: topic.to_owned(),
        pace: Pace::Closed { outstanding: 100 },
        total: None,
        from_ns: 0,
        until_ns: u64::MAX,
        keys: Keys::None,
        payload: Payload::Fixed(64),
        in_flight: 5,
        idempotence: false,
        retries: 0,
        transactions: None,
        seed: 1,
    }
}

#[derive(Default)]
struct Ends(Mutex<Vec<Completion>>);

impl SendObserver for Ends {
    fn completed(&self, completion: &Completion) {
        self.0.lock().expect("not poisoned").push(*completion);
    }
}

#[derive(Default)]
struct Group {
    commits: Mutex<Vec<CommitEnd>>,
    changes: Mutex<Vec<(MemberChange, u16)>>,
}

impl GroupObserver for Group {
    fn member(&self, change: MemberChange, partition: u16, _: u16) {
        self.changes.lock().expect("not poisoned").push((change, partition));
    }

    fn committed(&self, commit: &CommitEnd) {
        self.commits.lock().expect("not poisoned").push(*commit);
    }
}

/// Number, partition, redelivered, settlement.
type Seen = (u64, u16, bool, u64);

/// Takes messages until there are so many or it takes too long.
fn take(consumer: &mut dyn Consumer, count: usize, handled: Handled) -> Vec<Seen> {
    let mut seen = Vec::new();
    let deadline = Instant::now() + SOON;
    while seen.len() < count && Instant::now() < deadline {
        consumer.poll(100, Duration::from_millis(50), &mut |received| {
            let number = u64::from_le_bytes(received.payload.try_into().expect("eight bytes"));
            assert_eq!(received.key, Some(&key_of(number)[..]));
            assert_eq!(received.offset, Event::NO_OFFSET);
            seen.push((number, received.partition, received.redelivered, received.settlement));
            handled
        });
    }
    seen
}

fn assert_ordered_by_key(seen: &[Seen]) {
    let mut last: BTreeMap<[u8; 4], (u64, u16)> = BTreeMap::new();
    for (number, partition, ..) in seen {
        if let Some((before, in_partition)) = last.insert(key_of(*number), (*number, *partition)) {
            assert!(before < *number, "{before} came before {number}");
            assert_eq!(in_partition, *partition, "a key has one partition");
        }
    }
}

fn work_queue(queue_type: &str, durability: Durability, level: Level) {
    let cluster = Cluster::with_topic(&format!("work-{queue_type}"), queue_type, &[GROUP, "other"]);
    let ends = cluster.produce(durability);
    assert_eq!(ends.len() as u64, MESSAGES);
    assert!(ends.iter().all(|end| end.outcome == Outcome::Ok && end.level == level), "{ends:?}");
    assert_eq!(cluster.backlog(), MESSAGES);

    let group = Arc::new(Group::default());
    let mut consumer = cluster.consumer(Settle::After, group.clone());
    let open = take(&mut *consumer, MESSAGES as usize, Handled::Open);
    assert_eq!(open.len() as u64, MESSAGES);
    assert!(open.iter().all(|(_, _, redelivered, _)| !redelivered));
    assert_ordered_by_key(&open);
    assert_eq!(cluster.backlog(), MESSAGES, "what is out and unsettled still counts");
    consumer.close();

    let mut consumer = cluster.consumer(Settle::After, group.clone());
    let again = take(&mut *consumer, MESSAGES as usize, Handled::Settled);
    assert_eq!(again.len() as u64, MESSAGES, "what was unsettled comes again");
    assert!(again.iter().all(|(_, _, redelivered, _)| *redelivered), "what came back is marked");
    assert_ordered_by_key(&again);
    assert_eq!(consumer.commit_and_wait(), Outcome::Ok);
    let deadline = Instant::now() + ANSWER;
    while cluster.backlog() > 0 && Instant::now() < deadline {}
    assert_eq!(cluster.backlog(), 0);
    consumer.close();
    let assigned = group.changes.lock().expect("not poisoned");
    assert_eq!(assigned.iter().filter(|(change, _)| *change == MemberChange::Assign).count(), 6);
    let other = cluster.admin.backlog("other", &cluster.topic, 3, ANSWER).expect("a backlog");
    assert_eq!(other.iter().sum::<u64>(), MESSAGES, "the other group has its own copies");
}

#[test]
fn a_quorum_queue_hands_over_in_order_and_keeps_what_is_unsettled() {
    work_queue("quorum", Durability::QuorumDisk, Level::QuorumDisk);
}

#[test]
fn a_classic_queue_hands_over_in_order_and_keeps_what_is_unsettled() {
    work_queue("classic", Durability::Leader, Level::Leader);
}

#[test]
fn settling_before_the_hand_over_takes_one_partition_at_a_time_and_leaves_nothing() {
    let cluster = Cluster::with_topic("before", "quorum", &[GROUP]);
    cluster.produce(Durability::QuorumDisk);
    let mut consumer = cluster.consumer(Settle::Before, Arc::new(Group::default()));
    let mut count = 0;
    let deadline = Instant::now() + SOON;
    while count < MESSAGES as usize && Instant::now() < deadline {
        let mut batch = Vec::new();
        consumer.poll(100, Duration::from_millis(50), &mut |received| {
            batch.push((received.partition, received.settlement));
            Handled::Open
        });
        assert!(batch.windows(2).all(|pair| pair[0].0 == pair[1].0));
        for (partition, settlement) in &batch {
            consumer.settle(*partition, *settlement);
        }
        assert_eq!(consumer.commit_and_wait(), Outcome::Ok);
        count += batch.len();
    }
    assert_eq!(count as u64, MESSAGES);
    let deadline = Instant::now() + ANSWER;
    while cluster.backlog() > 0 && Instant::now() < deadline {}
    assert_eq!(cluster.backlog(), 0);
}

/// A queue whose node is down is answered when the node is back. Whoever asks again meanwhile is served twice, and what the
/// first consumer is handed nobody hears of: the whole queue, where one consumer is served at a time.
#[test]
fn a_queue_that_answers_late_is_asked_once_and_handed_over_whole() {
    let cluster = Cluster::with_topic("late", "quorum", &[GROUP]);
    cluster.produce(Durability::QuorumDisk);
    let door = LateDoor::before(cluster.connection.bootstrap.split(',').next().expect("an address"));
    let mut connection = cluster.connection.clone();
    connection.bootstrap = door.address.to_string();
    let driver = driver("rabbitmq", &connection, &LibraryLog::to_tracing()).expect("a driver");
    let plan = consumer_plan(&cluster.topic, Settle::After);
    let mut consumer = driver.consumer(&plan, Arc::new(Group::default())).expect("a consumer");
    consumer.connect(ANSWER).expect("it connects");
    door.hold(true);
    consumer.subscribe().expect("it subscribes");
    // Shorter than the silence after which the connection is given up, two heartbeats of 3 s.
    std::thread::sleep(Duration::from_millis(4_500));
    door.hold(false);
    let seen = take(&mut *consumer, MESSAGES as usize, Handled::Settled);
    assert_eq!(seen.len() as u64, MESSAGES);
    assert!(seen.iter().all(|(_, _, redelivered, _)| !redelivered), "nobody was handed them before");
    assert_eq!(consumer.commit_and_wait(), Outcome::Ok);
}

#[test]
fn automatic_acknowledgement_forgets_what_the_client_has_not_handled() {
    let cluster = Cluster::with_topic("auto", "quorum", &[GROUP]);
    cluster.produce(Durability::QuorumDisk);
    let mut consumer = cluster.consumer(Settle::Auto, Arc::new(Group::default()));
    assert!(!take(&mut *consumer, 1, Handled::Open).is_empty());
    let deadline = Instant::now() + ANSWER;
    while cluster.backlog() > 0 && Instant::now() < deadline {}
    assert_eq!(cluster.backlog(), 0, "all are settled though few were handed over");
}

#[test]
fn a_stream_is_read_from_its_start_by_every_reader() {
    let cluster = Cluster::with_topic("stream", "stream", &[]);
    let ends = cluster.produce(Durability::Quorum);
    assert!(ends.iter().all(|end| end.outcome == Outcome::Ok && end.level == Level::Quorum), "{ends:?}");
    for number in [1, 2] {
        let mut reader = cluster.driver.log_reader(&cluster.topic, number).expect("a reader");
        let bounds: Vec<(u64, u64)> =
            (0..3).map(|partition| reader.bounds(partition, ANSWER).expect("bounds")).collect();
        assert_eq!(bounds.iter().map(|(start, end)| end - start).sum::<u64>(), MESSAGES);
        assert_eq!(cluster.admin.log_bounds(&cluster.topic, 1, ANSWER).expect("bounds"), bounds[1]);
        reader.assign(&[0, 1, 2]).expect("assigned");
        let mut next = [0; 3];
        let mut seen = 0;
        let mut at_end = std::collections::BTreeSet::new();
        let deadline = Instant::now() + SOON;
        while at_end.len() < 3 && Instant::now() < deadline {
            reader.poll(
                100,
                Duration::from_millis(50),
                &mut |received| {
                    let number = u64::from_le_bytes(received.payload.try_into().expect("eight bytes"));
                    assert_eq!(received.key, Some(&key_of(number)[..]));
                    assert_eq!(received.offset, next[usize::from(received.partition)]);
                    next[usize::from(received.partition)] += 1;
                    seen += 1;
                },
                &mut |partition| {
                    at_end.insert(partition);
                },
            );
        }
        assert_eq!((seen, at_end.len()), (MESSAGES, 3));
    }
}

#[test]
fn partitions_lead_on_different_nodes_and_settings_are_read_back() {
    let cluster = Cluster::with_topic("facts", "quorum", &[GROUP]);
    let info = cluster.admin.describe(std::slice::from_ref(&cluster.topic), ANSWER).expect("described");
    assert_eq!(info.brokers.len() as u32, cluster.nodes);
    let leaders: std::collections::BTreeSet<_> = info.partitions.iter().map(|one| one.leader).collect();
    assert_eq!(leaders.len() as u32, cluster.nodes.min(3), "{info:?}");
    assert!(info.partitions.iter().all(|one| one.isr.len() as u32 == cluster.nodes), "{info:?}");
    let settings = cluster.admin.topic_settings(&cluster.topic, ANSWER).expect("settings");
    assert_eq!(settings.get("type").map(String::as_str), Some("quorum"), "{settings:?}");
    assert_eq!(settings.get("x-single-active-consumer").map(String::as_str), Some("true"), "{settings:?}");
    let broker = cluster.admin.broker_settings(1, ANSWER).expect("settings");
    assert!(broker.contains_key("wal_sync_method") && broker.contains_key("net_ticktime"), "{broker:?}");
    println!("{broker:?}\n{settings:?}");
    let version = cluster.admin.version(ANSWER).expect("a version");
    assert!(version.starts_with(|letter: char| letter.is_ascii_digit()), "{version}");
    let error = cluster.admin.describe(&["no-such-topic".to_owned()], ANSWER).expect_err("unknown");
    assert!(error.to_string().contains("no-such-topic"));
    assert!(cluster.connection.settings.contains_key("nodes"));
}

#[test]
fn a_publish_that_no_queue_takes_is_a_failure_and_its_neighbours_are_not() {
    let cluster = Cluster::with_topic("return", "quorum", &[]);
    let ends = cluster.produce(Durability::QuorumDisk);
    assert!(ends.iter().all(|end| end.outcome == Outcome::Ok));
    // A topic whose exchanges are there and whose queues are not.
    let unrouted = Cluster::with_topic("unrouted", "quorum", &[GROUP]);
    let settings = unrouted.connection.settings.clone();
    unrouted_queue(&unrouted.connection.bootstrap, &format!("{}.{GROUP}.1", unrouted.topic), &settings);
    let ends = unrouted.produce(Durability::QuorumDisk);
    for end in &ends {
        let expected = if end.partition == 1 { (Outcome::Fail, 312) } else { (Outcome::Ok, 0) };
        assert_eq!((end.outcome, end.class), expected, "{end:?}");
    }
    assert!(ends.iter().any(|end| end.partition == 1) && ends.iter().any(|end| end.partition != 1));
}

/// Deletes one queue behind the driver's back.
fn unrouted_queue(bootstrap: &str, queue: &str, _: &BTreeMap<String, String>) {
    let first = bootstrap.split(',').next().expect("an address").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let uri = format!("amqp://guest:guest@{first}/%2f");
        let connection = lapin::Connection::connect(&uri, lapin::ConnectionProperties::default());
        let channel = connection.await.expect("connected").create_channel().await.expect("a channel");
        let options = lapin::options::QueueDeleteOptions::default();
        channel.queue_delete(queue.into(), options).await.expect("deleted");
    });
}
