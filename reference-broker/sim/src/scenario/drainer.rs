//! The drain reader: reads every partition of a topic from its start to the end that it had when producers had stopped.

use std::collections::BTreeMap;

use mqproof_core::history::{Event, EventKind};
use mqproof_core::plan::Isolation;

use super::tape::{Arrival, Fetched, SharedTape, blank};
use crate::client::fetcher::{Bound, Fetcher, Found};
use crate::client::metadata::{Metadata, topic_name};
use crate::client::{Client, ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

const METADATA_EVERY: u64 = 200 * MS;
const METADATA_PAUSE: u64 = 50 * MS;
const REQUEST_TIMEOUT: u64 = 3_000 * MS;
/// Flags of a `Drain` event.
const BEGIN: u8 = 0;
const DONE: u8 = 1;
const GAVE_UP: u8 = 3;
const READ_TO: u8 = 4;

/// A log as it was when producers had stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSpan {
    /// The partition.
    pub partition: u32,
    /// Its first offset.
    pub start: u64,
    /// Its end, exclusive.
    pub end: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Asks where the logs start and end.
    Looking,
    Reading,
    /// Asks again.
    LookingAgain,
    Done,
}

pub(crate) struct Drainer {
    spans: Vec<LogSpan>,
    /// What is left of each partition: the next offset, and the end.
    left: BTreeMap<i32, (u64, u64)>,
    fetcher: Fetcher,
    tape: SharedTape,
    run_id: u64,
    stage: Stage,
    read: u64,
    batch: u16,
}

impl Drainer {
    pub(crate) fn new(
        topic: &str,
        isolation: Isolation,
        spans: Vec<LogSpan>,
        dice: Dice,
        tape: SharedTape,
    ) -> Self {
        let metadata = Metadata::new(topic_name(topic), METADATA_PAUSE, METADATA_EVERY);
        let (fetcher, _) = Fetcher::new::<()>(metadata, isolation, dice, REQUEST_TIMEOUT);
        let left = spans.iter().filter(|span| span.start < span.end);
        let left = left.map(|span| (span.partition as i32, (span.start, span.end))).collect();
        let run_id = tape.borrow().meta.run_id;
        let mut drainer =
            Self { spans, left, fetcher, tape, run_id, stage: Stage::Looking, read: 0, batch: 0 };
        drainer.ask_bounds();
        drainer
    }

    fn ask_bounds(&mut self) {
        for span in &self.spans {
            for bound in [Bound::Start, Bound::End] {
                self.fetcher.ask_bound(span.partition as i32, bound);
            }
        }
    }

    fn phase(&self, flags: u8, a: u64, partitions: usize, now_ns: u64) {
        let event = Event { a, b: partitions as u32, flags, ..blank(EventKind::Drain, now_ns) };
        self.tape.borrow_mut().record(event);
    }

    fn found(&mut self, found: Found, now_ns: u64) {
        match found {
            Found::Record { partition, offset, key, value } => {
                // What came after the end was taken belongs to nobody's load.
                let Some((next, _)) = self.left.get_mut(&partition).filter(|(_, end)| offset < *end) else {
                    return;
                };
                *next = offset + 1;
                self.read += 1;
                let arrival = Arrival::judge(Fetched { partition, offset, key, value }, self.run_id, now_ns);
                self.tape.borrow_mut().hand_over(arrival, now_ns, self.batch);
            }
            Found::Passed { partition, next } => {
                let Some((read, end)) = self.left.get_mut(&partition) else { return };
                *read = next;
                let event = Event {
                    a: next.min(*end),
                    b: partition as u32,
                    flags: READ_TO,
                    ..blank(EventKind::Drain, now_ns)
                };
                self.tape.borrow_mut().record(event);
            }
            Found::Bound { partition, bound, offset } => {
                let flags = u8::from(bound == Bound::End);
                let event =
                    Event { a: offset, b: partition as u32, flags, ..blank(EventKind::LogBound, now_ns) };
                self.tape.borrow_mut().record(event);
            }
            Found::OutOfRange(partition) => self.broken(format!("partition {partition} lost its position")),
            Found::Unreadable { partition, why } => {
                self.fetcher.drop_partition(partition);
                self.broken(format!("partition {partition}: {why}"));
            }
        }
    }

    fn broken(&self, why: String) {
        self.tape.borrow_mut().trouble.get_or_insert(why);
    }

    /// Goes on to the next stage if this one is over.
    fn go_on(&mut self, now_ns: u64) {
        let ended: Vec<i32> = self
            .left
            .iter()
            .filter(|(_, (next, end))| next >= end)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in ended {
            self.left.remove(&partition);
            self.fetcher.drop_partition(partition);
        }
        match self.stage {
            Stage::Looking if !self.fetcher.is_asking() => {
                let expected = self.spans.iter().map(|span| span.end - span.start).sum();
                self.phase(BEGIN, expected, self.spans.len(), now_ns);
                for (partition, (next, _)) in &self.left {
                    self.fetcher.place(*partition, *next);
                }
                self.stage = Stage::Reading;
            }
            Stage::Reading if self.left.is_empty() => {
                self.ask_bounds();
                self.stage = Stage::LookingAgain;
            }
            Stage::LookingAgain if !self.fetcher.is_asking() => {
                self.phase(DONE, self.read, self.spans.len(), now_ns);
                self.stage = Stage::Done;
            }
            _ => {}
        }
    }
}

impl Client for Drainer {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        self.batch = self.batch.wrapping_add(1);
        for found in self.fetcher.take(event, turn) {
            self.found(found, turn.now_ns);
        }
        self.go_on(turn.now_ns);
        if self.stage == Stage::Done {
            return u64::MAX;
        }
        self.fetcher.act(true, turn);
        self.fetcher.next_wake_ns(turn.now_ns).max(turn.now_ns + MS / 50)
    }

    fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Gives up: what it has not read by now it does not read.
    fn finish(&mut self) {
        if self.stage != Stage::Done {
            let missing = self.left.values().map(|(next, end)| end - next).sum();
            let now_ns = self.tape.borrow().events.last().map_or(0, |event| event.t_ns);
            self.phase(GAVE_UP, missing, self.left.len(), now_ns);
            self.broken(format!("`{}` partitions were not read to their end", self.left.len()));
            self.stage = Stage::Done;
        }
    }

    fn status(&self) -> String {
        format!("drain reader: {:?}, last error {}", self.stage, self.fetcher.last_error())
    }
}
