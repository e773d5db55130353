//! What fuzzers call: bytes from outside, of which none may harm a node.
//!
//! In:  any bytes. Out: nothing, or a panic that is a bug.
//! The targets of `reference-broker/fuzz` are calls of these functions and nothing else; the tests here run them over the same corpus
//! and over mutations of good requests and good files.

pub use crate::log::damaged_log;
pub use crate::node::{client_stream, damaged_node};

#[cfg(test)]
mod tests;
