//! The driver on a live RocketMQ cluster: `MQPROOF_ROCKETMQ=1=IP,2=IP,3=IP`. Without one it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mqproof_core::history::{Level, MemberChange, Outcome};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{
    ConsumerPlan, Durability, Isolation, Keys, Pace, Payload, ProducerPlan, Settle, Start,
};
use mqproof_drivers::Connection;
use mqproof_drivers::admin::{Admin, NewTopic};
use mqproof_drivers::library_log::LibraryLog;
use mqproof_drivers::rocketmq::{RocketmqAdmin, RocketmqDriver};
use mqproof_drivers::role::{
    CommitEnd, Completion, Consumer, Driver, GroupObserver, Handled, Outgoing, SendError, SendObserver,
};

const PATIENCE: Duration = Duration::from_secs(30);
const PARTITIONS: u32 = 4;

fn connection() -> Connection {
    let nodes =
        std::env::var("MQPROOF_ROCKETMQ").expect("MQPROOF_ROCKETMQ names a live cluster (`1=IP,2=IP,3=IP`)");
    let servers: Vec<String> = nodes
        .split(',')
        .map(|pair| format!("{}:9876", pair.split_once('=').expect("number=address").1))
        .collect();
    Connection { bootstrap: servers.join(";"), settings: BTreeMap::from([("nodes".to_owned(), nodes)]) }
}

/// A topic of its own, deleted at the end.
struct Topic {
    admin: RocketmqAdmin,
    name: String,
    group: String,
}

impl Topic {
    fn create(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let admin = RocketmqAdmin::new(&connection());
        let group = format!("group-{name}");
        let topic = NewTopic {
            name: name.clone(),
            partitions: PARTITIONS,
            replicas: 3,
            groups: vec![group.clone()],
            settings: BTreeMap::new(),
        };
        admin.create_topics(&[topic], PATIENCE).expect("the cluster answers");
        Self { admin, name, group }
    }

    fn producer_plan(&self, in_flight: u32) -> ProducerPlan {
        ProducerPlan {
            role: "writer".to_owned(),
            instance: 0,
            instances: 1,
            topic: self.name.clone(),
            pace: Pace::Closed { outstanding: 1 },
            total: None,
            from_ns: 0,
            until_ns: 0,
            keys: Keys::None,
            payload: Payload::Fixed(256),
            in_flight,
            idempotence: false,
            retries: 0,
            transactions: None,
            seed: 0,
        }
    }

    fn consumer(&self, settle: Settle, seen: &Arc<Seen>) -> Box<dyn Consumer> {
        self.consumer_of(&driver(), settle, seen)
    }

    fn orderly_consumer(&self, seen: &Arc<Seen>) -> Box<dyn Consumer> {
        let mut connection = connection();
        connection.settings.insert("consume".into(), "orderly".into());
        let driver = RocketmqDriver::new(connection, LibraryLog::to_tracing());
        self.consumer_of(&driver, Settle::After, seen)
    }

    fn consumer_of(&self, driver: &RocketmqDriver, settle: Settle, seen: &Arc<Seen>) -> Box<dyn Consumer> {
        let plan = ConsumerPlan {
            role: "reader".to_owned(),
            member: 0,
            group: self.group.clone(),
            topic: self.name.clone(),
            settle,
            start: Start::Earliest,
            processing_ns: 0,
            from_ns: 0,
            crashes: Vec::new(),
            isolation: Isolation::default(),
        };
        let mut consumer = driver.consumer(&plan, Arc::clone(seen) as _).expect("a consumer");
        consumer.connect(PATIENCE).expect("connects");
        consumer.subscribe().expect("subscribes");
        consumer
    }

    fn ends(&self) -> Vec<u64> {
        (0..PARTITIONS).map(|p| self.admin.log_bounds(&self.name, p, PATIENCE).expect("bounds").1).collect()
    }

