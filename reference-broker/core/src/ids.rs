//! Numbers that must not be mixed up.

use std::fmt;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

newtype! {
    /// The position of a record in a partition, from 0; an *end* offset is exclusive.
    Offset(i64)
}
newtype! {
    /// Counts the leaders of a partition (KIP-101); −1 is "unknown".
    LeaderEpoch(i32)
}
newtype! {
    /// The id of a broker or controller; −1 is "none".
    NodeId(i32)
}
newtype! {
    /// The index of a partition in its topic.
    PartitionId(i32)
}
newtype! {
    /// Identifies an idempotent producer session (KIP-98); −1 is "not idempotent".
    ProducerId(i64)
}
newtype! {
    /// Fences older incarnations of a producer id (KIP-98).
    ProducerEpoch(i16)
}
newtype! {
    /// Numbers the records of a producer in a partition; wraps from 2³¹−1 to 0 (KIP-98).
    Sequence(i32)
}
newtype! {
    /// Counts the registrations of a broker with the controller (KIP-903): the offset of its registration record.
    BrokerEpoch(i64)
}
newtype! {
    /// A connection of one node. The shell numbers accepted ones evenly, the core the ones it dials oddly.
    ConnId(u64)
}

impl Offset {
    /// The next offset.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl LeaderEpoch {
    /// No epoch is known.
    pub const NONE: Self = Self(-1);
}

impl NodeId {
    /// No node.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// A producer without idempotence.
    pub const NONE: Self = Self(-1);
}

impl Sequence {
    /// The sequence `n` records later; wraps from 2³¹−1 to 0.
    #[must_use]
    pub fn plus(self, n: i32) -> Self {
        Self(((i64::from(self.0) + i64::from(n)) & i64::from(i32::MAX)) as i32)
    }
}
