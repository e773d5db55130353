//! Logins and TLS: what a real client, a client of our own and a stranger see of brokers that are processes of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod certificates;
mod cluster;
mod common;
mod scram;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, BrokerId, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig as TlsConfig, ClientConnection, RootCertStore, StreamOwned};

use certificates::{Authority, Identity, write, write_secret};
use cluster::{Cluster, PARTITIONS, PATIENCE};
use common::{call, connect};
use scram::{SCRAM_SHA_256, SCRAM_SHA_512};

const USERS: &str = "# as which nodes log in at each other\nnode:peer\nalice:wonder\n";
/// The failed handshake of a peer that says nothing is over after this.
const SLOW: Duration = Duration::from_secs(20);

// Requests with their lengths, each of an API that only its listener has: what is answered shows that the door is open.
const API_VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];
const METADATA: &[u8] = &[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 255, 255, 255, 255];
const WRITE_TXN_MARKERS: &[u8] = &[0, 0, 0, 13, 0, 27, 0, 1, 0, 0, 0, 7, 255, 255, 0, 1, 0];
const DESCRIBE_QUORUM: &[u8] = &[0, 0, 0, 13, 0, 55, 0, 2, 0, 0, 0, 7, 255, 255, 0, 1, 0];

type TlsSocket = StreamOwned<ClientConnection, TcpStream>;

/// Whether a request is answered.
fn is_answered(socket: &mut (impl Read + Write), request: &[u8]) -> io::Result<()> {
    socket.write_all(request)?;
    socket.flush()?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer)?;
    assert_eq!(answer[..4], [0, 0, 0, 7], "the correlation id");
    Ok(())
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A stranger learns the versions at a listener and nothing else.
fn assert_closed_to_strangers(port: u16, request: &[u8]) {
    is_answered(&mut connect(local(port)), API_VERSIONS).unwrap();
    let error = is_answered(&mut connect(local(port)), request).unwrap_err();
    let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(gone.contains(&error.kind()), "not closed: {error}");
}

/// A controller and a broker in one process.
struct Node {
    child: Child,
    port: u16,
    internal: u16,
    log: PathBuf,
}

impl Node {
    fn start(dir: &Path, settings: &[String]) -> Self {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [port, internal] = sockets.map(|socket| socket.local_addr().unwrap().port());
        let log = dir.join("log");
        let child = command(dir, settings)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--internal-listen", &format!("127.0.0.1:{internal}")])
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let node = Self { child, port, internal, log };
        node.await_log(&[" ready"]);
        node
    }

    /// Waits for a line with all these words.
    fn await_log(&self, words: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&self.log).unwrap();
            if text.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                return;
            }
            assert!(Instant::now() < deadline, "no line with {words:?} in\n{text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn connect(&self) -> TcpStream {
        connect(local(self.port))
    }

    fn connect_tls(&self, authority: &Authority, identity: Option<&Identity>) -> TlsSocket {
        tls(self.connect(), authority, identity)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, settings: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reference-broker"));
    command.arg("--data").arg(dir.join("data")).stdin(Stdio::null()).stdout(Stdio::null());
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

fn tls(socket: TcpStream, authority: &Authority, identity: Option<&Identity>) -> TlsSocket {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&authority.pem())).unwrap();
    let config = TlsConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(Identity { certificate: chain, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate(chain)], key).unwrap()
        }
    };
    let connection = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    StreamOwned::new(connection, socket)
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Settings of nodes that ask for a login, of each other too.
fn logins(dir: &Path, protocol: &str) -> Vec<String> {
    let users = write_secret(dir, "users", USERS);
    vec![
        format!("security.protocol={protocol}"),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".into(),
        format!("sasl.users.file={}", users.display()),
        "sasl.inter.broker.user=node".into(),
    ]
}