    /// Reads every queue from its start: (partition, offset) → (key, payload).
    fn log(&self) -> BTreeMap<(u16, u64), (Option<Vec<u8>>, Vec<u8>)> {
        let mut reader = driver().log_reader(&self.name, 1).expect("a reader");
        let partitions: Vec<u16> = (0..PARTITIONS as u16).collect();
        reader.assign(&partitions).expect("assigns");
        let (mut log, mut ended) = (BTreeMap::new(), BTreeSet::new());
        let until = Instant::now() + PATIENCE;
        while ended.len() < partitions.len() {
            assert!(Instant::now() < until, "only {ended:?} were read to their end");
            reader.poll(
                1_000,
                Duration::from_millis(50),
                &mut |message| {
                    let place = (message.partition, message.offset);
                    let content = (message.key.map(<[u8]>::to_vec), message.payload.to_vec());
                    assert!(log.insert(place, content).is_none(), "{place:?} was read twice");
                },
                &mut |partition| {
                    ended.insert(partition);
                },
            );
        }
        log
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let _ = self.admin.delete_topics(std::slice::from_ref(&self.name), PATIENCE);
    }
}

fn driver() -> RocketmqDriver {
    RocketmqDriver::new(connection(), LibraryLog::to_tracing())
}

/// Collects what observers are told.
#[derive(Default)]
struct Seen {
    sends: Mutex<BTreeMap<u64, Completion>>,
    members: Mutex<Vec<(MemberChange, u16)>>,
    commits: Mutex<Vec<CommitEnd>>,
}

impl SendObserver for Seen {
    fn completed(&self, completion: &Completion) {
        let before = self.sends.lock().unwrap().insert(completion.id.0, *completion);
        assert!(before.is_none(), "{completion:?} after {before:?}");
    }
}

impl GroupObserver for Seen {
    fn member(&self, change: MemberChange, partition: u16, _: u16) {
        self.members.lock().unwrap().push((change, partition));
    }

    fn committed(&self, commit: &CommitEnd) {
        self.commits.lock().unwrap().push(*commit);
    }
}

fn payload(id: u64) -> Vec<u8> {
    let mut payload = vec![7; 256];
    payload[..8].copy_from_slice(&id.to_le_bytes());
    payload
}

fn key(id: u64) -> [u8; 4] {
    ((id % 50) as u32).to_le_bytes()
}

