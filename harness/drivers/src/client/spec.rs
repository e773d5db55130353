//! What a client process is told, and what it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mqproof_core::history::{JournalKind, JournalMeta};
use mqproof_core::plan::{ConsumerPlan, Durability, ProducerPlan};
use serde::{Deserialize, Serialize};

/// What a client process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientSpec {
    /// The run; stands in the header of every message.
    pub run_id: u64,
    /// The process that must not be outlived.
    pub parent_pid: u32,
    /// Where journals go.
    pub history_dir: PathBuf,
    /// Where the log of the client library goes.
    pub log_dir: PathBuf,
    /// The number of the producer or consumer in the plan; 1 or 2 for a drain reader, 3 for one that is handed committed
    /// records only.
    pub number: u16,
    /// How often a process of this role and number was started before.
    pub incarnation: u16,
    /// When the load begins, CLOCK_MONOTONIC, ns.
    pub load_begins_ns: u64,
    /// The protocol: `kafka`.
    pub driver: String,
    /// Where to start: `host:port,…`.
    pub bootstrap: String,
    /// Settings of the client library on top of what the plan implies.
    pub settings: BTreeMap<String, String>,
    /// What an acknowledgement must mean.
    pub durability: Durability,
    /// What to do.
    pub job: ClientJob,
}

/// What a client process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientJob {
    /// Sends messages.
    Produce(ProducerPlan),
    /// Is a member of a group.
    Consume(ConsumerPlan),
    /// Reads every partition of a topic from its start to the given ends, without a group.
    Drain {
        /// The topic.
        topic: String,
        /// Where to stop.
        ends: Vec<PartitionEnd>,
        /// How long it may take.
        timeout_ms: u64,
        /// Whether logs may end in marks of transactions.
        #[serde(default)]
        transactional: bool,
    },
}

impl ClientJob {
    /// The role of the plan that it fills; a drain reader has none.
    pub fn role(&self) -> Option<&str> {
        match self {
            Self::Produce(plan) => Some(&plan.role),
            Self::Consume(plan) => Some(&plan.role),
            Self::Drain { .. } => None,
        }
    }
}

/// Where a partition ended when producers had stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEnd {
    /// The partition.
    pub partition: u32,
    /// Its log start offset.
    pub start: u64,
    /// Its end offset, exclusive.
    pub end: u64,
}

/// One line on standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientLine {
    /// It is connected.
    Ready(Ready),
    /// What it counted since its start; about every 100 ms.
    Counters(Counters),
    /// It has done all it had to, and its journal is sealed.
    Done(Counters),
}

/// What a client says of itself when it is connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// The client library and its version.
    pub library: String,
    /// The settings that matter for a verdict, as the library has them in force.
    pub settings: BTreeMap<String, String>,
}

/// Counters since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Sends begun.
    pub sent: u64,
    /// Sends acknowledged (in class `none`: handed to the network).
    pub acked: u64,
    /// Sends that surely had no effect.
    pub failed: u64,
    /// Sends whose fate is unknown.
    pub unknown: u64,
    /// Messages handed over, repeats included.
    pub delivered: u64,
    /// Why it ended early, if it did.
    pub trouble: Option<String>,
}

impl ClientSpec {
    /// Whose journal it writes.
    pub fn journal_meta(&self, pid: u32, boot_id: String) -> JournalMeta {
        let (kind, role, topic, group) = match &self.job {
            ClientJob::Produce(plan) => (JournalKind::Producer, plan.role.clone(), &plan.topic, None),
            ClientJob::Consume(plan) => {
                (JournalKind::Consumer, plan.role.clone(), &plan.topic, Some(plan.group.clone()))
            }
            ClientJob::Drain { topic, .. } => {
                (JournalKind::Drain, format!("drain-{topic}"), topic, Some(format!("drain-{}", self.number)))
            }
        };
        JournalMeta {
            run_id: self.run_id,
            kind,
            role,
            number: self.number,
            incarnation: self.incarnation,
            topic: Some(topic.clone()),
            group,
            pid,
            boot_id,
            topics: vec![topic.clone()],
            load_begins_ns: self.load_begins_ns,
            ..JournalMeta::default()
        }
    }

    fn name(&self) -> String {
        self.journal_meta(0, String::new()).name()
    }

    /// The file of its journal.
    pub fn journal_path(&self) -> PathBuf {
        self.history_dir.join(format!("{}.journal", self.name()))
    }

    /// The file of its log.
    pub fn log_path(&self) -> PathBuf {
        self.log_dir.join(format!("{}.log", self.name()))
    }
}
