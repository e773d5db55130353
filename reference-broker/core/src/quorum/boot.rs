//! How a voter starts.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::links::Links;
use super::quorum::{Quorum, QuorumError, Timeouts};
use super::role::Role;
use super::snapshot::SnapshotId;
use super::snapshots::Snapshots;
use super::vote::Vote;
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, Offset};
use crate::log::{LogConfig, PartitionLog};
use crate::node::{BootError, NodeConfig, Now};

/// Where the metadata log is, below the data directory.
pub(super) const LOG_DIR: &str = "__cluster_metadata-0";

/// One batch holds all that one request changes, however many partitions that touches.
const BATCH_BYTES_MAX: usize = 64 << 20;

impl Quorum {
    /// Recovers the log and the vote. A lone voter is elected at once; with others, it waits for a leader or for the time
    /// to campaign.
    pub fn boot(config: &NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let me = config.node_id;
        if !config.controllers.iter().any(|peer| peer.node == me) {
            let voters: Vec<_> = config.controllers.iter().map(|peer| peer.node.0).collect();
            return Err(BootError::BadData(format!(
                "node `{me}` is no voter of the metadata quorum {voters:?} (hint: list every controller, itself included, at \
                 every node)"
            )));
        }
        let settings = LogConfig {
            segment_bytes: config.metadata_segment_bytes,
            index_interval_bytes: config.index_interval_bytes,
            message_max_bytes: BATCH_BYTES_MAX,
            ..LogConfig::default()
        };
        let bad = |error: QuorumError| BootError::BadData(error.to_string());
        let snapshots = Snapshots::open(LOG_DIR, disk)?;
        let log = PartitionLog::open(LOG_DIR, settings, disk).map_err(|error| bad(error.into()))?;
        let snapshot = snapshots.newest();
        let stored = Vote::load(disk)?.unwrap_or(Vote { epoch: LeaderEpoch::NONE, voted: None });
        // The log is written after the vote, unless the log is older than votes are.
        let latest = log.latest_epoch().max(snapshot.map_or(LeaderEpoch::NONE, |id| id.epoch));
        let vote = if latest > stored.epoch { Vote { epoch: latest, voted: None } } else { stored };
        // The time keeps the processes of one voter from drawing the same time-outs again and again.
        let random = ChaCha8Rng::seed_from_u64(config.seed.rotate_left(32) ^ now.wall_ms as u64);
        let mut quorum = Self {
            me,
            cluster_id: config.cluster_id.clone(),
            links: Links::new(config.controllers.iter().filter(|peer| peer.node != me)),
            timeouts: Timeouts::of(config),
            defects: config.defects,
            random,
            vote,
            role: Role::Unattached { campaign_ns: 0 },
            rounds: 0,
            // More is committed than that, perhaps; a leader has to say so.
            high_watermark: snapshot.map_or(Offset(0), |id| id.end),
            log,
            snapshots,
            prune_ns: now.mono_ns,
            receiver: None,
            chunk_bytes: config.quorum_snapshot_fetch_bytes,
        };
        quorum.go_on_from(snapshot, disk)?;
        // What was found is not durable for being there.
        quorum.flush(disk).map_err(bad)?;
        if quorum.links.is_empty() {
            quorum.campaign(now, disk).map_err(bad)?;
        } else {
            quorum.role = Role::Unattached { campaign_ns: quorum.election_timeout_ns(now) };
        }
        Ok(quorum)
    }

    /// 1. A snapshot of the leader is in place. 2. The process dies before its log is the one that goes on from there.
    fn go_on_from(&mut self, snapshot: Option<SnapshotId>, disk: &mut dyn Disk) -> Result<(), BootError> {
        let start = self.log.log_start_offset();
        match snapshot {
            Some(id) if id.end >= start => {
                if !self.holds(id) {
                    let begun = self.log.start_again_at(id.end, id.epoch, disk);
                    begun.map_err(|error| BootError::BadData(error.to_string()))?;
                }
                Ok(())
            }
            _ if start == Offset(0) => Ok(()),
            _ => Err(BootError::BadData(format!(
                "the metadata log begins at `{start}`, and no snapshot reaches there (hint: remove `{LOG_DIR}`; the other \
                 controllers have it all)"
            ))),
        }
    }
}
