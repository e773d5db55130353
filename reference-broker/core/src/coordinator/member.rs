//! One member of a group, and the ids that members are given.

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::message::ReplyId;
use super::records::MemberMetadata;
use crate::ids::LeaderEpoch;

/// A JoinGroup request that waits for the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParkedJoin {
    pub(super) reply: ReplyId,
    pub(super) version: i16,
}

/// What a member says of itself when it joins.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// Name and metadata (for consumers: the subscription), most wanted first.
    pub(super) protocols: Vec<(String, Bytes)>,
}

/// A member of a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Set for a static member (KIP-345).
    pub(super) instance_id: Option<String>,
    pub(super) profile: Profile,
    pub(super) assignment: Bytes,
    pub(super) join: Option<ParkedJoin>,
    pub(super) sync: Option<ReplyId>,
    /// Whether it has sent SyncGroup in this generation.
    pub(super) synced: bool,
    /// It is removed at this time, unless a request of it waits.
    pub(super) session_deadline_ns: u64,
}

impl Member {
    pub(super) fn new(instance_id: Option<String>, profile: Profile) -> Self {
        Self {
            instance_id,
            profile,
            assignment: Bytes::new(),
            join: None,
            sync: None,
            synced: false,
            session_deadline_ns: u64::MAX,
        }
    }

    /// A member of a stored generation, which has `protocol` as its only one.
    pub(super) fn stored(metadata: MemberMetadata, protocol: &str, now_ns: u64) -> Self {
        let profile = Profile {
            client_id: metadata.client_id,
            client_host: metadata.client_host,
            session_timeout_ms: metadata.session_timeout_ms,
            rebalance_timeout_ms: metadata.rebalance_timeout_ms,
            protocols: vec![(protocol.to_owned(), metadata.subscription)],
        };
        let mut member = Self::new(metadata.instance_id, profile);
        member.assignment = metadata.assignment;
        member.synced = true;
        member.touch(now_ns);
        member
    }

    /// Starts the session anew.
    pub(super) fn touch(&mut self, now_ns: u64) {
        self.session_deadline_ns = now_ns + millis(self.profile.session_timeout_ms);
    }

    /// When the session ends; never while the coordinator owes it an answer.
    pub(super) fn expires_ns(&self) -> Option<u64> {
        (self.join.is_none() && self.sync.is_none()).then_some(self.session_deadline_ns)
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.profile.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// What it said for a protocol; empty if it does not speak it.
    pub(super) fn subscription(&self, protocol: Option<&str>) -> Bytes {
        let found = self.profile.protocols.iter().find(|(name, _)| Some(name.as_str()) == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

/// Milliseconds of a request, which may be negative, in nanoseconds.
pub(super) fn millis(ms: i32) -> u64 {
    u64::try_from(ms).unwrap_or(0) * 1_000_000
}

/// Draws member ids. The leader epoch keeps them apart over restarts with the same seed, the counter within one.
pub(super) struct MemberIds {
    rng: ChaCha8Rng,
    drawn: u64,
}

impl MemberIds {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), drawn: 0 }
    }

    /// A new id that starts with `prefix`: the instance id of a static member, else the client id.
    pub(super) fn draw(&mut self, prefix: &str, epoch: LeaderEpoch) -> String {
        self.drawn += 1;
        format!("{prefix}-{epoch}-{}-{:016x}", self.drawn, self.rng.next_u64())
    }
}
