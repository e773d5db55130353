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

use crate::groups::GroupLedger;
use crate::payments::Payments;
use crate::rarity::{Rarities, Rarity};

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

/// What follows from a loss of acknowledged records, however it came about. A run that has gone beyond the promise is not judged by it.
const LOSS: [&str; 12] = [
    "acked-loss",
    "watermark-ahead",
    "hole",
    "read-vanished",
    "moved",
    "divergence",
    "sequence-gap",
    "compacted-away",
    "member-epoch-fell",
    "aborted-read",
    "torn-transaction",
    "stale-commit",
];

/// After so many of one kind the others are only counted.
const KEPT_PER_KIND: usize = 3;

/// The identity of one record; key and value follow from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RecordId {
    pub(crate) producer: u16,
    pub(crate) number: u32,
    pub(crate) filler: u16,
    /// How many keys its producer has; 0: each record has its own.
    pub(crate) keys: u16,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}#{}", self.producer, self.number)
    }
}

impl RecordId {
    fn bytes(self) -> [u8; 10] {
        let [p0, p1] = self.producer.to_be_bytes();
        let [n0, n1, n2, n3] = self.number.to_be_bytes();
        let [f0, f1] = self.filler.to_be_bytes();
        let [k0, k1] = self.keys.to_be_bytes();
        [p0, p1, n0, n1, n2, n3, f0, f1, k0, k1]
    }

    pub(crate) fn key(self) -> Vec<u8> {
        match self.keys {
            0 => self.bytes().to_vec(),
            keys => {
                let slot = (self.number % u32::from(keys)) as u16;
                [self.producer.to_be_bytes(), slot.to_be_bytes()].concat()
            }
        }
    }

    pub(crate) fn value(self) -> Vec<u8> {
        let seed = u32::from(self.producer).wrapping_mul(0x9e37_79b1) ^ self.number;
        let filler = (0..self.filler).map(|at| (seed.wrapping_mul(u32::from(at) + 1) >> 13) as u8);
        self.bytes().into_iter().chain(filler).collect()
    }

