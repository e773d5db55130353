//! A node that can be ended, its files, and a client that says what it is told to.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::common::{PATIENCE, call, connect};
use super::{NOT_LEADER_OR_FOLLOWER, TOPIC};

/// A controller and a broker in one process.
pub(super) struct Node {
    dir: PathBuf,
    settings: Vec<String>,
    port: u16,
    /// Its log is not where its data is, which may be a full disk.
    scratch: TempDir,
    child: Child,
}

impl Node {
    pub(super) fn start(dir: &Path, settings: &[&str]) -> Self {
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
    pub(super) fn restart(&mut self) {
        self.child = spawn(&self.dir, &self.settings, &self.scratch.path().join("log"));
        self.await_log(&[" ready"]);
        let deadline = Instant::now() + PATIENCE;
        while self.connect().fetch(0).0 == NOT_LEADER_OR_FOLLOWER {
            assert!(Instant::now() < deadline, "nobody leads");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM: an orderly stop.
    pub(super) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.said());
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(super) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(super) fn connect(&self) -> Client {
        Client(connect(self.address()))
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap()
    }

    /// Waits for a line with all these words.
    pub(super) fn await_log(&self, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().lines().any(|line| words.iter().all(|word| line.contains(word))) {
            assert!(Instant::now() < deadline, "no line with {words:?} in\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn segments(&self) -> Vec<PathBuf> {
        segments(&self.dir.join("broker"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn spawn(dir: &Path, settings: &[String], log: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-broker"));
    command.arg("--data").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    for setting in settings {
        command.args(["--set", setting]);
    }
    command.stderr(File::create(log).unwrap()).spawn().unwrap()
}

pub(super) fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// One connection that drives the codec itself.
pub(super) struct Client(pub(super) TcpStream);

impl Client {
    /// Names the topic, which creates it, until it has a leader.
    pub(super) fn create(&mut self, topic: &str) {
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
    pub(super) fn produce_to(&mut self, topic: &str, value: &[u8]) -> (i16, i64) {
        let records = BatchBuilder::new(1).record(None, Some(value)).build();
        let data = PartitionProduceData::default().with_records(Some(records));
        let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
        let answer: ProduceResponse = call(&mut self.0, ApiKey::Produce, 8, &request);
        let answer = &answer.responses[0].partition_responses[0];
        (answer.error_code, answer.base_offset)
    }

    pub(super) fn produce(&mut self, value: &[u8]) -> (i16, i64) {
        self.produce_to(TOPIC, value)
    }

    /// Stores so many values, one after another.
    pub(super) fn fill(&mut self, count: usize) -> Vec<Vec<u8>> {
        let values: Vec<Vec<u8>> = (0..count).map(|number| format!("{number:.<200}").into_bytes()).collect();
        for (number, value) in values.iter().enumerate() {
            assert_eq!(self.produce(value), (0, number as i64));
        }
        values
    }

    /// Error code and values with their offsets.
    pub(super) fn fetch(&mut self, offset: i64) -> (i16, Vec<(i64, Vec<u8>)>) {
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
    pub(super) fn read(&mut self, mut offset: i64) -> (Vec<Vec<u8>>, i16) {
        let mut values = Vec::new();
        loop {
            let (error, records) = self.fetch(offset);
            let Some((last, _)) = records.last() else { return (values, error) };
            offset = last + 1;
            values.extend(records.into_iter().map(|(_, value)| value));
        }
    }
}

pub(super) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
pub(super) fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
}

pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// The directories of the topic's partitions.
pub(super) fn partitions(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).unwrap().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(TOPIC))
        .map(|entry| entry.path())
        .collect()
}

/// Their segments that have something, oldest first.
pub(super) fn segments(data: &Path) -> Vec<PathBuf> {
    let files = partitions(data).into_iter().flat_map(|partition| fs::read_dir(partition).unwrap().flatten());
    let mut found: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log") && length(path) > 0);
    found.sort();
    found
}
