//! A member of a consumer group that speaks the protocol of KIP-848: reconciles, commits, goes, dies and comes back.
//!
//! It reads nothing: what it commits are numbers that only grow.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::NodeId;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ApiKey, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    FindCoordinatorRequest, GroupId, OffsetCommitRequest, OffsetFetchRequest, OffsetFetchResponse,
    RequestKind, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::metadata::{any_broker, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn, TOPIC};
use crate::dice::Dice;
use crate::groups::{Fault, STALE_OFFSET};
use crate::plan::MS;

/// As the brokers of a run are set.
pub(crate) const SESSION_MS: u64 = 1_500;
pub(crate) const HEARTBEAT_MS: i32 = 80;

const TIMEOUT: u64 = 400 * MS;
const RETRY: u64 = 30 * MS;
const REBALANCE_MS: i32 = 1_000;
/// Mean time between two commits.
const COMMIT_EVERY: u64 = 40 * MS;
/// Mean time between two looks at who is in the group.
const DESCRIBE_EVERY: u64 = 150 * MS;
const GROUP: &str = "readers";
const LEAVES: i32 = -1;
const AWAY: i32 = -2;
/// Coordinator load in progress, not available, not coordinator.
const COORDINATOR: [i16; 3] = [14, 15, 16];
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER: i16 = 25;
const FENCED_INSTANCE: i16 = 82;
const FENCED_EPOCH: i16 = 110;
const UNRELEASED_INSTANCE: i16 = 111;
const STALE_EPOCH: i16 = 113;

#[derive(Debug)]
enum Tag {
    Coordinator,
    Beat,
    /// Of a process that goes for good, with its id; or of a static one, which comes back.
    Leave(Option<String>),
    /// With the ids of all that were known to have gone before.
    Describe(BTreeSet<String>),
    /// With what was known to be committed before.
    Fetch(BTreeMap<i32, Option<i64>>),
    Commit {
        partition: i32,
        offset: i64,
    },
    /// In an epoch that is over.
    Stale,
}

pub(crate) struct GroupMember {
    index: usize,
    partitions: usize,
    session: Session<Tag>,
    dice: Dice,
    coordinator: Option<NodeId>,
    seeking: bool,
    /// Counts the processes of this member; each has an id of its own.
    lives: u32,
    epoch: i32,
    /// The answer to a request of this process to join was lost.
    join_lost: bool,
    topic_id: Uuid,
    owned: BTreeSet<i32>,
    told: BTreeSet<i32>,
    /// The partitions of which it knows where they were left off.
    known: BTreeSet<i32>,
    beating: bool,
    fetching: bool,
    committing: bool,
    next_beat_ns: u64,
    next_seek_ns: u64,
    next_commit_ns: u64,
    next_fetch_ns: u64,
    next_describe_ns: u64,
    finishing: bool,
    /// What is not committed although it was acknowledged.
    behind: Option<String>,
    last_error: i16,
}

impl GroupMember {
    pub(crate) fn new(index: usize, partitions: i32, dice: Dice) -> Self {
        Self {
            index,
            partitions: partitions as usize,
            session: Session::new(TIMEOUT),
            dice,
            coordinator: None,
            seeking: false,
            lives: 0,
            epoch: 0,
            join_lost: false,
            topic_id: Uuid::nil(),
            owned: BTreeSet::new(),
            told: BTreeSet::new(),
            known: BTreeSet::new(),
            beating: false,
            fetching: false,
            committing: false,
            next_beat_ns: 0,
            next_seek_ns: 0,
            next_commit_ns: 0,
            next_fetch_ns: 0,
            next_describe_ns: 0,
            finishing: false,
            behind: None,
            last_error: 0,
        }
    }

    fn id(&self) -> StrBytes {
        StrBytes::from_string(format!("member-{}-{}", self.index, self.lives))
    }

    /// The first member is a static one.
    fn instance(&self) -> Option<StrBytes> {
        (self.index == 0).then(|| StrBytes::from_static_str("node"))
    }

    // --- what is asked ---

