//! Fetches from the leaders of a topic's partitions: one request at a time to each broker, for all that it leads.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::record::{Batch, Marker, batches};
use broker_core::{NodeId, Offset, ProducerId};
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, RequestKind,
    ResponseKind,
};
use mqproof_core::plan::Isolation;

use super::metadata::Metadata;
use super::session::{Reply, Session};
use super::{ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

const FETCH_VERSION: i16 = 12;
const LIST_OFFSETS_VERSION: i16 = 4;
const MAX_WAIT_MS: i32 = 100;
const BACKOFF: u64 = 50 * MS;
const NONE: i16 = 0;
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// What comes out.
pub(crate) enum Found {
    Record {
        partition: i32,
        offset: u64,
        key: Option<Bytes>,
        value: Bytes,
    },
    /// The position is not in the log; nothing more is fetched of the partition until it is placed again.
    OutOfRange(i32),
    /// Where a log starts or ends.
    Bound {
        partition: i32,
        bound: Bound,
        offset: u64,
    },
    /// All before this offset was passed; the last of it held nothing that is handed out.
    Passed {
        partition: i32,
        next: u64,
    },
    /// What came cannot be read as records; nothing more is fetched of the partition.
    Unreadable {
        partition: i32,
        why: String,
    },
}

/// An end of a log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Bound {
    Start,
    End,
}

impl Bound {
    /// As ListOffsets asks for it.
    fn timestamp(self) -> i64 {
        match self {
            Self::Start => -2,
            Self::End => -1,
        }
    }
}

#[derive(Debug)]
enum Tag {
    Metadata,
    /// `round`: answers of an earlier assignment are not taken.
    Fetch {
        node: NodeId,
        round: u32,
    },
    Bound {
        partition: i32,
        bound: Bound,
        round: u32,
    },
}

struct Position {
    next: u64,
    not_before_ns: u64,
}

struct Question {
    asking: bool,
    not_before_ns: u64,
}

/// Reads partitions of one topic from given positions on.
pub(crate) struct Fetcher {
    session: Session<Tag>,
    metadata: Metadata,
    dice: Dice,
    round: u32,
    positions: BTreeMap<i32, Position>,
    questions: BTreeMap<(i32, Bound), Question>,
    busy: BTreeSet<NodeId>,
    last_error: i16,
    isolation: Isolation,
}

impl Fetcher {
    /// Has nothing to fetch yet.
    pub(crate) fn new<U>(
        metadata: Metadata,
        isolation: Isolation,
        dice: Dice,
        timeout: u64,
    ) -> (Self, Session<U>) {
        let (session, other) = Session::pair(timeout, timeout);
        let fetcher = Self {
            session,
            metadata,
            dice,
            round: 0,
            positions: BTreeMap::new(),
            questions: BTreeMap::new(),
            busy: BTreeSet::new(),
            last_error: 0,
            isolation,
        };
        (fetcher, other)
    }

    /// Forgets all positions and questions.
    pub(crate) fn clear(&mut self) {
        self.round += 1;
        self.positions.clear();
        self.questions.clear();
    }

    /// Fetches a partition from an offset on.
    pub(crate) fn place(&mut self, partition: i32, next: u64) {
        self.positions.insert(partition, Position { next, not_before_ns: 0 });
    }

    /// Stops fetching a partition.
    pub(crate) fn drop_partition(&mut self, partition: i32) {
        self.positions.remove(&partition);
    }

    /// Asks for an end of a log, again and again until it is told.
    pub(crate) fn ask_bound(&mut self, partition: i32, bound: Bound) {
        self.questions.insert((partition, bound), Question { asking: false, not_before_ns: 0 });
    }

    /// Whether there are questions without an answer.
    pub(crate) fn is_asking(&self) -> bool {
        !self.questions.is_empty()
    }

    /// The last error that a broker answered with.
    pub(crate) fn last_error(&self) -> i16 {
        self.last_error
    }

