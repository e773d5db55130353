//! A full disk and damaged logs: when this process stops, and when only a partition does.
//!
//! Where other replicas can go on, the process stops, as Kafka does, so that they lead. A partition that nobody else has gains nothing by
//! that: it refuses what it cannot do, and everything else is served.

use std::collections::BTreeSet;

use crate::controller::TopicPartitionId;
use crate::disk::DiskError;
use crate::log::LogError;

use super::{Broker, NS_PER_MS, Turn};

/// How often a full disk is complained of.
const COMPLAINT_MS: u64 = 1_000;

/// What is out of order.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Partitions whose logs are damaged, which nobody else has.
    offline: BTreeSet<TopicPartitionId>,
    next_complaint_ns: u64,
}

impl Broker {
    /// Whether this broker should have a partition, and cannot open its log.
    pub(super) fn is_offline(&self, id: TopicPartitionId) -> bool {
        self.trouble.offline.contains(&id)
    }

    /// A log cannot be opened. Damage to what was durable is never cut away: that would lose records that were acknowledged.
    pub(super) fn open_failed(
        &mut self,
        id: TopicPartitionId,
        topic: &str,
        is_only_replica: bool,
        error: &LogError,
        turn: &mut Turn<'_>,
    ) {
        let partition = id.partition.0;
        match error {
            LogError::Damaged { .. } if is_only_replica => {
                tracing::error!(topic, partition, %error, "the partition is offline: nobody else has it");
                self.trouble.offline.insert(id);
            }
            LogError::Damaged { .. } => {
                let hint = "move the directory of the partition away: its other replicas bring it back";
                tracing::error!(topic, partition, %error, hint, "the log is damaged");
                super::fail(error, turn);
            }
            _ => super::fail(error, turn),
        }
    }

    /// A write to a log has failed.
    pub(super) fn append_failed(&mut self, id: TopicPartitionId, error: &DiskError, turn: &mut Turn<'_>) {
        let is_taken_back = matches!(error, DiskError::Full(_))
            && self.partitions.get_mut(&id).is_some_and(|partition| {
                partition.replicas().len() == 1 && partition.log.take_back(turn.disk).is_ok()
            });
        if is_taken_back {
            self.complain_of_full_disk(error, turn);
        } else {
            super::fail(error, turn);
        }
    }

    /// The high watermarks cannot be noted down; what was noted last stays.
    pub(super) fn checkpoint_failed(&mut self, error: &DiskError, turn: &mut Turn<'_>) {
        let nobody_else = self.partitions.values().all(|partition| partition.replicas().len() == 1);
        if matches!(error, DiskError::Full(_)) && nobody_else && !self.partitions.is_empty() {
            self.complain_of_full_disk(error, turn);
        } else {
            super::fail(error, turn);
        }
    }

    fn complain_of_full_disk(&mut self, error: &DiskError, turn: &Turn<'_>) {
        if turn.now.mono_ns >= self.trouble.next_complaint_ns {
            self.trouble.next_complaint_ns = turn.now.mono_ns + COMPLAINT_MS * NS_PER_MS;
            tracing::error!(%error, "the disk is full: records are refused until there is room");
        }
    }
}
