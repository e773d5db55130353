//! Eligible leader replicas (KIP-966): who else has all that was committed.
//!
//! Nothing is committed while an in-sync set is smaller than `min.insync.replicas`. Who leaves it then, or has made it that small
//! by leaving, has every committed record as long as it has its log; so it may lead when no member of the set can.
//! A broker that did not stop in an orderly way may have lost what was not flushed. It is in neither set any more when it comes back,
//! unless nobody else would be left: then it is the best there is.

use super::record::PartitionState;
use crate::ids::NodeId;

/// The replicas outside a new in-sync set that have all that is committed.
pub(super) fn eligible(
    before: &PartitionState,
    isr: &[NodeId],
    replicas: &[NodeId],
    min_insync_replicas: usize,
) -> Vec<NodeId> {
    if isr.len() >= min_insync_replicas.min(replicas.len()) {
        return Vec::new();
    }
    let had_all = |node: &NodeId| before.isr.contains(node) || before.elr.contains(node);
    replicas.iter().copied().filter(|node| had_all(node) && !isr.contains(node)).collect()
}

/// The sets without a replica that may have lost what it had. If only eligible ones are left, they are the in-sync set of a
/// partition that nobody leads.
pub(super) fn without(state: &PartitionState, node: NodeId) -> PartitionState {
    let rest = |set: &[NodeId]| set.iter().copied().filter(|member| *member != node).collect::<Vec<_>>();
    let (isr, elr) = match (rest(&state.isr), rest(&state.elr)) {
        (isr, elr) if isr.is_empty() && elr.is_empty() => return state.clone(),
        (isr, elr) if isr.is_empty() => (elr, isr),
        sets => sets,
    };
    PartitionState { isr, elr, ..state.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LeaderEpoch;

    fn nodes(ids: &[i32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn with(isr: &[i32], elr: &[i32]) -> PartitionState {
        PartitionState {
            isr: nodes(isr),
            elr: nodes(elr),
            leader: NodeId::NONE,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
        }
    }

    #[test]
    fn who_leaves_a_set_that_becomes_too_small_stays_eligible() {
        for (isr, elr, new, min, expected) in [
            (&[1, 2, 3][..], &[][..], &[1, 2][..], 2, &[][..]),
            (&[1, 2], &[], &[1], 2, &[2]),
            (&[1], &[2], &[1], 2, &[2]),
            (&[1], &[2], &[2], 2, &[1]),
            (&[1], &[2], &[1, 3], 2, &[]),
            (&[1, 2], &[], &[1], 1, &[]),
            (&[1, 2, 3], &[], &[3], 9, &[1, 2]),
        ] {
            let found = eligible(&with(isr, elr), &nodes(new), &nodes(&[1, 2, 3]), min);
            assert_eq!(found, nodes(expected), "{isr:?} {elr:?} → {new:?}, at least {min}");
        }
    }

    #[test]
    fn who_may_have_lost_something_leaves_both_sets_unless_nobody_is_left() {
        for (isr, elr, gone, expected) in [
            (&[1, 2][..], &[][..], 2, (&[1][..], &[][..])),
            (&[1], &[2], 2, (&[1], &[])),
            (&[1], &[2, 3], 1, (&[2, 3], &[])),
            (&[1], &[], 1, (&[1], &[])),
            (&[1], &[2], 3, (&[1], &[2])),
        ] {
            let left = without(&with(isr, elr), NodeId(gone));
            assert_eq!(
                (left.isr, left.elr),
                (nodes(expected.0), nodes(expected.1)),
                "{isr:?} {elr:?} − {gone}"
            );
        }
    }
}
