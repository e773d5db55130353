//! All transactional ids of one broker, by the partition of `__transaction_state` that stores them.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::config::TransactionConfig;
use super::joins::WaitingJoin;
use super::markers::{DueMarker, MarkerQueue, OrderId};
use super::message::{TopicPartition, TransactionEffect};
use super::metadata::{Identity, TransactionMetadata, TransactionState};
use super::records;
use super::requests::Allocating;
use super::response::Asker;
use crate::coordinator::{AppendToken, ReplyId, partition_of, store_error};
use crate::defects::Defect;
use crate::ids::{LeaderEpoch, PartitionId, ProducerEpoch, ProducerId};
use crate::node::Now;
use crate::record::Marker;

/// How long to wait after an append of the coordinator's own has failed.
const RETRY_NS: u64 = 500_000_000;

/// One transactional id.
#[derive(Debug)]
pub(super) struct Transaction {
    /// As committed.
    pub(super) stored: TransactionMetadata,
    /// What the producer had before its present epoch. Not stored: with the coordinator it is forgotten.
    pub(super) last: Option<Identity>,
    /// A record that would change it is on its way.
    pub(super) pending: bool,
    /// When an open transaction is aborted, or a step that failed is tried again.
    pub(super) due_ns: u64,
    /// Joins that came before the record on its way, or the transaction before theirs, was done with.
    pub(super) joins: Vec<WaitingJoin>,
}

impl Transaction {
    pub(super) fn new(stored: TransactionMetadata) -> Self {
        Self { stored, last: None, pending: false, due_ns: u64::MAX, joins: Vec::new() }
    }
}

/// A partition of `__transaction_state` that this broker leads.
#[derive(Debug)]
enum Shard {
    /// Its log is not known to be committed as a whole yet.
    Loading { leader_epoch: LeaderEpoch },
    /// Its transactional ids are served.
    Active { leader_epoch: LeaderEpoch, transactions: BTreeMap<String, Transaction> },
}

impl Shard {
    fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Self::Loading { leader_epoch } | Self::Active { leader_epoch, .. } => *leader_epoch,
        }
    }
}

/// A record on its way.
#[derive(Debug)]
struct InFlight {
    partition: PartitionId,
    transactional_id: String,
    next: TransactionMetadata,
    last: Option<Identity>,
    /// Who is told, and what if the record is committed.
    asker: Option<(Asker, Result<(), ResponseError>)>,
}

/// The transaction coordinator of one broker.
#[derive(Debug)]
pub struct TransactionCoordinator {
    pub(super) config: TransactionConfig,
    shards: BTreeMap<PartitionId, Shard>,
    next_token: u64,
    in_flight: BTreeMap<AppendToken, InFlight>,
    markers: MarkerQueue,
    /// Requests that wait for a fresh producer id, and their versions.
    pub(super) allocating: BTreeMap<ReplyId, (Allocating, i16)>,
}

impl TransactionCoordinator {
    /// A coordinator of no partition.
    pub fn new(config: TransactionConfig) -> Self {
        Self {
            config,
            shards: BTreeMap::new(),
            next_token: 0,
            in_flight: BTreeMap::new(),
            markers: MarkerQueue::default(),
            allocating: BTreeMap::new(),
        }
    }

    /// The partition of `__transaction_state` that stores a transactional id.
    pub fn partition_for(&self, transactional_id: &str) -> PartitionId {
        partition_of(transactional_id, self.config.topic_partitions)
    }

    /// This broker leads the partition, but its high watermark does not cover the log yet: requests are answered with
    /// COORDINATOR_LOAD_IN_PROGRESS. What an older epoch left is given up as by [`unload`](Self::unload).
    pub fn begin_load(
        &mut self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        out: &mut Vec<TransactionEffect>,
    ) {
        if self.shards.get(&partition).is_none_or(|shard| shard.leader_epoch() < leader_epoch) {
            self.unload(partition, out);
            self.shards.insert(partition, Shard::Loading { leader_epoch });
        }
    }

