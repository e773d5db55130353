//! A reader of all partitions from their beginning, without a group.

use broker_core::record::batches;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, RequestKind,
    ResponseKind,
};

use super::metadata::{Metadata, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn, TOPIC};
use crate::dice::Dice;
use crate::ledger::RecordId;
use crate::plan::MS;

const FETCH_VERSION: i16 = 12;
const LIST_OFFSETS_VERSION: i16 = 4;
const EARLIEST: i64 = -2;
const MISSES_MAX: u32 = 5;
const TIMEOUT: u64 = 600 * MS;
const MAX_WAIT_MS: i32 = 100;
const BACKOFF: u64 = 20 * MS;
const NONE: i16 = 0;
const OFFSET_OUT_OF_RANGE: i16 = 1;
/// Unknown topic or partition, leader not available, not leader, timed out, replica not available, storage, fenced
/// and unknown leader epoch, offset not available.
const RETRIABLE: [i16; 9] = [3, 5, 6, 7, 9, 56, 74, 75, 78];

#[derive(Debug)]
enum Tag {
    Metadata,
    Fetch(i32),
    Start(i32),
}

#[derive(Debug)]
struct Position {
    offset: i64,
    fetching: bool,
    /// The last fetch was sent after [`Client::finish`], so that its answer knows of all that was written before.
    last_look: bool,
    /// It was out of range, and the log may have lost its beginning: where it starts is asked for next.
    lost: bool,
    /// How often in a row that was so, and the log starts before it.
    misses: u32,
    not_before_ns: u64,
    /// All below the high watermark was read after [`Client::finish`] was called.
    at_end: bool,
    last_error: i16,
}

pub(crate) struct Reader {
    index: usize,
    session: Session<Tag>,
    metadata: Metadata,
    dice: Dice,
    positions: Vec<Position>,
    /// Whether the beginnings of logs may go.
    deletes: bool,
    finishing: bool,
}

impl Reader {
    pub(crate) fn new(index: usize, partitions: i32, deletes: bool, dice: Dice) -> Self {
        let start = |_| Position {
            offset: 0,
            fetching: false,
            last_look: false,
            lost: false,
            misses: 0,
            not_before_ns: 0,
            at_end: false,
            last_error: 0,
        };
        Self {
            index,
            session: Session::new(TIMEOUT),
            metadata: Metadata::new(topic_name(TOPIC), BACKOFF, u64::MAX),
            dice,
            positions: (0..partitions).map(start).collect(),
            deletes,
            finishing: false,
        }
    }