    /// Takes what the network brings.
    pub(crate) fn take(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> Vec<Found> {
        let mut found = Vec::new();
        for reply in self.session.take(event, turn) {
            self.reply(reply, &mut found, turn);
        }
        found
    }

    /// Sends what can be asked for now. `hungry`: records are wanted.
    pub(crate) fn act(&mut self, hungry: bool, turn: &mut ClientTurn<'_>) {
        self.metadata.ask(&mut self.session, Tag::Metadata, &mut self.dice, turn);
        self.ask_bounds(turn);
        if hungry {
            self.fetch(turn);
        }
    }

    /// When to look again.
    pub(crate) fn next_wake_ns(&self, now_ns: u64) -> u64 {
        let free = |partition: i32| {
            let leader = self.metadata.leader(partition);
            leader.is_none_or(|(node, _)| !self.busy.contains(&node))
        };
        let fetches = self
            .positions
            .iter()
            .filter(|(partition, _)| free(**partition))
            .map(|(_, position)| position.not_before_ns.max(now_ns + BACKOFF));
        let questions = self.questions.values().filter(|question| !question.asking);
        let questions = questions.map(|question| question.not_before_ns.max(now_ns + MS));
        fetches
            .chain(questions)
            .chain([self.metadata.next_ns(), self.session.deadline_ns()])
            .min()
            .unwrap_or(u64::MAX)
    }

    fn fetch(&mut self, turn: &mut ClientTurn<'_>) {
        let mut wanted: BTreeMap<NodeId, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, position) in &self.positions {
            let Some((leader, epoch)) = self.metadata.leader(*partition) else {
                self.metadata.expire();
                continue;
            };
            if self.busy.contains(&leader) || position.not_before_ns > turn.now_ns {
                continue;
            }
            let one = FetchPartition::default()
                .with_partition(*partition)
                .with_current_leader_epoch(epoch)
                .with_fetch_offset(position.next as i64)
                .with_partition_max_bytes(1 << 20);
            wanted.entry(leader).or_default().push(one);
        }
        for (node, partitions) in wanted {
            self.busy.insert(node);
            let topic =
                FetchTopic::default().with_topic(self.metadata.topic().clone()).with_partitions(partitions);
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_max_wait_ms(MAX_WAIT_MS)
                .with_min_bytes(1)
                .with_max_bytes(4 << 20)
                .with_isolation_level(level(self.isolation))
                .with_topics(vec![topic]);
            let tag = Tag::Fetch { node, round: self.round };
            let request = RequestKind::Fetch(request);
            self.session.request(node, ApiKey::Fetch, FETCH_VERSION, &request, tag, turn);
        }
    }

