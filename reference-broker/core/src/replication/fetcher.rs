//! A follower's side of replication: one loop of fetches per leader.
//!
//! In:  the partitions that follow a leader, its responses, the time. Out: what to fetch next.
//! Owns: the pace, and what is known of each partition's last answer. Never: logs or connections.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::TopicPartitionId;
use crate::ids::{LeaderEpoch, Offset};

/// Where the talk with one leader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetcherState {
    /// No connection; dial at this time.
    Down {
        /// On the monotonic clock.
        retry_ns: u64,
    },
    /// A connection was asked for.
    Dialling {
        /// Given up at this time.
        until_ns: u64,
    },
    /// Connected, nothing is asked.
    Idle,
    /// A fetch is on its way.
    Waiting {
        /// Given up at this time.
        until_ns: u64,
    },
}

/// What a partition was asked for in the fetch on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Of the leader.
    pub leader_epoch: LeaderEpoch,
    /// The end of the log then.
    pub offset: Offset,
}

/// The fetches from one leader.
#[derive(Debug)]
pub struct Fetcher {
    /// Where the talk stands.
    pub state: FetcherState,
    /// The partitions that follow this leader.
    pub partitions: BTreeSet<TopicPartitionId>,
    /// The fetch on its way.
    pub asked: BTreeMap<TopicPartitionId, Asked>,
    /// Partitions that the leader refused: not asked for before this time.
    pub delayed: BTreeMap<TopicPartitionId, u64>,
}

impl Fetcher {
    /// No partition and no connection yet.
    pub fn new() -> Self {
        Self {
            state: FetcherState::Down { retry_ns: 0 },
            partitions: BTreeSet::new(),
            asked: BTreeMap::new(),
            delayed: BTreeMap::new(),
        }
    }

    /// The partitions to ask for now.
    pub fn due(&mut self, now_ns: u64) -> Vec<TopicPartitionId> {
        self.delayed.retain(|_, until| *until > now_ns);
        self.partitions.iter().filter(|id| !self.delayed.contains_key(id)).copied().collect()
    }

    /// When something is due without an answer coming in.
    pub fn next_tick_ns(&self) -> u64 {
        match self.state {
            _ if self.partitions.is_empty() => u64::MAX,
            FetcherState::Down { retry_ns } => retry_ns,
            FetcherState::Dialling { until_ns } | FetcherState::Waiting { until_ns } => until_ns,
            FetcherState::Idle => self.delayed.values().copied().min().unwrap_or(u64::MAX),
        }
    }
}

impl Default for Fetcher {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a follower cuts its log when the leader's leaves it: at the end of the leader's epoch or of its own, whichever
/// comes first (KIP-101, KIP-279). If the follower lacks the leader's epoch, it cuts at the end of its own largest
/// epoch below, and the next fetch finds the next divergence.
pub fn truncation_offset(leader_end: Offset, own_end_of_epoch: Option<Offset>, own_end: Offset) -> Offset {
    own_end_of_epoch.map_or(leader_end, |end| end.min(leader_end)).min(own_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_cuts_at_the_earlier_end_of_the_epoch() {
        assert_eq!(truncation_offset(Offset(5), Some(Offset(7)), Offset(9)), Offset(5));
        assert_eq!(truncation_offset(Offset(8), Some(Offset(7)), Offset(9)), Offset(7));
        assert_eq!(truncation_offset(Offset(8), None, Offset(6)), Offset(6));
    }
}
