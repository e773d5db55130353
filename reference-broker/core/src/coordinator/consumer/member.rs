//! One member of a group that speaks the consumer protocol, as it is stored.

use std::collections::BTreeSet;

use super::partitions::Partitions;

/// The epoch of a static member that is away for a while (KIP-848).
pub(super) const AWAY: i32 = -2;

/// How far a member is on its way to its target, with Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum MemberState {
    /// It has what it is to have in its epoch.
    #[default]
    Stable,
    /// It has been asked to give partitions back, and has not yet.
    UnrevokedPartitions,
    /// It waits for partitions that others have not given back.
    UnreleasedPartitions,
}

impl MemberState {
    pub(super) fn code(self) -> i8 {
        self as i8
    }

    pub(super) fn of(code: i8) -> Option<Self> {
        [Self::Stable, Self::UnrevokedPartitions, Self::UnreleasedPartitions]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

/// What a member says of itself (`ConsumerGroupMemberMetadataValue`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "named as in ConsumerGroupHeartbeat")]
pub struct Subscription {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<String>,
    pub regex: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<String>,
}

/// Where a member stands (`ConsumerGroupCurrentMemberAssignmentValue`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Current {
    /// What its next heartbeat must name; −2 for a static member that is away.
    pub epoch: i32,
    /// What it may name still, if the answer that told it the present one was lost.
    pub previous_epoch: i32,
    /// On its way where.
    pub state: MemberState,
    /// What it may consume.
    pub assigned: Partitions,
    /// What it has to let go of, and nobody else may have before it did.
    pub revoking: Partitions,
}

impl Current {
    /// In another epoch, with other partitions.
    pub(super) fn moved(
        &self,
        epoch: i32,
        state: MemberState,
        assigned: Partitions,
        revoking: Partitions,
    ) -> Self {
        Self { epoch, previous_epoch: self.epoch, state, assigned, revoking }
    }
}

/// A member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsumerMember {
    /// What it wants.
    pub subscription: Subscription,
    /// What it has.
    pub current: Current,
}