/// Sends `count` keyed messages as fast as it can. Returns how each ended, and the rate.
fn send(
    topic: &Topic,
    plan: &ProducerPlan,
    durability: Durability,
    count: u64,
) -> (BTreeMap<u64, Completion>, f64) {
    let seen = Arc::new(Seen::default());
    let producer = driver().producer(plan, durability, Arc::clone(&seen) as _).expect("a producer");
    producer.connect(PATIENCE).expect("connects");
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + PATIENCE;
            while (seen.sends.lock().unwrap().len() as u64) < count && Instant::now() < until {
                producer.poll(Duration::from_millis(20));
            }
        });
        for id in 0..count {
            let (payload, key) = (payload(id), key(id));
            let message = Outgoing { id: MessageId(id), key: Some(&key), payload: &payload };
            while let Err(why) = producer.send(&message) {
                assert!(matches!(why, SendError::NoRoom), "{why}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    let rate = count as f64 / began.elapsed().as_secs_f64();
    println!("{}: {count} sends of {durability:?}, in flight {}: {rate:.0}/s", topic.name, plan.in_flight);
    let sends = std::mem::take(&mut *seen.sends.lock().unwrap());
    assert_eq!(sends.len() as u64, count, "every send has ended");
    (sends, rate)
}

#[test]
fn ordered_sends_keep_their_order_and_are_where_their_acknowledgement_says() {
    let topic = Topic::create("ordered");
    let (sends, _) = send(&topic, &topic.producer_plan(1), Durability::Quorum, 5_000);
    let log = topic.log();
    assert_eq!(log.len(), sends.len());
    let mut last: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for ((partition, offset), (key_read, body)) in &log {
        let id = u64::from_le_bytes(body[..8].try_into().unwrap());
        assert_eq!((body, key_read.as_deref()), (&payload(id), Some(&key(id)[..])));
        let end = sends[&id];
        assert_eq!((end.outcome, end.level), (Outcome::Ok, Level::Quorum));
        assert_eq!((end.partition, end.offset), (*partition, *offset), "message {id}");
        let before = last.insert(key(id).to_vec(), id);
        assert!(before < Some(id), "key {:?}: {id} after {before:?}", key(id));
    }
    assert_eq!(topic.ends().iter().sum::<u64>(), 5_000);
}

#[test]
fn asynchronous_and_one_way_sends_arrive_at_a_high_rate() {
    let topic = Topic::create("fast");
    let (sends, rate) = send(&topic, &topic.producer_plan(5), Durability::Quorum, 20_000);
    assert!(sends.values().all(|end| end.outcome == Outcome::Ok));
    assert!(rate > 1_000.0, "{rate}");
    let one_way = topic.producer_plan(5);
    let (sends, _) = send(&topic, &one_way, Durability::None, 2_000);
    assert!(sends.values().all(|end| (end.outcome, end.level) == (Outcome::Ok, Level::Sent)));
    let until = Instant::now() + PATIENCE;
    while topic.ends().iter().sum::<u64>() < 22_000 {
        assert!(Instant::now() < until, "{:?}", topic.ends());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_group_reads_commits_and_goes_on_where_it_was() {
    let topic = Topic::create("group");
    send(&topic, &topic.producer_plan(5), Durability::Quorum, 2_000);
    assert_eq!(topic.admin.committed(&topic.group, &topic.name, PARTITIONS, PATIENCE).unwrap(), [None; 4]);
    let seen = Arc::new(Seen::default());
    let mut consumer = topic.consumer(Settle::After, &seen);
    let mut read = BTreeSet::new();
    let until = Instant::now() + PATIENCE;
    while read.len() < 2_000 {
        assert!(Instant::now() < until, "{} were read", read.len());
        consumer.poll(1_000, Duration::from_millis(100), &mut |message| {
            assert!(read.insert((message.partition, message.offset)), "read twice");
            assert!(message.key.is_some() && message.payload.len() == 256);
            Handled::Settled
        });
    }
    assert_eq!(consumer.commit_and_wait(), Outcome::Ok);
    assert!(consumer.rebalances() > 0);
    consumer.close();
    let assigned =
        seen.members.lock().unwrap().iter().filter(|(change, _)| *change == MemberChange::Assign).count();
    assert_eq!(assigned, 4);
    assert_eq!(
        seen.commits.lock().unwrap().iter().map(|commit| commit.partition).collect::<BTreeSet<_>>().len(),
        4
    );
    let ends: Vec<Option<u64>> = topic.ends().into_iter().map(Some).collect();
    assert_eq!(topic.admin.committed(&topic.group, &topic.name, PARTITIONS, PATIENCE).unwrap(), ends);

    // Nothing was sent back.
    let retry = topic.admin.describe(&[format!("%RETRY%{}", topic.group)], PATIENCE).unwrap();
    for partition in &retry.partitions {
        assert_eq!(topic.admin.log_bounds(&partition.topic, partition.partition, PATIENCE).unwrap(), (0, 0));
    }

    send(&topic, &topic.producer_plan(5), Durability::Quorum, 100);
    let mut consumer = topic.consumer(Settle::Auto, &Arc::new(Seen::default()));
    let (mut again, until) = (0, Instant::now() + PATIENCE);
    while again < 100 {
        assert!(Instant::now() < until, "{again} were read");
        again += consumer.poll(1_000, Duration::from_millis(100), &mut |message| {
            assert!(!read.contains(&(message.partition, message.offset)), "what was committed is read again");
            Handled::Open
        });
    }
    // Its own timers commit.
    let ends: Vec<Option<u64>> = topic.ends().into_iter().map(Some).collect();
    while topic.admin.committed(&topic.group, &topic.name, PARTITIONS, PATIENCE).unwrap() != ends {
        assert!(Instant::now() < until, "the library committed");
        consumer.poll(1, Duration::from_millis(100), &mut |_| Handled::Open);
    }
    consumer.close();
}

#[test]
fn a_group_reads_fast_and_shares_its_queues_anew_when_a_member_comes_or_goes() {
    let topic = Topic::create("shares");
    send(&topic, &topic.producer_plan(5), Durability::Quorum, 20_000);
    let mut first = topic.consumer(Settle::After, &Arc::new(Seen::default()));
    let poll = |consumer: &mut Box<dyn Consumer>, wait| {
        consumer.poll(1_000, Duration::from_millis(wait), &mut |_| Handled::Settled)
    };
    let began = Instant::now();
    let mut read = 0;
    while read < 20_000 {
        assert!(began.elapsed() < PATIENCE, "{read} were read");
        read += poll(&mut first, 100);
    }
    let rate = f64::from(read as u32) / began.elapsed().as_secs_f64();
    println!("{}: 20,000 messages read at {rate:.0}/s, joining included", topic.name);
    assert!(rate > 5_000.0, "{rate}");
    assert_eq!(first.commit_and_wait(), Outcome::Ok);

    let mut second = topic.consumer(Settle::After, &Arc::new(Seen::default()));
    let until_rebalanced =
        |one: &mut Box<dyn Consumer>, other: Option<&mut Box<dyn Consumer>>, count: u64| {
            let began = Instant::now();
            let mut other = other;
            while one.rebalances() < count {
                assert!(began.elapsed() < PATIENCE, "{} rebalances", one.rebalances());
                poll(one, 10);
                if let Some(other) = &mut other {
                    poll(other, 10);
                }
            }
            began.elapsed()
        };
    println!("shared after {:?}", until_rebalanced(&mut first, Some(&mut second), 2));
    second.close();
    println!("taken over after {:?}", until_rebalanced(&mut first, None, 3));
    first.close();
}

#[test]
fn an_orderly_member_takes_over_a_queue_only_after_the_other_has_settled_what_it_was_handed() {
    let topic = Topic::create("orderly");
    send(&topic, &topic.producer_plan(5), Durability::Quorum, 4_000);
    let mut first = topic.orderly_consumer(&Arc::new(Seen::default()));
    // By partition: offsets in the order in which they were handled, by either member.
    let mut handled: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    let mut poll = |consumer: &mut Box<dyn Consumer>, max: usize| {
        consumer.poll(max, Duration::from_millis(20), &mut |message| {
            handled.entry(message.partition).or_default().push(message.offset);
            Handled::Settled
        })
    };
    let began = Instant::now();
    let mut read = 0;
    while read < 500 {
        assert!(began.elapsed() < PATIENCE, "{read} were read");
        read += poll(&mut first, 100);
    }
    // It has messages of all queues in hand, none of them committed, when the second comes.
    let seen = Arc::new(Seen::default());
    let mut second = topic.orderly_consumer(&seen);
    let began = Instant::now();
    let mut by_second = 0;
    while read + by_second < 4_000 {
        assert!(began.elapsed() < PATIENCE, "{read} and {by_second} were read");
        read += poll(&mut first, 10);
        by_second += poll(&mut second, 10);
    }
    println!("{}: {read} read by the first member, {by_second} by the second", topic.name);
    assert!(by_second > 0);
    for (partition, offsets) in handled {
        assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "queue {partition}: {offsets:?}");
    }
    assert_eq!(first.commit_and_wait(), Outcome::Ok);
    assert_eq!(second.commit_and_wait(), Outcome::Ok);
    first.close();
    second.close();
}

#[test]
fn the_cluster_tells_its_master_its_settings_and_its_version() {
    let topic = Topic::create("told");
    let admin = &topic.admin;
    let info = admin.describe(std::slice::from_ref(&topic.name), PATIENCE).unwrap();
    assert_eq!(info.partitions.len(), 4);
    let partition = &info.partitions[0];
    assert!(partition.leader.is_some() && partition.isr.contains(&partition.leader.unwrap()));
    assert_eq!(partition.replicas.len(), info.brokers.len());
    assert!(info.controller.is_some());
    assert!(admin.version(PATIENCE).is_some_and(|version| version.starts_with("5.")));
    let settings = admin.topic_settings(&topic.name, PATIENCE).unwrap();
    assert_eq!((settings["readQueueNums"].as_str(), settings["message.type"].as_str()), ("4", "NORMAL"));
    let broker = admin.broker_settings(partition.leader.unwrap(), PATIENCE).unwrap();
    assert!(broker.contains_key("minInSyncReplicas") && broker.contains_key("flushDiskType"));
    let again = NewTopic {
        name: topic.name.clone(),
        partitions: 4,
        replicas: 3,
        groups: Vec::new(),
        settings: BTreeMap::new(),
    };
    assert!(admin.create_topics(&[again], PATIENCE).is_err(), "it exists");
    let began = Instant::now();
    for _ in 0..100 {
        admin.describe(std::slice::from_ref(&topic.name), PATIENCE).unwrap();
    }
    println!("a description takes {:?}", began.elapsed() / 100);
}