/// Settings of nodes that speak TLS, with each other too.
fn encryption(dir: &Path, authority: &Authority) -> Vec<String> {
    let Identity { certificate, key } = authority.sign();
    vec![
        format!("ssl.certificate.file={}", write(dir, "certificate", &certificate, 0o644).display()),
        format!("ssl.key.file={}", write_secret(dir, "key", &key).display()),
        format!("ssl.ca.file={}", write(dir, "authority", &authority.pem(), 0o644).display()),
    ]
}

/// Names a topic, which creates it, until it has a leader: broker and controller work together.
fn create_topic(socket: &mut (impl Read + Write), topic: &'static str) {
    let name = TopicName(StrBytes::from_static_str(topic));
    let asked = MetadataRequestTopic::default().with_name(Some(name));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer: MetadataResponse = call(socket, ApiKey::Metadata, 9, &request);
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        if partitions.any(|partition| partition.leader_id == BrokerId(1)) {
            return;
        }
        assert!(Instant::now() < deadline, "`{topic}` has no leader");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Whether an answer comes to a request that is larger than those of logins may be; to a topic that does not exist.
fn takes_large_frames(socket: &mut (impl Read + Write)) -> bool {
    let data = PartitionProduceData::default().with_records(Some(vec![0; 600 << 10].into()));
    let name = TopicName(StrBytes::from_static_str("nowhere"));
    let topic = TopicProduceData::default().with_name(name).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let answer: ProduceResponse = call(socket, ApiKey::Produce, 8, &request);
    answer.responses[0].partition_responses[0].error_code == 3
}

fn plain(config: ClientConfig, user: &str, password: &str) -> ClientConfig {
    let mut config = config;
    config
        .set("security.protocol", "sasl_plaintext")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", user)
        .set("sasl.password", password);
    config
}

fn produce(config: &ClientConfig, topic: &str, count: usize) {
    let producer: BaseProducer = config.clone().set("acks", "all").set("linger.ms", "0").create().unwrap();
    for number in 0..count {
        let value = number.to_string();
        producer.send(BaseRecord::<(), str>::to(topic).payload(&value)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

fn consume(config: &ClientConfig, topic: &str, count: usize) -> Vec<usize> {
    let consumer: BaseConsumer = config.clone().set("group.id", "readers").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut values, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while values.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records", values.len());
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            values.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap());
        }
    }
    values.sort_unstable();
    values
}

#[test]
fn three_brokers_replicate_for_who_logs_in_and_do_nothing_for_strangers() {
    let dir = TempDir::new().unwrap();
    let mut settings = logins(dir.path(), "SASL_PLAINTEXT");
    // What is acknowledged has been replicated to all three.
    settings.extend(["min.insync.replicas=3".into(), "default.replication.factor=3".into()]);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster = Cluster::start(&settings);
    let config = plain(cluster.config(), "alice", "wonder");
    produce(&config, "orders", 100);
    assert_eq!(consume(&config, "orders", 100), (0..100).collect::<Vec<_>>());

    let wrong = plain(cluster.config(), "alice", "guess");
    for config in [cluster.config(), wrong] {
        let client: BaseConsumer = config.create().unwrap();
        client.fetch_metadata(None, Duration::from_secs(3)).unwrap_err();
    }
    for (client, internal) in &cluster.ports {
        // Of a frame that is too large for a login, not even the first byte is waited for.
        let mut stranger = connect(local(*client));
        stranger.write_all(&[0, 8, 0, 1]).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
        assert_closed_to_strangers(*client, METADATA);
        assert_closed_to_strangers(*internal, WRITE_TXN_MARKERS);
        // A client has no business there.
        let error = SCRAM_SHA_256.log_in(&mut connect(local(*internal)), "alice", "wonder").unwrap_err();
        assert!(error.contains("invalid credentials"), "{error}");
    }
    assert_closed_to_strangers(cluster.controller_port, DESCRIBE_QUORUM);
}

/// The library has SCRAM and TLS by OpenSSL only.
#[cfg(feature = "kafka-tls")]
#[test]
fn librdkafka_logs_in_by_every_mechanism_over_tls() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("ours");
    let mut settings = [logins(dir.path(), "SASL_SSL"), encryption(dir.path(), &authority)].concat();
    settings.push("min.insync.replicas=3".into());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster = Cluster::start(&settings);
    let over_tls = |mechanism: &str, password: &str| {
        let mut config = plain(cluster.config(), "alice", password);
        let authority = dir.path().join("authority");
        config.set("security.protocol", "sasl_ssl").set("sasl.mechanism", mechanism);
        config.set("ssl.ca.location", authority.to_str().unwrap());
        config
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let config = over_tls(mechanism, "wonder");
        produce(&config, mechanism, 10);
        assert_eq!(consume(&config, mechanism, 10), (0..10).collect::<Vec<_>>());
        let client: BaseConsumer = over_tls(mechanism, "guess").create().unwrap();
        client.fetch_metadata(None, Duration::from_secs(2)).unwrap_err();
    }
    let theirs = write(dir.path(), "theirs", &Authority::new("theirs").pem(), 0o644);
    let mut wary = over_tls("PLAIN", "wonder");
    let client: BaseConsumer = wary.set("ssl.ca.location", theirs.to_str().unwrap()).create().unwrap();
    client.fetch_metadata(None, Duration::from_secs(2)).unwrap_err();
}

