//! How a broker starts.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::channel::ControllerChannel;
use crate::coordinator::{CoordinatorConfig, GroupCoordinator};
use crate::disk::{Disk, DiskError};
use crate::ids::BrokerEpoch;
use crate::node::connections::Connections;
use crate::node::dialled::Dialled;
use crate::node::{BootError, NodeConfig, Now};
use crate::replication::{self, Purgatory};
use crate::transaction::{TransactionConfig, TransactionCoordinator};

use super::fetch_sessions::FetchSessions;
use super::flush::Flushes;
use super::housekeeping::Housekeeping;
use super::internal::Replies;
use super::joins::Joins;
use super::marker_order::MarkerOrder;
use super::markers::MarkerRequests;
use super::producer_ids::ProducerIds;
use super::stop::CLEAN_SHUTDOWN;
use super::trouble::Trouble;
use super::verify::Verifications;
use super::{Broker, NS_PER_MS};

impl Broker {
    /// Reads what the last process has noted down. Logs are opened when the controllers say which there are.
    pub(crate) fn boot(config: NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let previous_epoch = take_clean_shutdown(disk)?;
        let checkpoint = replication::read_checkpoint(disk)?;
        let channel = ControllerChannel::new(&config, previous_epoch, now);
        let coordinator = GroupCoordinator::new(CoordinatorConfig::from(&config));
        // Ids of an earlier process must not be those of other sessions now.
        let session_seed = config.seed.wrapping_add(now.wall_ms as u64);
        Ok(Self {
            channel,
            connections: Connections::new(&config.auth),
            dialled: Dialled::new(&config.auth),
            partitions: BTreeMap::new(),
            checkpoint,
            fetchers: BTreeMap::new(),
            produces: Purgatory::default(),
            fetches: Purgatory::default(),
            fetch_sessions: FetchSessions::new(config.fetch_session_slots, session_seed),
            deletes: Purgatory::default(),
            touched: BTreeSet::new(),
            calls: BTreeMap::new(),
            flushes: Flushes::default(),
            producer_ids: ProducerIds::default(),
            coordinator,
            transactions: TransactionCoordinator::new(TransactionConfig::from(&config)),
            replies: Replies::default(),
            links: BTreeMap::new(),
            verifications: Verifications::default(),
            joins: Joins::default(),
            marker_requests: MarkerRequests::default(),
            marker_order: MarkerOrder::default(),
            loading: BTreeMap::new(),
            reloads: BTreeMap::new(),
            stopping: None,
            next_isr_check_ns: now.mono_ns,
            next_checkpoint_ns: now.mono_ns,
            housekeeping: Housekeeping::from(
                now.mono_ns + config.log_retention_check_interval_ms * NS_PER_MS,
            ),
            produced: 0,
            strays_removed: false,
            violations: Vec::new(),
            trouble: Trouble::default(),
            config,
        })
    }
}

/// Reads and removes the note of an orderly stop: from now on a crash must look like one (KIP-966).
fn take_clean_shutdown(disk: &mut dyn Disk) -> Result<Option<BrokerEpoch>, DiskError> {
    if !disk.list("")?.iter().any(|name| name == CLEAN_SHUTDOWN) {
        return Ok(None);
    }
    let file = disk.open(CLEAN_SHUTDOWN)?;
    let mut bytes = [0; 32];
    let length = disk.read_at(file, 0, &mut bytes)?;
    disk.close(file);
    disk.remove(CLEAN_SHUTDOWN)?;
    disk.sync_dir("")?;
    Ok(std::str::from_utf8(&bytes[..length]).ok().and_then(|text| text.trim().parse().ok()).map(BrokerEpoch))
}
