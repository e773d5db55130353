//! Which messages a producer sends: number, key, size and due time, each a pure function of (seed, producer, number).
//!
//! In:  a [`ProducerPlan`](crate::plan::ProducerPlan).
//! Out: messages in order, their payloads, and the judgement whether a payload that came back is the one that was sent.
//! Owns: the 64-byte identity header. Never: a clock; due times count from the start of load.

mod check;
mod digest;
mod draw;
mod generator;
mod header;
mod keys;

pub use check::{PayloadCheck, verify};
pub use digest::digest;
pub use generator::{Generator, Message};
pub use header::{HEADER_SIZE, MessageHeader, NO_KEY};

#[cfg(test)]
mod tests;
