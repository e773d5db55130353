//! The pure half of mqproof: no socket, no file, no clock, no thread.
//!
//! The data goes down this list, and so do the imports:
//! [`scenario`] (YAML, strict) → [`plan`] (what will be done, seeded) → [`workload`] (which messages) →
//! [`history`] (what happened) → [`contract`] (what was promised) → [`checkers`] (what the history says) →
//! [`verdict`] (what that means for each promise). [`claims`] is the register of statements that scenarios decide.

pub mod checkers;
pub mod claims;
pub mod contract;
pub mod history;
pub mod ids;
pub mod plan;
pub mod property;
pub mod scenario;
pub mod verdict;
pub mod workload;
mod yaml;
