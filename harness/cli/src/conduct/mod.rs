//! Runs one cell: cluster, clients, faults, drain, and the journal of the conductor.
//!
//! In:  a plan and where it runs. Out: a directory with the history, and what a verdict needs besides it.
//! Owns: the order of events of a run. Never: judges.

mod cell;
mod client_process;
mod clients;
mod drain;
mod error;
mod journal;
mod message;
mod setup;
mod status;
mod target;
mod watch;

pub use cell::{CellOutcome, conduct};
pub use error::CellError;
pub use status::{CellStatus, Observer};
pub use target::{System, Target, TargetError};
