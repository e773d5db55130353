//! The light client against a reference broker in this process: what it says was stored is stored, and can be read back.
#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mqproof_drivers::Connection;
use mqproof_drivers::admin::{Admin, NewTopic};
use mqproof_drivers::clock::monotonic_ns;
use mqproof_drivers::kafka::KafkaAdmin;
use mqproof_drivers::kafka::light::{
    Acks, Api, Batch, LightConnection, LightError, Meter, Pace, Position, ProduceOrder, fetch, produce,
};
use mqproof_drivers::library_log::LibraryLog;
use reference_broker::broker_core::{Endpoint, NodeConfig, NodeId, Peer, Role};
use reference_broker::{ExitReason, NodeOptions, SecurityOptions, Server, ServerError, StopHandle};

const PATIENCE: Duration = Duration::from_secs(30);
const TOPIC: &str = "load";

/// A controller and a broker, each on its own threads, with one topic.
struct Cluster {
    address: String,
    admin: KafkaAdmin,
    nodes: Vec<(StopHandle, JoinHandle<Result<ExitReason, ServerError>>)>,
}

fn options(dir: &Path, node: i32, role: Role, controllers: Vec<Peer>) -> NodeOptions {
    let any = Endpoint { host: "127.0.0.1".into(), port: 0 };
    let config = NodeConfig::new(NodeId(node), role, any.clone(), any.clone());
    let config = NodeConfig { controllers, ..config.with_quick_failover() };
    NodeOptions {
        config,
        data_dir: dir.join(node.to_string()),
        client_listen: (role == Role::Broker).then(|| any.clone()),
        internal_listen: any,
        max_connections: usize::MAX,
        security: SecurityOptions::default(),
        handle_signals: false,
    }
}

impl Cluster {
    fn start(dir: &Path, partitions: u32) -> Self {
        let voter = |endpoint| vec![Peer { node: NodeId(9), endpoint }];
        let own = voter(Endpoint { host: "127.0.0.1".into(), port: 0 });
        let controller = Server::bind(options(dir, 9, Role::Controller, own)).unwrap();
        let controllers = voter(controller.internal_endpoint().clone());
        let broker = Server::bind(options(dir, 1, Role::Broker, controllers)).unwrap();
        let address = broker.client_address().unwrap().to_string();
        let nodes =
            [broker, controller].map(|server| (server.stop_handle(), thread::spawn(move || server.run())));
        let connection = Connection { bootstrap: address.clone(), settings: BTreeMap::new() };
        let admin = KafkaAdmin::new(connection, LibraryLog::to_tracing()).unwrap();
        let cluster = Self { address, admin, nodes: nodes.into() };
        cluster.create(partitions);
        cluster
    }

    fn create(&self, partitions: u32) {
        let (name, settings) = (TOPIC.to_owned(), BTreeMap::new());
        let topic = NewTopic { name, partitions, replicas: 1, groups: Vec::new(), settings };
        let deadline = Instant::now() + 3 * PATIENCE;
        // A broker that is not registered yet refuses.
        while let Err(why) = self.admin.create_topics(std::slice::from_ref(&topic), PATIENCE) {
            assert!(Instant::now() < deadline, "{why}");
            thread::sleep(Duration::from_millis(20));
        }
        loop {
            let cluster = self.admin.describe(&[TOPIC.to_owned()], PATIENCE).unwrap();
            let led = cluster.partitions.iter().filter(|one| one.leader == Some(1)).count();
            if led == partitions as usize {
                return;
            }
            assert!(Instant::now() < deadline, "{cluster:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn connect(&self) -> LightConnection {
        LightConnection::open(&self.address, PATIENCE).unwrap()
    }

    /// Runs until so many records came through, and asks it to end.
    fn until(
        meter: &Meter,
        records: u64,
        load: impl FnOnce() -> Result<(), LightError> + Send,
    ) -> Result<(), LightError> {
        let deadline = Instant::now() + PATIENCE;
        thread::scope(|scope| {
            let load = scope.spawn(load);
            while meter.records() < records && !load.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            meter.end();
            load.join().unwrap()
        })
    }

    fn stored(&self, partitions: u32) -> u64 {
        (0..partitions).map(|one| self.admin.log_bounds(TOPIC, one, PATIENCE).unwrap().1).sum()
    }

    fn stop(self) {
        drop(self.admin);
        for (stop, node) in self.nodes {
            stop.stop();
            assert_eq!(node.join().unwrap().unwrap(), ExitReason::Clean);
        }
    }
}

#[test]
fn what_was_acknowledged_is_stored_and_read_back_to_the_last_record() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 2);
    let batch = Batch::filled(4096, 100, 0);
    let order = ProduceOrder { topic: TOPIC, partitions: &[0, 1], acks: Acks::All, batch: &batch };
    let meter = Meter::default();
    let pace = Pace::Closed { in_flight: 5 };
    Cluster::until(&meter, 5000, || produce(cluster.connect(), &order, pace, &meter)).unwrap();
    let acknowledged = meter.records();
    assert!(acknowledged >= 5000);
    assert_eq!(cluster.stored(2), acknowledged);

