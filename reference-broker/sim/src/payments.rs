//! What transactional producers were told, and what readers of committed records were shown.
//!
//! In:  transactions and their ends, records that were sent in them and read. Out: what is wrong, at the end.
//! Owns: the promise of a transaction: all of it is shown once it is committed, and nothing of it before, or ever if it is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::RecordId;

/// A transaction: its producer, and which one of that it is.
pub(crate) type Transaction = (u16, u32);

/// What a transaction commits as the offset of a group, if it does.
pub(crate) fn offset_of((producer, number): Transaction) -> i64 {
    (i64::from(producer) << 32) + i64::from(number)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Nobody has asked for its commit.
    NotCommitted,
    /// Its commit was asked for, and what came of that is not known.
    Unknown,
    Committed,
}

#[derive(Debug)]
struct Kept {
    fate: Fate,
    records: Vec<RecordId>,
    /// When its commit was asked for and acknowledged, in the order of all such events.
    asked: u64,
    acknowledged: u64,
}

#[derive(Debug)]
struct Sent {
    transaction: Transaction,
    partition: i32,
}

/// The transactions of a run.
#[derive(Debug, Default)]
pub(crate) struct Payments {
    transactions: BTreeMap<Transaction, Kept>,
    sent: BTreeMap<RecordId, Sent>,
    /// The transactions of each transactional id that commit an offset.
    offering: BTreeMap<u16, BTreeSet<Transaction>>,
    /// What is committed at the end, by transactional id.
    offsets: BTreeMap<u16, Option<i64>>,
    /// Counts questions for commits and their answers.
    events: u64,
    /// By reader and partition: what was there at each offset.
    seen: BTreeMap<(usize, i32), BTreeMap<i64, Option<RecordId>>>,
    /// Commits that were acknowledged, and how many of them in the second protocol.
    pub(crate) committed: u64,
    pub(crate) second: u64,
    /// Aborts that were acknowledged.
    pub(crate) aborted: u64,
    /// Producers that had to take a fresh epoch, or stopped.
    pub(crate) fenced: u64,
}

impl Payments {
    /// A record is about to be sent, in this transaction.
    pub(crate) fn sent(&mut self, transaction: Transaction, partition: i32, record: RecordId) {
        let kept = || Kept { fate: Fate::NotCommitted, records: Vec::new(), asked: 0, acknowledged: 0 };
        self.transactions.entry(transaction).or_insert_with(kept).records.push(record);
        self.sent.insert(record, Sent { transaction, partition });
    }

    /// It commits an offset with the rest of what its transactional id does.
    pub(crate) fn begun(&mut self, id: u16, transaction: Transaction) {
        self.offering.entry(id).or_default().insert(transaction);
    }

    /// Transactional ids whose transactions commit offsets.
    pub(crate) fn offering(&self) -> impl Iterator<Item = u16> {
        self.offering.keys().copied()
    }

    /// What is committed for a transactional id at the end.
    pub(crate) fn offset_found(&mut self, id: u16, offset: Option<i64>) {
        self.offsets.insert(id, offset);
    }

    /// How many of them have one.
    pub(crate) fn offsets(&self) -> u64 {
        self.offsets.values().flatten().count() as u64
    }

    /// The commit is about to be asked for.
    pub(crate) fn commit_asked(&mut self, transaction: Transaction) {
        self.set(transaction, Fate::Unknown);
    }

    /// The commit was acknowledged.
    pub(crate) fn committed(&mut self, transaction: Transaction) {
        self.committed += 1;
        self.set(transaction, Fate::Committed);
    }

    fn set(&mut self, transaction: Transaction, fate: Fate) {
        self.events += 1;
        if let Some(kept) = self.transactions.get_mut(&transaction) {
            kept.fate = fate;
            match fate {
                Fate::Committed => kept.acknowledged = self.events,
                _ => kept.asked = self.events,
            }
        }
    }

    /// A reader was shown a record, or something that is none.
    pub(crate) fn read(&mut self, reader: usize, partition: i32, offset: i64, id: Option<RecordId>) {
        self.seen.entry((reader, partition)).or_default().insert(offset, id);
    }

