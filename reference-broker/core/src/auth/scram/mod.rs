//! SCRAM (RFC 5802), with SHA-256 (RFC 7677) or SHA-512, without channel binding.
//!
//! In:  the messages of the other side. Out: the own ones, and whether the other side knows the password.
//! Owns: the grammar and the arithmetic, of both sides. Passwords and names are used as they are, as Kafka does: what
//! RFC 4013 would make of them is not looked at.

mod client;
mod error;
mod keys;
mod message;
mod server;
#[cfg(test)]
mod tests;

pub(super) use client::{ScramClient, Unsigned};
pub(super) use error::ScramError;
pub(super) use keys::ScramKeys;
pub(super) use server::{ScramServer, ServerStep};

/// How often a password is hashed: Kafka's default, and the least that RFC 7677 allows.
pub(super) const ITERATIONS: u32 = 4096;