    /// Takes a partition over. `records` are all of its log, in order, and all are committed. Decided transactions get
    /// their markers (again), and open ones their whole time (again): no timer depends on the wall clock. Records that
    /// cannot be read are skipped with a warning, as Kafka does.
    pub fn load(
        &mut self,
        now: Now,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        records: impl IntoIterator<Item = (Bytes, Option<Bytes>)>,
        out: &mut Vec<TransactionEffect>,
    ) {
        self.begin_load(partition, leader_epoch, out);
        let awaited = matches!(self.shards.get(&partition),
            Some(Shard::Loading { leader_epoch: awaited }) if *awaited == leader_epoch);
        if !awaited {
            return;
        }
        let mut transactions = BTreeMap::new();
        for (key, value) in records {
            match records::decode(&key, value.as_deref()) {
                Ok((id, Some(stored))) => {
                    transactions.insert(id, Transaction::new(stored));
                }
                Ok((id, None)) => {
                    transactions.remove(&id);
                }
                Err(error) => tracing::warn!(%partition, %error, "skipped a record of the transaction log"),
            }
        }
        for (id, transaction) in &mut transactions {
            transaction.due_ns = due_ns(&transaction.stored, now);
            self.order_markers(partition, leader_epoch, id, &transaction.stored);
        }
        self.shards.insert(partition, Shard::Active { leader_epoch, transactions });
    }

    /// This broker leads the partition no more. What waits is answered with NOT_COORDINATOR; the tokens of its appends
    /// and its markers are forgotten, since its successor writes them.
    pub fn unload(&mut self, partition: PartitionId, out: &mut Vec<TransactionEffect>) {
        if let Some(Shard::Active { transactions, .. }) = self.shards.remove(&partition) {
            let joins = transactions.into_values().flat_map(|transaction| transaction.joins);
            out.extend(joins.map(|join| join.refuse(ResponseError::NotCoordinator)));
        }
        self.markers.forget(partition);
        for (_, entry) in self.in_flight.extract_if(.., |_, entry| entry.partition == partition) {
            if let Some((asker, _)) = entry.asker {
                out.push(asker.answer(Err(ResponseError::NotCoordinator)));
            }
        }
    }

    /// The outcome of an append: `Ok` once the record is below the high watermark, `Err` only if it is not in the log
    /// and never will be. For an append whose fate is open because leadership was lost, call [`unload`](Self::unload)
    /// instead. Unknown tokens are ignored.
    pub fn appended(
        &mut self,
        now: Now,
        token: AppendToken,
        result: Result<(), ResponseError>,
        out: &mut Vec<TransactionEffect>,
    ) {
        let Some(entry) = self.in_flight.remove(&token) else { return };
        let Some(Shard::Active { leader_epoch, transactions }) = self.shards.get_mut(&entry.partition) else {
            return;
        };
        let leader_epoch = *leader_epoch;
        let Some(transaction) = transactions.get_mut(&entry.transactional_id) else { return };
        transaction.pending = false;
        if result.is_ok() {
            if (transaction.stored.state, entry.next.state)
                != (TransactionState::Ongoing, TransactionState::Ongoing)
            {
                transaction.due_ns = due_ns(&entry.next, now);
            }
            (transaction.stored, transaction.last) = (entry.next.clone(), entry.last);
            self.order_markers(entry.partition, leader_epoch, &entry.transactional_id, &entry.next);
        } else if transaction.stored.is_unknown() {
            transactions.remove(&entry.transactional_id);
        } else if entry.asker.is_none() {
            transaction.due_ns = now.mono_ns + RETRY_NS;
        }
        if let Some((asker, outcome)) = entry.asker {
            let result = result.map_err(store_error).and(outcome);
            out.push(asker.answer(result.map(|()| entry.next.promised())));
        }
        self.resume_joins(now, entry.partition, &entry.transactional_id, out);
    }