    fn seek(&mut self, turn: &mut ClientTurn<'_>) {
        self.seeking = true;
        let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str(GROUP));
        let request = RequestKind::FindCoordinator(request);
        let node = any_broker(turn, &mut self.dice);
        self.session.request(node, ApiKey::FindCoordinator, 2, &request, Tag::Coordinator, turn);
    }

    fn beat(&mut self, to: NodeId, turn: &mut ClientTurn<'_>) {
        self.beating = true;
        let mut request = self.heartbeat(self.epoch);
        // Now and then a member says nothing but that it lives.
        if self.epoch == 0 || self.owned != self.told || self.dice.percent(70) {
            request.topic_partitions = Some(self.owned_topics());
        }
        if self.epoch == 0 {
            request.rebalance_timeout_ms = REBALANCE_MS;
            request.subscribed_topic_names = Some(vec![topic_name(TOPIC)]);
        }
        let request = RequestKind::ConsumerGroupHeartbeat(request);
        self.session.request(to, ApiKey::ConsumerGroupHeartbeat, 1, &request, Tag::Beat, turn);
    }

    fn heartbeat(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(self.id())
            .with_member_epoch(epoch)
            .with_instance_id(self.instance())
            .with_rebalance_timeout_ms(-1)
            .with_subscribed_topic_names(None)
            .with_topic_partitions(None)
    }

    fn owned_topics(&self) -> Vec<TopicPartitions> {
        let partitions: Vec<i32> = self.owned.iter().copied().collect();
        let topic = TopicPartitions::default().with_topic_id(self.topic_id).with_partitions(partitions);
        if self.owned.is_empty() { Vec::new() } else { vec![topic] }
    }

    /// Goes, and comes back as another process; or dies without a word.
    fn restart(&mut self, to: NodeId, turn: &mut ClientTurn<'_>) {
        if self.dice.percent(60) {
            let comes_back = self.index == 0;
            let epoch = if comes_back { AWAY } else { LEAVES };
            let stays_away = !comes_back && !self.join_lost;
            let tag = Tag::Leave(stays_away.then(|| self.id().to_string()));
            let request = RequestKind::ConsumerGroupHeartbeat(self.heartbeat(epoch));
            self.session.request(to, ApiKey::ConsumerGroupHeartbeat, 1, &request, tag, turn);
        }
        self.lives += 1;
        self.join_lost = false;
        self.give_up();
    }

    /// Asks who is in the group.
    fn describe(&mut self, to: NodeId, turn: &mut ClientTurn<'_>) {
        self.next_describe_ns = turn.now_ns + self.dice.between(1, DESCRIBE_EVERY * 2);
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
        let request = RequestKind::ConsumerGroupDescribe(request);
        let tag = Tag::Describe(turn.ledger.groups.gone());
        self.session.request(to, ApiKey::ConsumerGroupDescribe, 0, &request, tag, turn);
    }

    fn fetch(&mut self, to: NodeId, turn: &mut ClientTurn<'_>) {
        let unknown: Vec<i32> =
            self.owned.iter().copied().filter(|partition| !self.known.contains(partition)).collect();
        if unknown.is_empty() {
            return;
        }
        self.fetching = true;
        let known = unknown.iter().map(|one| (*one, turn.ledger.groups.acknowledged(*one))).collect();
        let topic =
            OffsetFetchRequestTopics::default().with_name(topic_name(TOPIC)).with_partition_indexes(unknown);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(group())
            .with_member_id(Some(self.id()))
            .with_member_epoch(self.epoch)
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        let request = RequestKind::OffsetFetch(request);
        self.session.request(to, ApiKey::OffsetFetch, 9, &request, Tag::Fetch(known), turn);
    }

    fn commit(&mut self, to: NodeId, turn: &mut ClientTurn<'_>) {
        self.next_commit_ns = turn.now_ns + self.dice.between(1, COMMIT_EVERY * 2);
        let place = self.dice.between(0, self.partitions as u64) as i32;
        let Some(partition) = self.known.range(place..).next().or(self.known.first()).copied() else {
            return;
        };
        if self.epoch > 1 && self.dice.percent(10) {
            let request = self.commit_request(self.epoch - 1, partition, STALE_OFFSET);
            self.session.request(to, ApiKey::OffsetCommit, 9, &request, Tag::Stale, turn);
            return;
        }
        self.committing = true;
        let offset = turn.ledger.groups.draw(partition);
        let request = self.commit_request(self.epoch, partition, offset);
        let tag = Tag::Commit { partition, offset };
        self.session.request(to, ApiKey::OffsetCommit, 9, &request, tag, turn);
    }

    fn commit_request(&self, epoch: i32, partition: i32, offset: i64) -> RequestKind {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(StrBytes::default()));
        let topic =
            OffsetCommitRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(epoch)
            .with_member_id(self.id())
            .with_topics(vec![topic]);
        RequestKind::OffsetCommit(request)
    }

    // --- what is heard ---

    fn take(&mut self, reply: Reply<Tag>, turn: &mut ClientTurn<'_>) {
        match reply {
            Reply::Lost(tag) => {
                self.coordinator = None;
                // The request to join may come after it has left.
                self.join_lost |= matches!(tag, Tag::Beat) && self.epoch == 0;
                self.ended(&tag, turn.now_ns);
                if let Tag::Commit { partition, offset } = tag {
                    turn.ledger.groups.lost(partition, offset);
                }
            }
            Reply::Answered(tag, response) => {
                self.ended(&tag, turn.now_ns);
                self.answered(tag, *response, turn);
            }
        }
    }

    /// A request is not under way any more.
    fn ended(&mut self, tag: &Tag, now_ns: u64) {
        match tag {
            Tag::Coordinator => {
                self.seeking = false;
                self.next_seek_ns = now_ns + RETRY;
            }
            Tag::Beat => {
                self.beating = false;
                self.next_beat_ns = now_ns + RETRY;
            }
            Tag::Fetch(_) => {
                self.fetching = false;
                self.next_fetch_ns = now_ns + RETRY;
            }
            Tag::Commit { .. } => self.committing = false,
            Tag::Leave(_) | Tag::Describe(_) | Tag::Stale => {}
        }
    }

    fn answered(&mut self, tag: Tag, response: ResponseKind, turn: &mut ClientTurn<'_>) {
        match (tag, response) {
            (Tag::Coordinator, ResponseKind::FindCoordinator(response)) => {
                self.coordinator = (response.error_code == 0).then_some(NodeId(response.node_id.0));
            }
            (Tag::Beat, ResponseKind::ConsumerGroupHeartbeat(response)) => self.beaten(response, turn),
            (Tag::Leave(id), ResponseKind::ConsumerGroupHeartbeat(response)) => {
                if let Some(id) = id.filter(|_| response.error_code == 0) {
                    turn.ledger.groups.left(id);
                }
            }
            (Tag::Describe(gone), ResponseKind::ConsumerGroupDescribe(response)) => {
                let group = &response.groups[0];
                let members = group.members.iter().map(|member| member.member_id.to_string()).collect();
                let claimed = turn.ledger.why_not_claimed().is_none();
                if group.error_code == 0
                    && claimed
                    && let Some(what) = turn.ledger.groups.described(&gone, &members, group.group_epoch)
                {
                    turn.ledger.violation("ghost-member", what);
                }
            }
            (Tag::Fetch(known), ResponseKind::OffsetFetch(response)) => self.fetched(&known, &response, turn),
            (Tag::Commit { partition, offset }, ResponseKind::OffsetCommit(response)) => {
                match response.topics[0].partitions[0].error_code {
                    0 => turn.ledger.groups.committed(partition, offset),
                    STALE_EPOCH => turn.ledger.groups.stale += 1,
                    // Whether the records were stored is not known.
                    error => {
                        turn.ledger.groups.lost(partition, offset);
                        self.refused(error, turn);
                    }
                }
            }
            (Tag::Stale, ResponseKind::OffsetCommit(response)) => {
                match response.topics[0].partitions[0].error_code {
                    0 => {
                        let what = format!(
                            "member {}: a commit in an epoch that was over is acknowledged",
                            self.index
                        );
                        turn.ledger.violation("stale-commit", what);
                    }
                    STALE_EPOCH => turn.ledger.groups.stale += 1,
                    _ => {}
                }
            }
            (tag, response) => {
                turn.ledger.violation("protocol", format!("{tag:?} answered by {response:?}"));
            }
        }
    }

    fn refused(&mut self, error: i16, turn: &mut ClientTurn<'_>) {
        self.last_error = error;
        match error {
            UNKNOWN_MEMBER | FENCED_EPOCH | FENCED_INSTANCE => self.give_up(),
            // The group was lost, and the member with it.
            ILLEGAL_GENERATION if turn.ledger.why_not_claimed().is_some() => self.give_up(),
            UNRELEASED_INSTANCE | STALE_EPOCH => {}
            // A topic that the coordinator has not heard of yet, a record that was not stored in time, an offset in doubt.
            3 | 7 | 19 | 20 | 88 => {}
            error if COORDINATOR.contains(&error) => self.coordinator = None,
            error => turn.ledger.violation("unexpected-error", format!("group request: error {error}")),
        }
    }

    fn give_up(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        self.known.clear();
    }

    fn beaten(&mut self, response: ConsumerGroupHeartbeatResponse, turn: &mut ClientTurn<'_>) {
        // The answer to the process before.
        if response.member_id.as_ref().is_some_and(|id| *id != self.id()) {
            return;
        }
        if response.error_code != 0 {
            return self.refused(response.error_code, turn);
        }
        self.last_error = 0;
        if response.member_epoch < self.epoch {
            let what = format!("member {}: epoch {} after {}", self.index, response.member_epoch, self.epoch);
            turn.ledger.violation("member-epoch-fell", what);
        }
        turn.ledger.groups.epochs += u64::from(response.member_epoch > self.epoch);
        self.epoch = response.member_epoch;
        self.next_beat_ns = turn.now_ns + response.heartbeat_interval_ms as u64 * MS;
        if let Some(assignment) = response.assignment {
            for topic in &assignment.topic_partitions {
                self.topic_id = topic.topic_id;
            }
            let topics = assignment.topic_partitions.into_iter();
            self.told = topics.flat_map(|topic| topic.partitions).collect();
        }
    }

    fn fetched(
        &mut self,
        known: &BTreeMap<i32, Option<i64>>,
        response: &OffsetFetchResponse,
        turn: &mut ClientTurn<'_>,
    ) {
        let group = &response.groups[0];
        if group.error_code != 0 {
            return self.refused(group.error_code, turn);
        }
        for answer in group.topics.iter().flat_map(|topic| &topic.partitions) {
            let partition = answer.partition_index;
            if answer.error_code != 0 {
                self.refused(answer.error_code, turn);
                continue;
            }
            let offset = Some(answer.committed_offset).filter(|offset| *offset >= 0);
            let acknowledged = known.get(&partition).copied().flatten();
            match turn.ledger.groups.fetched(partition, acknowledged, offset) {
                Some(Fault::StaleCommit(what)) => turn.ledger.violation("stale-commit", what),
                Some(Fault::Invented(what)) => turn.ledger.violation("phantom", what),
                // A coordinator that does not know that it is deposed tells what was so; it is asked until another one
                // answers. What was acknowledged and is gone for good is so noticed as a lack of progress.
                Some(Fault::Behind(what)) if turn.ledger.why_not_claimed().is_none() => {
                    self.behind = Some(what);
                    continue;
                }
                _ => self.behind = None,
            }
            if self.owned.contains(&partition) {
                self.known.insert(partition);
            }
        }
    }

    /// Lets go of what it is not to have any more, when no commit is under way; and takes what is new.
    fn reconcile(&mut self, now_ns: u64) {
        if self.owned != self.told && !self.committing && !self.fetching {
            self.owned.clone_from(&self.told);
            self.known.retain(|partition| self.owned.contains(partition));
            self.next_beat_ns = now_ns;
        }
    }

    fn act(&mut self, turn: &mut ClientTurn<'_>) {
        self.reconcile(turn.now_ns);
        let Some(to) = self.coordinator else {
            if !self.seeking && turn.now_ns >= self.next_seek_ns {
                self.seek(turn);
            }
            return;
        };
        if !self.beating && turn.now_ns >= self.next_beat_ns {
            self.beat(to, turn);
        }
        if self.epoch == 0 {
            return;
        }
        if !self.fetching && turn.now_ns >= self.next_fetch_ns {
            self.fetch(to, turn);
        }
        if turn.now_ns >= self.next_describe_ns {
            self.describe(to, turn);
        }
        if !self.committing && !self.finishing && turn.now_ns >= self.next_commit_ns {
            self.commit(to, turn);
            if self.dice.percent(2) {
                self.restart(to, turn);
            }
        }
    }
}

impl Client for GroupMember {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.take(reply, turn);
        }
        self.act(turn);
        let soon = turn.now_ns + 10 * MS;
        let wakes = [self.session.deadline_ns(), self.next_beat_ns.max(soon), self.next_commit_ns.max(soon)];
        wakes.into_iter().min().unwrap_or(soon).max(turn.now_ns + MS)
    }

    /// Whether it has come to rest in the group, and knows where all that it has was left off.
    fn is_done(&self) -> bool {
        self.finishing
            && self.epoch > 0
            && self.last_error == 0
            && self.owned == self.told
            && self.owned.iter().all(|partition| self.known.contains(partition))
    }

    fn finish(&mut self) {
        self.finishing = true;
        // Everything is looked up once more.
        self.known.clear();
    }

    fn status(&self) -> String {
        format!(
            "member {}: epoch {}, has {:?} of {:?}, knows {:?}, last error {}, behind {:?}",
            self.index, self.epoch, self.owned, self.told, self.known, self.last_error, self.behind
        )
    }
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str(GROUP))
}
