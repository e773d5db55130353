//! Transactions as Kafka's own Java clients see them, in the second protocol (KIP-890): three brokers and a controller,
//! each a process of its own, and a Java program. Without Java, or without Maven, which fetches the jars, it fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

mod cluster;
mod common;
mod failover;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use cluster::{Cluster, PARTITIONS, PATIENCE};

/// In `Transactions.java`.
const SCENES: usize = 8;

/// Long enough that the program is in the midst of its transactions, and that another broker has to take over.
const MOMENT: Duration = Duration::from_millis(1_500);

/// The jars of the clients, fetched if they are not here yet.
fn jars() -> PathBuf {
    let jars = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-clients-4.3.1");
    let complete = jars.join(".complete");
    if !complete.exists() {
        let fetched = Command::new("mvn")
            .args(["--batch-mode", "--quiet", "-f"])
            .arg(source("pom.xml"))
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .status()
            .expect("`mvn` can be started");
        assert!(fetched.success(), "the jars of Kafka's clients could not be fetched");
        fs::write(complete, "").unwrap();
    }
    jars
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java_clients").join(name)
}

/// The Java program, which ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Cluster {
    /// What the Java program cannot do by itself.
    fn carry_out(&mut self, asked: &str) {
        match asked.split(' ').collect::<Vec<_>>()[..] {
            ["kill-coordinator", id] => {
                thread::sleep(MOMENT);
                let node = self.coordinator(1, id);
                self.kill(node);
                thread::sleep(MOMENT);
                self.start_broker(node);
                self.await_up(node);
            }
            ["first-protocol", id, value] => self.commit_in_the_first_protocol(id, value),
            _ => panic!("the Java program asks for `{asked}`"),
        }
    }

    /// One record to each partition of the topic that is called as the transactional id.
    fn commit_in_the_first_protocol(&self, id: &str, value: &str) {
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for partition in 0..PARTITIONS {
            let value = format!("{value}{partition}");
            let record = BaseRecord::<(), _, ()>::to(id).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.commit_transaction(PATIENCE).unwrap();
    }
}

#[test]
fn java_clients_find_transactions_of_the_second_protocol_as_they_expect_them() {
    let jars = jars();
    let mut cluster = Cluster::start(&[]);
    let addresses: Vec<_> = cluster.ports.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
    let java = Command::new("java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"])
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg(source("Transactions.java"))
        .arg(addresses.join(","))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`java` can be started");
    let mut program = Program(java);
    let java = &mut program.0;
    let mut answers = java.stdin.take().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(java.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if let Some(asked) = line.strip_prefix("> ") {
            cluster.carry_out(asked);
            // If it has ended, its exit status tells more.
            let _ = writeln!(answers, "done");
        } else {
            told.push(line);
        }
    }
    assert!(java.wait().unwrap().success(), "the Java program has failed after {told:?}");
    assert_eq!(told.len(), SCENES + 1);
    assert_eq!(told.last(), Some(&format!("passed {SCENES}")));
}