    /// Aborts what has taken too long, and tries again what has failed.
    pub fn tick(&mut self, now: Now, out: &mut Vec<TransactionEffect>) {
        self.expire_joins(now, out);
        let keeps_epoch = self.config.defects.has(Defect::TimeoutKeepsEpoch);
        for (partition, id) in self.due(now.mono_ns) {
            let Ok((_, transaction)) = self.find(partition, &id) else { continue };
            let next = match transaction.stored.state {
                TransactionState::Ongoing => {
                    tracing::info!(id, "the transaction has taken too long");
                    let next = transaction.stored.fenced(now.wall_ms);
                    let epoch = transaction.stored.producer_epoch;
                    Some(if keeps_epoch { next.with_epoch(epoch) } else { next })
                }
                _ => transaction.stored.completed(now.wall_ms),
            };
            if let Some(next) = next {
                let last = transaction.last;
                self.store(partition, &id, next, last, None, out);
            }
        }
    }

    fn due(&self, now_ns: u64) -> Vec<(PartitionId, String)> {
        let due = self
            .transactions()
            .filter(|(.., transaction)| !transaction.pending && transaction.due_ns <= now_ns);
        due.map(|(partition, id, _)| (partition, id.clone())).collect()
    }

    /// When [`tick`](Self::tick) or [`take_due_markers`](Self::take_due_markers) has something to do next, on the
    /// monotonic clock; `u64::MAX` if nothing waits.
    pub fn next_tick_ns(&self) -> u64 {
        let settled = self.transactions().filter(|(.., transaction)| !transaction.pending);
        let timers = settled.map(|(.., transaction)| transaction.due_ns).min();
        let joins = self.transactions().flat_map(|(.., transaction)| &transaction.joins);
        let joins = joins.map(|join| join.until_ns).min();
        [timers, joins].into_iter().flatten().fold(self.markers.next_due_ns(), u64::min)
    }

    /// The markers that are to be written now. Each is reported by [`marker_written`](Self::marker_written) or
    /// [`marker_failed`](Self::marker_failed).
    pub fn take_due_markers(&mut self, now: Now) -> Vec<DueMarker> {
        self.markers.take_due(now.mono_ns)
    }

    /// A marker is committed, or its partition has no use for it any more. With the last one the transaction is complete.
    pub fn marker_written(
        &mut self,
        now: Now,
        order: OrderId,
        target: &TopicPartition,
        out: &mut Vec<TransactionEffect>,
    ) {
        let Some((partition, id)) = self.markers.written(order, target) else { return };
        let Ok((_, transaction)) = self.find(partition, &id) else { return };
        if let Some(next) = transaction.stored.completed(now.wall_ms) {
            let last = transaction.last;
            self.store(partition, &id, next, last, None, out);
        }
    }

    /// A marker is not known to be written.
    pub fn marker_failed(&mut self, now: Now, order: OrderId, target: &TopicPartition) {
        self.markers.failed(order, target, now.mono_ns);
    }

    /// Everything that must survive a change of the coordinator: what is stored, by transactional id.
    pub fn snapshot(&self) -> BTreeMap<String, TransactionMetadata> {
        let stored = self.transactions().filter(|(.., transaction)| !transaction.stored.is_unknown());
        stored.map(|(_, id, transaction)| (id.clone(), transaction.stored.clone())).collect()
    }

    /// A transactional id that this broker coordinates, and whether it is known at all.
    pub(super) fn find(
        &mut self,
        partition: PartitionId,
        transactional_id: &str,
    ) -> Result<(bool, &mut Transaction), ResponseError> {
        match self.shards.get_mut(&partition) {
            None => Err(ResponseError::NotCoordinator),
            Some(Shard::Loading { .. }) => Err(ResponseError::CoordinatorLoadInProgress),
            Some(Shard::Active { transactions, .. }) => match transactions.get_mut(transactional_id) {
                Some(transaction) => Ok((!transaction.stored.is_unknown(), transaction)),
                None => Err(ResponseError::InvalidProducerIdMapping),
            },
        }
    }

