//! A client process: one producer, consumer or drain reader.
//!
//! In:  a [`ClientSpec`] as the first line of standard input; further lines are commands (`stop`).
//! Out: [`ClientLine`]s as JSON on standard output, a journal, and a [`ClientExit`].
//! Never: decides what to send; that is the plan's.

mod consume;
mod drain;
mod edge;
mod exit;
mod produce;
mod run;
mod session;
mod spec;
mod talk;
mod transact;

pub use exit::ClientExit;
pub use run::{main, run};
pub use spec::{ClientJob, ClientLine, ClientSpec, Counters, PartitionEnd, Ready};
