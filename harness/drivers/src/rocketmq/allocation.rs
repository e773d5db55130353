//! Which queues of a topic are whose: `AllocateMessageQueueAveragely`, which every member of a group works out for itself.

use std::ops::Range;

/// The part of `queues` queues, in their order, that falls to the member at `place` of `members`, in the order of their
/// names.
pub(super) fn averagely(queues: usize, members: usize, place: usize) -> Range<usize> {
    let rest = queues % members.max(1);
    let share = queues / members.max(1);
    let begin = place * share + place.min(rest);
    begin..begin + share + usize::from(place < rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the Java client writes it.
    fn java(queues: usize, members: usize, place: usize) -> Range<usize> {
        let rest = queues % members;
        let average = if queues <= members {
            1
        } else if rest > 0 && place < rest {
            queues / members + 1
        } else {
            queues / members
        };
        let begin = if rest > 0 && place < rest { place * average } else { place * average + rest };
        let begin = begin.min(queues);
        begin..begin + average.min(queues - begin)
    }

    #[test]
    fn queues_are_shared_out_as_java_clients_do() {
        for queues in 0..20 {
            for members in 1..20 {
                let mut next = 0;
                for place in 0..members {
                    let (ours, theirs) = (averagely(queues, members, place), java(queues, members, place));
                    assert!(ours == theirs || ours.is_empty() && theirs.is_empty(), "{ours:?} {theirs:?}");
                    assert_eq!(ours.start, next, "every queue has one owner");
                    next = ours.end;
                }
                assert_eq!(next, queues);
            }
        }
    }
}
