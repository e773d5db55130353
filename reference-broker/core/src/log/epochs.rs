//! Which leader epoch began at which offset (KIP-101, KIP-279).
//!
//! Each batch carries the epoch under which it was appended, and so tells the recovery scan of the epochs that began behind what was
//! durable. Those before are in the checkpoint: compaction may have left nothing of them.
//!
//! Where compaction has taken the first batches of an epoch it may have begun anywhere in the gap, and counts from the end of what
//! is left before: a follower that is told too much of the epoch before would keep records there that nobody else has. Whoever has a
//! committed record behind the gap has one of the later epoch, and does not ask for the earlier.

use crate::ids::{LeaderEpoch, Offset};

/// An epoch and the offset of its first record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EpochStart {
    pub(super) epoch: LeaderEpoch,
    pub(super) start: Offset,
}

/// Strictly increasing in both epoch and start offset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct EpochCache {
    entries: Vec<EpochStart>,
}

impl EpochCache {
    /// The entries that begin below `end`.
    pub(super) fn below(&self, end: Offset) -> impl Iterator<Item = EpochStart> {
        self.entries.iter().copied().take_while(move |entry| entry.start < end)
    }

    pub(super) fn latest(&self) -> LeaderEpoch {
        self.entries.last().map_or(LeaderEpoch::NONE, |entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start`, unless it is known already. Epochs that began there or later left no
    /// record behind and are forgotten.
    pub(super) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if epoch > self.latest() {
            self.truncate(start);
            self.entries.push(EpochStart { epoch, start });
        }
    }

    /// Forgets epochs that begin at `end` or later. To be called even if the log is not that long (KAFKA-10706).
    pub(super) fn truncate(&mut self, end: Offset) {
        let keep = self.entries.partition_point(|entry| entry.start < end);
        self.entries.truncate(keep);
    }

    /// Forgets epochs that ended before `start`. That of the record before it is kept with its true beginning, so that it
    /// is known even if nothing is left of it.
    pub(super) fn forget_below(&mut self, start: Offset) {
        let ended = self.entries.partition_point(|entry| entry.start < start).saturating_sub(1);
        self.entries.drain(..ended);
    }

    /// The largest epoch not above `epoch`, and where the next one begins. Below the first entry it is `epoch`
    /// itself with the start of the first entry, so that the asker cuts to there.
    pub(super) fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        if epoch == LeaderEpoch::NONE || epoch > self.latest() {
            return (LeaderEpoch::NONE, Offset(-1));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(above).map_or(log_end, |entry| entry.start);
        let found = above.checked_sub(1).map_or(epoch, |floor| self.entries[floor].epoch);
        (found, end)
    }

    /// The epoch of the record at `offset`.
    pub(super) fn at(&self, offset: Offset) -> LeaderEpoch {
        let above = self.entries.partition_point(|entry| entry.start <= offset);
        above.checked_sub(1).map_or(LeaderEpoch::NONE, |floor| self.entries[floor].epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, start) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        cache
    }

    fn end(cache: &EpochCache, epoch: i32, log_end: i64) -> (i32, i64) {
        let (epoch, end) = cache.end_offset(LeaderEpoch(epoch), Offset(log_end));
        (epoch.0, end.0)
    }

    #[test]
    fn the_latest_epoch_ends_at_the_end_of_the_log() {
        assert_eq!(end(&cache(&[(2, 0), (5, 10)]), 5, 17), (5, 17));
    }

    #[test]
    fn an_older_epoch_ends_where_the_next_begins() {
        // KIP-101, scenario 1: B asks for epoch 0 and is told 1, so it keeps m1 and drops what only it has.
        assert_eq!(end(&cache(&[(0, 0), (1, 1)]), 0, 2), (0, 1));
    }

    #[test]
    fn an_epoch_without_records_answers_with_the_one_below_it() {
        // KIP-279: the leader has epochs 1 and 3 and is asked for 2; the follower then asks its own largest below.
        assert_eq!(end(&cache(&[(1, 0), (3, 20)]), 2, 30), (1, 20));
    }

    #[test]
    fn an_unknown_newer_epoch_has_no_end() {
        assert_eq!(end(&cache(&[(1, 0)]), 2, 30), (-1, -1));
        assert_eq!(end(&cache(&[]), 0, 30), (-1, -1));
        assert_eq!(end(&cache(&[(1, 0)]), -1, 30), (-1, -1));
    }

    #[test]
    fn an_epoch_before_the_first_entry_ends_where_that_begins() {
        assert_eq!(end(&cache(&[(4, 11), (5, 20)]), 3, 30), (3, 11));
    }

    #[test]
    fn elections_without_data_leave_only_the_last_epoch() {
        // KAFKA-7415: 2 and 3 were elected at the same end of the log.
        let cache = cache(&[(1, 0), (2, 10), (3, 10)]);
        assert_eq!(end(&cache, 3, 10), (3, 10));
        assert_eq!(end(&cache, 2, 10), (1, 10));
        assert_eq!(cache.entries.len(), 2);
    }

    #[test]
    fn cutting_at_the_end_of_the_log_forgets_an_epoch_without_records() {
        // KAFKA-10706.
        let mut cache = cache(&[(1, 0), (2, 10)]);
        cache.truncate(Offset(10));
        assert_eq!(cache.latest(), LeaderEpoch(1));
    }

    #[test]
    fn epochs_of_what_was_deleted_are_forgotten_but_for_the_last() {
        let mut cache = cache(&[(1, 0), (2, 10), (4, 20)]);
        cache.forget_below(Offset(9));
        assert_eq!(cache.entries.len(), 3);
        cache.forget_below(Offset(15));
        assert_eq!(end(&cache, 1, 30), (1, 10), "whoever has only epoch 1 ends below the log");
        assert_eq!(end(&cache, 2, 30), (2, 20));
        cache.forget_below(Offset(30));
        assert_eq!((cache.latest(), cache.entries.len()), (LeaderEpoch(4), 1));
    }

    #[test]
    fn each_offset_has_the_epoch_that_began_at_or_before_it() {
        let cache = cache(&[(1, 5), (4, 10)]);
        let epochs: Vec<i32> = [4, 5, 9, 10, 99].iter().map(|offset| cache.at(Offset(*offset)).0).collect();
        assert_eq!(epochs, [-1, 1, 1, 4, 4]);
    }

    #[test]
    fn an_epoch_is_assigned_once_and_never_goes_back() {
        let cache = cache(&[(3, 0), (3, 5), (2, 7)]);
        assert_eq!(cache.entries, [EpochStart { epoch: LeaderEpoch(3), start: Offset(0) }]);
    }
}
