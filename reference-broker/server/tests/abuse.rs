//! What a real process does with strangers, a full disk and damaged files: it says so, answers with the error that the protocol has for it,
//! goes on, and has all that it acknowledged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod cluster;
mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use broker_core::record::{BatchBuilder, batches};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, ProduceRequest,
    ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tempfile::TempDir;

use cluster::Cluster;
use common::{PATIENCE, call, connect};

const CORRUPT_MESSAGE: i16 = 2;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const KAFKA_STORAGE_ERROR: i16 = 56;
const TOPIC: &str = "orders";

/// One test at a time: ten thousand connections of one take every third port, and a port that was free for another a moment
/// ago is not when its node binds it.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A controller and a broker in one process.
struct Node {
    dir: PathBuf,
    settings: Vec<String>,
    port: u16,
    /// Its log is not where its data is, which may be a full disk.
    scratch: TempDir,
    child: Child,
}

impl Node {
    fn start(dir: &Path, settings: &[&str]) -> Self {
        let [port, internal] = free_ports();
        let scratch = TempDir::new().unwrap();
        let mut settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        // The time stamps of tests are their own.
        settings.push("log.retention.ms=-1".to_owned());
        settings.push(format!("listener.client=127.0.0.1:{port}"));
        settings.push(format!("listener.internal=127.0.0.1:{internal}"));
        let child = spawn(dir, &settings, &scratch.path().join("log"));
        let node = Self { dir: dir.to_owned(), settings, port, scratch, child };
        node.await_log(&[" ready"]);
        node
    }

