//! Asks for records to be deleted, now and then, up to some offset that was acknowledged.

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{ApiKey, DeleteRecordsRequest, RequestKind, ResponseKind};

use super::metadata::{Metadata, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn, TOPIC};
use crate::dice::Dice;
use crate::plan::MS;

const VERSION: i16 = 2;
const TIMEOUT: u64 = 1000 * MS;
const TIMEOUT_MS: i32 = 500;
const PAUSE: u64 = 150 * MS;
const METADATA_PAUSE: u64 = 50 * MS;
const NONE: i16 = 0;

#[derive(Debug)]
enum Tag {
    Metadata,
    Delete { partition: i32, offset: i64 },
}

pub(crate) struct Deleter {
    session: Session<Tag>,
    metadata: Metadata,
    dice: Dice,
    partitions: i32,
    next_ns: u64,
    waiting: bool,
    finishing: bool,
}

impl Deleter {
    pub(crate) fn new(partitions: i32, dice: Dice) -> Self {
        Self {
            session: Session::new(TIMEOUT),
            metadata: Metadata::new(topic_name(TOPIC), METADATA_PAUSE, u64::MAX),
            dice,
            partitions,
            next_ns: 0,
            waiting: false,
            finishing: false,
        }
    }

    fn delete(&mut self, turn: &mut ClientTurn<'_>) {
        let partition = self.dice.between(0, self.partitions as u64 - 1) as i32;
        let acked = turn.ledger.acked_end(partition).max(0) as u64;
        let Some((leader, _)) = self.metadata.leader(partition) else { return self.metadata.expire() };
        if acked == 0 {
            return;
        }
        let offset = self.dice.between(0, acked) as i64;
        turn.ledger.delete_requested(partition, offset);
        let one = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic =
            DeleteRecordsTopic::default().with_name(self.metadata.topic().clone()).with_partitions(vec![one]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
        let request = RequestKind::DeleteRecords(request);
        let tag = Tag::Delete { partition, offset };
        self.waiting = true;
        self.session.request(leader, ApiKey::DeleteRecords, VERSION, &request, tag, turn);
    }

    fn take(&mut self, reply: Reply<Tag>, turn: &mut ClientTurn<'_>) {
        match reply {
            Reply::Lost(Tag::Metadata) => self.metadata.answered(None, turn.now_ns),
            Reply::Lost(Tag::Delete { .. }) => {
                self.waiting = false;
                self.metadata.expire();
            }
            Reply::Answered(tag, response) => match (tag, *response) {
                (Tag::Metadata, ResponseKind::Metadata(response)) => {
                    self.metadata.answered(Some(&response), turn.now_ns);
                }
                (Tag::Delete { partition, offset }, ResponseKind::DeleteRecords(response)) => {
                    self.waiting = false;
                    let mut results = response.topics.iter().flat_map(|topic| &topic.partitions);
                    match results.find(|result| result.partition_index == partition) {
                        Some(result) if result.error_code != NONE => self.metadata.expire(),
                        Some(result) if result.low_watermark < offset => turn.ledger.violation(
                            "deletion",
                            format!(
                                "partition {partition}: told that all below {offset} is deleted, low watermark {}",
                                result.low_watermark
                            ),
                        ),
                        _ => {}
                    }
                }
                (tag, response) => {
                    turn.ledger.violation("protocol", format!("{tag:?} answered by {response:?}"));
                }
            },
        }
    }
}

impl Client for Deleter {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.take(reply, turn);
        }
        if self.finishing {
            return self.session.deadline_ns();
        }
        if !self.waiting && turn.now_ns >= self.next_ns {
            self.next_ns = turn.now_ns + self.dice.between(MS, 2 * PAUSE);
            self.delete(turn);
        }
        self.metadata.ask(&mut self.session, Tag::Metadata, &mut self.dice, turn);
        let next = if self.waiting { u64::MAX } else { self.next_ns };
        next.min(self.session.deadline_ns()).min(turn.now_ns + PAUSE).max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        true
    }

    fn finish(&mut self) {
        self.finishing = true;
    }

    fn status(&self) -> String {
        format!("deletion of records, waiting: {}", self.waiting)
    }
}
