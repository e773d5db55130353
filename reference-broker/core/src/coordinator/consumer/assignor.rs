//! Who is to have which partitions: the assignors `uniform` and `range` of the broker (KIP-848).
//!
//! Pure: the same members, topics and former targets give the same targets.

use std::collections::{BTreeMap, BTreeSet};

use super::partitions::Partitions;
use crate::controller::TopicId;
use crate::ids::PartitionId;

/// A way to share partitions out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(in crate::coordinator) enum Assignor {
    /// As equal numbers as possible, and as little moved as possible. Kafka's default.
    #[default]
    Uniform,
    /// Of each topic a range for each member, so that topics with keys in common go together.
    Range,
}

/// What an assignor is told of a member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Reader {
    /// A static member keeps its place in the order under another member id.
    pub(super) instance_id: Option<String>,
    /// The topics that it subscribes to and that exist.
    pub(super) topics: BTreeSet<TopicId>,
    /// What it was to have before.
    pub(super) target: Partitions,
}

impl Assignor {
    /// All there are, in the order of Kafka's `group.consumer.assignors`.
    const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// As members ask for it.
    pub(in crate::coordinator) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of this name, if it is offered.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// What most members ask for; members that ask for nothing have no vote.
    pub(super) fn preferred<'a>(votes: impl Iterator<Item = &'a str>) -> Self {
        let mut counts: BTreeMap<Self, usize> = BTreeMap::new();
        for assignor in votes.filter_map(Self::named) {
            *counts.entry(assignor).or_default() += 1;
        }
        let most = counts.values().copied().max();
        counts.into_iter().find(|(_, count)| Some(*count) == most).map_or_else(Self::default, |(one, _)| one)
    }

    /// Shares all partitions of the topics out among those who read them. `counts`: partitions of each topic.
    pub(super) fn assign(
        self,
        readers: &BTreeMap<String, Reader>,
        counts: &BTreeMap<TopicId, i32>,
    ) -> BTreeMap<String, Partitions> {
        let mut targets: BTreeMap<String, Partitions> =
            readers.keys().map(|id| (id.clone(), Partitions::new())).collect();
        match self {
            Self::Range => range(readers, counts, &mut targets),
            Self::Uniform => uniform(readers, counts, &mut targets),
        }
        targets
    }
}

fn range(
    readers: &BTreeMap<String, Reader>,
    counts: &BTreeMap<TopicId, i32>,
    targets: &mut BTreeMap<String, Partitions>,
) {
    for (topic, count) in counts {
        let mut of_topic: Vec<(&String, &Reader)> =
            readers.iter().filter(|(_, reader)| reader.topics.contains(topic)).collect();
        of_topic.sort_by_key(|(id, reader)| reader.instance_id.as_ref().unwrap_or(id));
        let members = of_topic.len() as i32;
        let mut next = 0;
        for (place, (id, _)) in of_topic.into_iter().enumerate() {
            let share = count / members + i32::from((place as i32) < count % members);
            let partitions = (next..next + share).map(|index| (*topic, PartitionId(index)));
            targets.entry(id.clone()).or_default().extend(partitions);
            next += share;
        }
    }
}

fn uniform(
    readers: &BTreeMap<String, Reader>,
    counts: &BTreeMap<TopicId, i32>,
    targets: &mut BTreeMap<String, Partitions>,
) {
    let all = counts.iter().flat_map(|(topic, count)| (0..*count).map(|index| (*topic, PartitionId(index))));
    let mut unassigned = Vec::new();
    for partition in all {
        let former = readers
            .iter()
            .find(|(_, reader)| reader.target.contains(&partition) && reader.topics.contains(&partition.0));
        match former {
            Some((id, _)) => {
                targets.entry(id.clone()).or_default().insert(partition);
            }
            None => unassigned.push(partition),
        }
    }
    for partition in unassigned {
        let lightest = lightest(readers, targets, partition.0);
        if let Some(id) = lightest {
            targets.entry(id).or_default().insert(partition);
        }
    }
    // Each move brings two loads closer to each other, so that this ends.
    while let Some((from, to, partition)) = next_move(readers, targets) {
        targets.entry(from).or_default().remove(&partition);
        targets.entry(to).or_default().insert(partition);
    }
}

/// The reader of a topic that has the least.
fn lightest(
    readers: &BTreeMap<String, Reader>,
    targets: &BTreeMap<String, Partitions>,
    topic: TopicId,
) -> Option<String> {
    let of_topic = readers.iter().filter(|(_, reader)| reader.topics.contains(&topic));
    of_topic.map(|(id, _)| id).min_by_key(|id| (load(targets, id), (*id).clone())).cloned()
}

/// A partition to take from who has the most, and whom to give it to who has at least two less.
fn next_move(
    readers: &BTreeMap<String, Reader>,
    targets: &BTreeMap<String, Partitions>,
) -> Option<(String, String, (TopicId, PartitionId))> {
    let mut heaviest: Vec<&String> = targets.keys().collect();
    heaviest.sort_by_key(|id| std::cmp::Reverse(load(targets, id)));
    for from in heaviest {
        // The last partitions first: what was handed out last moves first.
        for partition in targets[from].iter().rev() {
            let to = lightest(readers, targets, partition.0)
                .filter(|to| load(targets, to) + 2 <= load(targets, from));
            if let Some(to) = to {
                return Some((from.clone(), to, *partition));
            }
        }
    }
    None
}