    /// Starts again after [`Node::stop`] or [`Node::kill`], with a new log.
    fn restart(&mut self) {
        self.child = spawn(&self.dir, &self.settings, &self.scratch.path().join("log"));
        self.await_log(&[" ready"]);
        let deadline = Instant::now() + PATIENCE;
        while self.connect().fetch(0).0 == NOT_LEADER_OR_FOLLOWER {
            assert!(Instant::now() < deadline, "nobody leads");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM: an orderly stop.
    fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.said());
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn connect(&self) -> Client {
        Client(connect(self.address()))
    }

    fn said(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap()
    }

    /// Waits for a line with all these words.
    fn await_log(&self, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().lines().any(|line| words.iter().all(|word| line.contains(word))) {
            assert!(Instant::now() < deadline, "no line with {words:?} in\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn segments(&self) -> Vec<PathBuf> {
        segments(&self.dir.join("broker"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path, settings: &[String], log: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-broker"));
    command.arg("--data").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.stderr(File::create(log).unwrap()).spawn().unwrap()
}

fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// One connection that drives the codec itself.
struct Client(TcpStream);

impl Client {
    /// Names the topic, which creates it, until it has a leader.
    fn create(&mut self, topic: &str) {
        let asked = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![asked]));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer: MetadataResponse = call(&mut self.0, ApiKey::Metadata, 9, &request);
            let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            if partitions.any(|partition| partition.leader_id == BrokerId(1)) {
                return;
            }
            assert!(Instant::now() < deadline, "`{topic}` has no leader");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Error code and offset.
    fn produce_to(&mut self, topic: &str, value: &[u8]) -> (i16, i64) {
        let records = BatchBuilder::new(1).record(None, Some(value)).build();
        let data = PartitionProduceData::default().with_records(Some(records));
        let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
        let answer: ProduceResponse = call(&mut self.0, ApiKey::Produce, 8, &request);
        let answer = &answer.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    }

    fn produce(&mut self, value: &[u8]) -> (i16, i64) {
        self.produce_to(TOPIC, value)
    }

    /// Stores so many values, one after another.
    fn fill(&mut self, count: usize) -> Vec<Vec<u8>> {
        let values: Vec<Vec<u8>> = (0..count).map(|number| format!("{number:.<200}").into_bytes()).collect();
        for (number, value) in values.iter().enumerate() {
            assert_eq!(self.produce(value), (0, number as i64));
        }
        values
    }

    /// Error code and values with their offsets.
    fn fetch(&mut self, offset: i64) -> (i16, Vec<(i64, Vec<u8>)>) {
        let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(name(TOPIC)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(0)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        let answer: FetchResponse = call(&mut self.0, ApiKey::Fetch, 11, &request);
        let answer = &answer.responses[0].partitions[0];
        let records = batches(answer.records.clone().unwrap_or_default());
        let records = records.flat_map(|batch| batch.unwrap().records().unwrap()).map(Result::unwrap);
        (answer.error_code, records.map(|record| (record.offset.0, record.value.unwrap().to_vec())).collect())
    }

    /// All values from an offset on, up to the end or the first error, and what error that is.
    fn read(&mut self, mut offset: i64) -> (Vec<Vec<u8>>, i16) {
        let mut values = Vec::new();
        loop {
            let (error, records) = self.fetch(offset);
            let Some((last, _)) = records.last() else { return (values, error) };
            offset = last + 1;
            values.extend(records.into_iter().map(|(_, value)| value));
        }
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Whether the other end has hung up.
fn is_closed(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    match socket.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// The directories of the topic's partitions.
fn partitions(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(TOPIC))
        .map(|entry| entry.path())
        .collect()
}

/// Their segments that have something, oldest first.
fn segments(data: &Path) -> Vec<PathBuf> {
    let files = partitions(data).into_iter().flat_map(|partition| fs::read_dir(partition).unwrap().flatten());
    let mut found: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log") && length(path) > 0);
    found.sort();
    found
}

/// This process, and those it starts, may have as many files open as the system allows.
fn allow_files(count: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum.map(|maximum| maximum.max(count));
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).expect("`ulimit -Hn` is high enough, or root may raise it");
}

/// Asks until a broker leads, as clients do: on a busy machine it may be fenced for a moment.
fn patiently<T>(mut ask: impl FnMut() -> (T, i16)) -> (T, i16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if answer.1 != NOT_LEADER_OR_FOLLOWER || Instant::now() >= deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ten_thousand_connections_keep_nobody_else_from_being_served() {
    let _alone = alone();
    // Five eighths of them may be connections.
    allow_files(17_000);
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir.path().join("node"), &[]);
    let mut client = node.connect();
    client.create(TOPIC);
    let mut values = client.fill(10);
    let address = node.address();
    let strangers: Vec<TcpStream> = (0..10_000).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (number, mut stranger) in strangers.iter().enumerate() {
        // Some say nothing, some half of a request, some nonsense.
        match number % 3 {
            0 => {}
            1 => stranger.write_all(&[0, 0, 1, 0, 0, 18]).unwrap(),
            _ => {
                let _ = stranger.write_all(&[0, 0, 0, 9, 0, 18, 99, 99, 0, 0, 0, 7, 0]);
            }
        }
    }
    values.push(b"while they are there".to_vec());
    let produce = |client: &mut Client, value: &[u8]| {
        let (error, offset) = client.produce(value);
        (offset, error)
    };
    assert_eq!(patiently(|| produce(&mut client, &values[10])), (10, 0));
    let mut late = node.connect();
    assert_eq!(patiently(|| late.read(0)), (values.clone(), 0), "{}", node.said());
    drop(strangers);
    values.push(b"when they are gone".to_vec());
    assert_eq!(patiently(|| produce(&mut node.connect(), &values[11])), (11, 0));
    assert!(node.runs());
    node.kill();
    node.restart();
    assert_eq!(node.connect().read(0), (values, 0));
}

#[test]
fn more_connections_than_there_may_be_are_turned_away() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let node = Node::start(&dir.path().join("node"), &["max.connections=20"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let mut guests: Vec<TcpStream> = (0..19).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    for _ in 0..3 {
        assert!(is_closed(&mut TcpStream::connect(node.address()).unwrap()));
    }
    node.await_log(&["refused", "max.connections"]);
    assert_eq!(client.produce(b"inside"), (0, 0));
    guests.clear();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Its place is free as soon as the broker has noticed.
        let mut socket = TcpStream::connect(node.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let still_open =
            socket.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        if still_open {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(Client(socket).produce(b"in the end"), (0, 1));
            return;
        }
        assert!(Instant::now() < deadline, "nobody gets in");
    }
}

#[test]
fn a_frame_that_is_too_large_and_one_that_is_none_are_named_in_the_log() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir.path().join("node"), &["socket.request.max.bytes=10000"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let frames: [(&[u8], &str); 3] = [
        (&[0, 0, 0x27, 0x11, 0, 3], "frame of 10001 bytes, allowed are 0 to 10000"),
        (&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 127, 255, 255, 255], "malformed Metadata request"),
        (&[0, 0, 0, 8, 0, 3, 0, 99, 0, 0, 0, 7], "API key 3 version 99 is not offered here"),
    ];
    for (frame, words) in frames {
        let mut stranger = node.connect().0;
        stranger.write_all(frame).unwrap();
        assert!(is_closed(&mut stranger), "{words}");
        node.await_log(&[words]);
    }
    assert_eq!(client.produce(b"all the same"), (0, 0));
    assert!(node.runs());
}

/// A small file system; needs root, like the rest of a full test run.
struct Mount(PathBuf);

impl Mount {
    fn new(path: &Path, size: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs can be mounted (this test needs root)");
        Self(path.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_records_until_there_is_room() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mount = Mount::new(&dir.path().join("disk"), "4m");
    let ballast = mount.0.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let mut node = Node::start(&mount.0.join("node"), &["log.segment.bytes=500000"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let value = |number: usize| format!("{number:.<40000}").into_bytes();
    let mut stored = Vec::new();
    let refused = loop {
        let (error, offset) = client.produce(&value(stored.len()));
        if error != 0 {
            break error;
        }
        assert_eq!(offset, stored.len() as i64);
        stored.push(value(stored.len()));
        assert!(stored.len() < 200, "the disk is never full");
    };
    assert_eq!(refused, KAFKA_STORAGE_ERROR);
    node.await_log(&["ERROR", "the disk is full", "no space left"]);
    // Longer than the time between two notes of the high watermarks.
    for _ in 0..6 {
        assert_eq!(client.produce(&value(stored.len())).0, KAFKA_STORAGE_ERROR);
        thread::sleep(Duration::from_secs(1));
    }
    assert!(node.runs(), "{}", node.said());
    assert_eq!(node.connect().read(0), (stored.clone(), 0));

    fs::remove_file(&ballast).unwrap();
    for _ in 0..5 {
        let offset = stored.len();
        stored.push(value(offset));
        assert_eq!(client.produce(&stored[offset]), (0, offset as i64));
    }
    assert_eq!(node.connect().read(0), (stored.clone(), 0));
    node.kill();
    node.restart();
    assert_eq!(node.connect().read(0), (stored, 0));
}

/// A node with some closed segments, stopped in an orderly way: all that it has is durable.
fn stopped(dir: &Path) -> (Node, Vec<Vec<u8>>) {
    let mut node = Node::start(&dir.join("node"), &["log.segment.bytes=3000"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let values = client.fill(60);
    node.stop();
    assert!(node.segments().len() > 4);
    (node, values)
}

#[test]
fn a_damaged_batch_in_a_closed_segment_goes_to_nobody() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let (mut node, values) = stopped(dir.path());
    let closed = node.segments().remove(1);
    flip(&closed, length(&closed) / 2);
    node.restart();
    let mut client = node.connect();
    let (before, error) = client.read(0);
    let damaged = before.len();
    assert_eq!((&before[..], error), (&values[..damaged], CORRUPT_MESSAGE));
    assert!((10..40).contains(&damaged), "{damaged} records can be read");
    assert_eq!(
        client.read(damaged as i64 + 1),
        (values[damaged + 1..].to_vec(), 0),
        "what is behind it is there"
    );
    node.await_log(&["ERROR", "cannot read", "is damaged at byte", TOPIC]);
    assert_eq!(client.produce(b"more"), (0, 60));
    assert!(node.runs());
}

#[test]
fn a_partition_whose_durable_end_is_damaged_is_offline_and_nothing_is_cut() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let (mut node, values) = stopped(dir.path());
    let active = node.segments().pop().unwrap();
    let before = length(&active);
    flip(&active, before / 2);
    node.restart();
    node.await_log(&["ERROR", "is damaged at byte", "offline", TOPIC]);
    let mut client = node.connect();
    assert_eq!(client.fetch(0).0, KAFKA_STORAGE_ERROR);
    assert_eq!(client.produce(b"more").0, KAFKA_STORAGE_ERROR);
    client.create("another");
    assert_eq!(client.produce_to("another", b"works"), (0, 0));
    node.stop();
    assert_eq!(length(&active), before);
    // Whoever can mend it has everything again.
    flip(&active, before / 2);
    node.restart();
    assert_eq!(node.connect().read(0), (values, 0));
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir.path().join("node"), &[]);
    let mut client = node.connect();
    client.create(TOPIC);
    let values = client.fill(20);
    node.kill();
    let active = node.segments().pop().unwrap();
    OpenOptions::new().write(true).open(&active).unwrap().set_len(length(&active) - 10).unwrap();
    node.restart();
    node.await_log(&["WARN", "the log is cut at a bad batch"]);
    let mut client = node.connect();
    assert_eq!(client.read(0), (values[..19].to_vec(), 0));
    assert_eq!(client.produce(b"next"), (0, 19));
}

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