    fn ask_bounds(&mut self, turn: &mut ClientTurn<'_>) {
        for ((partition, bound), question) in &mut self.questions {
            if question.asking || question.not_before_ns > turn.now_ns {
                continue;
            }
            let Some((leader, epoch)) = self.metadata.leader(*partition) else {
                self.metadata.expire();
                continue;
            };
            question.asking = true;
            let one = ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_current_leader_epoch(epoch)
                .with_timestamp(bound.timestamp());
            let topic = ListOffsetsTopic::default()
                .with_name(self.metadata.topic().clone())
                .with_partitions(vec![one]);
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(-1))
                .with_isolation_level(level(self.isolation))
                .with_topics(vec![topic]);
            let request = RequestKind::ListOffsets(request);
            let tag = Tag::Bound { partition: *partition, bound: *bound, round: self.round };
            self.session.request(leader, ApiKey::ListOffsets, LIST_OFFSETS_VERSION, &request, tag, turn);
        }
    }

    fn reply(&mut self, reply: Reply<Tag>, found: &mut Vec<Found>, turn: &mut ClientTurn<'_>) {
        match reply {
            Reply::Lost(Tag::Metadata) => self.metadata.answered(None, turn.now_ns),
            Reply::Lost(Tag::Fetch { node, .. }) => {
                self.busy.remove(&node);
                self.metadata.expire();
                self.pause_node(node, turn.now_ns);
            }
            Reply::Lost(Tag::Bound { partition, bound, round }) => {
                self.ask_again(partition, bound, round, turn.now_ns);
            }
            Reply::Answered(tag, response) => match (tag, *response) {
                (Tag::Metadata, ResponseKind::Metadata(response)) => {
                    self.metadata.answered(Some(&response), turn.now_ns);
                }
                (Tag::Fetch { node, round }, ResponseKind::Fetch(response)) => {
                    self.busy.remove(&node);
                    if round == self.round {
                        self.fetched(node, &response, found, turn);
                    }
                }
                (Tag::Bound { partition, bound, round }, ResponseKind::ListOffsets(response)) => {
                    self.told_bound((partition, bound), round, &response, found, turn.now_ns);
                }
                (tag, response) => {
                    turn.ledger.violation("protocol", format!("{tag:?} answered by {response:?}"));
                }
            },
        }
    }

    fn pause_node(&mut self, node: NodeId, now_ns: u64) {
        for (partition, position) in &mut self.positions {
            if self.metadata.leader(*partition).is_some_and(|(leader, _)| leader == node) {
                position.not_before_ns = now_ns + BACKOFF;
            }
        }
    }

    fn ask_again(&mut self, partition: i32, bound: Bound, round: u32, now_ns: u64) {
        self.metadata.expire();
        if let Some(question) = self.questions.get_mut(&(partition, bound)).filter(|_| round == self.round) {
            *question = Question { asking: false, not_before_ns: now_ns + BACKOFF };
        }
    }

    fn told_bound(
        &mut self,
        (partition, bound): (i32, Bound),
        round: u32,
        response: &ListOffsetsResponse,
        found: &mut Vec<Found>,
        now_ns: u64,
    ) {
        let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
        match answers.find(|answer| answer.partition_index == partition) {
            Some(answer) if answer.error_code == NONE && round == self.round => {
                self.questions.remove(&(partition, bound));
                found.push(Found::Bound { partition, bound, offset: answer.offset.max(0) as u64 });
            }
            answer => {
                self.last_error = answer.map_or(-1, |answer| answer.error_code);
                self.ask_again(partition, bound, round, now_ns);
            }
        }
    }

    fn fetched(
        &mut self,
        node: NodeId,
        response: &FetchResponse,
        found: &mut Vec<Found>,
        turn: &mut ClientTurn<'_>,
    ) {
        if response.error_code != NONE {
            self.last_error = response.error_code;
            self.metadata.expire();
            return self.pause_node(node, turn.now_ns);
        }
        for answer in response.responses.iter().flat_map(|topic| &topic.partitions) {
            match answer.error_code {
                NONE => self.records(answer, found),
                OFFSET_OUT_OF_RANGE => {
                    self.positions.remove(&answer.partition_index);
                    found.push(Found::OutOfRange(answer.partition_index));
                }
                error => {
                    self.last_error = error;
                    self.metadata.expire();
                    if let Some(position) = self.positions.get_mut(&answer.partition_index) {
                        position.not_before_ns = turn.now_ns + BACKOFF;
                    }
                }
            }
        }
    }

    fn records(&mut self, answer: &PartitionData, found: &mut Vec<Found>) {
        let partition = answer.partition_index;
        let Some(position) = self.positions.get_mut(&partition) else { return };
        let unreadable = |why: String| Found::Unreadable { partition, why };
        let mut hidden = Hidden::of(answer, self.isolation);
        for batch in batches(answer.records.clone().unwrap_or_default()) {
            // A last batch may be cut off by the limit on bytes.
            let Ok(batch) = batch else { return };
            if hidden.hides(&batch) {
                let next = batch.header.last_offset().0 as u64 + 1;
                if next > position.next {
                    position.next = next;
                    found.push(Found::Passed { partition, next });
                }
                continue;
            }
            let end = batch.header.last_offset().0 as u64 + 1;
            let Some(records) = batch.records() else {
                return found.push(unreadable("a compressed batch".into()));
            };
            for record in records {
                let record = match record {
                    Ok(record) => record,
                    Err(error) => return found.push(unreadable(error.to_string())),
                };
                let offset = record.offset.0 as u64;
                if offset >= position.next {
                    position.next = offset + 1;
                    let (key, value) = (record.key, record.value.unwrap_or_default());
                    found.push(Found::Record { partition, offset, key, value });
                }
            }
            // Compaction may have left less of it, or nothing.
            position.next = position.next.max(end);
        }
    }
}

