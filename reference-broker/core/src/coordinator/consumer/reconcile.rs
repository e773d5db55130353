//! How a member gets from what it has to what it is to have, one heartbeat after another.
//!
//! ```text
//! Stable ─new target─► UnrevokedPartitions ─let go─► UnreleasedPartitions ─others let go─► Stable
//! ```
//! The order of these is what keeps two members from reading a partition at the same time (KIP-848).

use super::member::{Current, MemberState};
use super::partitions::Partitions;

/// What decides on the next place of a member.
pub(super) struct Reconcile<'a> {
    pub(super) current: &'a Current,
    /// The epoch of the targets.
    pub(super) epoch: i32,
    /// What it is to have, of the topics that it subscribes to.
    pub(super) target: &'a Partitions,
    /// What its heartbeat said that it has; `None` if it said nothing of that.
    pub(super) owned: Option<&'a Partitions>,
    /// Partitions that other members may still read from.
    pub(super) held_by_others: &'a Partitions,
}

impl Reconcile<'_> {
    /// The next place, which may be the present one.
    pub(super) fn next(&self) -> Current {
        let arrived = self.current.epoch == self.epoch && self.current.state == MemberState::Stable;
        let unrevoked = self.current.state == MemberState::UnrevokedPartitions;
        if arrived || (unrevoked && self.owns_any(&self.current.revoking)) {
            return self.current.clone();
        }
        self.towards_target()
    }

    /// Without a word on what it owns, a member counts as one that has not let go of anything.
    fn owns_any(&self, partitions: &Partitions) -> bool {
        !partitions.is_empty() && self.owned.is_none_or(|owned| !owned.is_disjoint(partitions))
    }

    fn towards_target(&self) -> Current {
        let current = self.current;
        let kept = &current.assigned & self.target;
        let revoking = &current.assigned - &kept;
        if self.owns_any(&revoking) {
            return current.moved(current.epoch, MemberState::UnrevokedPartitions, kept, revoking);
        }
        let awaited = &(self.target - &kept) & self.held_by_others;
        let assigned = self.target - &awaited;
        let state = if awaited.is_empty() { MemberState::Stable } else { MemberState::UnreleasedPartitions };
        let next = current.moved(self.epoch, state, assigned, Partitions::new());
        // A member that still waits for the same partitions has not moved.
        let unchanged = Current { previous_epoch: current.previous_epoch, ..next.clone() } == *current;
        if unchanged { current.clone() } else { next }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::controller::TopicId;
    use crate::ids::PartitionId;

    fn set(indexes: &[i32]) -> Partitions {
        indexes.iter().map(|index| (TopicId(Uuid::nil()), PartitionId(*index))).collect()
    }

    fn stable(epoch: i32, assigned: &[i32]) -> Current {
        Current { epoch, previous_epoch: epoch - 1, assigned: set(assigned), ..Current::default() }
    }

    fn next(current: &Current, target: &[i32], owned: Option<&[i32]>, others: &[i32]) -> Current {
        let (target, owned, held_by_others) = (set(target), owned.map(set), set(others));
        let (owned, held_by_others) = (owned.as_ref(), &held_by_others);
        Reconcile { current, epoch: 7, target: &target, owned, held_by_others }.next()
    }

    #[test]
    fn a_member_keeps_its_epoch_until_it_has_let_go() {
        let member = stable(6, &[0, 1]);
        let asked = next(&member, &[0], None, &[]);
        assert_eq!((asked.epoch, asked.state), (6, MemberState::UnrevokedPartitions));
        assert_eq!((asked.assigned.clone(), asked.revoking.clone()), (set(&[0]), set(&[1])));
        assert_eq!(next(&asked, &[0], None, &[]), asked);
        assert_eq!(next(&asked, &[0], Some(&[0, 1]), &[]), asked);
        let done = next(&asked, &[0], Some(&[0]), &[]);
        assert_eq!((done.epoch, done.previous_epoch, done.state), (7, 6, MemberState::Stable));
        assert_eq!((done.assigned, done.revoking), (set(&[0]), set(&[])));
    }

    #[test]
    fn a_member_waits_for_partitions_that_others_hold() {
        let waiting = next(&stable(6, &[0]), &[0, 1, 2], None, &[1]);
        assert_eq!((waiting.epoch, waiting.state), (7, MemberState::UnreleasedPartitions));
        assert_eq!(waiting.assigned, set(&[0, 2]));
        assert_eq!(next(&waiting, &[0, 1, 2], None, &[1]), waiting, "nothing has changed");
        let done = next(&waiting, &[0, 1, 2], None, &[]);
        assert_eq!((done.state, done.assigned), (MemberState::Stable, set(&[0, 1, 2])));
    }

    #[test]
    fn a_partition_is_let_go_before_another_is_taken() {
        let asked = next(&stable(6, &[0]), &[1], None, &[]);
        assert_eq!((asked.state, asked.assigned), (MemberState::UnrevokedPartitions, set(&[])));
    }

    #[test]
    fn a_member_that_comes_back_with_nothing_has_let_go_of_all() {
        let done = next(&stable(6, &[0, 1]), &[1], Some(&[]), &[]);
        assert_eq!((done.epoch, done.state, done.assigned), (7, MemberState::Stable, set(&[1])));
    }
}
