//! What clients were told, and the judgement on it.
//!
//! In:  what was sent, acknowledged, rejected and read. Out: [`Violation`]s.
//! Owns: the promise of Kafka's producer: an acknowledged record (`acks=all`) is there at the end, at the offset
//! named, once and in order if the producer is idempotent; what was refused or never sent is not there; what was
//! read once is read again.
//! Never: looks into a node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use broker_core::{Offset, ProducerId};

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// What kind, a noun to search for.
    pub kind: &'static str,
    /// Where, and the evidence.
    pub what: String,
    /// Virtual time, in nanoseconds since the start.
    pub at_ns: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {:<20} {}", self.at_ns as f64 / 1e9, self.kind, self.what)
    }
}

/// After so many of one kind the others are only counted.
const KEPT_PER_KIND: usize = 3;

/// The identity of one record; key and value follow from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RecordId {
    pub(crate) producer: u16,
    pub(crate) number: u32,
    pub(crate) filler: u16,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}#{}", self.producer, self.number)
    }
}

impl RecordId {
    pub(crate) fn key(self) -> [u8; 8] {
        let [p0, p1] = self.producer.to_be_bytes();
        let [n0, n1, n2, n3] = self.number.to_be_bytes();
        let [f0, f1] = self.filler.to_be_bytes();
        [p0, p1, n0, n1, n2, n3, f0, f1]
    }

    pub(crate) fn value(self) -> Vec<u8> {
        let seed = u32::from(self.producer).wrapping_mul(0x9e37_79b1) ^ self.number;
        (0..self.filler).map(|at| (seed.wrapping_mul(u32::from(at) + 1) >> 13) as u8).collect()
    }

    /// `None` if this is not a record as [`Self::key`] and [`Self::value`] make it.
    pub(crate) fn parse(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Self> {
        let &[p0, p1, n0, n1, n2, n3, f0, f1] = key?.first_chunk::<8>()?;
        let id = Self {
            producer: u16::from_be_bytes([p0, p1]),
            number: u32::from_be_bytes([n0, n1, n2, n3]),
            filler: u16::from_be_bytes([f0, f1]),
        };
        (key? == id.key() && value? == id.value()).then_some(id)
    }
}

/// How much an acknowledgement promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    Leader,
    Quorum,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Unknown,
    Acknowledged { level: Level, offset: Option<i64> },
    Rejected,
}

struct Sent {
    partition: i32,
    idempotent: bool,
    fate: Fate,
}

/// What one reader saw in one partition.
type Seen = BTreeMap<i64, Option<RecordId>>;

#[derive(Default)]
pub(crate) struct Ledger {
    now_ns: u64,
    sent: BTreeMap<RecordId, Sent>,
    seen: BTreeMap<(i32, usize), Seen>,
    producer_ids: BTreeMap<ProducerId, usize>,
    /// Ends of acknowledged batches (`acks=all`) that the watcher of high watermarks has not looked at yet.
    fresh_acks: Vec<(i32, Offset)>,
    violations: Vec<Violation>,
    counts: BTreeMap<&'static str, u64>,
    acknowledged: u64,
    retried: u64,
}