    /// Kinds and evidence of all that is wrong, once `last` has read everything.
    pub(crate) fn judge(&self, last: usize) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut at: BTreeMap<RecordId, Vec<(i32, i64)>> = BTreeMap::new();
        let mut newest: BTreeMap<(i32, u16), u32> = BTreeMap::new();
        for ((_, partition), log) in self.seen.range((last, i32::MIN)..=(last, i32::MAX)) {
            for (offset, id) in log {
                let Some(id) = id else {
                    wrong.push(("corruption", format!("payments {partition}/{offset}: not what was sent")));
                    continue;
                };
                at.entry(*id).or_default().push((*partition, *offset));
                let before = newest.entry((*partition, id.producer)).or_default();
                if id.number <= *before {
                    wrong.push(("reordered", format!("payments {partition}/{offset}: {id} after #{before}")));
                }
                *before = id.number.max(*before);
            }
        }
        self.judge_places(&at, &mut wrong);
        self.judge_transactions(&at, &mut wrong);
        self.compare_readers(last, &mut wrong);
        self.judge_offsets(&mut wrong);
        wrong
    }

    fn judge_places(
        &self,
        at: &BTreeMap<RecordId, Vec<(i32, i64)>>,
        wrong: &mut Vec<(&'static str, String)>,
    ) {
        for (id, places) in at {
            match self.sent.get(id) {
                None => wrong.push(("phantom", format!("payments: {id} at {places:?} was never sent"))),
                Some(sent) if places.iter().any(|(partition, _)| *partition != sent.partition) => {
                    wrong
                        .push(("moved", format!("payments: {id} at {places:?}, sent to {}", sent.partition)));
                }
                Some(_) if places.len() > 1 => {
                    wrong.push(("duplicate", format!("payments: {id} at {places:?}")));
                }
                Some(_) => {}
            }
        }
    }

    fn judge_transactions(
        &self,
        at: &BTreeMap<RecordId, Vec<(i32, i64)>>,
        wrong: &mut Vec<(&'static str, String)>,
    ) {
        for (transaction, Kept { fate, records, .. }) in &self.transactions {
            let shown = records.iter().filter(|id| at.contains_key(id)).count();
            let all = records.len();
            let kind = match fate {
                Fate::NotCommitted if shown > 0 => "aborted-read",
                Fate::Unknown if shown > 0 && shown < all => "torn-transaction",
                Fate::Committed if shown < all => "acked-loss",
                _ => continue,
            };
            let (producer, number) = transaction;
            let what = format!(
                "transaction {number} of p{producer}: {shown} of {all} records are shown, it is {fate:?}"
            );
            wrong.push((kind, what));
        }
    }

    /// An offset counts once its transaction is committed, until one that was committed later brings another.
    fn judge_offsets(&self, wrong: &mut Vec<(&'static str, String)>) {
        for (id, offset) in &self.offsets {
            let of_id = self.offering.get(id).into_iter().flatten();
            let known = || of_id.clone().filter_map(|one| Some((one, self.transactions.get(one)?)));
            let committed = || known().filter(|(_, kept)| kept.fate == Fate::Committed);
            let Some(offset) = offset else {
                if let Some((transaction, _)) = committed().next() {
                    let what = format!("payer {id}: {transaction:?} is committed, its offset is not");
                    wrong.push(("acked-loss", what));
                }
                continue;
            };
            let Some((transaction, kept)) = known().find(|(one, _)| offset_of(**one) == *offset) else {
                wrong.push(("phantom", format!("payer {id}: nobody has committed offset {offset}")));
                continue;
            };
            let newer = |other: &Kept| kept.fate == Fate::Committed && other.asked > kept.acknowledged;
            if kept.fate == Fate::NotCommitted {
                let what =
                    format!("payer {id}: the offset of {transaction:?} counts, which is not committed");
                wrong.push(("aborted-read", what));
            } else if let Some((newer, _)) = committed().find(|(_, other)| newer(other)) {
                let what =
                    format!("payer {id}: the offset of {transaction:?} counts, {newer:?} came after it");
                wrong.push(("acked-loss", what));
            }
        }
    }

    /// What a reader along the way was shown is shown at the end.
    fn compare_readers(&self, last: usize, wrong: &mut Vec<(&'static str, String)>) {
        for ((reader, partition), log) in self.seen.iter().filter(|((reader, _), _)| *reader != last) {
            let final_log = self.seen.get(&(last, *partition));
            let gone = log.iter().find(|(offset, id)| final_log.and_then(|log| log.get(offset)) != Some(id));
            if let Some((offset, Some(id))) = gone {
                let of = self.sent.get(id).map(|sent| sent.transaction);
                let what = format!(
                    "payments {partition}/{offset}: reader {reader} was shown {id} of {of:?}, at the end it is not there"
                );
                wrong.push(("read-vanished", what));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32) -> RecordId {
        RecordId { producer: 7, number, filler: 0, keys: 0 }
    }

    /// Two records each in transactions 1 and 2; the second is asked for and not known, unless something else is said.
    fn kinds(change: impl FnOnce(&mut Payments), shown: &[u32]) -> Vec<&'static str> {
        let mut payments = Payments::default();
        for number in 1..=4_u32 {
            payments.sent((7, number.div_ceil(2)), 0, record(number));
        }
        payments.commit_asked((7, 1));
        payments.committed((7, 1));
        change(&mut payments);
        for (offset, number) in (0..).zip(shown) {
            payments.read(9, 0, offset, Some(record(*number)));
        }
        payments.judge(9).into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn what_is_committed_is_shown_and_what_nobody_asked_for_is_not() {
        assert_eq!(kinds(|_| {}, &[1, 2]), [""; 0]);
        assert_eq!(kinds(|_| {}, &[1]), ["acked-loss"]);
        assert_eq!(kinds(|_| {}, &[1, 2, 3]), ["aborted-read"]);
    }

    #[test]
    fn a_commit_in_doubt_is_shown_whole_or_not_at_all() {
        let asked = |payments: &mut Payments| payments.commit_asked((7, 2));
        assert_eq!(kinds(asked, &[1, 2]), [""; 0]);
        assert_eq!(kinds(asked, &[1, 2, 3, 4]), [""; 0]);
        assert_eq!(kinds(asked, &[1, 2, 4]), ["torn-transaction"]);
    }

    #[test]
    fn copies_strangers_and_wrong_orders_are_noticed() {
        assert_eq!(kinds(|_| {}, &[1, 2, 2]), ["reordered", "duplicate"]);
        assert_eq!(kinds(|_| {}, &[2, 1]), ["reordered"]);
        assert_eq!(kinds(|_| {}, &[1, 2, 5]), ["phantom"]);
        assert_eq!(kinds(|payments| payments.read(9, 0, 40, None), &[1, 2]), ["corruption"]);
    }

    #[test]
    fn the_offset_of_the_last_committed_transaction_counts() {
        let found = |number: Option<u32>| {
            move |payments: &mut Payments| {
                for number in 1..=3 {
                    payments.begun(0, (7, number));
                }
                payments.sent((7, 3), 0, record(9));
                payments.offset_found(0, number.map(|number| offset_of((7, number))));
            }
        };
        assert_eq!(kinds(found(Some(1)), &[1, 2]), [""; 0]);
        assert_eq!(kinds(found(None), &[1, 2]), ["acked-loss"]);
        assert_eq!(kinds(found(Some(2)), &[1, 2]), ["aborted-read"]);
        assert_eq!(kinds(found(Some(8)), &[1, 2]), ["phantom"]);
        let later = |payments: &mut Payments| {
            payments.commit_asked((7, 2));
            payments.committed((7, 2));
            found(Some(1))(payments);
        };
        assert_eq!(kinds(later, &[1, 2, 3, 4]), ["acked-loss"]);
        let in_doubt = |payments: &mut Payments| {
            payments.commit_asked((7, 2));
            found(Some(2))(payments);
        };
        assert_eq!(kinds(in_doubt, &[1, 2]), [""; 0]);
    }

    #[test]
    fn what_was_shown_once_is_shown_at_the_end() {
        let early = |payments: &mut Payments| {
            payments.commit_asked((7, 2));
            payments.read(1, 0, 2, Some(record(3)));
        };
        assert_eq!(kinds(early, &[1, 2]), ["read-vanished"]);
        assert_eq!(kinds(early, &[1, 2, 3, 4]), [""; 0]);
    }
}
