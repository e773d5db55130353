//! A reader of all partitions from their beginning, without a group.

use broker_core::record::batches;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{ApiKey, BrokerId, FetchRequest, FetchResponse, RequestKind, ResponseKind};

use super::metadata::{METADATA_VERSION, Metadata, any_broker, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::ledger::RecordId;
use crate::plan::MS;

const FETCH_VERSION: i16 = 12;
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
}

#[derive(Debug)]
struct Position {
    offset: i64,
    fetching: bool,
    /// The last fetch was sent after [`Client::finish`], so that its answer knows of all that was written before.
    last_look: bool,
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
    asking_metadata: bool,
    stale_metadata: bool,
    metadata_not_before_ns: u64,
    finishing: bool,
}

impl Reader {
    pub(crate) fn new(index: usize, partitions: i32, dice: Dice) -> Self {
        let start = |_| Position {
            offset: 0,
            fetching: false,
            last_look: false,
            not_before_ns: 0,
            at_end: false,
            last_error: 0,
        };
        Self {
            index,
            session: Session::new(TIMEOUT),
            metadata: Metadata::default(),
            dice,
            positions: (0..partitions).map(start).collect(),
            asking_metadata: false,
            stale_metadata: true,
            metadata_not_before_ns: 0,
            finishing: false,
        }
    }

    fn fetch(&mut self, partition: i32, turn: &mut ClientTurn<'_>) {
        let Some((leader, epoch)) = self.metadata.leader(partition) else {
            self.stale_metadata = true;
            return;
        };
        let position = &mut self.positions[partition as usize];
        position.fetching = true;
        position.last_look = self.finishing;
        let max_bytes = self.dice.magnitude(100, 20_000) as i32;
        let wanted = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(epoch)
            .with_fetch_offset(position.offset)
            .with_partition_max_bytes(max_bytes);
        let topic = FetchTopic::default().with_topic(topic_name()).with_partitions(vec![wanted]);
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
            Reply::Lost(Tag::Metadata) => self.metadata_done(turn),
            Reply::Lost(Tag::Fetch(partition)) => self.pause(partition, turn),
            Reply::Answered(tag, response) => match (tag, *response) {
                (Tag::Metadata, ResponseKind::Metadata(response)) => {
                    self.metadata.update(&response);
                    self.metadata_done(turn);
                }
                (Tag::Fetch(partition), ResponseKind::Fetch(response)) => {
                    self.fetched(partition, &response, turn);
                }
                (tag, response) => {
                    turn.ledger.violation("protocol", format!("{tag:?} answered by {response:?}"));
                }
            },
        }
    }

    fn metadata_done(&mut self, turn: &ClientTurn<'_>) {
        self.asking_metadata = false;
        self.metadata_not_before_ns = turn.now_ns + BACKOFF;
    }

    fn pause(&mut self, partition: i32, turn: &ClientTurn<'_>) {
        let position = &mut self.positions[partition as usize];
        position.fetching = false;
        position.not_before_ns = turn.now_ns + BACKOFF;
        self.stale_metadata = true;
    }

    fn fetched(&mut self, partition: i32, response: &FetchResponse, turn: &mut ClientTurn<'_>) {
        let mut answers = response.responses.iter().flat_map(|topic| &topic.partitions);
        let Some(answer) = answers.find(|answer| answer.partition_index == partition) else {
            return self.pause(partition, turn);
        };
        self.positions[partition as usize].last_error = answer.error_code;
        match answer.error_code {
            NONE => self.records(partition, answer, turn),
            OFFSET_OUT_OF_RANGE => {
                let offset = self.positions[partition as usize].offset;
                let what = format!(
                    "partition {partition}: offset {offset} is out of range, after all below it was read"
                );
                turn.ledger.violation("read-vanished", what);
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
        for batch in batches(answer.records.clone().unwrap_or_default()) {
            let Ok(batch) = batch else { break };
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
        if self.stale_metadata && !self.asking_metadata && turn.now_ns >= self.metadata_not_before_ns {
            self.stale_metadata = false;
            self.asking_metadata = true;
            let node = any_broker(&mut self.dice);
            self.session.request(
                node,
                ApiKey::Metadata,
                METADATA_VERSION,
                &Metadata::request(),
                Tag::Metadata,
                turn,
            );
        }
        if self.is_done() {
            return u64::MAX;
        }
        let idle = self.positions.iter().any(|position| !position.fetching && !position.at_end);
        let poll = if idle || self.stale_metadata { turn.now_ns + BACKOFF } else { u64::MAX };
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