/// What a reader passes without a word: markers, and, if it reads what is committed, the aborted transactions that the
/// broker names with the records (KIP-98).
struct Hidden {
    /// Named and not begun yet, the latest first.
    ahead: Vec<(Offset, ProducerId)>,
    /// Whose aborted transaction the records are in the midst of.
    aborting: BTreeSet<ProducerId>,
}

impl Hidden {
    fn of(answer: &PartitionData, isolation: Isolation) -> Self {
        let named = answer.aborted_transactions.iter().flatten();
        let named = named.map(|one| (Offset(one.first_offset), ProducerId(one.producer_id.0)));
        let mut ahead: Vec<_> = named.filter(|_| isolation == Isolation::ReadCommitted).collect();
        ahead.sort_unstable_by(|one, other| other.cmp(one));
        Self { ahead, aborting: BTreeSet::new() }
    }

    fn hides(&mut self, batch: &Batch) -> bool {
        let header = &batch.header;
        while let Some((_, producer)) = self.ahead.pop_if(|(first, _)| *first <= header.last_offset()) {
            self.aborting.insert(producer);
        }
        if header.is_control() {
            if Marker::of(batch).is_some_and(|marker| !marker.commit) {
                self.aborting.remove(&header.producer_id);
            }
            return true;
        }
        header.is_transactional() && self.aborting.contains(&header.producer_id)
    }
}

fn level(isolation: Isolation) -> i8 {
    i8::from(isolation == Isolation::ReadCommitted)
}

#[cfg(test)]
mod tests {
    use broker_core::record::BatchBuilder;
    use broker_core::{ProducerEpoch, Sequence};
    use kafka_protocol::messages::fetch_response::AbortedTransaction;

    use super::*;

    fn named(isolation: Isolation, aborted: &[(i64, i64)]) -> Hidden {
        let one = |(producer, first): &(i64, i64)| {
            AbortedTransaction::default().with_producer_id((*producer).into()).with_first_offset(*first)
        };
        let aborted = Some(aborted.iter().map(one).collect());
        Hidden::of(&PartitionData::default().with_aborted_transactions(aborted), isolation)
    }

    fn batch(offset: i64, bytes: &[u8]) -> Batch {
        let mut bytes = bytes.to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        batches(bytes.into()).next().expect("one").expect("whole")
    }

    fn data(offset: i64, producer: i64) -> Batch {
        let builder = BatchBuilder::new(0).producer(ProducerId(producer), ProducerEpoch(0), Sequence(0));
        batch(offset, &builder.transactional().record(None, Some(b"x")).build())
    }

    fn marker(offset: i64, producer: i64, commit: bool) -> Batch {
        let marker = Marker { commit, coordinator_epoch: 0 };
        batch(offset, &marker.batch(ProducerId(producer), ProducerEpoch(0), 0))
    }

    #[test]
    fn aborted_transactions_and_markers_are_hidden_from_readers_of_committed_records() {
        // Producer 7 aborts at offset 3 and commits at 6; producer 8 commits at 5.
        let log =
            [data(1, 7), data(2, 8), marker(3, 7, false), data(4, 7), marker(5, 8, true), marker(6, 7, true)];
        let mut committed = named(Isolation::ReadCommitted, &[(7, 1)]);
        assert_eq!(
            log.each_ref().map(|batch| committed.hides(batch)),
            [true, false, true, false, true, true]
        );
        let mut all = named(Isolation::ReadUncommitted, &[(7, 1)]);
        assert_eq!(log.each_ref().map(|batch| all.hides(batch)), [false, false, true, false, true, true]);
    }
}
