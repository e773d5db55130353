//! From what a checker found to what it means for a promise, and the public format `verdict.json`.
//!
//! In:  findings of the checkers, the contract, and what the scenario expects.
//! Out: one closed word per check, per cell and per run, and the exit status.

mod canary;
mod course;
mod exit;
mod judge;
mod judged;
mod measures;
mod report;
mod rules;
mod schema;
mod summary;
mod timeline;
mod word;

pub use exit::{ExitStatus, exit_status};
pub use judge::judge;
pub use judged::{Judged, RunFacts};
pub use report::*;
pub use schema::verdict_schema;
pub use summary::{SummaryEntry, summarise};
pub use timeline::{FaultBand, LeaderSpan, Outage, Slot, Timeline};
pub use word::VerdictWord;
