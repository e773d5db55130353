//! One consumer group: its state, and what of it is stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::config::CoordinatorConfig;
use super::consumer::{Beat, ConsumerGroup, ConsumerRecord, Timers};
use super::journal::{Turn, Write, store_error};
use super::member::Member;
use super::records::{self, CommittedOffset, GroupMetadata, MemberMetadata};
use super::snapshot::{GroupSnapshot, MemberSnapshot, Membership};
use crate::ids::{PartitionId, ProducerId};

/// How long to wait until an empty generation is stored again after a failure.
const STORE_RETRY_NS: u64 = 500_000_000;

/// A partition of a topic.
pub(super) type TopicPartition = (String, PartitionId);

/// The states of a classic group, as Kafka names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum GroupState {
    /// No members; it may have offsets.
    #[default]
    Empty,
    /// The members are asked to join again.
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// It is being deleted.
    Dead,
}

impl GroupState {
    /// As told to clients.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// How long the first members of an empty group wait for others (`group.initial.rebalance.delay.ms`).
#[derive(Clone, Copy, Debug)]
pub(super) struct InitialDelay {
    /// How much of the rebalance timeout is left for extensions.
    pub(super) remaining_ns: u64,
    /// Whether somebody joined since the wait was last extended.
    pub(super) joined: bool,
}

/// The phase in which members join.
#[derive(Clone, Copy, Debug)]
pub(super) struct JoinPhase {
    /// It ends then, with whom has joined.
    pub(super) deadline_ns: u64,
    pub(super) initial: Option<InitialDelay>,
}

/// A consumer group: of the classic protocol, unless `consumer` says otherwise.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) state: GroupState,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Member ids by instance id (KIP-345).
    pub(super) static_members: BTreeMap<String, String>,
    /// Ids that were given but not used yet (KIP-394), and when they are forgotten.
    pub(super) pending_members: BTreeMap<String, u64>,
    /// While `PreparingRebalance`.
    pub(super) join_phase: Option<JoinPhase>,
    /// Members that have not sent SyncGroup by then are removed.
    pub(super) sync_deadline_ns: Option<u64>,
    /// The generation whose assignment is being stored.
    pub(super) assigning: Option<i32>,
    pub(super) offsets: BTreeMap<TopicPartition, CommittedOffset>,
    /// How many commits of a partition are under way.
    pub(super) pending_offsets: BTreeMap<TopicPartition, u32>,
    /// Offsets that were committed in transactions which are open still, by producer.
    pub(super) undecided: BTreeMap<ProducerId, BTreeMap<TopicPartition, CommittedOffset>>,
    /// What speaks the consumer protocol (KIP-848); then no classic member exists.
    pub(super) consumer: Option<ConsumerGroup>,
    pub(super) timers: Timers,
    /// Heartbeats that wait for the step under way.
    pub(super) waiting: VecDeque<Beat>,
    /// When the generation was last stored, by the wall clock: an empty group is empty since then.
    pub(super) stored_ms: i64,
    writes_in_flight: u32,
    store_retry_ns: Option<u64>,
}

impl Group {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(super) fn is_blank(&self) -> bool {
        self.state == GroupState::Empty
            && self.generation == 0
            && self.offsets.is_empty()
            && self.undecided.is_empty()
            && self.pending_members.is_empty()
            && self.consumer.is_none()
            && self.writes_in_flight == 0
    }

    /// Whether it has no members, and none is on its way.
    pub(super) fn is_vacant(&self) -> bool {
        self.state == GroupState::Empty
            && self.pending_members.is_empty()
            && !self.timers.stepping
            && self.consumer.as_ref().is_none_or(|consumer| consumer.members.is_empty())
    }

    /// Whether a generation or a group epoch is stored.
    pub(super) fn is_stored(&self) -> bool {
        self.generation > 0 || self.consumer.is_some()
    }

    /// Whether something of it is being stored.
    pub(super) fn is_writing(&self) -> bool {
        self.writes_in_flight > 0
    }

    /// All of its records have been replayed.
    pub(super) fn loaded(&mut self, config: &CoordinatorConfig, now_ns: u64) {
        self.timers.follow(self.consumer.as_ref(), config, now_ns);
    }

