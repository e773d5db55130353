//! What members of the group were told about its committed offsets.
//!
//! In:  commits that were acknowledged or are in doubt, and offsets that were fetched. Out: violations.
//! Owns: the promise of a consumer group: an acknowledged commit is what the next owner begins with, and whoever speaks in
//! an epoch that is over commits nothing.

use std::collections::{BTreeMap, BTreeSet};

/// What a member commits in an epoch that is over; no member ever commits it in its own.
pub(crate) const STALE_OFFSET: i64 = 0;

/// What is wrong with an offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It was committed in an epoch that was over.
    StaleCommit(String),
    /// A newer one was acknowledged.
    Behind(String),
    /// Nobody has ever committed it.
    Invented(String),
}

/// The committed offsets of one group, by partition.
#[derive(Debug, Default)]
pub(crate) struct GroupLedger {
    /// The last offset that any member has sent.
    drawn: BTreeMap<i32, i64>,
    acknowledged: BTreeMap<i32, i64>,
    /// Commits whose answer was lost: they may be carried out at any later time, after newer ones too.
    in_doubt: BTreeMap<i32, BTreeSet<i64>>,
    /// Members that have gone, as they were told, and the first epoch of the group that was seen without them.
    gone: BTreeMap<String, Option<i32>>,
    /// Until when the group is known to have had a member.
    covered_ns: u64,
    /// Commits that were acknowledged.
    pub(crate) commits: u64,
    /// Commits that were refused because their epoch was over.
    pub(crate) stale: u64,
    /// Times that a member came to a newer epoch.
    pub(crate) epochs: u64,
}

impl GroupLedger {
    /// A member was in the group from `from_ns` until `until_ns` at least. If nobody was known to be in it shortly before,
    /// its offsets may have expired.
    pub(crate) fn had_member(&mut self, from_ns: u64, until_ns: u64) {
        if from_ns > self.covered_ns {
            self.acknowledged.clear();
        }
        self.covered_ns = self.covered_ns.max(until_ns);
    }

    /// A member was told that it has left.
    pub(crate) fn left(&mut self, member: String) {
        self.gone.insert(member, None);
    }

    /// All that have.
    pub(crate) fn gone(&self) -> BTreeSet<String> {
        self.gone.keys().cloned().collect()
    }

    /// A coordinator has told who is in the group in this epoch, when `gone` had left before it was asked. One that does not know
    /// that it is deposed tells of an older epoch; in a newer one nobody comes back.
    pub(crate) fn described(
        &mut self,
        gone: &BTreeSet<String>,
        members: &BTreeSet<String>,
        epoch: i32,
    ) -> Option<String> {
        let mut ghost = None;
        for (member, without) in self.gone.iter_mut().filter(|(member, _)| gone.contains(*member)) {
            match *without {
                _ if !members.contains(member) => *without = Some(without.unwrap_or(epoch).min(epoch)),
                Some(since) if epoch >= since => {
                    ghost = Some(format!("{member} is a member in epoch {epoch}, it was gone in {since}"));
                }
                _ => {}
            }
        }
        ghost
    }

    /// What is known to be committed now.
    pub(crate) fn acknowledged(&self, partition: i32) -> Option<i64> {
        self.acknowledged.get(&partition).copied()
    }

    /// What to commit next: more than anybody has ever sent.
    pub(crate) fn draw(&mut self, partition: i32) -> i64 {
        let drawn = self.drawn.entry(partition).or_insert(STALE_OFFSET);
        *drawn += 1;
        *drawn
    }

    pub(crate) fn committed(&mut self, partition: i32, offset: i64) {
        self.commits += 1;
        let highest = self.acknowledged.entry(partition).or_insert(offset);
        *highest = offset.max(*highest);
    }

    pub(crate) fn lost(&mut self, partition: i32, offset: i64) {
        self.in_doubt.entry(partition).or_default().insert(offset);
    }

    /// An offset was fetched, when `acknowledged` had been known before the request. What is wrong with it, if anything.
    pub(crate) fn fetched(
        &self,
        partition: i32,
        acknowledged: Option<i64>,
        offset: Option<i64>,
    ) -> Option<Fault> {
        if offset == Some(STALE_OFFSET) {
            let what = format!("partition {partition}: an epoch that was over has committed");
            return Some(Fault::StaleCommit(what));
        }
        if offset > self.drawn.get(&partition).copied() {
            let what =
                format!("partition {partition}: {offset:?} is committed, and nobody has committed that");
            return Some(Fault::Invented(what));
        }
        let doubtful =
            |offset: i64| self.in_doubt.get(&partition).is_some_and(|offsets| offsets.contains(&offset));
        if offset >= acknowledged || offset.is_some_and(doubtful) {
            return None;
        }
        let what =
            format!("partition {partition}: {acknowledged:?} was acknowledged, {offset:?} is committed");
        Some(Fault::Behind(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_is_gone_and_one_of_an_old_epoch_are_noticed() {
        let mut ledger = GroupLedger::default();
        for _ in 0..6 {
            ledger.draw(0);
        }
        ledger.committed(0, 5);
        let fetched = |offset| ledger.fetched(0, ledger.acknowledged(0), offset);
        assert_eq!(fetched(Some(5)), None);
        assert_eq!(fetched(Some(6)), None, "it may have been committed without an answer");
        assert!(matches!(fetched(Some(4)), Some(Fault::Behind(_))));
        assert!(matches!(fetched(None), Some(Fault::Behind(_))));
        assert!(matches!(fetched(Some(7)), Some(Fault::Invented(_))));
        assert!(matches!(fetched(Some(STALE_OFFSET)), Some(Fault::StaleCommit(_))));
    }

    #[test]
    fn the_offsets_of_a_group_that_was_empty_may_have_expired() {
        let mut ledger = GroupLedger::default();
        ledger.had_member(10, 20);
        ledger.committed(0, 5);
        ledger.had_member(20, 30);
        assert_eq!(ledger.acknowledged(0), Some(5));
        ledger.had_member(31, 40);
        assert_eq!(ledger.acknowledged(0), None);
    }

    #[test]
    fn who_has_left_is_no_member_of_a_later_epoch() {
        let mut ledger = GroupLedger::default();
        let [one, none] = [BTreeSet::from(["a".to_owned()]), BTreeSet::new()];
        ledger.left("a".into());
        let mut described = |gone, members, epoch| ledger.described(gone, members, epoch).is_some();
        assert!(!described(&one, &one, 4), "told by one that is deposed");
        assert!(!described(&one, &none, 5));
        assert!(!described(&one, &one, 4));
        assert!(!described(&none, &one, 6), "it had not left yet when this was asked");
        assert!(described(&one, &one, 6));
    }

    #[test]
    fn a_commit_in_doubt_may_be_carried_out_late() {
        let mut ledger = GroupLedger::default();
        for _ in 0..5 {
            ledger.draw(0);
        }
        ledger.lost(0, 4);
        ledger.committed(0, 5);
        assert_eq!(ledger.fetched(0, Some(5), Some(4)), None);
    }
}
