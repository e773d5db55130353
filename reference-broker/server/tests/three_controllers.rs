//! Three controllers and a broker, each of the controllers stopped once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod common;
mod settings;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use broker_core::{Endpoint, NodeId, Peer, Role};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use reference_broker::{ExitReason, Server, ServerError, StopHandle};

use common::{PATIENCE, call, connect};
use settings::options;

type Running = (StopHandle, JoinHandle<Result<ExitReason, ServerError>>);

/// Three ports that are free for the moment.
fn voters() -> Vec<Peer> {
    let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let voter = |(node, socket): (i32, &TcpListener)| {
        let port = socket.local_addr().unwrap().port();
        Peer { node: NodeId(node), endpoint: Endpoint { host: "127.0.0.1".into(), port } }
    };
    (101..).zip(&sockets).map(voter).collect()
}

fn start_controller(dir: &Path, voter: &Peer, voters: &[Peer]) -> Running {
    let mut options = options(dir, voter.node.0, Role::Controller, voters.to_vec());
    options.internal_listen = voter.endpoint.clone();
    options.config.advertised_internal = voter.endpoint.clone();
    start(Server::bind(options).unwrap())
}

fn start(server: Server) -> Running {
    (server.stop_handle(), thread::spawn(move || server.run()))
}

fn stop((handle, node): Running) {
    handle.stop();
    assert_eq!(node.join().unwrap().unwrap(), ExitReason::Clean);
}

/// Names the topic, which creates it, until it has a leader: that takes a controller that decides.
fn create(socket: &mut TcpStream, topic: &str) {
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let asked = MetadataRequestTopic::default().with_name(Some(name));
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
    panic!("`{topic}` has no leader within {PATIENCE:?}");
}

#[test]
fn topics_are_created_whichever_controller_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let voters = voters();
    let mut controllers: Vec<Running> =
        voters.iter().map(|voter| start_controller(dir.path(), voter, &voters)).collect();
    let broker = Server::bind(options(dir.path(), 1, Role::Broker, voters.clone())).unwrap();
    let client = broker.client_address().unwrap();
    let broker = start(broker);
    let mut socket = connect(client);
    create(&mut socket, "before");
    for (index, voter) in voters.iter().enumerate() {
        stop(controllers.remove(index));
        create(&mut socket, &format!("without-{index}"));
        controllers.insert(index, start_controller(dir.path(), voter, &voters));
    }
    create(&mut socket, "after");
    stop(broker);
    controllers.into_iter().for_each(stop);
}
