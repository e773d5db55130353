//! A run: all cells of some scenarios on some systems, one after another, and the directory that holds them.
//!
//! In:  paths, systems, a seed. Out: a run directory with verdicts, and the exit status.

mod cells;
mod directory;
mod environment;
mod judge;
mod load;
mod sweep;

pub use cells::{Cell, cells_of};
pub use directory::{RunDirectory, RunRecord};
pub use environment::environment;
pub use judge::{CellFacts, judge_cell};
pub use load::{built_in_claims, load_scenarios};
pub use sweep::leftovers;
