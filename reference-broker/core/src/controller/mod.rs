//! The cluster's metadata, and who decides on it.
//!
//! In:  requests of brokers, the time, and at boot the metadata log. Out: answers, and records in that log.
//! Owns: [`MetadataImage`], the state that the log's records add up to; [`Controller`], which decides; and
//!       [`channel`], a broker's side of the talk.
//! Never: connections and frames (`node`), votes (`quorum`), the data of partitions (`replication`).
//!
//! ```text
//! broker ── ControllerChannel ──(BrokerHeartbeat, AlterPartition, …)──▶ Controller ──▶ Quorum (log)
//!                  ▲                                                                     │
//!                  └──────────────── Fetch of __cluster_metadata ◀───────────────────────┘
//! ```

mod alter_partition;
mod api;
mod audit;
mod brokers;
pub mod channel;
pub(crate) mod configs;
#[expect(clippy::module_inception, reason = "the folder is named after its one type")]
mod controller;
mod derived_id;
mod describe_quorum;
mod effect;
mod elect_leaders;
mod election;
mod eligible;
mod image;
mod metadata_fetch;
mod placement;
mod producer_ids;
mod reassignment;
mod record;
mod refusal;
mod replay;
mod session;
mod snapshot;
pub(crate) mod topic_config;
mod topic_id;
mod topic_settings;
mod topics;
mod voters;

#[cfg(test)]
mod tests;

pub use api::{ControllerRequest, ControllerResponse};
pub use audit::{MetadataAudit, MetadataViolation};
pub use controller::Controller;
pub use effect::{ControllerEffect, ReplyId};
pub use image::{
    ApplyError, BrokerImage, BrokerState, ImageDelta, MetadataImage, PartitionImage, TopicImage,
    TopicPartitionId,
};
pub use record::{MetadataRecord, PartitionState, RecordError};
pub use refusal::refused;
pub use replay::ReplayError;
pub use snapshot::load_snapshot;
pub use topic_id::TopicId;