impl Ledger {
    pub(crate) fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    pub(crate) fn violation(&mut self, kind: &'static str, what: String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= KEPT_PER_KIND as u64 {
            self.violations.push(Violation { kind, what, at_ns: self.now_ns });
        }
    }

    pub(crate) fn producer_id(&mut self, producer: usize, id: ProducerId) {
        if let Some(other) = self.producer_ids.insert(id, producer) {
            self.violation(
                "producer-id-reused",
                format!("id {id} given to producers {other} and {producer}"),
            );
        }
    }

    pub(crate) fn sent(&mut self, partition: i32, records: &[RecordId], idempotent: bool) {
        for record in records {
            self.sent.insert(*record, Sent { partition, idempotent, fate: Fate::Unknown });
        }
    }

    pub(crate) fn retried(&mut self) {
        self.retried += 1;
    }

    /// `base` is the offset of the first record, if the broker said so.
    pub(crate) fn acknowledged(
        &mut self,
        partition: i32,
        records: &[RecordId],
        base: Option<Offset>,
        level: Level,
    ) {
        for (delta, record) in (0..).zip(records) {
            let offset = base.map(|base| base.0 + delta);
            if let Some(sent) = self.sent.get_mut(record) {
                sent.fate = Fate::Acknowledged { level, offset };
                self.acknowledged += 1;
            }
        }
        if let (Some(base), Level::Quorum) = (base, level) {
            self.fresh_acks.push((partition, Offset(base.0 + records.len() as i64)));
        }
    }

    pub(crate) fn rejected(&mut self, records: &[RecordId]) {
        for record in records {
            if let Some(sent) = self.sent.get_mut(record) {
                sent.fate = Fate::Rejected;
            }
        }
    }

    /// A reader that stood at `expected` was given a record.
    pub(crate) fn read(
        &mut self,
        reader: usize,
        partition: i32,
        expected: i64,
        offset: i64,
        id: Option<RecordId>,
    ) {
        if offset != expected {
            let what = format!("partition {partition}: reader {reader} at {expected} was given {offset}");
            self.violation("offset-gap", what);
        }
        self.seen.entry((partition, reader)).or_default().insert(offset, id);
    }

    pub(crate) fn take_fresh_acks(&mut self) -> Vec<(i32, Offset)> {
        std::mem::take(&mut self.fresh_acks)
    }

    /// Records acknowledged, and batches sent more than once.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.acknowledged, self.retried)
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// The judgement, once `final_reader` has read everything.
    pub(crate) fn judge(&mut self, final_reader: usize, partitions: i32) {
        let mut at: BTreeMap<RecordId, Vec<(i32, i64)>> = BTreeMap::new();
        for partition in 0..partitions {
            let log = self.seen.remove(&(partition, final_reader)).unwrap_or_default();
            self.compare_readers(partition, &log);
            self.judge_order(partition, &log);
            for (offset, id) in log {
                match id {
                    Some(id) => at.entry(id).or_default().push((partition, offset)),
                    None => self.violation(
                        "corruption",
                        format!("partition {partition} offset {offset}: not what was sent"),
                    ),
                }
            }
        }
        self.judge_records(&at);
    }

    /// What others have read must be there at the end too.
    fn compare_readers(&mut self, partition: i32, log: &Seen) {
        let readers = self.seen.range((partition, 0)..=(partition, usize::MAX));
        let mut vanished = Vec::new();
        for ((_, reader), seen) in readers {
            let first = seen.iter().find(|(offset, id)| log.get(offset) != Some(id));
            if let Some((offset, id)) = first {
                let name = |id: &Option<RecordId>| id.map_or("?".into(), |id| id.to_string());
                let now = log.get(offset).map_or("nothing".into(), name);
                vanished.push(format!("partition {partition} offset {offset}: reader {reader} saw {}, at the end there is {now}", name(id)));
            }
        }
        for what in vanished {
            self.violation("read-vanished", what);
        }
    }

    /// The records of an idempotent producer stand in the order in which they were sent. So do the first copies of
    /// the others: they have one batch in flight.
    fn judge_order(&mut self, partition: i32, log: &Seen) {
        let mut newest: BTreeMap<u16, RecordId> = BTreeMap::new();
        let mut copies = BTreeSet::new();
        let mut wrong = Vec::new();
        for (offset, id) in log {
            let Some(id) = id.filter(|id| copies.insert(*id)) else { continue };
            match newest.get(&id.producer) {
                Some(before) if before.number > id.number => {
                    wrong.push(format!("partition {partition} offset {offset}: {id} after {before}"));
                }
                _ => {
                    newest.insert(id.producer, id);
                }
            }
        }
        for what in wrong {
            self.violation("reordered", what);
        }
    }

    fn judge_records(&mut self, at: &BTreeMap<RecordId, Vec<(i32, i64)>>) {
        for (id, places) in at {
            if !self.sent.contains_key(id) {
                self.violation("phantom", format!("{id} at {places:?} was never sent"));
            }
        }
        let mut found = Vec::new();
        for (id, sent) in &self.sent {
            let places = at.get(id).map_or(&[][..], Vec::as_slice);
            match sent.fate {
                Fate::Acknowledged { level: Level::Quorum, .. } if places.is_empty() => {
                    found.push(("acked-loss", format!("{id} in partition {}", sent.partition)));
                }
                Fate::Acknowledged { level: Level::Quorum, offset: Some(offset) }
                    if !places.contains(&(sent.partition, offset)) =>
                {
                    let partition = sent.partition;
                    found.push((
                        "moved",
                        format!(
                            "{id} acknowledged at partition {partition} offset {offset}, found at {places:?}"
                        ),
                    ));
                }
                Fate::Rejected if !places.is_empty() => {
                    found.push(("rejected-but-stored", format!("{id} at {places:?}")));
                }
                _ => {}
            }
            if sent.idempotent && places.len() > 1 {
                found.push(("duplicate", format!("{id} at {places:?}")));
            }
        }
        for (kind, what) in found {
            self.violation(kind, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: u16 = 1;

    fn record(number: u32) -> RecordId {
        RecordId { producer: PRODUCER, number, filler: 4 }
    }

    /// Two records acknowledged at offsets 0 and 1, then the given final read.
    fn judged(log: &[RecordId]) -> Vec<&'static str> {
        let mut ledger = Ledger::default();
        let sent = [record(1), record(2)];
        ledger.sent(0, &sent, true);
        ledger.acknowledged(0, &sent, Some(Offset(0)), Level::Quorum);
        for (offset, id) in (0..).zip(log) {
            ledger.read(9, 0, offset, offset, Some(*id));
        }
        ledger.judge(9, 1);
        ledger.into_violations().iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn all_acknowledged_records_in_order_are_fine() {
        assert!(judged(&[record(1), record(2)]).is_empty());
    }

    #[test]
    fn a_missing_acknowledged_record_is_a_loss() {
        assert_eq!(judged(&[record(1)]), ["acked-loss"]);
    }

    #[test]
    fn a_second_copy_of_an_idempotent_record_is_a_duplicate() {
        assert_eq!(judged(&[record(1), record(2), record(2)]), ["duplicate"]);
    }

    #[test]
    fn swapped_records_are_reordered_and_moved() {
        assert_eq!(judged(&[record(2), record(1)]), ["reordered", "moved", "moved"]);
    }

    #[test]
    fn a_record_that_nobody_sent_is_a_phantom() {
        assert_eq!(judged(&[record(1), record(2), record(3)]), ["phantom"]);
    }

    #[test]
    fn a_rejected_record_must_not_be_there() {
        let mut ledger = Ledger::default();
        ledger.sent(0, &[record(1)], false);
        ledger.rejected(&[record(1)]);
        ledger.read(9, 0, 0, 0, Some(record(1)));
        ledger.judge(9, 1);
        assert_eq!(ledger.into_violations()[0].kind, "rejected-but-stored");
    }

    #[test]
    fn what_was_read_once_must_be_read_again() {
        let mut ledger = Ledger::default();
        ledger.sent(0, &[record(1), record(2)], false);
        ledger.read(1, 0, 0, 0, Some(record(1)));
        ledger.read(9, 0, 0, 0, Some(record(2)));
        ledger.judge(9, 1);
        assert_eq!(ledger.into_violations()[0].kind, "read-vanished");
    }

    #[test]
    fn a_flipped_byte_is_noticed() {
        let id = record(7);
        let mut value = id.value();
        value[2] ^= 1;
        assert_eq!(RecordId::parse(Some(&id.key()), Some(&id.value())), Some(id));
        assert_eq!(RecordId::parse(Some(&id.key()), Some(&value)), None);
    }
}