    /// It is one of the consumer protocol from now on.
    pub(super) fn forget_classic(&mut self) {
        self.generation = 0;
        self.protocol_type = None;
        self.protocol = None;
        self.leader = None;
    }

    /// Takes over a stored generation, or with `None` its deletion.
    pub(super) fn restore(&mut self, stored: Option<GroupMetadata>, now_ns: u64) {
        let offsets = std::mem::take(&mut self.offsets);
        let undecided = std::mem::take(&mut self.undecided);
        *self = Self { offsets, ..Self::new(&self.id) };
        // What a deleted group has in open transactions goes with it.
        let Some(stored) = stored else { return };
        self.undecided = undecided;
        let protocol = stored.protocol.clone().unwrap_or_default();
        for metadata in stored.members {
            let member_id = metadata.member_id.clone();
            if let Some(instance_id) = &metadata.instance_id {
                self.static_members.insert(instance_id.clone(), member_id.clone());
            }
            self.members.insert(member_id, Member::stored(metadata, &protocol, now_ns));
        }
        self.state = if self.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.generation = stored.generation;
        self.protocol_type = Some(stored.protocol_type).filter(|name| !name.is_empty());
        self.protocol = stored.protocol;
        self.leader = stored.leader;
        self.stored_ms = stored.state_timestamp_ms;
    }

    pub(super) fn append(&mut self, records: Vec<(Bytes, Option<Bytes>)>, write: Write, turn: &mut Turn<'_>) {
        self.writes_in_flight += 1;
        turn.append(&self.id, records, write);
    }

    /// Stores this generation, with the assignments given or else those in force.
    pub(super) fn store(
        &mut self,
        assignments: Option<&BTreeMap<String, Bytes>>,
        write: Write,
        turn: &mut Turn<'_>,
    ) {
        let members = self.members.iter().map(|(member_id, member)| MemberMetadata {
            member_id: member_id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.profile.client_id.clone(),
            client_host: member.profile.client_host.clone(),
            rebalance_timeout_ms: member.profile.rebalance_timeout_ms,
            session_timeout_ms: member.profile.session_timeout_ms,
            subscription: member.subscription(self.protocol.as_deref()),
            assignment: match assignments {
                Some(assignments) => assignments.get(member_id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            },
        });
        let metadata = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: turn.now.wall_ms,
            members: members.collect(),
        };
        self.stored_ms = turn.now.wall_ms;
        let record = (records::group_key(&self.id), Some(records::group_value(&metadata)));
        self.append(vec![record], write, turn);
    }

    /// Stores that the generation has no members.
    pub(super) fn store_empty(&mut self, turn: &mut Turn<'_>) {
        self.store_retry_ns = None;
        self.store(None, Write::Emptied, turn);
    }

    /// Takes the outcome of an append over; says whether the group is gone.
    pub(super) fn settle(
        &mut self,
        write: &Write,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) -> bool {
        self.writes_in_flight = self.writes_in_flight.saturating_sub(1);
        match write {
            Write::Commit { offsets, producer, .. } => {
                self.settle_commit(offsets, producer.map(|(id, _)| id), result.is_ok());
            }
            Write::Assignment { generation, assignments } => {
                self.settle_assignment(*generation, assignments, result, turn);
            }
            Write::Emptied if result.is_err() => self.store_retry_ns = Some(turn.now_ns() + STORE_RETRY_NS),
            Write::Emptied => {}
            Write::StaticRejoin { .. } if result.is_err() => self.prepare_rebalance(turn),
            Write::StaticRejoin { .. } => {}
            Write::DeleteOffsets { offsets, .. } if result.is_ok() => {
                self.offsets.retain(|partition, _| !offsets.contains(partition));
            }
            Write::DeleteOffsets { .. } => {}
            Write::ExpireOffsets { offsets } if result.is_ok() => {
                self.offsets.retain(|partition, _| !offsets.contains(partition));
            }
            Write::ExpireOffsets { .. } => {}
            Write::Consumer(stored) => self.settle_step(stored, result.is_ok(), turn),
            Write::DeleteGroup { .. } | Write::ExpireGroup if result.is_ok() => return true,
            Write::DeleteGroup { .. } | Write::ExpireGroup => self.state = GroupState::Empty,
        }
        false
    }

