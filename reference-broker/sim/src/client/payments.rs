//! Reads what is committed of the transactional producers' topic, all partitions from the start.

use std::collections::BTreeMap;

use mqproof_core::plan::Isolation;

use super::fetcher::{Bound, Fetcher, Found};
use super::metadata::{Metadata, topic_name};
use super::{Client, ClientEvent, ClientTurn, PAYMENTS};
use crate::dice::Dice;
use crate::ledger::RecordId;
use crate::plan::MS;

const TIMEOUT: u64 = 600 * MS;
const PAUSE: u64 = 20 * MS;

pub(crate) struct PaymentsReader {
    index: usize,
    fetcher: Fetcher,
    /// By partition: the next offset.
    at: BTreeMap<i32, u64>,
    /// By partition: the end of what is decided, once it was asked for.
    ends: BTreeMap<i32, u64>,
    finishing: bool,
    asked: bool,
}

impl PaymentsReader {
    pub(crate) fn new(index: usize, partitions: i32, dice: Dice) -> Self {
        let metadata = Metadata::new(topic_name(PAYMENTS), PAUSE, u64::MAX);
        let (mut fetcher, _) = Fetcher::new::<()>(metadata, Isolation::ReadCommitted, dice, TIMEOUT);
        for partition in 0..partitions {
            fetcher.place(partition, 0);
        }
        let at = (0..partitions).map(|partition| (partition, 0)).collect();
        Self { index, fetcher, at, ends: BTreeMap::new(), finishing: false, asked: false }
    }

    fn found(&mut self, found: Found, turn: &mut ClientTurn<'_>) {
        match found {
            Found::Record { partition, offset, key, value } => {
                let id = RecordId::parse(key.as_deref(), Some(&value));
                turn.ledger.payments.read(self.index, partition, offset as i64, id);
                self.at.insert(partition, offset + 1);
            }
            Found::Passed { partition, next } => {
                self.at.insert(partition, next);
            }
            Found::Bound { partition, offset, .. } => {
                self.ends.insert(partition, offset);
            }
            Found::OutOfRange(partition) => {
                let what = format!("payments {partition}: reader {} is out of range", self.index);
                turn.ledger.violation("read-vanished", what);
                self.fetcher.place(partition, 0);
            }
            Found::Unreadable { partition, why } => {
                turn.ledger.violation("corruption", format!("payments {partition}: {why}"));
            }
        }
    }
}

impl Client for PaymentsReader {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for found in self.fetcher.take(event, turn) {
            self.found(found, turn);
        }
        if self.finishing && !self.asked {
            self.asked = true;
            let partitions: Vec<i32> = self.at.keys().copied().collect();
            for partition in partitions {
                self.fetcher.ask_bound(partition, Bound::End);
            }
        }
        if self.is_done() {
            return u64::MAX;
        }
        self.fetcher.act(true, turn);
        self.fetcher.next_wake_ns(turn.now_ns).max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        let reached = |partition: &i32, next: &u64| self.ends.get(partition).is_some_and(|end| next >= end);
        self.at.iter().all(|(partition, next)| reached(partition, next))
    }

    fn finish(&mut self) {
        self.finishing = true;
    }

    fn status(&self) -> String {
        let error = self.fetcher.last_error();
        format!("payments reader {}: at {:?} of {:?}, last error {error}", self.index, self.at, self.ends)
    }
}