    let from = |partition| Position { partition, next: 0, end: None };
    let read = Meter::default();
    Cluster::until(&read, acknowledged, || fetch(cluster.connect(), TOPIC, vec![from(0), from(1)], &read))
        .unwrap();
    assert_eq!(read.records(), acknowledged);

    // With an end, reading starts over: more is read than there is.
    let end = cluster.admin.log_bounds(TOPIC, 0, PATIENCE).unwrap().1;
    let positions = vec![Position { end: Some(end as i64), ..from(0) }];
    let again = Meter::default();
    Cluster::until(&again, 3 * end, || fetch(cluster.connect(), TOPIC, positions, &again)).unwrap();
    assert!(again.records() >= 3 * end);
    cluster.stop();
}

#[test]
fn at_a_fixed_rate_latencies_count_from_the_moment_when_a_request_was_due() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1);
    let batch = Batch::new(10, 100, 0);
    let order = ProduceOrder { topic: TOPIC, partitions: &[0], acks: Acks::Leader, batch: &batch };
    let meter = Meter::default();
    meter.open_window(0);
    // The first twenty were due a second ago.
    let late = Duration::from_secs(1);
    let first_ns = monotonic_ns() - late.as_nanos() as u64;
    let pace = Pace::Open { first_ns, interval_ns: 50_000_000 };
    Cluster::until(&meter, 210, || produce(cluster.connect(), &order, pace, &meter)).unwrap();
    let latency = meter.latency();
    assert_eq!(latency.count() * 10, meter.records());
    assert_eq!(cluster.stored(1), meter.records());
    assert!(latency.quantile(1.0).unwrap() >= late, "{:?}", latency.quantile(1.0));
    cluster.stop();
}

#[test]
fn a_damaged_batch_and_an_unknown_partition_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1);
    let refused = |batch: &Batch, partition: i32| {
        let order = ProduceOrder { topic: TOPIC, partitions: &[partition], acks: Acks::All, batch };
        let meter = Meter::default();
        let result = Cluster::until(&meter, 1, || {
            produce(cluster.connect(), &order, Pace::Closed { in_flight: 1 }, &meter)
        });
        assert_eq!(meter.records(), 0);
        match result {
            Err(LightError::Refused { api: Api::Produce, partition, code, .. }) => (partition, code),
            other => panic!("{other:?}"),
        }
    };
    let mut batch = Batch::new(3, 100, 0);
    *batch.bytes_mut().last_mut().unwrap() ^= 1;
    assert_eq!(refused(&batch, 0), (0, 2), "CORRUPT_MESSAGE");
    assert_eq!(refused(&Batch::new(3, 100, 0), 7), (7, 3), "UNKNOWN_TOPIC_OR_PARTITION");
    assert_eq!(cluster.stored(1), 0);
    cluster.stop();
}

#[test]
fn nobody_at_the_address_is_an_error_at_once() {
    let error = LightConnection::open("127.0.0.1:1", PATIENCE).err().unwrap();
    assert!(matches!(error, LightError::Io { .. }), "{error}");
}
