//! The plan of a scenario in the simulator: the same workload, the same records of it, virtual time.
//!
//! In:  a [`Plan`], and hands on its nodes and links for whoever does its faults. Out: a [`Tape`] of each client.
//! Owns: the clients of a plan. Never: decides when a fault strikes, or judges.
//!
//! [`Plan`]: mqproof_core::plan::Plan

mod drainer;
mod member;
mod partitioner;
mod prober;
mod sender;
mod simulation;
mod tape;

pub use drainer::LogSpan;
pub use prober::NewTopic;
pub use simulation::{ClientRef, PartitionSeen, SimOrder, Simulation};
pub use tape::Tape;
