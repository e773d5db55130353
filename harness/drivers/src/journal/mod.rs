//! Journals as files: the only place of the harness that maps memory.
//!
//! In:  events, each before its effect is acknowledged.
//! Out: `history/<role>-<n>.<incarnation>.journal`, readable after a SIGKILL at any moment, and a [`History`] of all.
//! Owns: growth, full disks, the seal of a dead process's journal. Never: the format, which is the core's.
//!
//! [`History`]: mqproof_core::history::History

mod file;
mod map;
mod read;

pub use file::{JournalFile, RecordError};
pub use read::{OpenError, open_history, open_journal, seal_dead};
