//! What the simulator may see of a broker.

use crate::controller::{MetadataImage, TopicPartitionId};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::log::{LogError, LogEvents};
use crate::replication::Partition;

use super::Broker;

/// One replica, as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionView {
    /// Which partition.
    pub id: TopicPartitionId,
    /// The name of its topic.
    pub topic: String,
    /// Whether this replica leads.
    pub is_leader: bool,
    /// The leader that it knows.
    pub leader: NodeId,
    /// The epoch of that leader.
    pub leader_epoch: LeaderEpoch,
    /// Counts the controller's changes.
    pub partition_epoch: i32,
    /// The confirmed in-sync set.
    pub isr: Vec<NodeId>,
    /// Where the log starts.
    pub log_start: Offset,
    /// All below is committed.
    pub high_watermark: Offset,
    /// No transaction below is undecided.
    pub last_stable: Offset,
    /// All below is durable.
    pub flushed_end: Offset,
    /// Where the log ends.
    pub log_end: Offset,
    /// The bytes of its segments.
    pub log_bytes: u64,
    /// Whether the log is being compacted.
    pub is_cleaning: bool,
    /// What has happened to the log since this process opened it.
    pub log_events: LogEvents,
}

impl Broker {
    /// The state of the cluster as this broker knows it.
    pub(crate) fn image(&self) -> &MetadataImage {
        self.channel.image()
    }

    /// How often this process took the metadata from a snapshot, and how often that went on after an interruption.
    pub(crate) fn snapshots(&self) -> (u64, u64) {
        self.channel.snapshots()
    }

    /// All replicas that are open.
    pub(crate) fn views(&self) -> impl Iterator<Item = PartitionView> {
        self.partitions.values().map(view)
    }

    /// The bytes of the batches from `from` up to the high watermark, at most about `max_bytes`.
    pub(crate) fn read_committed(
        &self,
        id: TopicPartitionId,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<bytes::Bytes>, LogError> {
        match self.partitions.get(&id) {
            Some(partition) if from < partition.high_watermark() => {
                partition.log.read(from, partition.high_watermark(), max_bytes, true, disk)
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn view(partition: &Partition) -> PartitionView {
    let state = partition.state();
    PartitionView {
        id: partition.id(),
        topic: partition.topic().to_owned(),
        is_leader: partition.is_leader(),
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        isr: state.isr.clone(),
        log_start: partition.log.log_start_offset(),
        high_watermark: partition.high_watermark(),
        last_stable: partition.last_stable_offset(),
        flushed_end: partition.log.flushed_end_offset(),
        log_end: partition.log.log_end_offset(),
        log_bytes: partition.log.size(),
        is_cleaning: partition.log.is_cleaning(),
        log_events: partition.log.events(),
    }
}
