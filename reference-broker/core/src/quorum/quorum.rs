//! The quorum of one node's point of view.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::log::{AppendError, LogConfig, LogError, PartitionLog};
use crate::node::{BootError, NodeConfig, Now};
use crate::record::BatchBuilder;

/// Where the metadata log is, below the data directory.
const LOG_DIR: &str = "__cluster_metadata-0";

/// One batch holds all that one request changes, however many partitions that touches.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// Why the metadata log cannot be trusted any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// An append failed.
    #[error("cannot append to the metadata log: {0}")]
    Append(#[from] AppendError),
    /// A read failed.
    #[error("cannot read the metadata log: {0}")]
    Log(#[from] LogError),
    /// A flush failed.
    #[error("cannot flush the metadata log: {0}")]
    Flush(#[from] DiskError),
}

/// The voters of the metadata log, seen from one of them.
pub struct Quorum {
    me: NodeId,
    leader: Option<NodeId>,
    epoch: LeaderEpoch,
    /// What each voter is known to have on its disk, exclusive.
    durable: BTreeMap<NodeId, Offset>,
    high_watermark: Offset,
    log: PartitionLog,
}

impl Quorum {
    /// Recovers the log. A lone voter leads at once, in a new epoch, and all it finds is committed: it was the
    /// majority when it wrote it.
    pub fn boot(config: &NodeConfig, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let me = config.node_id;
        let voters: Vec<_> = config.controllers.iter().map(|peer| peer.node).collect();
        if voters != [me] {
            return Err(BootError::BadData(format!(
                "node `{me}` cannot form a metadata quorum with voters {voters:?}: only a lone voter is supported \
                 (hint: configure one controller, and list it as the only voter)"
            )));
        }
        let settings = LogConfig {
            segment_bytes: config.segment_bytes,
            index_interval_bytes: config.index_interval_bytes,
            message_max_bytes: BATCH_BYTES_MAX,
            ..LogConfig::default()
        };
        let bad = |error: QuorumError| BootError::BadData(error.to_string());
        let log = PartitionLog::open(LOG_DIR, settings, disk).map_err(|error| bad(error.into()))?;
        let epoch = LeaderEpoch(log.latest_epoch().0 + 1);
        let mut quorum = Self {
            me,
            leader: Some(me),
            epoch,
            durable: voters.into_iter().map(|voter| (voter, Offset(0))).collect(),
            high_watermark: Offset(0),
            log,
        };
        quorum.log.start_epoch(epoch);
        quorum.flush(disk).map_err(bad)?;
        Ok(quorum)
    }

    /// The active controller, as far as this voter knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Whether this voter is the active controller.
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.me)
    }

    /// Counts the leaders of the metadata log.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// All below is on the disks of a majority, and is never lost again.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The offset that the next record gets.
    pub fn end_offset(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// Appends the values as one batch; only the leader may. They count once [`high_watermark`](Self::high_watermark)
    /// has passed them. Returns the offset of the first.
    pub fn append(&mut self, now: Now, values: &[Bytes], disk: &mut dyn Disk) -> Result<Offset, QuorumError> {
        assert!(self.is_leader(), "node {} appends to the metadata log led by {:?}", self.me, self.leader);
        let mut batch = BatchBuilder::new(now.wall_ms);
        for value in values {
            batch.push(now.wall_ms, None, Some(value), &[]);
        }
        let appended = self.log.append_as_leader(batch.build(), self.epoch, now.wall_ms, disk)?;
        self.flush(disk)?;
        Ok(appended.first_offset)
    }

    /// Whole committed batches from the one that holds `from`, at most `max_bytes` but at least one if there is any.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<Vec<Bytes>, QuorumError> {
        if from >= self.high_watermark {
            return Ok(Vec::new());
        }
        Ok(self.log.read(from, self.high_watermark, max_bytes, true, disk)?)
    }

    /// Where a reader's log parts from this one, if it does: a reader that has read up to `from` (exclusive), the last
    /// record of `last_epoch`, must forget all from the returned offset on (KIP-595).
    pub fn diverging(&self, from: Offset, last_epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let end = self.end_offset();
        if from > end {
            return Some((self.epoch, end));
        }
        if last_epoch == LeaderEpoch::NONE {
            return None;
        }
        match self.log.end_offset_for_epoch(last_epoch) {
            (epoch, end) if epoch == last_epoch && from <= end => None,
            (LeaderEpoch::NONE, _) => Some((self.epoch, end)),
            diverging => Some(diverging),
        }
    }

    /// Makes the log durable and counts this voter's vote for it.
    fn flush(&mut self, disk: &mut dyn Disk) -> Result<(), QuorumError> {
        let (files, ticket) = self.log.begin_flush();
        for file in files {
            if let Err(error) = disk.sync(file) {
                self.log.fence();
                return Err(error.into());
            }
        }
        self.log.complete_flush(ticket, disk)?;
        self.durable.insert(self.me, self.log.log_end_offset());
        self.commit();
        Ok(())
    }

    fn commit(&mut self) {
        let mut ends: Vec<_> = self.durable.values().copied().collect();
        ends.sort_unstable();
        // The majority has at least what its slowest member has: the upper median of the ends, from below.
        let majority = ends[(ends.len() - 1) / 2];
        self.high_watermark = self.high_watermark.max(majority);
    }
}

#[cfg(test)]
impl Quorum {
    /// As a voter sees it that lost an election.
    pub(crate) fn depose(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
    }
}
