//! Measures brokers that speak Kafka's protocol, two of them side by side.
//!
//! In:  one or two clusters, workloads, how long and how often. Out: a [`Report`] with the medians and the ratio of each row,
//!      and its interval; a table, JSON and Markdown of it.
//! Owns: the order of the blocks, which alternate, so that what disturbs the machine hits both systems alike; topics named
//!       `mqproof-bench-…`, which it deletes.
//! Never: judges a promise. That records arrived is counted all the same: a block whose log is shorter than what was
//!        acknowledged is an error.

mod block;
mod error;
#[cfg(test)]
mod fixture;
mod load;
mod markdown;
mod probe;
mod process;
mod report;
mod session;
mod settings;
mod statistics;
mod system;
mod table;
mod target;
mod topic;
mod workload;

pub use markdown::render as markdown;
pub use report::{Report, ratio_of};
pub use session::{Order, Session};
pub use settings::{ClientKind, Settings};
pub use system::Ground;
pub use table::render as table;
pub use target::{BenchTarget, ProcessSource};
pub use workload::{Workload, chosen};
