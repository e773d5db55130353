//! One node of each role in this process, spoken to over TCP with frames of a codec that the test drives itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod common;
mod settings;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use broker_core::record::{BatchBuilder, batches};
use broker_core::{Endpoint, NodeId, Peer, Role};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, BrokerId, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use reference_broker::{ExitReason, Server, ServerError, StopHandle};

use common::{PATIENCE, call, connect};
use settings::options;

/// A controller and a broker, each on its own threads.
struct Cluster {
    client: SocketAddr,
    nodes: Vec<(StopHandle, JoinHandle<Result<ExitReason, ServerError>>)>,
}

fn voter(endpoint: Endpoint) -> Vec<Peer> {
    vec![Peer { node: NodeId(9), endpoint }]
}

impl Cluster {
    fn start(dir: &Path) -> Self {
        let own = voter(Endpoint { host: "127.0.0.1".into(), port: 0 });
        let controller = Server::bind(options(dir, 9, Role::Controller, own)).unwrap();
        let controllers = voter(controller.internal_endpoint().clone());
        let broker = Server::bind(options(dir, 1, Role::Broker, controllers)).unwrap();
        let client = broker.client_address().unwrap();
        let nodes =
            [broker, controller].map(|server| (server.stop_handle(), thread::spawn(move || server.run())));
        Self { client, nodes: nodes.into() }
    }

    fn stop(self) {
        for (stop, node) in self.nodes {
            stop.stop();
            assert_eq!(node.join().unwrap().unwrap(), ExitReason::Clean);
        }
    }
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("orders"))
}

/// Names the topic, which creates it, until it has a leader.
fn wait_for_leader(socket: &mut TcpStream) {
    let asked = MetadataRequestTopic::default().with_name(Some(topic()));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let answer: MetadataResponse = call(socket, ApiKey::Metadata, 9, &request);
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        if partitions.any(|partition| partition.leader_id == BrokerId(1)) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("no leader within {PATIENCE:?}");
}

fn produce(socket: &mut TcpStream, value: &[u8]) -> i64 {
    let records = BatchBuilder::new(1).record(None, Some(value)).build();
    let data = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
    let answer: ProduceResponse = call(socket, ApiKey::Produce, 8, &request);
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0);
    answer.base_offset
}

fn fetch_all(socket: &mut TcpStream) -> Vec<Vec<u8>> {
    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(100)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic]);
    let answer: FetchResponse = call(socket, ApiKey::Fetch, 11, &request);
    let records = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
    let records = batches(records).flat_map(|batch| batch.unwrap().records().unwrap());
    records.map(|record| record.unwrap().value.unwrap().to_vec()).collect()
}

/// An answer that names no brokers would be the last that a client asks for.
#[test]
fn a_client_that_comes_before_the_broker_is_ready_waits_for_an_answer_that_helps_it() {
    let dir = tempfile::tempdir().unwrap();
    let own = voter(Endpoint { host: "127.0.0.1".into(), port: 0 });
    let controller = Server::bind(options(dir.path(), 9, Role::Controller, own)).unwrap();
    let controllers = voter(controller.internal_endpoint().clone());
    let broker = Server::bind(options(dir.path(), 1, Role::Broker, controllers)).unwrap();
    let address = broker.client_address().unwrap();
    let start = |server: Server| (server.stop_handle(), thread::spawn(move || server.run()));
    let broker = start(broker);
    let client = thread::spawn(move || -> MetadataResponse {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        call(&mut connect(address), ApiKey::Metadata, 9, &request)
    });
    thread::sleep(Duration::from_millis(300));
    assert!(!client.is_finished(), "{:?}", client.join());
    let controller = start(controller);
    let answer = client.join().unwrap();
    let named: Vec<i32> = answer.brokers.iter().map(|broker| broker.node_id.0).collect();
    assert_eq!((named, answer.controller_id.0), (vec![1], 1));
    Cluster { client: address, nodes: vec![broker, controller] }.stop();
}

#[test]
fn records_survive_a_restart_and_bad_bytes_disturb_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path());
    let mut socket = connect(cluster.client);
    let versions: kafka_protocol::messages::ApiVersionsResponse =
        call(&mut socket, ApiKey::ApiVersions, 0, &ApiVersionsRequest::default());
    assert!(versions.api_keys.iter().any(|api| api.api_key == ApiKey::Produce as i16));
    wait_for_leader(&mut socket);
    assert_eq!(produce(&mut socket, b"one"), 0);

    let malformed: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64], b"\0\0\0\x08\0\0\0\0garbage!", b"\x7f\xff\xff\xff"];
    for bytes in malformed {
        let mut stranger = connect(cluster.client);
        stranger.write_all(bytes).unwrap();
        // Closed, by an end of file or a reset.
        assert!(
            stranger.read_to_end(&mut Vec::new()).is_err() || stranger.read(&mut [0]).is_ok_and(|n| n == 0)
        );
    }
    assert_eq!(produce(&mut socket, b"two"), 1);
    drop(socket);
    cluster.stop();

    let cluster = Cluster::start(dir.path());
    let mut socket = connect(cluster.client);
    wait_for_leader(&mut socket);
    assert_eq!(fetch_all(&mut socket), [b"one", b"two"]);
    assert_eq!(produce(&mut socket, b"three"), 2);
    cluster.stop();
}

#[test]
fn a_taken_port_is_an_environment_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), 9, Role::Controller, Vec::new());
    options.internal_listen.port = taken.local_addr().unwrap().port();
    let error = Server::bind(options).err().unwrap();
    assert!(matches!(error, ServerError::Bind { .. }));
    assert_eq!(error.exit_status(), 4);
}
