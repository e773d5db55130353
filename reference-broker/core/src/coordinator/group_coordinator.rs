//! All groups of one broker, by the partition of `__consumer_offsets` that stores them.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;

use super::config::CoordinatorConfig;
use super::group::Group;
use super::journal::{InFlight, Journal, Turn};
use super::member::MemberIds;
use super::message::TopicView;
use super::message::{AppendToken, CoordinatorEffect, ReplyId, StoredRecord};
use super::partitioning::partition_of;
use super::records::{self, Record};
use super::snapshot::CoordinatorSnapshot;
use crate::controller::TopicId;
use crate::defects::Defect;
use crate::ids::{LeaderEpoch, Offset, PartitionId, ProducerId};
use crate::node::Now;

/// A partition of `__consumer_offsets` that this broker leads.
pub(super) enum Shard {
    /// Its log is not known to be committed as a whole yet.
    Loading { leader_epoch: LeaderEpoch },
    /// Its groups are served.
    Active { leader_epoch: LeaderEpoch, groups: BTreeMap<String, Group> },
}

impl Shard {
    fn leader_epoch(&self) -> LeaderEpoch {
        match self {
            Self::Loading { leader_epoch } | Self::Active { leader_epoch, .. } => *leader_epoch,
        }
    }
}

/// The group coordinator of one broker.
pub struct GroupCoordinator {
    config: CoordinatorConfig,
    ids: MemberIds,
    journal: Journal,
    shards: BTreeMap<PartitionId, Shard>,
    /// When offsets that nobody needs are looked for next.
    expiry_ns: u64,
}

impl GroupCoordinator {
    /// A coordinator of no partition.
    pub fn new(config: CoordinatorConfig) -> Self {
        let ids = MemberIds::new(config.seed);
        Self { config, ids, journal: Journal::default(), shards: BTreeMap::new(), expiry_ns: u64::MAX }
    }

    /// The partition of `__consumer_offsets` that stores a group.
    pub fn partition_for(&self, group_id: &str) -> PartitionId {
        partition_of(group_id, self.config.offsets_topic_partitions)
    }

    /// This broker leads the partition, but its high watermark does not cover the log yet: requests are answered with
    /// COORDINATOR_LOAD_IN_PROGRESS. What an older epoch left is given up as by [`unload`](Self::unload).
    pub fn begin_load(
        &mut self,
        now: Now,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        if self.shards.get(&partition).is_none_or(|shard| shard.leader_epoch() < leader_epoch) {
            self.unload(now, partition, out);
            self.shards.insert(partition, Shard::Loading { leader_epoch });
        }
    }

    /// Takes a partition over. `records` are all of its log, in order, and all are committed: a record that came
    /// below the high watermark later would be missed. Loading an epoch again does nothing (KAFKA-15468). Records
    /// that cannot be read are skipped with a warning, as Kafka does.
    pub fn load(
        &mut self,
        now: Now,
        partition: PartitionId,
        leader_epoch: LeaderEpoch,
        records: impl IntoIterator<Item = StoredRecord>,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        self.begin_load(now, partition, leader_epoch, out);
        let awaited = matches!(self.shards.get(&partition),
            Some(Shard::Loading { leader_epoch: awaited }) if *awaited == leader_epoch);
        if !awaited {
            return;
        }
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for record in records {
            match record {
                StoredRecord::Record { producer, key, value } => {
                    match records::decode(&key, value.as_deref()) {
                        Ok(record) => replay(&mut groups, record, producer, now),
                        Err(error) => {
                            tracing::warn!(%partition, %error, "skipped a record of the offsets topic");
                        }
                    }
                }
                StoredRecord::Marker { producer, commit } => {
                    let counts = commit || self.config.defects.has(Defect::CommitOffsetsOnAbort);
                    for group in groups.values_mut() {
                        group.transaction_ended(producer, counts);
                    }
                }
            }
        }
        groups.retain(|_, group| !group.is_blank());
        for group in groups.values_mut() {
            group.loaded(&self.config, now.mono_ns);
        }
        self.expiry_ns = self.expiry_ns.min(self.after_expiry(now));
        self.shards.insert(partition, Shard::Active { leader_epoch, groups });
    }