    /// Makes room for a transactional id that was never heard of.
    pub(super) fn enter(
        &mut self,
        partition: PartitionId,
        transactional_id: &str,
    ) -> Result<(), ResponseError> {
        match self.shards.get_mut(&partition) {
            None => Err(ResponseError::NotCoordinator),
            Some(Shard::Loading { .. }) => Err(ResponseError::CoordinatorLoadInProgress),
            Some(Shard::Active { transactions, .. }) => {
                let unknown = || Transaction::new(TransactionMetadata::unknown());
                transactions.entry(transactional_id.to_owned()).or_insert_with(unknown);
                Ok(())
            }
        }
    }

    /// Has a new state stored; it counts, and the asker is answered, when it is committed.
    pub(super) fn store(
        &mut self,
        partition: PartitionId,
        transactional_id: &str,
        next: TransactionMetadata,
        last: Option<Identity>,
        asker: Option<(Asker, Result<(), ResponseError>)>,
        out: &mut Vec<TransactionEffect>,
    ) {
        let Ok((_, transaction)) = self.find(partition, transactional_id) else { return };
        transaction.pending = true;
        let token = AppendToken(self.next_token);
        self.next_token += 1;
        let (key, value) = (records::key(transactional_id), records::value(&next));
        let transactional_id = transactional_id.to_owned();
        self.in_flight.insert(token, InFlight { partition, transactional_id, next, last, asker });
        out.push(TransactionEffect::Append { partition, key, value, token });
    }

    fn order_markers(
        &mut self,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        transactional_id: &str,
        stored: &TransactionMetadata,
    ) {
        let Some(commit) = stored.state.prepared().filter(|_| !stored.partitions.is_empty()) else { return };
        let partly = !commit && self.config.defects.has(Defect::AbortPartly);
        let count = stored.partitions.len();
        let written = if partly { (count - 1).max(1) } else { count };
        let targets = stored.partitions.iter().take(written).cloned();
        let marker = Marker { commit, coordinator_epoch: leader_epoch.0 };
        self.markers.order(partition, transactional_id, stored, marker, targets);
    }

    pub(super) fn transactions_mut(&mut self) -> impl Iterator<Item = &mut Transaction> {
        self.shards.values_mut().flat_map(|shard| {
            let transactions = match shard {
                Shard::Loading { .. } => None,
                Shard::Active { transactions, .. } => Some(transactions),
            };
            transactions.into_iter().flat_map(BTreeMap::values_mut)
        })
    }

    fn transactions(&self) -> impl Iterator<Item = (PartitionId, &String, &Transaction)> {
        self.shards.iter().flat_map(|(partition, shard)| {
            let transactions = match shard {
                Shard::Loading { .. } => None,
                Shard::Active { transactions, .. } => Some(transactions),
            };
            transactions.into_iter().flatten().map(|(id, transaction)| (*partition, id, transaction))
        })
    }

    /// Whether a partition belongs to the open transaction of a producer (KIP-890, part 1).
    pub fn verify(
        &mut self,
        transactional_id: &str,
        producer: (ProducerId, ProducerEpoch),
        partition: &TopicPartition,
    ) -> Result<(), ResponseError> {
        let (_, transaction) = self.find(self.partition_for(transactional_id), transactional_id)?;
        transaction.stored.verify(producer, partition)
    }
}

/// When the coordinator has to act on a state that was just reached.
fn due_ns(stored: &TransactionMetadata, now: Now) -> u64 {
    match stored.state {
        TransactionState::Ongoing => now.mono_ns + u64::try_from(stored.timeout_ms).unwrap_or(0) * 1_000_000,
        // Nothing was added to it, so no marker ends it.
        _ if stored.state.prepared().is_some() && stored.partitions.is_empty() => now.mono_ns,
        _ => u64::MAX,
    }
}