fn load(targets: &BTreeMap<String, Partitions>, id: &str) -> usize {
    targets.get(id).map_or(0, BTreeSet::len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn topic(number: u128) -> TopicId {
        TopicId(Uuid::from_u128(number))
    }

    fn of(topic_number: u128, indexes: &[i32]) -> Partitions {
        indexes.iter().map(|index| (topic(topic_number), PartitionId(*index))).collect()
    }

    fn reader(topics: &[u128], target: Partitions) -> Reader {
        let topics = topics.iter().map(|number| topic(*number)).collect();
        Reader { instance_id: None, topics, target }
    }

    fn counts(counts: &[(u128, i32)]) -> BTreeMap<TopicId, i32> {
        counts.iter().map(|(number, count)| (topic(*number), *count)).collect()
    }

    #[test]
    fn range_gives_the_first_members_one_more_of_each_topic() {
        let readers = BTreeMap::from([
            ("a".to_owned(), reader(&[1, 2], Partitions::new())),
            ("b".to_owned(), reader(&[1, 2], Partitions::new())),
        ]);
        let targets = Assignor::Range.assign(&readers, &counts(&[(1, 3), (2, 3)]));
        assert_eq!(targets["a"], &of(1, &[0, 1]) | &of(2, &[0, 1]));
        assert_eq!(targets["b"], &of(1, &[2]) | &of(2, &[2]));
    }

    #[test]
    fn range_orders_static_members_by_their_instance() {
        let named =
            |name: &str| Reader { instance_id: Some(name.to_owned()), ..reader(&[1], Partitions::new()) };
        let readers = BTreeMap::from([("x".to_owned(), named("2")), ("y".to_owned(), named("1"))]);
        let targets = Assignor::Range.assign(&readers, &counts(&[(1, 2)]));
        assert_eq!((targets["y"].clone(), targets["x"].clone()), (of(1, &[0]), of(1, &[1])));
    }

    #[test]
    fn uniform_moves_no_more_than_a_new_member_needs() {
        let readers = BTreeMap::from([
            ("a".to_owned(), reader(&[1], of(1, &[0, 2]))),
            ("b".to_owned(), reader(&[1], of(1, &[1, 3]))),
            ("c".to_owned(), reader(&[1], Partitions::new())),
        ]);
        let targets = Assignor::Uniform.assign(&readers, &counts(&[(1, 4)]));
        assert_eq!(targets["c"].len(), 1);
        let kept = targets["a"].intersection(&readers["a"].target).count()
            + targets["b"].intersection(&readers["b"].target).count();
        assert_eq!(kept, 3);
    }

    #[test]
    fn most_members_decide_and_nobody_means_uniform() {
        assert_eq!(Assignor::preferred([].into_iter()), Assignor::Uniform);
        assert_eq!(Assignor::preferred(["range", "range", "uniform"].into_iter()), Assignor::Range);
    }

    fn any_readers() -> impl Strategy<Value = BTreeMap<String, Reader>> {
        let one = (
            prop::collection::btree_set(0..3u128, 0..4),
            prop::collection::btree_set((0..3u128, 0..6i32), 0..6),
        );
        prop::collection::vec(one, 0..6).prop_map(|readers| {
            let mut taken = BTreeSet::new();
            let of = |(place, given): (usize, (BTreeSet<u128>, BTreeSet<_>))| {
                let (topics, target) = given;
                let topics: Vec<u128> = topics.into_iter().collect();
                let target = target.into_iter().filter(|partition| taken.insert(*partition));
                let target = target.map(|(number, index)| (topic(number), PartitionId(index))).collect();
                (format!("m{place}"), reader(&topics, target))
            };
            readers.into_iter().enumerate().map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn every_partition_that_somebody_reads_goes_to_one_who_reads_it(readers in any_readers()) {
            let counts = counts(&[(0, 5), (1, 1), (2, 3)]);
            for assignor in Assignor::ALL {
                let targets = assignor.assign(&readers, &counts);
                for (topic, count) in &counts {
                    let read = readers.values().any(|reader| reader.topics.contains(topic));
                    for index in (0..*count).map(PartitionId) {
                        let owners: Vec<&String> =
                            targets.iter().filter(|(_, target)| target.contains(&(*topic, index))).map(|(id, _)| id).collect();
                        prop_assert_eq!(owners.len(), usize::from(read));
                        prop_assert!(owners.iter().all(|id| readers[*id].topics.contains(topic)));
                    }
                }
            }
        }

        #[test]
        fn uniform_loads_of_members_that_want_the_same_differ_by_one_at_most(members in 1..7usize, former in 1..7usize) {
            let topics = counts(&[(0, 7), (1, 4)]);
            let readers = |count: usize, targets: &BTreeMap<String, Partitions>| -> BTreeMap<String, Reader> {
                (0..count).map(|place| {
                    let id = format!("m{place}");
                    let target = targets.get(&id).cloned().unwrap_or_default();
                    (id, reader(&[0, 1], target))
                }).collect()
            };
            let first = Assignor::Uniform.assign(&readers(former, &BTreeMap::new()), &topics);
            let second = Assignor::Uniform.assign(&readers(members, &first), &topics);
            let loads: Vec<usize> = second.values().map(BTreeSet::len).collect();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
            // Nothing moves between members that stay, but for the balance.
            let kept: usize = second.iter().map(|(id, target)| {
                first.get(id).map_or(0, |former| former.intersection(target).count())
            }).sum();
            let least = (0..members.min(former)).map(|place| {
                first[&format!("m{place}")].len().min(11 / members)
            }).sum::<usize>();
            prop_assert!(kept >= least, "kept {} of at least {}", kept, least);
        }
    }
}
