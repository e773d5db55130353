//! Runs one cell: cluster, clients, faults, drain, and the journal of the conductor.
//!
//! In:  a plan and where it runs. Out: a directory with the history, and what a verdict needs besides it.
//! Owns: the order of events of a run. Never: judges.

mod cell;
mod client_process;
mod client_settings;
mod clients;
mod connect;
mod drain;
mod error;
mod external;
mod journal;
mod message;
mod setup;
mod simulated;
mod status;
mod target;
mod watch;

pub use cell::{CellOrder, conduct, container_order, data_dir, make_dirs};
pub use client_settings::{ClientSetting, hand_out, masked, without_secrets};
pub use connect::{connect, first_answer};
pub use error::CellError;
pub use external::{fit_to_external, rename};
pub use setup::wait_for_brokers;
pub use status::{CellStatus, Observer};
pub use target::{System, Target};