#[test]
fn what_strangers_are_refused_is_answered_where_nobody_is_asked() {
    let dir = TempDir::new().unwrap();
    let node = Node::start(dir.path(), &[]);
    is_answered(&mut node.connect(), METADATA).unwrap();
    is_answered(&mut connect(local(node.internal)), WRITE_TXN_MARKERS).unwrap();
}

#[test]
fn scram_lets_in_over_tls_whoever_knows_the_password() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("ours");
    let settings = [logins(dir.path(), "SASL_SSL"), encryption(dir.path(), &authority)].concat();
    let node = Node::start(dir.path(), &settings);
    for (scram, topic) in [(SCRAM_SHA_256, "one"), (SCRAM_SHA_512, "two")] {
        let mut socket = node.connect_tls(&authority, None);
        scram.log_in(&mut socket, "alice", "wonder").unwrap();
        create_topic(&mut socket, topic);
        assert!(takes_large_frames(&mut socket));
        for (user, password) in [("alice", "guess"), ("eve", "wonder")] {
            let mut socket = node.connect_tls(&authority, None);
            let error = scram.log_in(&mut socket, user, password).unwrap_err();
            assert!(error.contains("invalid credentials"), "{error}");
            is_answered(&mut socket, API_VERSIONS).unwrap_err();
            let from = socket.sock.local_addr().unwrap().to_string();
            node.await_log(&["gone without a login", &from]);
        }
    }
    is_answered(&mut node.connect_tls(&authority, None), METADATA).unwrap_err();
}

#[test]
fn peers_that_do_not_speak_tls_are_named_and_disturb_nobody() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("ours");
    let mut settings = encryption(dir.path(), &authority);
    settings.push("security.protocol=SSL".into());
    let node = Node::start(dir.path(), &settings);
    let mut socket = node.connect_tls(&authority, None);
    is_answered(&mut socket, METADATA).unwrap();

    let mut silent = node.connect();
    silent.set_read_timeout(Some(SLOW)).unwrap();
    let mut plain = node.connect();
    let from = plain.local_addr().unwrap().to_string();
    is_answered(&mut plain, METADATA).unwrap_err();
    node.await_log(&["TLS handshake failed", &from, "does not speak TLS"]);
    // It does not trust the broker.
    let mut wary = node.connect_tls(&Authority::new("theirs"), None);
    let from = wary.sock.local_addr().unwrap().to_string();
    is_answered(&mut wary, METADATA).unwrap_err();
    node.await_log(&["TLS handshake failed", &from]);
    // Nodes show certificates to each other.
    let mut stranger = tls(connect(local(node.internal)), &authority, None);
    is_answered(&mut stranger, WRITE_TXN_MARKERS).unwrap_err();
    let from = stranger.sock.local_addr().unwrap().to_string();
    node.await_log(&["TLS handshake failed", &from]);
    create_topic(&mut socket, "orders");

    let from = silent.local_addr().unwrap().to_string();
    assert_eq!(silent.read(&mut [0]).unwrap_or_default(), 0, "closed for its silence");
    node.await_log(&["TLS handshake failed", &from, "not done after"]);
    is_answered(&mut socket, METADATA).unwrap();
}

