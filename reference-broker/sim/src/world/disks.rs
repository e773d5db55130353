//! Disks: flushes that take their time, lost power, and what was promised in spite of it.

use broker_core::{BrokerEpoch, DiskError, Event, FileId, Role, SyncToken};

use super::{Due, World};
use crate::disk::{DiskFaults, SimDisk};
use crate::rarity::Rarity;

impl World {
    pub(super) fn sync(&mut self, index: usize, files: &[FileId], token: SyncToken) {
        let server = &mut self.servers[index];
        if server.node.is_none() {
            return;
        }
        let delay_max = server.slow_flush_max.unwrap_or(self.flush_delay_max);
        let delay = self.disk_dice.between(1, delay_max);
        self.rarities.add(Rarity::FlushStalled, u64::from(delay > 10 * self.flush_delay_max));
        // Without the files there is nothing to flush, and the end of it is an error, as in the server.
        if let Ok(flush) = server.disk.begin_flush(files) {
            server.flushes.insert(token, flush);
        }
        let incarnation = server.incarnation;
        self.push(self.now_ns + delay, Due::Synced { server: index, incarnation, token });
    }

    pub(super) fn synced(&mut self, index: usize, token: SyncToken) {
        let server = &mut self.servers[index];
        let gone = || DiskError::Io { path: "a log".into(), error: "not open".into() };
        let result = match server.flushes.remove(&token) {
            Some(flush) => server.disk.end_flush(&flush),
            None => Err(gone()),
        };
        self.step_server(index, Event::Synced { token, result });
    }

    /// The power of a machine fails: its process is gone, and so is some of what it had not flushed.
    pub(crate) fn lose_power(&mut self, index: usize) {
        self.kill(index);
        self.forget_unflushed(index);
    }

    /// The disk of a node that does not run loses what was not flushed; whether there was something.
    pub(crate) fn forget_unflushed(&mut self, index: usize) -> bool {
        let lost = self.servers[index].disk.lose_power(&mut self.disk_dice);
        self.say(|| format!("node {index} has lost its power{}", if lost { ", and writes" } else { "" }));
        self.rarities.sometimes(Rarity::PowerLost);
        if lost {
            self.lost_unflushed(index);
        }
        lost
    }

    /// A node does not have all any more that it said it had.
    pub(super) fn lost_unflushed(&mut self, index: usize) {
        let node = self.servers[index].config.node_id;
        let epoch = self.audit.image().broker(node).map_or(BrokerEpoch(-1), |broker| broker.epoch);
        self.watch.lost_unflushed(node, epoch);
        if let Some(why) = self.promise.lost_unflushed(node, self.audit.image()) {
            self.say(|| why.clone());
            self.ledger.beyond_promise(why);
        }
    }

    pub(super) fn died_unclean(&mut self, index: usize) {
        let node = self.servers[index].config.node_id;
        if let Some(why) = self.promise.died(node, self.audit.image()) {
            self.say(|| why.clone());
            self.ledger.beyond_promise(why);
        }
    }

    /// Whether a broker may die now without making the promise void.
    pub(crate) fn may_die(&mut self, index: usize) -> bool {
        self.promise.allows_death(self.servers[index].config.node_id, self.audit.image())
    }

    /// Whether a broker may lose what it has not flushed without making the promise void.
    pub(crate) fn may_lose_unflushed(&mut self, index: usize) -> bool {
        self.promise.allows_loss(self.servers[index].config.node_id, self.audit.image())
    }

    /// The disks of brokers do nothing when they flush, and do not say so.
    pub(crate) fn let_disks_lie(&mut self) {
        for server in self.servers.iter_mut().filter(|server| server.config.role == Role::Broker) {
            server.disk.faults.lies = true;
        }
        self.ledger.beyond_promise("the disks of brokers lie about their flushes".into());
    }

    /// Whether all nodes may lose their power at once.
    pub(crate) fn may_go_dark(&self) -> bool {
        self.promise.allows_blackout()
    }

    /// A disk works again, and a node that it kept down starts.
    pub(crate) fn mend(&mut self, index: usize) {
        let server = &mut self.servers[index];
        server.disk.faults = DiskFaults { lies: server.disk.faults.lies, ..DiskFaults::default() };
        server.slow_flush_max = None;
        if server.node.is_none() && !server.starting {
            self.start_at(index, self.now_ns);
        }
    }

    /// A disk is replaced by an empty one.
    pub(crate) fn wipe(&mut self, index: usize) {
        self.servers[index].disk = SimDisk::new();
    }
}
