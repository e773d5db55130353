//! How the load is made, and how much of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// Who makes the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// A client of our own that sends prepared batches: the brokers have the processors nearly for themselves
    Light,
    /// librdkafka, as applications use it
    Librdkafka,
}

/// What is equal for all systems.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Measured blocks of each workload and system.
    pub rounds: usize,
    /// How long a block is measured.
    #[serde(rename = "block_s", serialize_with = "seconds")]
    pub block: Duration,
    /// How long each system runs each workload before it is measured.
    #[serde(rename = "warm_up_s", serialize_with = "seconds")]
    pub warm_up: Duration,
    /// Who makes the load.
    pub client: ClientKind,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Copies of each partition at most; fewer where there are fewer brokers.
    pub replicas: u32,
    /// Bytes of a batch.
    pub batch_bytes: u32,
    /// Requests in flight on each connection; there is one to each leader.
    pub in_flight: u32,
    /// Payload bytes a second where the load is fixed.
    pub rate_bytes_per_s: u64,
    /// A block ends when so many payload bytes went through it.
    pub block_bytes_max: u64,
    /// Where the disk is probed: on the file system of the brokers' logs, if that is on this machine.
    pub probe_dir: PathBuf,
}

fn seconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}
