//! The ways to log in.

use std::fmt;
use std::str::FromStr;

use super::hash::Hash;

/// A SASL mechanism.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mechanism {
    /// Name and password as they are (RFC 4616): only over an encrypted connection a secret.
    Plain,
    /// A proof of knowing the password (RFC 7677).
    ScramSha256,
    /// The same with SHA-512, as Kafka has it (KIP-84).
    ScramSha512,
}

/// No mechanism has this name here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown SASL mechanism `{0}`")]
pub struct UnknownMechanism(pub String);

impl Mechanism {
    /// All that there are.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// The registered name, as peers say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }

    /// The hash function of SCRAM.
    pub(super) const fn hash(self) -> Option<Hash> {
        match self {
            Self::Plain => None,
            Self::ScramSha256 => Some(Hash::Sha256),
            Self::ScramSha512 => Some(Hash::Sha512),
        }
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| UnknownMechanism(name.into()))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