    fn fetch(&mut self, partition: i32, turn: &mut ClientTurn<'_>) {
        let Some((leader, epoch)) = self.metadata.leader(partition) else {
            self.metadata.expire();
            return;
        };
        let position = &mut self.positions[partition as usize];
        position.fetching = true;
        if std::mem::take(&mut position.lost) {
            let one = ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_current_leader_epoch(epoch)
                .with_timestamp(EARLIEST);
            let topic = ListOffsetsTopic::default()
                .with_name(self.metadata.topic().clone())
                .with_partitions(vec![one]);
            let request =
                ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            let (request, tag) = (RequestKind::ListOffsets(request), Tag::Start(partition));
            self.session.request(leader, ApiKey::ListOffsets, LIST_OFFSETS_VERSION, &request, tag, turn);
            return;
        }
        position.last_look = self.finishing;
        let max_bytes = self.dice.magnitude(100, 20_000) as i32;
        let wanted = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(epoch)
            .with_fetch_offset(position.offset)
            .with_partition_max_bytes(max_bytes);
        let topic =
            FetchTopic::default().with_topic(self.metadata.topic().clone()).with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(MAX_WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        let request = RequestKind::Fetch(request);
        self.session.request(leader, ApiKey::Fetch, FETCH_VERSION, &request, Tag::Fetch(partition), turn);
    }

    fn take(&mut self, reply: Reply<Tag>, turn: &mut ClientTurn<'_>) {
        match reply {
            Reply::Lost(Tag::Metadata) => self.metadata.answered(None, turn.now_ns),
            Reply::Lost(Tag::Fetch(partition) | Tag::Start(partition)) => self.pause(partition, turn),
            Reply::Answered(tag, response) => match (tag, *response) {
                (Tag::Metadata, ResponseKind::Metadata(response)) => {
                    self.metadata.answered(Some(&response), turn.now_ns);
                }
                (Tag::Fetch(partition), ResponseKind::Fetch(response)) => {
                    self.fetched(partition, &response, turn);
                }
                (Tag::Start(partition), ResponseKind::ListOffsets(response)) => {
                    self.told_start(partition, &response, turn);
                }
                (tag, response) => {
                    turn.ledger.violation("protocol", format!("{tag:?} answered by {response:?}"));
                }
            },
        }
    }

    /// Goes on where the log starts, if that is behind the position.
    fn told_start(&mut self, partition: i32, response: &ListOffsetsResponse, turn: &mut ClientTurn<'_>) {
        let mut answers = response.topics.iter().flat_map(|topic| &topic.partitions);
        let start = answers
            .find(|answer| answer.partition_index == partition && answer.error_code == NONE)
            .map(|answer| answer.offset);
        let position = &mut self.positions[partition as usize];
        match start {
            Some(start) if start > position.offset => {
                position.offset = start;
                position.fetching = false;
                turn.ledger.starts_at(self.index, partition, start);
            }
            // Another leader's log may start earlier than that of the one before.
            Some(_) if position.misses < MISSES_MAX => {
                position.misses += 1;
                self.pause(partition, turn);
            }
            Some(_) => {
                self.vanished(partition, turn);
                self.pause(partition, turn);
            }
            None => {
                position.lost = true;
                self.pause(partition, turn);
            }
        }
    }

    fn vanished(&mut self, partition: i32, turn: &mut ClientTurn<'_>) {
        let offset = self.positions[partition as usize].offset;
        let what =
            format!("partition {partition}: offset {offset} is out of range, after all below it was read");
        turn.ledger.violation("read-vanished", what);
        if turn.ledger.why_not_claimed().is_some() {
            // The log has been cut behind its back; it begins anew (`auto.offset.reset=earliest`).
            self.positions[partition as usize].offset = 0;
        }
    }

    fn pause(&mut self, partition: i32, turn: &ClientTurn<'_>) {
        let position = &mut self.positions[partition as usize];
        position.fetching = false;
        position.not_before_ns = turn.now_ns + BACKOFF;
        self.metadata.expire();
    }

    fn fetched(&mut self, partition: i32, response: &FetchResponse, turn: &mut ClientTurn<'_>) {
        let mut answers = response.responses.iter().flat_map(|topic| &topic.partitions);
        let Some(answer) = answers.find(|answer| answer.partition_index == partition) else {
            return self.pause(partition, turn);
        };
        self.positions[partition as usize].last_error = answer.error_code;
        match answer.error_code {
            NONE => self.records(partition, answer, turn),
            OFFSET_OUT_OF_RANGE if self.deletes => {
                self.positions[partition as usize].lost = true;
                self.positions[partition as usize].fetching = false;
            }
            OFFSET_OUT_OF_RANGE => {
                self.vanished(partition, turn);
                self.pause(partition, turn);
            }
            error if RETRIABLE.contains(&error) => self.pause(partition, turn),
            error => {
                turn.ledger.violation(
                    "unexpected-error",
                    format!("fetch from partition {partition}: error {error}"),
                );
                self.pause(partition, turn);
            }
        }
    }

    fn records(&mut self, partition: i32, answer: &PartitionData, turn: &mut ClientTurn<'_>) {
        let position = &mut self.positions[partition as usize];
        position.fetching = false;
        position.misses = 0;
        for batch in batches(answer.records.clone().unwrap_or_default()) {
            let Ok(batch) = batch else { break };
            let end = batch.header.last_offset().0 + 1;
            let Some(records) = batch.records() else {
                turn.ledger.violation("corruption", format!("partition {partition}: a compressed batch"));
                return;
            };
            for record in records {
                let Ok(record) = record else {
                    turn.ledger
                        .violation("corruption", format!("partition {partition}: an unreadable record"));
                    return;
                };
                if record.offset.0 < position.offset {
                    continue;
                }
                let id = RecordId::parse(record.key.as_deref(), record.value.as_deref());
                turn.ledger.read(self.index, partition, position.offset, record.offset.0, id);
                position.offset = record.offset.0 + 1;
            }
            // Compaction may have left less of it, or nothing.
            position.offset = position.offset.max(end);
        }
        position.at_end = position.last_look && position.offset >= answer.high_watermark;
    }
}

impl Client for Reader {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.take(reply, turn);
        }
        for partition in 0..self.positions.len() {
            let position = &self.positions[partition];
            if !position.fetching && !position.at_end && position.not_before_ns <= turn.now_ns {
                self.fetch(partition as i32, turn);
            }
        }
        self.metadata.ask(&mut self.session, Tag::Metadata, &mut self.dice, turn);
        if self.is_done() {
            return u64::MAX;
        }
        let idle = self.positions.iter().any(|position| !position.fetching && !position.at_end);
        let poll = if idle || self.metadata.is_stale() { turn.now_ns + BACKOFF } else { u64::MAX };
        poll.min(self.session.deadline_ns()).max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        self.positions.iter().all(|position| position.at_end)
    }

    fn finish(&mut self) {
        self.finishing = true;
    }

    fn status(&self) -> String {
        let at = |position: &Position| format!("{} (error {})", position.offset, position.last_error);
        let positions: Vec<String> = self.positions.iter().map(at).collect();
        format!("reader {}: at {}", self.index, positions.join(", "))
    }
}
