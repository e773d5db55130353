//! The markers that decided transactions still lack.
//!
//! Each is tried until it is written, whoever leads its partition by then. An order has a number of its own, so that an
//! answer to an earlier one cannot touch a later one of the same producer (KAFKA-16352).

use std::collections::BTreeMap;

use super::message::TopicPartition;
use super::metadata::TransactionMetadata;
use super::version::TransactionVersion;
use crate::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::record::Marker;

/// How long to wait after a failed attempt.
const RETRY_NS: u64 = 50_000_000;

/// Names the markers of one decision.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OrderId(u64);

/// A marker to be written now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueMarker {
    /// For the report.
    pub order: OrderId,
    /// Whose transaction.
    pub producer_id: ProducerId,
    /// Its epoch, or a newer one that fences it.
    pub producer_epoch: ProducerEpoch,
    /// In the second protocol the epoch is always a newer one.
    pub version: TransactionVersion,
    /// How it ended.
    pub marker: Marker,
    /// Where to write it.
    pub target: TopicPartition,
}

#[derive(Debug)]
struct Order {
    partition: PartitionId,
    transactional_id: String,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    version: TransactionVersion,
    marker: Marker,
    /// What is not written yet, and when it is due; `None` while an attempt is under way.
    left: BTreeMap<TopicPartition, Option<u64>>,
}

/// All orders of one coordinator.
#[derive(Debug, Default)]
pub(super) struct MarkerQueue {
    next: u64,
    orders: BTreeMap<OrderId, Order>,
}

impl MarkerQueue {
    /// Orders markers for the transactional id that is stored in this partition of `__transaction_state`.
    pub(super) fn order(
        &mut self,
        partition: PartitionId,
        transactional_id: &str,
        stored: &TransactionMetadata,
        marker: Marker,
        targets: impl IntoIterator<Item = TopicPartition>,
    ) {
        let id = OrderId(self.next);
        self.next += 1;
        let left = targets.into_iter().map(|target| (target, Some(0))).collect();
        let TransactionMetadata { producer_id, producer_epoch, version, .. } = *stored;
        let transactional_id = transactional_id.to_owned();
        let order = Order { partition, transactional_id, producer_id, producer_epoch, version, marker, left };
        self.orders.insert(id, order);
    }

    /// Takes out what is due; each is to be reported as written or failed.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Vec<DueMarker> {
        let mut found = Vec::new();
        for (id, order) in &mut self.orders {
            for (target, due) in &mut order.left {
                if due.is_some_and(|due| due <= now_ns) {
                    *due = None;
                    found.push(DueMarker {
                        order: *id,
                        producer_id: order.producer_id,
                        producer_epoch: order.producer_epoch,
                        version: order.version,
                        marker: order.marker,
                        target: target.clone(),
                    });
                }
            }
        }
        found
    }

    /// A marker is written and committed. With the last one the order is done: the partition of its transactional id,
    /// and the id.
    pub(super) fn written(&mut self, id: OrderId, target: &TopicPartition) -> Option<(PartitionId, String)> {
        let order = self.orders.get_mut(&id)?;
        order.left.remove(target);
        if !order.left.is_empty() {
            return None;
        }
        self.orders.remove(&id).map(|order| (order.partition, order.transactional_id))
    }

    /// A marker is not known to be written.
    pub(super) fn failed(&mut self, id: OrderId, target: &TopicPartition, now_ns: u64) {
        let order = self.orders.get_mut(&id);
        if let Some(due) = order.and_then(|order| order.left.get_mut(target)) {
            *due = Some(now_ns + RETRY_NS);
        }
    }

    /// Another broker coordinates what is stored in this partition.
    pub(super) fn forget(&mut self, partition: PartitionId) {
        self.orders.retain(|_, order| order.partition != partition);
    }

    pub(super) fn next_due_ns(&self) -> u64 {
        self.orders
            .values()
            .flat_map(|order| order.left.values().flatten())
            .copied()
            .min()
            .unwrap_or(u64::MAX)
    }
}
