//! Killing brokers, and finding those that matter.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiKey, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::cluster::{Cluster, PATIENCE};
use super::common::{call, connect};

impl Cluster {
    /// SIGKILL.
    pub fn kill(&mut self, node: i32) {
        let at = self.processes.iter().position(|(id, _)| *id == node).unwrap();
        let (_, mut child) = self.processes.remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until a broker answers.
    pub fn await_up(&self, node: i32) {
        let address = ("127.0.0.1", self.ports[node as usize - 1].0);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "broker {node} does not come back");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The broker that coordinates a group (0) or a transactional id (1).
    pub fn coordinator(&self, key_type: i8, key: &str) -> i32 {
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(key.to_owned()))
            .with_key_type(key_type);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut socket = connect(([127, 0, 0, 1], self.ports[0].0).into());
            let answer: FindCoordinatorResponse = call(&mut socket, ApiKey::FindCoordinator, 2, &request);
            if answer.error_code == 0 {
                return answer.node_id.0;
            }
            assert!(Instant::now() < deadline, "no coordinator: {}", answer.error_code);
            thread::sleep(Duration::from_millis(50));
        }
    }
}
