//! A client process: one producer, consumer or drain reader.
//!
//! In:  a [`ClientSpec`] as the first line of standard input; further lines are commands (`stop`).
//! Out: [`ClientLine`]s as JSON on standard output, and a journal.
//! Never: decides what to send; that is the plan's.

mod spec;

pub use spec::{ClientJob, ClientLine, ClientSpec, Counters, PartitionEnd, Ready};