    fn settle_assignment(
        &mut self,
        generation: i32,
        assignments: &BTreeMap<String, Bytes>,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        // A rebalance may have begun since; then the stored generation is history.
        if self.state != GroupState::CompletingRebalance || self.assigning != Some(generation) {
            return;
        }
        self.assigning = None;
        if let Err(error) = result {
            self.refuse_syncs(store_error(error), turn);
            self.prepare_rebalance(turn);
            return;
        }
        self.state = GroupState::Stable;
        for (member_id, member) in &mut self.members {
            member.assignment = assignments.get(member_id).cloned().unwrap_or_default();
        }
        self.answer_syncs(turn);
    }

    /// Everything that is stored, or may be soon, as tombstones.
    pub(super) fn tombstones(&self) -> Vec<(Bytes, Option<Bytes>)> {
        let partitions: BTreeSet<_> = self.offsets.keys().chain(self.pending_offsets.keys()).collect();
        let offsets =
            partitions.into_iter().map(|(topic, partition)| records::offset_key(&self.id, topic, *partition));
        let consumer = self.consumer.iter().flat_map(|_| {
            [ConsumerRecord::TargetEpoch(None), ConsumerRecord::Group(None)].map(|one| one.encode(&self.id))
        });
        let classic = [records::group_key(&self.id)];
        offsets.chain(classic).map(|key| (key, None)).chain(consumer).collect()
    }

    /// Sessions, phases and retries that are due.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) {
        let now_ns = turn.now_ns();
        if self.state == GroupState::Dead {
            return;
        }
        if self.store_retry_ns.is_some_and(|due| due <= now_ns) && self.state == GroupState::Empty {
            self.store_empty(turn);
        }
        self.tick_consumer(turn);
        self.pending_members.retain(|_, deadline_ns| *deadline_ns > now_ns);
        let expired = |member: &Member| member.expires_ns().is_some_and(|due| due <= now_ns);
        self.remove_where(expired, turn);
        if self.sync_deadline_ns.is_some_and(|due| due <= now_ns) {
            self.sync_deadline_ns = None;
            self.remove_where(|member| !member.synced, turn);
        }
        self.try_complete_join(turn);
    }

    pub(super) fn next_tick_ns(&self) -> u64 {
        if self.state == GroupState::Dead {
            return u64::MAX;
        }
        let retry = self.store_retry_ns.filter(|_| self.state == GroupState::Empty);
        let sessions = self.members.values().filter_map(Member::expires_ns);
        let phases = [self.join_phase.map(|phase| phase.deadline_ns), self.sync_deadline_ns, retry];
        let pending = self.pending_members.values().copied().chain([self.timers.next_ns()]);
        sessions.chain(phases.into_iter().flatten()).chain(pending).min().unwrap_or(u64::MAX)
    }

    /// What a reload of the committed log must make of it.
    pub(super) fn snapshot(&self) -> GroupSnapshot {
        let settled = matches!(self.state, GroupState::Empty | GroupState::Stable)
            && self.writes_in_flight == 0
            && self.store_retry_ns.is_none();
        GroupSnapshot {
            membership: settled.then(|| self.membership()),
            consumer: self.consumer.clone(),
            offsets: self.offsets.clone(),
            undecided: self.undecided.clone(),
        }
    }

    fn membership(&self) -> Membership {
        let members = self.members.iter().map(|(member_id, member)| {
            let snapshot = MemberSnapshot {
                instance_id: member.instance_id.clone(),
                client_id: member.profile.client_id.clone(),
                client_host: member.profile.client_host.clone(),
                session_timeout_ms: member.profile.session_timeout_ms,
                rebalance_timeout_ms: member.profile.rebalance_timeout_ms,
                subscription: member.subscription(self.protocol.as_deref()),
                assignment: member.assignment.clone(),
            };
            (member_id.clone(), snapshot)
        });
        Membership {
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }
}