    /// This broker leads the partition no more. What waits is answered with NOT_COORDINATOR, and the tokens of its
    /// appends are forgotten.
    pub fn unload(&mut self, now: Now, partition: PartitionId, out: &mut Vec<CoordinatorEffect>) {
        let Some(shard) = self.shards.remove(&partition) else { return };
        for entry in self.journal.take_partition(partition) {
            self.journal.answer(entry.write, Err(ResponseError::NotCoordinator), out);
        }
        let Shard::Active { leader_epoch, mut groups } = shard else { return };
        let (config, ids, journal) = (&self.config, &mut self.ids, &mut self.journal);
        let topics = &NoTopics;
        let mut turn = Turn { now, config, topics, partition, leader_epoch, ids, journal, out };
        for group in groups.values_mut() {
            group.refuse_all(ResponseError::NotCoordinator, &mut turn);
        }
    }

    /// The outcome of an append, reported in the order of the log: `Ok` once the records are below the high
    /// watermark, `Err` only if they are not in the log and never will be. For an append whose fate is open because
    /// leadership was lost, call [`unload`](Self::unload) instead. Unknown tokens are ignored.
    pub fn appended(
        &mut self,
        now: Now,
        token: AppendToken,
        result: Result<(), ResponseError>,
        topics: &dyn TopicView,
        out: &mut Vec<CoordinatorEffect>,
    ) {
        let Some(InFlight { partition, group: group_id, write, .. }) = self.journal.take(token) else {
            return;
        };
        let Some(Shard::Active { leader_epoch, groups }) = self.shards.get_mut(&partition) else { return };
        if let Some(group) = groups.get_mut(&group_id) {
            let (config, ids, journal) = (&self.config, &mut self.ids, &mut self.journal);
            let leader_epoch = *leader_epoch;
            let mut turn = Turn { now, config, topics, partition, leader_epoch, ids, journal, out };
            let deleted = group.settle(&write, result, &mut turn);
            if deleted || group.is_blank() {
                groups.remove(&group_id);
            }
        }
        self.journal.answer(write, result, out);
    }

    /// A marker is committed in a partition: what the transaction has committed there counts from now on, or never.
    pub fn transaction_ended(&mut self, partition: PartitionId, producer: ProducerId, commit: bool) {
        let counts = commit || self.config.defects.has(Defect::CommitOffsetsOnAbort);
        if let Some(Shard::Active { groups, .. }) = self.shards.get_mut(&partition) {
            for group in groups.values_mut() {
                group.transaction_ended(producer, counts);
            }
            groups.retain(|_, group| !group.is_blank());
        }
    }

    /// Does what is due: sessions, rebalances, commits that took too long, offsets that nobody needs.
    pub fn tick(&mut self, now: Now, topics: &dyn TopicView, out: &mut Vec<CoordinatorEffect>) {
        self.journal.tick(now.mono_ns, out);
        let expire = self.expiry_ns <= now.mono_ns;
        if expire {
            self.expiry_ns = self.after_expiry(now);
        }
        let (config, ids, journal) = (&self.config, &mut self.ids, &mut self.journal);
        for (partition, shard) in &mut self.shards {
            let Shard::Active { leader_epoch, groups } = shard else { continue };
            let (partition, leader_epoch) = (*partition, *leader_epoch);
            let mut turn = Turn { now, config, topics, partition, leader_epoch, ids, journal, out };
            for group in groups.values_mut().filter(|_| expire) {
                group.expire(&mut turn);
            }
            for group in groups.values_mut().filter(|group| group.next_tick_ns() <= now.mono_ns) {
                group.tick(&mut turn);
            }
            groups.retain(|_, group| !group.is_blank());
        }
    }

    /// When [`tick`](Self::tick) is due next, on the monotonic clock; `u64::MAX` if nothing waits.
    pub fn next_tick_ns(&self) -> u64 {
        let groups = self.active_groups().map(Group::next_tick_ns).min();
        groups.unwrap_or(u64::MAX).min(self.journal.next_tick_ns()).min(self.expiry_ns)
    }

