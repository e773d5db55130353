//! Three brokers and a controller, each a process of its own.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use tempfile::TempDir;

const CONTROLLER: i32 = 100;
pub const BROKERS: [i32; 3] = [1, 2, 3];
pub const PARTITIONS: i32 = 3;
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Four processes on one machine.
pub struct Cluster {
    /// Each node has a directory `<id>` and a log `<id>.log` in it.
    pub directory: TempDir,
    pub controller_port: u16,
    /// By broker: for clients, for other brokers.
    pub ports: Vec<(u16, u16)>,
    /// Of each node, besides its addresses.
    settings: Vec<String>,
    pub processes: Vec<(i32, Child)>,
}

impl Cluster {
    pub fn start(settings: &[&str]) -> Self {
        let sockets: Vec<_> = (0..7).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(sockets);
        let mut cluster = Self {
            directory: TempDir::new().unwrap(),
            controller_port: ports[6],
            ports: ports[..6].chunks(2).map(|pair| (pair[0], pair[1])).collect(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            processes: Vec::new(),
        };
        let mut settings = vec![format!("listener.internal=127.0.0.1:{}", cluster.controller_port)];
        settings.extend(cluster.settings.iter().cloned());
        cluster.spawn(CONTROLLER, "controller", &settings);
        for node in BROKERS {
            cluster.start_broker(node);
        }
        cluster
    }

    pub fn start_broker(&mut self, node: i32) {
        let (client, internal) = self.ports[node as usize - 1];
        let mut settings = vec![
            format!("listener.client=127.0.0.1:{client}"),
            format!("listener.internal=127.0.0.1:{internal}"),
            format!("num.partitions={PARTITIONS}"),
            format!("broker.rack=rack-{node}"),
        ];
        settings.extend(self.settings.iter().cloned());
        self.spawn(node, "broker", &settings);
    }

    fn spawn(&mut self, node: i32, role: &str, settings: &[String]) {
        let log = self.directory.path().join(format!("{node}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_reference-broker"));
        command
            .args(["--node-id", &node.to_string(), "--roles", role])
            .args(["--controllers", &format!("{CONTROLLER}@127.0.0.1:{}", self.controller_port)])
            .arg("--data")
            .arg(self.directory.path().join(node.to_string()));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.processes.push((node, child));
    }

    pub fn config(&self) -> ClientConfig {
        let addresses: Vec<_> = self.ports.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", addresses.join(",")).set("reconnect.backoff.max.ms", "500");
        config
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for (_, child) in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            for node in BROKERS {
                let log = std::fs::read_to_string(self.directory.path().join(format!("{node}.log")));
                eprintln!("--- broker {node}\n{}", log.unwrap_or_default());
            }
        }
    }
}
