//! Targets in words, the same in plans, progress lines and reports.

use std::fmt;

use super::types::{FaultTarget, Role};

impl fmt::Display for FaultTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(role) => role.fmt(f),
            Self::Link(from, to) => write!(f, "{from} ↔ {to}"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partition = |number: &Option<u32>| number.map_or_else(String::new, |number| format!("/{number}"));
        match self {
            Self::LeaderOf { topic, partition: number } => {
                write!(f, "leader of {topic}{}", partition(number))
            }
            Self::FollowersOf { topic, partition: number } => {
                write!(f, "followers of {topic}{}", partition(number))
            }
            Self::Controller => f.write_str("the active controller"),
            Self::Nodes(nodes) => {
                let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                write!(f, "{} {}", if nodes.len() == 1 { "node" } else { "nodes" }, names.join(", "))
            }
            Self::All => f.write_str("all brokers"),
            Self::Clients => f.write_str("all clients"),
        }
    }
}
