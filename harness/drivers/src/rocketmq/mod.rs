//! Apache RocketMQ, by its remoting protocol.
//!
//! In:  plans and questions. Out: producers, consumers, log readers and an admin behind the roles.
//! Owns: the protocol's clients as the Java client has them ([`sending`], [`member`]), which result means what
//! ([`outcome`]), and the questions of the conductor ([`cluster`]).
//! Never: what a message means. Why there is no client library here: `docs/decisions/0005`.

mod admin;
mod allocation;
mod cluster;
mod consumer;
mod driver;
mod inbox;
mod key;
mod links;
mod locks;
mod log_reader;
mod member;
mod membership;
mod outcome;
mod outgoing;
mod producer;
mod remoting;
mod route_watch;
mod sending;
mod settings;
mod stored;

pub use admin::RocketmqAdmin;
pub use driver::RocketmqDriver;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::cluster::{Cluster, Queue};
use crate::role::DriverError;

/// The client and its version.
pub fn library() -> String {
    concat!("mqproof ", env!("CARGO_PKG_VERSION"), ", RocketMQ remoting").to_owned()
}

/// Tells the clients of one process apart.
fn instance() -> u32 {
    static INSTANCES: AtomicU32 = AtomicU32::new(0);
    INSTANCES.fetch_add(1, Ordering::Relaxed)
}

/// Waits until name servers know the topic's queues and their masters.
fn wait_for_route(cluster: &Cluster, topic: &str, deadline: Instant) -> Result<Vec<Queue>, DriverError> {
    loop {
        let queues = cluster.queues(topic, deadline);
        let why = match queues {
            Ok(queues) if cluster.is_routed(topic, deadline) => return Ok(queues),
            Ok(_) => "a queue has no master yet".to_owned(),
            Err(why) => why.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(DriverError { what: "connect".to_owned(), why });
        }
        thread::sleep(Duration::from_millis(20));
    }
}
