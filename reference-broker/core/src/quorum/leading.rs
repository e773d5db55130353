//! What a leader knows of the voters that follow it, and what follows for the high watermark and for its own term.

use std::collections::BTreeMap;

use super::Quorum;
use super::progress::{OBSERVER_MS, ReaderView, Reading};
use super::role::Role;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::Now;

/// A term of leadership.
#[derive(Debug)]
pub(super) struct Leading {
    /// Where the log ended when it was elected: the first record of its own epoch goes there.
    pub(super) epoch_start: Offset,
    pub(super) followers: BTreeMap<NodeId, Progress>,
    /// Readers that have no vote: the brokers.
    observers: BTreeMap<NodeId, Reading>,
}

/// How far a follower is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// What it has on its disk, exclusive; unknown before its first fetch in this epoch.
    end: Option<Offset>,
    /// When it fetched last; at first, when the term began.
    heard_ns: u64,
    /// The high watermark that it was told last.
    told: Option<Offset>,
    /// When it is to be told again who leads.
    pub(super) remind_ns: u64,
    reading: Reading,
}

impl Leading {
    pub(super) fn new(epoch_start: Offset, followers: impl Iterator<Item = NodeId>, now: Now) -> Self {
        let unknown = Progress {
            end: None,
            heard_ns: now.mono_ns,
            told: None,
            remind_ns: now.mono_ns,
            reading: Reading::NONE,
        };
        let followers = followers.map(|node| (node, unknown)).collect();
        Self { epoch_start, followers, observers: BTreeMap::new() }
    }

    /// When the last majority was heard that includes the leader; `None` if it is a majority alone.
    fn majority_heard_ns(&self) -> Option<u64> {
        let mut heard: Vec<u64> = self.followers.values().map(|follower| follower.heard_ns).collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        // Beside the leader, half of the followers (rounded up) make a majority.
        heard.len().div_ceil(2).checked_sub(1).map(|slowest| heard[slowest])
    }

    /// What is committed: what a majority has, once that covers a record of the leader's own epoch. What earlier leaders left
    /// may still be replaced while it is only counted (Raft §5.4.2, KAFKA-12619).
    fn committed_end(&self, own: Offset) -> Option<Offset> {
        self.majority_end(own).filter(|end| *end > self.epoch_start)
    }

    /// What a majority has, the leader included, which has all up to `own`.
    fn majority_end(&self, own: Offset) -> Option<Offset> {
        let mut ends: Vec<Option<Offset>> = self.followers.values().map(|follower| follower.end).collect();
        ends.push(Some(own));
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends[ends.len() / 2]
    }

    /// The followers, the one that is furthest first: who should be elected next.
    pub(super) fn by_progress(&self) -> Vec<NodeId> {
        let mut followers: Vec<_> = self.followers.iter().map(|(id, progress)| (progress.end, *id)).collect();
        followers.sort_unstable_by(|a, b| b.cmp(a));
        followers.into_iter().map(|(_, id)| id).collect()
    }
}

impl Quorum {
    /// A follower has asked for what comes after `from`, in this epoch. What it has is on its disk.
    pub fn follower_fetched(
        &mut self,
        now: Now,
        follower: NodeId,
        epoch: LeaderEpoch,
        from: Offset,
        last_epoch: LeaderEpoch,
    ) {
        if epoch != self.epoch() {
            return;
        }
        self.follower_heard(now, follower);
        let agrees =
            self.snapshot_for(from, last_epoch).is_none() && self.diverging(from, last_epoch).is_none();
        let log_end = self.end_offset();
        if agrees
            && let Role::Leader(leading) = &mut self.role
            && let Some(progress) = leading.followers.get_mut(&follower)
        {
            progress.end = Some(from);
            progress.reading.fetched(now, from, log_end);
            self.commit();
        }
    }

    /// A reader that has no vote has asked for what comes after `from`.
    pub fn observer_fetched(&mut self, now: Now, observer: NodeId, from: Offset) {
        let end = self.high_watermark;
        if let Role::Leader(leading) = &mut self.role {
            leading.observers.retain(|_, reading| now.wall_ms - reading.fetched_ms < OBSERVER_MS);
            leading.observers.entry(observer).or_insert(Reading::NONE).fetched(now, from, end);
        }
    }