#[test]
fn a_client_needs_a_certificate_where_its_authority_is_named() {
    let dir = TempDir::new().unwrap();
    let (ours, clients, others) =
        (Authority::new("ours"), Authority::new("clients"), Authority::new("others"));
    let client_ca = write(dir.path(), "clients", &clients.pem(), 0o644);
    let users = write_secret(dir.path(), "users", USERS);
    let mut settings = encryption(dir.path(), &ours);
    settings.extend([
        "security.protocol=SSL".into(),
        "security.inter.broker.protocol=SASL_SSL".into(),
        format!("sasl.users.file={}", users.display()),
        "sasl.inter.broker.user=node".into(),
        format!("ssl.client.ca.file={}", client_ca.display()),
    ]);
    let node = Node::start(dir.path(), &settings);
    let mut socket = node.connect_tls(&ours, Some(&clients.sign()));
    create_topic(&mut socket, "orders");
    for identity in [None, Some(others.sign()), Some(ours.sign())] {
        let mut socket = node.connect_tls(&ours, identity.as_ref());
        is_answered(&mut socket, METADATA).unwrap_err();
    }
    is_answered(&mut socket, METADATA).unwrap();
}

/// What a broker says that does not start for its settings.
fn refusal(dir: &Path, settings: &[String]) -> String {
    let output = command(dir, settings).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{text}");
    text
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_keys() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let authority = Authority::new("ours");
    let good = [logins(dir, "SASL_SSL"), encryption(dir, &authority)].concat();
    let garbage = write_secret(dir, "garbage", "no PEM\n");
    let other_key = write_secret(dir, "other-key", &authority.sign().key);
    let (open_key, open_users) =
        (write(dir, "open-key", &authority.sign().key, 0o644), write(dir, "open", USERS, 0o604));
    let missing = dir.join("missing");
    for (key, path, expected) in [
        ("ssl.certificate.file", &missing, "No such file"),
        ("ssl.certificate.file", &garbage, "no certificate in PEM"),
        ("ssl.key.file", &missing, "No such file"),
        ("ssl.key.file", &garbage, "no private key in PEM"),
        ("ssl.key.file", &other_key, "together with `ssl.certificate.file`"),
        ("ssl.key.file", &open_key, "chmod 600"),
        ("ssl.ca.file", &garbage, "no certificate in PEM"),
        ("sasl.users.file", &missing, "No such file"),
        ("sasl.users.file", &garbage, "line 1: expected `NAME:PASSWORD`"),
        ("sasl.users.file", &open_users, "chmod 600"),
    ] {
        let mut settings = good.clone();
        settings.push(format!("{key}={}", path.display()));
        let text = refusal(dir, &settings);
        assert!(text.contains(&format!("`{key}`")) && text.contains(expected), "{key}: {text}");
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
    }
    let mut settings = good.clone();
    settings.push("sasl.inter.broker.user=eve".into());
    assert!(refusal(dir, &settings).contains("no user `eve`"));
    let mut settings = good;
    settings.push("security.inter.broker.protocol=SSL".into());
    assert!(refusal(dir, &settings).contains("security.inter.broker.protocol"));
}