    /// `None` if this is not a record as [`Self::key`] and [`Self::value`] make it.
    pub(crate) fn parse(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Self> {
        let &[p0, p1, n0, n1, n2, n3, f0, f1, k0, k1] = value?.first_chunk::<10>()?;
        let id = Self {
            producer: u16::from_be_bytes([p0, p1]),
            number: u32::from_be_bytes([n0, n1, n2, n3]),
            filler: u16::from_be_bytes([f0, f1]),
            keys: u16::from_be_bytes([k0, k1]),
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
    /// What the members of the group were told.
    pub(crate) groups: GroupLedger,
    pub(crate) elders: GroupLedger,
    /// What transactional producers were told, and their readers shown.
    pub(crate) payments: Payments,
    violations: Vec<Violation>,
    counts: BTreeMap<&'static str, u64>,
    /// Records may be missing where the log was deleted.
    deletes: bool,
    /// Records may be missing that have a newer one with the same key.
    compacts: bool,
    /// Where readers were told that a log starts.
    starts: BTreeMap<(i32, usize), i64>,
    /// Up to where deletion was asked for.
    delete_requests: BTreeMap<i32, i64>,
    /// The end of what was acknowledged.
    acked_ends: BTreeMap<i32, i64>,
    /// Why losses are not judged any more.
    beyond: Option<String>,
    not_claimed: BTreeMap<&'static str, u64>,
    acknowledged: u64,
    retried: u64,
}

impl Ledger {
    pub(crate) fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// What may be missing although it was acknowledged.
    pub(crate) fn allow(&mut self, deletes: bool, compacts: bool) {
        (self.deletes, self.compacts) = (deletes, compacts);
    }

    /// A reader whose position was out of range was told where the log starts.
    pub(crate) fn starts_at(&mut self, reader: usize, partition: i32, offset: i64) {
        let start = self.starts.entry((partition, reader)).or_default();
        *start = offset.max(*start);
        let asked = self.delete_requests.get(&partition).copied().unwrap_or_default();
        if !self.delete_requests.is_empty() && offset > asked {
            let what = format!("partition {partition} starts at {offset}, asked for was {asked}");
            self.violation("deletion", what);
        }
    }

    /// All below an offset is not needed any more.
    pub(crate) fn delete_requested(&mut self, partition: i32, offset: i64) {
        let limit = self.delete_requests.entry(partition).or_default();
        *limit = offset.max(*limit);
    }

    /// The end of what was acknowledged (`acks=all`) in a partition.
    pub(crate) fn acked_end(&self, partition: i32) -> i64 {
        self.acked_ends.get(&partition).copied().unwrap_or_default()
    }

    /// The faults have gone beyond what the cluster's settings promise.
    pub(crate) fn beyond_promise(&mut self, why: String) {
        self.beyond.get_or_insert(why);
    }

    pub(crate) fn violation(&mut self, kind: &'static str, what: String) {
        if self.beyond.is_some() && LOSS.contains(&kind) {
            *self.not_claimed.entry(kind).or_default() += 1;
            return;
        }
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
            let end = base.0 + records.len() as i64;
            self.fresh_acks.push((partition, Offset(end)));
            let acked = self.acked_ends.entry(partition).or_default();
            *acked = end.max(*acked);
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
        if offset != expected && !(self.compacts && offset > expected) {
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

    /// How many acknowledged records were lost, claimed or not.
    pub(crate) fn lost(&self) -> u64 {
        let count = |counts: &BTreeMap<&str, u64>| counts.get("acked-loss").copied().unwrap_or_default();
        count(&self.counts) + count(&self.not_claimed)
    }

    /// Why losses are not claimed, if so.
    pub(crate) fn why_not_claimed(&self) -> Option<&str> {
        self.beyond.as_deref()
    }

    pub(crate) fn rarities(&self, all: &mut Rarities) {
        all.add(Rarity::Retried, self.retried);
        all.add(Rarity::LossNotClaimed, self.not_claimed.get("acked-loss").copied().unwrap_or_default());
        all.add(Rarity::GroupRebalanced, self.groups.epochs);
        all.add(Rarity::OffsetCommitted, self.groups.commits);
        all.add(Rarity::StaleCommitRefused, self.groups.stale);
        all.add(Rarity::ClassicCommitted, self.elders.commits);
        all.add(Rarity::OffsetInTransaction, self.payments.offsets());
        all.add(Rarity::TransactionCommitted, self.payments.committed);
        all.add(Rarity::SecondProtocol, self.payments.second);
        all.add(Rarity::TransactionAborted, self.payments.aborted);
        all.add(Rarity::TransactionFenced, self.payments.fenced);
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// The judgement, once `final_reader` has read everything.
    pub(crate) fn judge(&mut self, final_reader: usize, partitions: i32) {
        let mut at: BTreeMap<RecordId, Vec<(i32, i64)>> = BTreeMap::new();
        let mut left = Left::default();
        for partition in 0..partitions {
            let log = self.seen.remove(&(partition, final_reader)).unwrap_or_default();
            let start = self.starts.get(&(partition, final_reader)).copied().unwrap_or_default();
            left.add(partition, start, &log, self.compacts);
            self.compare_readers(partition, &log, &left);
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
        self.judge_records(&at, &left);
    }

    /// The judgement on transactions, once `last` has read all that is committed.
    pub(crate) fn judge_payments(&mut self, last: usize) {
        for (kind, what) in self.payments.judge(last) {
            self.violation(kind, what);
        }
    }

    /// What others have read must be there at the end too.
    fn compare_readers(&mut self, partition: i32, log: &Seen, left: &Left) {
        let readers = self.seen.range((partition, 0)..=(partition, usize::MAX));
        let mut vanished = Vec::new();
        for ((_, reader), seen) in readers {
            let first = seen.iter().find(|(offset, id)| {
                let gone = !log.contains_key(offset) && left.excuses(partition, Some(**offset), **id);
                log.get(offset) != Some(id) && !gone
            });
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

    /// The records of an idempotent producer stand in the order in which they were sent. What others send again may come later than
    /// what they sent after it, and stay where its first copy is gone.
    fn judge_order(&mut self, partition: i32, log: &Seen) {
        let mut newest: BTreeMap<u16, RecordId> = BTreeMap::new();
        let mut copies = BTreeSet::new();
        let mut wrong = Vec::new();
        for (offset, id) in log {
            let Some(id) = id.filter(|id| copies.insert(*id)) else { continue };
            let once = self.sent.get(&id).is_some_and(|sent| sent.idempotent);
            if !once {
                continue;
            }
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

    fn judge_records(&mut self, at: &BTreeMap<RecordId, Vec<(i32, i64)>>, left: &Left) {
        for (id, places) in at {
            if !self.sent.contains_key(id) {
                self.violation("phantom", format!("{id} at {places:?} was never sent"));
            }
        }
        let mut found = Vec::new();
        for (id, sent) in &self.sent {
            let places = at.get(id).map_or(&[][..], Vec::as_slice);
            match sent.fate {
                Fate::Acknowledged { offset, .. } if left.excuses(sent.partition, offset, Some(*id)) => {}
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

/// What is left of the logs, and why something may be missing.
#[derive(Default)]
struct Left {
    /// By partition: where the log starts.
    starts: BTreeMap<i32, i64>,
    /// By partition and key: the newest record. Empty where nothing is compacted.
    newest: BTreeMap<(i32, Vec<u8>), i64>,
}

impl Left {
    fn add(&mut self, partition: i32, start: i64, log: &Seen, compacts: bool) {
        self.starts.insert(partition, start);
        let known = log.iter().filter(|_| compacts);
        self.newest.extend(known.filter_map(|(offset, id)| Some(((partition, (*id)?.key()), *offset))));
    }

    /// Whether a record may be missing at an offset, or wherever it was stored if that is not known.
    fn excuses(&self, partition: i32, offset: Option<i64>, id: Option<RecordId>) -> bool {
        let start = self.starts.get(&partition).copied().unwrap_or_default();
        let newest = id.and_then(|id| self.newest.get(&(partition, id.key())));
        match offset {
            Some(offset) => offset < start || newest.is_some_and(|newest| *newest > offset),
            None => start > 0 || newest.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: u16 = 1;

    fn record(number: u32) -> RecordId {
        RecordId { producer: PRODUCER, number, filler: 4, keys: 0 }
    }

    #[test]
    fn what_was_deleted_or_has_a_newer_record_with_its_key_may_be_missing_and_nothing_else() {
        let of = |number| RecordId { keys: 2, ..record(number) };
        let judged = |start, compacts: bool, log: &[(i64, RecordId)]| {
            let mut ledger = Ledger::default();
            ledger.allow(!compacts, compacts);
            let sent = [of(1), of(2), of(3)];
            ledger.sent(0, &sent, true);
            ledger.acknowledged(0, &sent, Some(Offset(0)), Level::Quorum);
            ledger.starts_at(9, 0, start);
            for (offset, id) in log {
                ledger.read(9, 0, *offset, *offset, Some(*id));
            }
            ledger.judge(9, 1);
            ledger.into_violations().iter().map(|violation| violation.kind).collect::<Vec<_>>()
        };
        assert_eq!(judged(1, false, &[(1, of(2)), (2, of(3))]), Vec::<&str>::new());
        assert_eq!(judged(1, false, &[(2, of(3))]), ["acked-loss"]);
        assert_eq!(judged(0, true, &[(1, of(2)), (2, of(3))]), Vec::<&str>::new(), "1 and 3 have one key");
        assert_eq!(judged(0, true, &[(0, of(1)), (1, of(2))]), ["acked-loss"], "the newest of the key");
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
    fn a_loss_beyond_the_promise_is_counted_and_not_judged_but_a_duplicate_is() {
        let mut ledger = Ledger::default();
        ledger.sent(0, &[record(1), record(2)], true);
        ledger.acknowledged(0, &[record(1), record(2)], Some(Offset(0)), Level::Quorum);
        ledger.beyond_promise("all lost their power".into());
        ledger.read(9, 0, 0, 0, Some(record(1)));
        ledger.read(9, 0, 1, 1, Some(record(1)));
        ledger.judge(9, 1);
        assert_eq!(ledger.lost(), 1);
        let kinds: Vec<_> = ledger.into_violations().iter().map(|violation| violation.kind).collect();
        assert_eq!(kinds, ["duplicate"]);
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