    /// Partitions that two members of a group may read from at the same time, and who they are. There must be none.
    pub fn shared_partitions(&self) -> impl Iterator<Item = (TopicId, PartitionId, String)> {
        self.active_groups().filter_map(|group| {
            let ((topic, partition), [one, other]) = group.consumer.as_ref()?.shared_partition()?;
            Some((topic, partition, format!("`{one}` and `{other}` of `{}`", group.id)))
        })
    }

    fn after_expiry(&self, now: Now) -> u64 {
        now.mono_ns + self.config.offsets_retention_check_interval_ms * 1_000_000
    }

    /// Everything that must survive a change of the coordinator.
    pub fn snapshot(&self) -> CoordinatorSnapshot {
        let groups = self.active_groups().map(|group| (group.id.clone(), group.snapshot()));
        CoordinatorSnapshot { groups: groups.collect() }
    }

    /// Runs `step` on a group that this broker coordinates; `None` if it does not exist and is not to be made.
    pub(super) fn enter<R>(
        &mut self,
        now: Now,
        group_id: &str,
        create: bool,
        topics: &dyn TopicView,
        out: &mut Vec<CoordinatorEffect>,
        step: impl FnOnce(&mut Group, &mut Turn<'_>) -> R,
    ) -> Result<Option<R>, ResponseError> {
        let partition = self.partition_for(group_id);
        let shard = self.shards.get_mut(&partition).ok_or(ResponseError::NotCoordinator)?;
        let Shard::Active { leader_epoch, groups } = shard else {
            return Err(ResponseError::CoordinatorLoadInProgress);
        };
        if create && !groups.contains_key(group_id) {
            groups.insert(group_id.to_owned(), Group::new(group_id));
        }
        let Some(group) = groups.get_mut(group_id) else { return Ok(None) };
        let (config, ids, journal) = (&self.config, &mut self.ids, &mut self.journal);
        let leader_epoch = *leader_epoch;
        let result =
            step(group, &mut Turn { now, config, topics, partition, leader_epoch, ids, journal, out });
        if group.is_blank() {
            groups.remove(group_id);
        }
        Ok(Some(result))
    }

    /// A group that this broker coordinates, if it exists.
    pub(super) fn find(&self, group_id: &str) -> Result<Option<&Group>, ResponseError> {
        match self.shards.get(&self.partition_for(group_id)) {
            None => Err(ResponseError::NotCoordinator),
            Some(Shard::Loading { .. }) => Err(ResponseError::CoordinatorLoadInProgress),
            Some(Shard::Active { groups, .. }) => Ok(groups.get(group_id)),
        }
    }

    pub(super) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    pub(super) fn config(&self) -> &CoordinatorConfig {
        &self.config
    }

    pub(super) fn open_deletion(
        &mut self,
        reply: ReplyId,
        results: Vec<DeletableGroupResult>,
        waiting: usize,
    ) {
        self.journal.open_deletion(reply, results, waiting);
    }

    fn active_groups(&self) -> impl Iterator<Item = &Group> {
        self.shards
            .values()
            .filter_map(|shard| match shard {
                Shard::Loading { .. } => None,
                Shard::Active { groups, .. } => Some(groups.values()),
            })
            .flatten()
    }
}

fn replay(groups: &mut BTreeMap<String, Group>, record: Record, producer: Option<ProducerId>, now: Now) {
    let id = match &record {
        Record::Offset { group, .. } | Record::Group { group, .. } | Record::Consumer { group, .. } => {
            group.clone()
        }
    };
    let group = groups.entry(id).or_insert_with_key(|id| Group::new(id));
    match record {
        Record::Group { value, .. } => group.restore(value, now.mono_ns),
        Record::Consumer { record, .. } => group.replay_consumer(record),
        Record::Offset { topic, partition, value, .. } => {
            group.replay_offset(producer, (topic, partition), value);
        }
    }
}

/// Stands in where nothing about topics is asked.
struct NoTopics;

impl TopicView for NoTopics {
    fn contains(&self, _: &str, _: PartitionId) -> bool {
        false
    }

    fn high_watermark(&self, _: &str, _: PartitionId) -> Option<Offset> {
        None
    }

    fn topic(&self, _: &str) -> Option<(TopicId, i32)> {
        None
    }

    fn name(&self, _: TopicId) -> Option<String> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}
