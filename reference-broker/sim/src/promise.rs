//! How many may lose what they had not flushed, and whether more of them did.
//!
//! In:  deaths, losses, and the committed metadata. Out: the reason why nothing is promised any more, once.
//! Rules: with a flush before each acknowledgement any number of brokers may lose their power at any time. Without one, the copies in the
//!        page caches of the others are all there is: it is promised that what was acknowledged by all in-sync replicas survives as long
//!        as fewer than `min.insync.replicas` brokers are away at the same time, if one of them has lost something (KIP-966).
//!        A broker is away from its death, unless it stopped in an orderly way, until all its replicas are in sync again.
//! Never: judges; a run that goes beyond is labelled, and what it loses is counted.

use std::collections::BTreeMap;

use broker_core::controller::{MetadataImage, PartitionImage};
use broker_core::{BrokerEpoch, FlushPolicy, NodeConfig, NodeId, Role};

/// A broker that has died and is not back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Away {
    /// The registration that has ended.
    epoch: BrokerEpoch,
    /// It does not have all that it had.
    lost: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Promise {
    /// So many brokers away, one of which has lost something, are too many; None: there is no such number.
    too_many: Option<usize>,
    brokers: Vec<NodeId>,
    away: BTreeMap<NodeId, Away>,
    void: bool,
}

impl Promise {
    pub(crate) fn of(configs: &[NodeConfig]) -> Self {
        let brokers = || configs.iter().filter(|config| config.role == Role::Broker);
        let cached = |config: &NodeConfig| config.flush != FlushPolicy::BeforeAck;
        Self {
            too_many: brokers()
                .filter(|config| cached(config))
                .map(|it| it.min_insync_replicas.max(1) as usize)
                .min(),
            brokers: brokers().map(|config| config.node_id).collect(),
            ..Self::default()
        }
    }

    /// A process has died. The reason why nothing is promised any more, if that is so now for the first time.
    pub(crate) fn died(&mut self, node: NodeId, image: &MetadataImage) -> Option<String> {
        self.leaves(node, false, image)
    }

    /// A node has lost what it had not flushed.
    pub(crate) fn lost_unflushed(&mut self, node: NodeId, image: &MetadataImage) -> Option<String> {
        self.leaves(node, true, image)
    }

    fn leaves(&mut self, node: NodeId, lost: bool, image: &MetadataImage) -> Option<String> {
        self.welcome(image);
        if !self.brokers.contains(&node) {
            return None;
        }
        let epoch = image.broker(node).map_or(BrokerEpoch(-1), |broker| broker.epoch);
        let before = self.away.insert(node, Away { epoch, lost });
        if before.is_some_and(|before| before.lost) {
            self.away.insert(node, Away { epoch, lost: true });
        }
        let exceeded = self.exceeds(&self.away);
        if !exceeded || std::mem::replace(&mut self.void, true) {
            return None;
        }
        Some(format!(
            "{} brokers are away at once, and one has lost what it had not flushed",
            self.away.len()
        ))
    }

    /// Whether a broker may die.
    pub(crate) fn allows_death(&mut self, node: NodeId, image: &MetadataImage) -> bool {
        self.allows(node, false, image)
    }

    /// Whether a broker may lose what it has not flushed.
    pub(crate) fn allows_loss(&mut self, node: NodeId, image: &MetadataImage) -> bool {
        self.allows(node, true, image)
    }

    /// Whether all may lose what they have not flushed, at once.
    pub(crate) fn allows_blackout(&self) -> bool {
        self.too_many.is_none_or(|many| many > self.brokers.len())
    }

    fn allows(&mut self, node: NodeId, lost: bool, image: &MetadataImage) -> bool {
        self.welcome(image);
        if !self.brokers.contains(&node) {
            return true;
        }
        let mut away = self.away.clone();
        away.entry(node).or_insert(Away { epoch: BrokerEpoch(-1), lost }).lost |= lost;
        !self.exceeds(&away)
    }

    fn exceeds(&self, away: &BTreeMap<NodeId, Away>) -> bool {
        self.too_many.is_some_and(|many| away.len() >= many) && away.values().any(|away| away.lost)
    }

    /// Forgets those that are back.
    fn welcome(&mut self, image: &MetadataImage) {
        self.away.retain(|node, away| {
            let registered = image.broker(*node).is_some_and(|broker| broker.epoch > away.epoch);
            let in_sync = |(_, partition): (_, &PartitionImage)| {
                !partition.replicas.contains(node) || partition.state.isr.contains(node)
            };
            !(registered && image.is_active(*node) && image.partitions().all(in_sync))
        });
    }
}

#[cfg(test)]
mod tests {
    use broker_core::Endpoint;

    use super::*;

    fn promise(flush: FlushPolicy, min_insync_replicas: i32) -> Promise {
        let at = || Endpoint { host: "node".into(), port: 1 };
        let config = |node| NodeConfig {
            flush,
            min_insync_replicas,
            ..NodeConfig::new(
                NodeId(node),
                if node == 0 { Role::Controller } else { Role::Broker },
                at(),
                at(),
            )
        };
        Promise::of(&[config(0), config(1), config(2), config(3)])
    }

    /// Nobody is registered: who is away stays away.
    fn nowhere() -> MetadataImage {
        MetadataImage::default()
    }

    #[test]
    fn with_a_flush_before_each_acknowledgement_all_may_lose_their_power() {
        let mut promise = promise(FlushPolicy::BeforeAck, 2);
        for node in 1..=3 {
            assert!(promise.allows_loss(NodeId(node), &nowhere()));
            assert_eq!(promise.lost_unflushed(NodeId(node), &nowhere()), None);
        }
    }

    #[test]
    fn with_page_caches_one_may_lose_its_power_while_the_others_stay() {
        let mut promise = promise(FlushPolicy::PageCache, 2);
        assert_eq!(promise.lost_unflushed(NodeId(1), &nowhere()), None);
        assert!(promise.allows_loss(NodeId(1), &nowhere()), "once more");
        assert!(!promise.allows_death(NodeId(2), &nowhere()));
        assert!(promise.died(NodeId(2), &nowhere()).is_some());
        assert_eq!(promise.died(NodeId(3), &nowhere()), None, "it is said once");
    }

    #[test]
    fn processes_may_die_as_long_as_nothing_is_lost() {
        let mut promise = promise(FlushPolicy::IntervalMs(100), 2);
        for node in 1..=3 {
            assert_eq!(promise.died(NodeId(node), &nowhere()), None);
        }
        assert!(!promise.allows_loss(NodeId(3), &nowhere()));
        assert!(promise.lost_unflushed(NodeId(3), &nowhere()).is_some());
    }

    #[test]
    fn with_one_in_sync_replica_asked_for_none_may_lose_its_power_but_a_controller_may() {
        let mut promise = promise(FlushPolicy::PageCache, 1);
        assert!(!promise.allows_loss(NodeId(1), &nowhere()));
        assert!(promise.allows_loss(NodeId(0), &nowhere()));
        assert_eq!(promise.lost_unflushed(NodeId(0), &nowhere()), None);
        assert!(promise.lost_unflushed(NodeId(1), &nowhere()).is_some());
    }
}
