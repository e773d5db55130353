//! Whose journal it is: the JSON part of the header.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the process that wrote a journal did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JournalKind {
    /// It sent messages.
    Producer,
    /// It was a member of a consumer group.
    Consumer,
    /// It read whole logs after the load.
    Drain,
    /// It started the others, installed the faults and watched the cluster.
    #[default]
    Conductor,
}

impl fmt::Display for JournalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Drain => "drain",
            Self::Conductor => "conductor",
        })
    }
}

/// Who wrote a journal, and what the numbers in its events stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JournalMeta {
    /// The run; in the header of each of its messages, too.
    pub run_id: u64,
    /// What the process did.
    pub kind: JournalKind,
    /// The role's name in the scenario; `drain` or `conductor` for the others.
    pub role: String,
    /// The number of the producer or consumer in the plan; 1 or 2 for a drain reader; else 0.
    pub number: u16,
    /// How often the process of this role and number was started before.
    pub incarnation: u16,
    /// The topic it wrote or read.
    pub topic: Option<String>,
    /// The consumer group; `drain-1` or `drain-2` for a drain reader.
    pub group: Option<String>,
    /// Its process.
    pub pid: u32,
    /// The boot in which its clock (CLOCK_MONOTONIC) counts.
    pub boot_id: String,
    /// When the load begins, on that clock, ns.
    pub load_begins_ns: u64,
    /// Conductor: topics by the index that its events carry.
    pub topics: Vec<String>,
    /// Conductor: consumer groups by the index that its events carry.
    pub groups: Vec<String>,
    /// Conductor: how many nodes the cluster has, brokers first.
    pub nodes: u32,
}

impl JournalMeta {
    /// `<role>-<number>.<incarnation>`, which is also the name of its file without the ending.
    pub fn name(&self) -> String {
        match self.kind {
            JournalKind::Conductor => "conductor".to_owned(),
            _ => format!("{}-{}.{}", self.role, self.number, self.incarnation),
        }
    }
}
