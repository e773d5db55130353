//! Clusters that are already there: one that `docker-compose.yml` starts, and one that asks for a password. Without a
//! container engine, a program for compose files or an image these tests fail.
//!
//! To be run one at a time (`--test-threads=1`): each starts a node.

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use support::{command, mqproof, report, root, told};

const SCENARIO: &str = "scenarios/smoke/backlog-drain.yaml";
const PROJECT: &str = "mqproof-live-compose";
const SECURED: &str = "mqproof-live-sasl";
/// The engine's own choice may be a network that this machine needs.
const SUBNET: &str = "10.217.44.0/24";
/// A node starts in ten seconds where nothing else runs.
const HEALTHY_WITHIN: Duration = Duration::from_mins(2);

/// Runs a program in the checkout; its output, whatever its status.
fn output(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(root())
        .env("MQPROOF_IMAGE_KAFKA", image())
        .output()
        .unwrap_or_else(|error| panic!("`{program}` cannot be started: {error}"))
}

fn docker(arguments: &[&str]) -> String {
    let (status, stdout, stderr) = told(&output("docker", arguments));
    assert_eq!(status, 0, "docker {arguments:?}: {stderr}");
    stdout.trim().to_owned()
}

/// The one that the environment names, else the official one if it is there, else the local build.
fn image() -> String {
    let is_there = |name: &str| {
        let found = Command::new("docker").args(["image", "inspect", name]).output();
        found.is_ok_and(|output| output.status.success())
    };
    std::env::var("MQPROOF_IMAGE_KAFKA").ok().unwrap_or_else(|| {
        let official = "apache/kafka:4.3.1";
        if is_there(official) { official } else { "mqproof/kafka:4.3.1" }.to_owned()
    })
}

/// `docker compose` or `docker-compose`, whichever is there.
fn compose_program() -> Vec<&'static str> {
    let known = [vec!["docker", "compose"], vec!["docker-compose"]];
    let works = |words: &Vec<&str>| {
        let told = Command::new(words[0]).args(&words[1..]).arg("version").output();
        told.is_ok_and(|output| output.status.success())
    };
    known.into_iter().find(works).expect(
        "neither `docker compose` nor `docker-compose` is there (Debian: `apt-get install docker-compose`)",
    )
}

