//! Runs one cell: cluster, clients, faults, drain, and the journal of the conductor.
//!
//! In:  a plan and where it runs. Out: a directory with the history, and what a verdict needs besides it.
//! Owns: the order of events of a run. Never: judges.

mod cell;
mod client_process;
mod clients;
mod connect;
mod drain;
mod error;
mod external;
mod journal;
mod message;
mod setup;
mod status;
mod target;
mod watch;

pub use cell::{CellOrder, conduct, data_dir, make_dirs};
pub use error::CellError;
pub use external::fit_to_external;
pub use status::{CellStatus, Observer};
pub use target::{System, Target};