    /// The voters, this one included, and the observers, as their leader sees them; nothing on a voter that does not lead.
    pub fn readers(&self, now: Now) -> (Vec<ReaderView>, Vec<ReaderView>) {
        let Role::Leader(leading) = &self.role else { return (Vec::new(), Vec::new()) };
        let (end, ms) = (self.end_offset(), now.wall_ms);
        let me = ReaderView { node: self.me, end, fetched_ms: ms, caught_up_ms: ms };
        let others = leading.followers.iter().map(|(node, progress)| progress.reading.of(*node));
        let mut voters: Vec<_> = others.chain([me]).collect();
        voters.sort_unstable_by_key(|voter| voter.node);
        (voters, leading.observers.iter().map(|(node, reading)| reading.of(*node)).collect())
    }

    /// A follower has asked for something, in this epoch.
    pub(super) fn follower_heard(&mut self, now: Now, follower: NodeId) {
        let remind_ns = now.mono_ns + self.timeouts.fetch_ns / 2;
        if let Role::Leader(leading) = &mut self.role
            && let Some(progress) = leading.followers.get_mut(&follower)
        {
            (progress.heard_ns, progress.remind_ns) = (now.mono_ns, remind_ns);
        }
    }

    /// Whether a follower has not been told of the high watermark yet.
    pub fn owes_high_watermark(&self, follower: NodeId) -> bool {
        match &self.role {
            Role::Leader(leading) => {
                leading.followers.get(&follower).is_some_and(|it| it.told != Some(self.high_watermark))
            }
            _ => false,
        }
    }

    /// A follower is told of the high watermark.
    pub fn told_high_watermark(&mut self, follower: NodeId) {
        if let Role::Leader(leading) = &mut self.role
            && let Some(progress) = leading.followers.get_mut(&follower)
        {
            progress.told = Some(self.high_watermark);
        }
    }

    /// Raises the high watermark.
    pub(super) fn commit(&mut self) {
        let Role::Leader(leading) = &self.role else { return };
        if let Some(end) = leading.committed_end(self.log.log_end_offset()) {
            self.high_watermark = self.high_watermark.max(end);
        }
    }

    /// When a leader that nobody hears must step down, so that its brokers look for its successor (KAFKA-15489).
    pub(super) fn quorum_lost_ns(&self) -> u64 {
        let Role::Leader(leading) = &self.role else { return u64::MAX };
        leading.majority_heard_ns().map_or(u64::MAX, |heard| heard + self.timeouts.fetch_ns * 3 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leading(ends: &[Option<i64>]) -> Leading {
        let now = Now { mono_ns: 5, wall_ms: 0 };
        let mut leading = Leading::new(Offset(0), (1..).take(ends.len()).map(NodeId), now);
        for (follower, end) in leading.followers.values_mut().zip(ends) {
            follower.end = end.map(Offset);
        }
        leading
    }

    #[test]
    fn the_majority_has_what_its_slowest_member_has() {
        for (own, followers, majority) in [
            (9, &[][..], Some(9)),
            (9, &[Some(4)], Some(4)),
            (9, &[None], None),
            (9, &[Some(4), Some(7)], Some(7)),
            (9, &[Some(4), None], Some(4)),
            (9, &[None, None], None),
            (9, &[Some(4), Some(7), Some(2)], Some(4)),
            (9, &[Some(4), Some(7), Some(2), Some(9)], Some(7)),
        ] {
            assert_eq!(leading(followers).majority_end(Offset(own)), majority.map(Offset), "{followers:?}");
        }
    }

    #[test]
    fn records_of_older_epochs_are_not_committed_by_counting() {
        let mut leading = leading(&[Some(5), Some(5)]);
        leading.epoch_start = Offset(5);
        assert_eq!(leading.committed_end(Offset(6)), None);
        leading.followers.get_mut(&NodeId(1)).expect("a follower").end = Some(Offset(6));
        assert_eq!(leading.committed_end(Offset(6)), Some(Offset(6)));
    }

    #[test]
    fn a_leader_counts_itself_among_those_who_hear_it() {
        let heard = |times: &[u64]| {
            let mut leading = leading(&vec![None; times.len()]);
            for (follower, heard_ns) in leading.followers.values_mut().zip(times) {
                follower.heard_ns = *heard_ns;
            }
            leading.majority_heard_ns()
        };
        assert_eq!(heard(&[]), None);
        assert_eq!(heard(&[3]), Some(3));
        assert_eq!(heard(&[3, 8]), Some(8));
        assert_eq!(heard(&[3, 8, 5]), Some(5));
        assert_eq!(heard(&[3, 8, 5, 1]), Some(5));
    }

    #[test]
    fn the_furthest_follower_should_be_elected_next() {
        assert_eq!(leading(&[Some(4), None, Some(7)]).by_progress(), [NodeId(3), NodeId(1), NodeId(2)]);
    }
}
