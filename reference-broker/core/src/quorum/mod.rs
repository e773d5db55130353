//! The voters of the metadata log: who leads it, and what of it is committed.
//!
//! In:  values of records from the active controller, and at boot the log. Out: offsets, the high watermark, batches.
//! Owns: the log of `__cluster_metadata`, its epochs and the list of voters.
//! Never: looks into the records; that is `controller`'s.
//!
//! Leader, epoch and high watermark are all that others see, so that elections among several voters (KIP-595) can be
//! added behind them. Until then a quorum of one is the only one that boots.

#[expect(clippy::module_inception, reason = "the folder is named after its one type")]
mod quorum;

pub use quorum::{Quorum, QuorumError};
