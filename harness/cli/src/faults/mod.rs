//! Faults: done to processes and links, seen to have an effect, and undone.
//!
//! In:  the plan's faults, the time, and who leads. Out: what was done to whom, when it bit, when it was undone.
//! Owns: the state of each fault. Never: leaves one behind; [`FaultEngine::undo_all`] is called on every way out.

mod active;
mod engine;
mod links;
pub mod proxy;
mod resolve;

pub use engine::{FaultContext, FaultEngine};
pub use links::{Links, touches_clients};
pub use resolve::{Leadership, PartitionState};
