//! Who is there: SASL as Kafka carries it (KIP-12, KIP-43, KIP-84, KIP-152, KIP-368).
//!
//! In:  what a peer says during a login, the users and their passwords, unpredictable bytes.
//! Out: what to say next, and the name of whoever has shown that it knows the password.
//! Owns: the state of a login, on the side that asks and on the side that is asked.
//! Never: sees a frame or a connection, or decides what somebody may do: who has logged in may do everything.

mod authority;
mod config;
mod hash;
mod login;
mod mechanism;
mod plain;
mod random;
mod scram;
mod session;
#[cfg(test)]
mod tests;

/// The largest frame of a login, in bytes: Kafka's `sasl.server.max.receive.size`.
pub const LOGIN_FRAME_MAX: usize = 512 << 10;

pub(crate) use authority::Authority;
pub use config::{AuthConfig, AuthConfigError, Entropy, Password};
pub(crate) use login::{Login, OngoingLogin};
pub use mechanism::{Mechanism, UnknownMechanism};
pub(crate) use session::{LoginError, Session};