/// A profile that is up; taken down with what it stored.
struct Profile(&'static str);

impl Profile {
    fn up(name: &'static str) -> Self {
        let profile = Self(name);
        profile.compose(&["up", "-d"]);
        wait_until_healthy(&format!("label=com.docker.compose.project={PROJECT}"));
        profile
    }

    fn compose(&self, arguments: &[&str]) {
        let program = compose_program();
        let mut words = program[1..].to_vec();
        words.extend(["--project-name", PROJECT, "--profile", self.0]);
        words.extend(arguments);
        let (status, stdout, stderr) = told(&output(program[0], &words));
        println!("{stdout}{stderr}");
        assert!(status == 0 || thread::panicking(), "{} {words:?}", program[0]);
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        self.compose(&["down", "-v"]);
    }
}

fn wait_until_healthy(filter: &str) {
    let count = |more: &[&str]| {
        let listed = docker(&[&["ps", "--all", "--quiet", "--filter", filter], more].concat());
        listed.lines().count()
    };
    let until = Instant::now() + HEALTHY_WITHIN;
    while count(&[]) == 0 || count(&["--filter", "health=healthy"]) < count(&[]) {
        assert!(Instant::now() < until, "not healthy: {}", docker(&["ps", "--all", "--filter", filter]));
        thread::sleep(Duration::from_millis(500));
    }
}

/// A Kafka node whose clients' listener is protected.
struct Secured {
    port: u16,
}

impl Secured {
    /// It asks for a user and a password.
    fn with_password() -> Self {
        Self::start(
            "SASL_PLAINTEXT",
            &[
                "SASL_ENABLED_MECHANISMS=PLAIN",
                "LISTENER_NAME_CLIENT_PLAIN_SASL_JAAS_CONFIG=\
                 org.apache.kafka.common.security.plain.PlainLoginModule required user_tester=\"opensesame\";",
            ],
            None,
        )
    }

    /// It speaks TLS, with the key of this directory.
    #[cfg(feature = "kafka-tls")]
    fn with_tls(keys: &Path) -> Self {
        Self::start(
            "SSL",
            &[
                "LISTENER_NAME_CLIENT_SSL_KEYSTORE_LOCATION=/keys/node.p12",
                "LISTENER_NAME_CLIENT_SSL_KEYSTORE_PASSWORD=opensesame",
                "LISTENER_NAME_CLIENT_SSL_KEYSTORE_TYPE=PKCS12",
            ],
            Some(keys),
        )
    }

    fn start(protocol: &str, protection: &[&str], keys: Option<&Path>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        docker(&["network", "create", "--label", "mqproof.test", "--subnet", SUBNET, SECURED]);
        let node = Self { port };
        let listener = format!("CLIENT://127.0.0.1:{port}");
        let settings = [
            "HEAP_OPTS=-Xms256m -Xmx256m".to_owned(),
            "NODE_ID=1".into(),
            "PROCESS_ROLES=broker,controller".into(),
            "CONTROLLER_QUORUM_VOTERS=1@localhost:19093".into(),
            format!("LISTENERS=INTERNAL://:19092,CLIENT://:{port},CONTROLLER://:19093"),
            format!("ADVERTISED_LISTENERS=INTERNAL://localhost:19092,{listener}"),
            format!(
                "LISTENER_SECURITY_PROTOCOL_MAP=INTERNAL:PLAINTEXT,CLIENT:{protocol},CONTROLLER:PLAINTEXT"
            ),
            "INTER_BROKER_LISTENER_NAME=INTERNAL".into(),
            "CONTROLLER_LISTENER_NAMES=CONTROLLER".into(),
            "LOG_DIRS=/var/lib/kafka/data/log".into(),
            "OFFSETS_TOPIC_REPLICATION_FACTOR=1".into(),
            "OFFSETS_TOPIC_NUM_PARTITIONS=8".into(),
            "GROUP_INITIAL_REBALANCE_DELAY_MS=0".into(),
        ];
        let settings = settings.iter().map(String::as_str).chain(protection.iter().copied());
        let settings: Vec<String> = settings.map(|setting| format!("KAFKA_{setting}")).collect();
        let volume = keys.map(|keys| format!("{}:/keys:ro", keys.display()));
        let (publish, image) = (format!("127.0.0.1:{port}:{port}"), image());
        let health = "bash -c '</dev/tcp/127.0.0.1/19092'";
        let mut arguments = vec![
            "run",
            "--detach",
            "--name",
            SECURED,
            "--network",
            SECURED,
            "--memory",
            "1g",
            "--label",
            "mqproof.test",
            "--health-cmd",
            health,
            "--health-interval",
            "2s",
            "--health-retries",
            "60",
            "--publish",
            &publish,
        ];
        arguments.extend(settings.iter().flat_map(|setting| ["--env", setting]));
        arguments.extend(volume.iter().flat_map(|volume| ["--volume", volume]));
        arguments.push(&image);
        docker(&arguments);
        wait_until_healthy(&format!("name={SECURED}"));
        node
    }

    fn run(&self, out: &Path, client: &[&str]) -> Output {
        let (on, out) = (format!("kafka=127.0.0.1:{}", self.port), out.to_string_lossy());
        let mut arguments = vec!["run", SCENARIO, "--on", &on, "--seed", "1", "--out", &out];
        arguments.extend(client.iter().flat_map(|setting| ["--client", setting]));
        command(&arguments).output().expect("mqproof can be started")
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let _ = output("docker", &["rm", "--force", "--volumes", SECURED]);
        let _ = output("docker", &["network", "rm", SECURED]);
    }
}

/// The run checked what it is for.
fn assert_exercised(out: &Path) {
    let report = report(out);
    let cell = &report["results"][0];
    assert_eq!(cell["system"]["profile"], "external", "{cell}");
    let check = support::check(cell, "acked_loss");
    assert_eq!(check["verdict"], "not_observed", "{check}");
    assert!(check["exercised"].as_u64() > Some(0), "{check}");
}

/// What was said, whatever the width of the table that it stands in.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of every file of a run.
fn all_text(dir: &Path) -> String {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).expect("a file")).into_owned();
    entries.map(|path| if path.is_dir() { all_text(&path) } else { text(&path) }).collect()
}

#[test]
fn a_scenario_runs_on_the_cluster_that_the_compose_file_starts() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("run");
    let _profile = Profile::up("kafka");
    let run =
        ["run", SCENARIO, "--on", "kafka=127.0.0.1:9092", "--seed", "1", "--out", &out.to_string_lossy()];
    let (status, stdout, stderr) = told(&mqproof(&run));
    println!("{stdout}{stderr}");
    assert_eq!(status, 0);
    assert_exercised(&out);
}

