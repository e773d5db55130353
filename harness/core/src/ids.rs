//! Numbers that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A message of a run: which producer session sent it, and as its how-manieth.
///
/// Packed as `producer << 48 | incarnation << 32 | seq`, so that ids of one session are dense.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u64);

impl MessageId {
    /// No message: what could not be identified.
    pub const NONE: Self = Self(u64::MAX);

    /// The message `seq` of a producer session.
    pub fn new(session: SessionId, seq: u32) -> Self {
        Self(u64::from(session.producer) << 48 | u64::from(session.incarnation) << 32 | u64::from(seq))
    }

    /// The session that sent it.
    pub fn session(self) -> SessionId {
        SessionId { producer: (self.0 >> 48) as u16, incarnation: (self.0 >> 32) as u16 }
    }

    /// Its number in the session, from 0.
    pub fn seq(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for MessageId {
    /// As `p0.0-4711`: producer, incarnation, number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE {
            return f.write_str("p?");
        }
        let session = self.session();
        write!(f, "p{}.{}-{}", session.producer, session.incarnation, self.seq())
    }
}

/// A text that names no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no message")]
pub struct NoMessage(String);

impl std::str::FromStr for MessageId {
    type Err = NoMessage;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, NoMessage> {
        let parts = || {
            let (session, seq) = text.strip_prefix('p')?.split_once('-')?;
            let (producer, incarnation) = session.split_once('.')?;
            let session =
                SessionId { producer: producer.parse().ok()?, incarnation: incarnation.parse().ok()? };
            Some(Self::new(session, seq.parse().ok()?))
        };
        parts().ok_or_else(|| NoMessage(text.to_owned()))
    }
}

/// One life of one producer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SessionId {
    /// The producer's number in the plan.
    pub producer: u16,
    /// How often its process was started before.
    pub incarnation: u16,
}

/// A broker or controller of the cluster, by its number in the topology: brokers from 1, then controllers.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
