//! Kafka's range assignor, of one topic: consecutive partitions to each member, the first ones one more where it does
//! not divide.

/// The partitions of each of so many members.
pub(crate) fn range(partitions: u32, members: usize) -> Vec<Vec<i32>> {
    let (each, rest) = (partitions as usize / members.max(1), partitions as usize % members.max(1));
    let mut next = 0;
    (0..members)
        .map(|member| {
            let count = each + usize::from(member < rest);
            let share = (next..next + count as i32).collect();
            next += count as i32;
            share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_reader() {
        assert_eq!(range(5, 2), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(range(1, 2), [vec![0], vec![]]);
        assert_eq!(range(3, 3), [vec![0], vec![1], vec![2]]);
        assert!(range(3, 0).is_empty());
    }
}