#[test]
fn a_cluster_that_asks_for_a_password_is_reached_with_it_and_refuses_a_wrong_one() {
    const WHO: [&str; 3] =
        ["security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", "sasl.username=tester"];
    let node = Secured::with_password();
    let address = format!("127.0.0.1:{}", node.port);

    let dir = tempfile::tempdir().expect("a directory");
    let right = [&WHO[..], &["sasl.password=opensesame"]].concat();
    let (status, stdout, stderr) = told(&node.run(&dir.path().join("right"), &right));
    println!("{stdout}{stderr}");
    assert_eq!(status, 0);
    assert_exercised(&dir.path().join("right"));
    let written = all_text(&dir.path().join("right"));
    assert!(written.contains("sasl.password=********"), "the command line is kept");
    assert!(!written.contains("opensesame") && !(stdout + &stderr).contains("opensesame"));

    let wrong = [&WHO[..], &["sasl.password=opensesami"]].concat();
    let (status, stdout, stderr) = told(&node.run(&dir.path().join("wrong"), &wrong));
    println!("{stdout}{stderr}");
    assert_eq!(status, 4);
    let stdout = in_one_line(&stdout);
    let refused = format!("`{address}` refused the connection");
    assert!(stdout.contains(&refused) && stdout.contains("Invalid username or password"), "{stdout}");
    assert!(!stdout.contains("opensesami"), "{stdout}");

    // Without credentials the node hangs up.
    let (status, stdout, stderr) = told(&node.run(&dir.path().join("none"), &[]));
    println!("{stdout}{stderr}");
    assert_eq!(status, 4);
    let stdout = in_one_line(&stdout);
    assert!(stdout.contains(&refused) && stdout.contains("closed by peer"), "{stdout}");

    let (status, stdout, stderr) = told(&node.run(&dir.path().join("tls"), &["security.protocol=SSL"]));
    println!("{stdout}{stderr}");
    assert_eq!(status, 4);
    let stdout = in_one_line(&stdout);
    let said = if cfg!(feature = "kafka-tls") { "refused the connection" } else { "kafka-tls" };
    assert!(stdout.contains(&address) && stdout.contains(said), "{stdout}");
}

#[cfg(feature = "kafka-tls")]
#[test]
fn an_encrypted_connection_needs_the_certificate_of_who_signed_the_nodes() {
    use std::os::unix::fs::PermissionsExt;

    let keys = tempfile::tempdir().expect("a directory");
    // The node is another user.
    std::fs::set_permissions(keys.path(), std::fs::Permissions::from_mode(0o755)).expect("may be read");
    let (store, authority) = (keys.path().join("node.p12"), keys.path().join("authority.pem"));
    let (store, authority) = (store.to_string_lossy(), authority.to_string_lossy());
    let of_store = ["-keystore", &store, "-storepass", "opensesame", "-alias", "node"];
    let key =
        ["-genkeypair", "-keyalg", "RSA", "-storetype", "PKCS12", "-dname", "CN=node", "-validity", "2"];
    let keytool = |arguments: &[&str]| {
        let (status, stdout, stderr) = told(&output("keytool", &[arguments, &of_store].concat()));
        assert_eq!(status, 0, "keytool {arguments:?}: {stdout}{stderr}");
    };
    keytool(&[&key[..], &["-ext", "san=ip:127.0.0.1"]].concat());
    keytool(&["-exportcert", "-rfc", "-file", &authority]);
    let node = Secured::with_tls(keys.path());
    let address = format!("127.0.0.1:{}", node.port);

    let dir = tempfile::tempdir().expect("a directory");
    let location = format!("ssl.ca.location={authority}");
    let right = dir.path().join("right");
    let (status, stdout, stderr) = told(&node.run(&right, &["security.protocol=SSL", &location]));
    println!("{stdout}{stderr}");
    assert_eq!(status, 0);
    assert_exercised(&right);

    let (status, stdout, stderr) = told(&node.run(&dir.path().join("untrusted"), &["security.protocol=SSL"]));
    println!("{stdout}{stderr}");
    assert_eq!(status, 4);
    let stdout = in_one_line(&stdout);
    let refused = format!("`{address}` refused the connection");
    assert!(stdout.contains(&refused) && stdout.contains("certificate"), "{stdout}");

    let (status, stdout, stderr) = told(&node.run(&dir.path().join("plain"), &[]));
    println!("{stdout}{stderr}");
    assert_eq!(status, 4);
    let stdout = in_one_line(&stdout);
    assert!(stdout.contains(&address), "{stdout}");
}
