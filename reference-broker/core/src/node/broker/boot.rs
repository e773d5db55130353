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

use super::Broker;
use super::flush::Flushes;
use super::groups::GroupReplies;
use super::producer_ids::ProducerIds;
use super::stop::CLEAN_SHUTDOWN;

impl Broker {
    /// Reads what the last process has noted down. Logs are opened when the controllers say which there are.
    pub(crate) fn boot(config: NodeConfig, now: Now, disk: &mut dyn Disk) -> Result<Self, BootError> {
        let previous_epoch = take_clean_shutdown(disk)?;
        let checkpoint = replication::read_checkpoint(disk)?;
        let channel = ControllerChannel::new(&config, previous_epoch, now);
        let coordinator = GroupCoordinator::new(CoordinatorConfig::from(&config));
        Ok(Self {
            channel,
            connections: Connections::default(),
            dialled: Dialled::new(),
            partitions: BTreeMap::new(),
            checkpoint,
            fetchers: BTreeMap::new(),
            produces: Purgatory::default(),
            fetches: Purgatory::default(),
            touched: BTreeSet::new(),
            calls: BTreeMap::new(),
            flushes: Flushes::default(),
            producer_ids: ProducerIds::default(),
            coordinator,
            group_replies: GroupReplies::default(),
            loading: BTreeMap::new(),
            stopping: None,
            next_isr_check_ns: now.mono_ns,
            next_checkpoint_ns: now.mono_ns,
            produced: 0,
            violations: Vec::new(),
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
