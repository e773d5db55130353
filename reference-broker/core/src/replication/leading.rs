//! What a leader knows of its followers.

use std::collections::BTreeMap;

use crate::ids::{BrokerEpoch, NodeId, Offset};

/// A partition's leader, for the length of one leader epoch.
#[derive(Debug)]
pub(super) struct Leading {
    /// Where the log ended when the epoch began: a follower joins the in-sync set only past it (KAFKA-7128).
    pub(super) epoch_start: Offset,
    /// All other replicas.
    pub(super) followers: BTreeMap<NodeId, FollowerProgress>,
    /// An in-sync set that the controller was asked for and has not confirmed (KIP-497).
    pub(super) proposal: Option<Vec<(NodeId, BrokerEpoch)>>,
}

impl Leading {
    /// The partition is held by others than before, in the same epoch (KIP-455).
    pub(super) fn set_followers(&mut self, nodes: impl Iterator<Item = NodeId>, now_ns: u64) {
        let before = std::mem::take(&mut self.followers);
        let progress = |node| before.get(&node).copied();
        self.followers = nodes
            .map(|node| (node, progress(node).unwrap_or_else(|| FollowerProgress::unknown(false, now_ns))))
            .collect();
    }
}

/// How far a follower has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct FollowerProgress {
    /// The end of its log, exclusive, as of its last fetch in this leader epoch.
    pub(super) end: Option<Offset>,
    /// Where its log started then.
    pub(super) start: Option<Offset>,
    /// The registration that its last fetch was sent under (KIP-903).
    pub(super) broker_epoch: BrokerEpoch,
    /// When it last had all that there was.
    pub(super) caught_up_ns: u64,
    last_fetch_ns: u64,
    leader_end_at_last_fetch: Offset,
}

impl FollowerProgress {
    /// Nothing was heard yet; a member of the in-sync set is given the benefit of the doubt.
    pub(super) fn unknown(in_sync: bool, now_ns: u64) -> Self {
        Self {
            end: None,
            start: None,
            broker_epoch: BrokerEpoch(-1),
            caught_up_ns: if in_sync { now_ns } else { 0 },
            last_fetch_ns: 0,
            leader_end_at_last_fetch: Offset(i64::MAX),
        }
    }

    /// It has fetched from `offset`, so that it has all below, from `start` on.
    pub(super) fn fetched(
        &mut self,
        (start, offset): (Offset, Offset),
        broker_epoch: BrokerEpoch,
        leader_end: Offset,
        now_ns: u64,
    ) {
        if offset >= leader_end {
            self.caught_up_ns = now_ns;
        } else if offset >= self.leader_end_at_last_fetch {
            // It had all that there was when it last asked; what came since it is only now asking for.
            self.caught_up_ns = self.caught_up_ns.max(self.last_fetch_ns);
        }
        (self.start, self.end) = (Some(start), Some(offset));
        self.broker_epoch = broker_epoch;
        self.last_fetch_ns = now_ns;
        self.leader_end_at_last_fetch = leader_end;
    }

    /// Its process has restarted: what it had then says nothing about now.
    pub(super) fn forget(&mut self) {
        (self.start, self.end) = (None, None);
        self.leader_end_at_last_fetch = Offset(i64::MAX);
    }
}
