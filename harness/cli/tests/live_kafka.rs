//! Scenarios on a live Apache Kafka node, which the test starts from Maven Central jars. Without Java or Maven it fails.

mod support;

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mqproof_drivers::admin::Admin;
use mqproof_drivers::kafka::{Connection, KafkaAdmin, LibraryLog};
use support::{mqproof, report, root, told};

/// How long the node may take to open its door, the download of its jars apart.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One Kafka node, in a process group of its own.
struct Node {
    process: Child,
    port: u16,
}

impl Node {
    fn start(dir: &Path) -> Self {
        let script = root().join("harness/cli/tests/live_kafka/node.sh");
        let jars = Command::new(&script).arg("--jars").status().expect("the script can be started");
        assert!(jars.success(), "the jars of Apache Kafka could not be fetched");
        let port = free_pair_of_ports();
        let log = std::fs::File::create(dir.join("kafka.log")).expect("a log can be created");
        let process = Command::new(&script)
            .arg(dir.join("node"))
            .arg(port.to_string())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the script can be started");
        let mut node = Self { process, port };
        let until = Instant::now() + READY_WITHIN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = node.process.try_wait().expect("the node is our child");
            let log = || std::fs::read_to_string(dir.join("kafka.log")).unwrap_or_default();
            assert!(ended.is_none(), "the node ended: {}", log());
            assert!(Instant::now() < until, "the node is not ready: {}", log());
            thread::sleep(Duration::from_millis(100));
        }
        node
    }

    fn on(&self) -> String {
        format!("kafka=127.0.0.1:{}", self.port)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // `exec java`: the process is the node itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The node listens at a port and at the one after it.
fn free_pair_of_ports() -> u16 {
    (0..100)
        .find_map(|_| {
            let first = TcpListener::bind("127.0.0.1:0").ok()?;
            let port = first.local_addr().ok()?.port();
            TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok().map(|_| port)
        })
        .expect("two free ports in a row")
}

#[test]
fn scenarios_without_hands_are_judged_on_a_live_kafka_node_and_the_rest_is_not_offered() {
    let dir = tempfile::tempdir().expect("a directory for the node");
    let node = Node::start(dir.path());

    let run = dir.path().join("run");
    let out = run.to_string_lossy();
    let scenarios = ["scenarios/smoke/backlog-drain.yaml", "scenarios/smoke/duplicates-and-idempotence.yaml"];
    let (status, stdout, stderr) = told(&mqproof(&[
        "run",
        scenarios[0],
        scenarios[1],
        "--on",
        &node.on(),
        "--seed",
        "1",
        "--out",
        &out,
    ]));
    println!("{stdout}\n{stderr}");
    assert_eq!(status, 0, "exit status");
    let verdict = report(&run);
    let cells = verdict["results"].as_array().expect("cells");
    assert_eq!(cells.len(), 3);
    for cell in cells {
        let required = cell["required"].as_array().expect("required checks");
        assert!(!required.is_empty(), "something is required of {}", cell["cell_id"]);
        for name in required {
            let check = support::check(cell, name.as_str().expect("a name"));
            assert_eq!(check["verdict"], "not_observed", "{name} in {}", cell["cell_id"]);
            assert!(check["exercised"].as_u64() > Some(0), "{name} in {}", cell["cell_id"]);
        }
        assert!(
            cell["metrics"]["acked"].as_u64() > Some(0) && cell["metrics"]["delivered"].as_u64() > Some(0)
        );
        assert_eq!(cell["system"]["profile"], "external");
        let notes = cell["notes"].to_string();
        assert!(notes.contains("1 of 3 replicas"), "replicas are clamped and marked: {notes}");
        assert!(!notes.contains("still there"), "the topics of the run are deleted: {notes}");
        for fault in cell["faults"].as_array().expect("faults") {
            assert_eq!(fault["outcome"], "skipped");
            assert!(fault["evidence"].as_str().is_some_and(|why| why.contains("not ours")), "{fault}");
        }
    }

    let refused = dir.path().join("refused");
    let out = refused.to_string_lossy();
    let (status, ..) = told(&mqproof(&[
        "run",
        "scenarios/smoke/acked-survives-leader-kill.yaml",
        "--on",
        &node.on(),
        "--out",
        &out,
    ]));
    assert_eq!(status, 2, "nothing of it could be done");
    let verdict = report(&refused);
    assert_eq!(verdict["results"][0]["verdict"], "not_offered");
    assert!(verdict["results"][0]["why"].as_str().is_some_and(|why| why.contains("hand on the nodes")));

    // The library refuses an idempotent producer that asks for less; without idempotence the class does.
    for (name, idempotence, said) in [
        ("refused-by-library", "true", "`acks` must be set to `all`"),
        ("refused-by-class", "false", "acks` is `1`"),
    ] {
        let out = dir.path().join(name);
        let (on, out) = (node.on(), out.to_string_lossy());
        let idempotence = format!("enable.idempotence={idempotence}");
        let client = ["--client", "acks=1", "--client", &idempotence];
        let run = ["run", scenarios[0], "--on", &on, "--out", &out];
        let (status, stdout, _) = told(&mqproof(&[&run[..], &client[..]].concat()));
        assert_eq!(status, 4, "a client that asks for less than the class needs is not run: {stdout}");
        assert!(stdout.contains(said), "{stdout}");
    }

    let connection = Connection { bootstrap: format!("127.0.0.1:{}", node.port), ..Connection::default() };
    let admin = KafkaAdmin::new(connection, LibraryLog::to_tracing()).expect("an admin");
    let settings = admin.topic_settings("a-topic-that-no-broker-knows", Duration::from_secs(3));
    assert!(settings.is_err(), "what a broker does not know is not a topic without settings: {settings:?}");
}
