//! From roles to nodes, at the moment of the fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::{FaultTarget, Role};

use super::proxy::LinkEnd;

/// A partition as observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    /// Who leads it, if anybody.
    pub leader: Option<NodeId>,
    /// Its replicas.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub isr: Vec<NodeId>,
}

/// Who leads what, as last observed.
#[derive(Clone, Debug, Default)]
pub struct Leadership {
    /// By topic and partition.
    pub partitions: BTreeMap<(String, u32), PartitionState>,
    /// Records appended in the last second.
    pub recent_records: BTreeMap<(String, u32), u64>,
    /// The active controller.
    pub controller: Option<NodeId>,
}

impl Leadership {
    /// The partition of a topic that took the most records in the last second; without any, its first.
    pub fn busiest(&self, topic: &str) -> Option<u32> {
        let of_topic = |(name, partition): &(String, u32)| (name == topic).then_some(*partition);
        let records =
            |partition: &u32| self.recent_records.get(&(topic.to_owned(), *partition)).copied().unwrap_or(0);
        // The first of equals, so that a run can be told from its log.
        self.partitions
            .keys()
            .filter_map(of_topic)
            .max_by_key(|partition| (records(partition), std::cmp::Reverse(*partition)))
    }

    /// The state of a partition.
    pub fn partition(&self, topic: &str, partition: u32) -> Option<&PartitionState> {
        self.partitions.get(&(topic.to_owned(), partition))
    }
}

/// A topic, and the number of one of its partitions.
type Partition = (String, u32);

/// What a target turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The nodes that are hit; for links the nodes at both ends.
    pub nodes: Vec<NodeId>,
    /// Who dials whom on the links that are hit.
    pub links: Vec<(LinkEnd, NodeId)>,
    /// The partition, if the target was named by one.
    pub partition: Option<Partition>,
    /// For people.
    pub text: String,
}

/// Resolves roles with what is known now. `sticky` keeps the choice of a busiest partition while a fault needs it.
pub struct Resolver<'a> {
    /// Who leads what.
    pub leadership: &'a Leadership,
    /// The brokers.
    pub brokers: &'a [NodeId],
    /// The controllers.
    pub controllers: &'a [NodeId],
    /// Partitions chosen before, by topic.
    pub sticky: &'a mut BTreeMap<String, u32>,
}

impl Resolver<'_> {
    /// The processes or links of a target, or why they cannot be told.
    pub fn resolve(&mut self, target: &FaultTarget) -> Result<Resolved, String> {
        match target {
            FaultTarget::Nodes(role) => {
                let (nodes, partition) = self.nodes(role)?;
                Ok(Resolved {
                    text: describe(&nodes, partition.as_ref()),
                    nodes,
                    links: Vec::new(),
                    partition,
                })
            }
            FaultTarget::Link(a, b) => self.link(a, b),
        }
    }

    fn nodes(&mut self, role: &Role) -> Result<(Vec<NodeId>, Option<Partition>), String> {
        match role {
            Role::LeaderOf { topic, partition } => {
                let (partition, state) = self.state(topic, *partition)?;
                let leader = state.leader.ok_or_else(|| format!("{topic}/{partition} has no leader"))?;
                Ok((vec![leader], Some((topic.clone(), partition))))
            }
            Role::FollowersOf { topic, partition } => {
                let (partition, state) = self.state(topic, *partition)?;
                let followers =
                    state.replicas.iter().copied().filter(|node| Some(*node) != state.leader).collect();
                Ok((followers, Some((topic.clone(), partition))))
            }
            Role::Controller => match self.leadership.controller {
                Some(node) => Ok((vec![node], None)),
                None if self.controllers.len() == 1 => Ok((self.controllers.to_vec(), None)),
                None => Err("no active controller is known".into()),
            },
            Role::Nodes(nodes) => Ok((nodes.clone(), None)),
            Role::All => Ok((self.brokers.to_vec(), None)),
            Role::Clients => Err("`clients` is a role for links only".into()),
        }
    }

    fn state(&mut self, topic: &str, partition: Option<u32>) -> Result<(u32, PartitionState), String> {
        let partition = match partition.or_else(|| self.sticky.get(topic).copied()) {
            Some(partition) => partition,
            None => {
                self.leadership.busiest(topic).ok_or_else(|| format!("no partition of {topic} is known"))?
            }
        };
        self.sticky.entry(topic.to_owned()).or_insert(partition);
        let state = self
            .leadership
            .partition(topic, partition)
            .ok_or_else(|| format!("{topic}/{partition} is not known"))?;
        Ok((partition, state.clone()))
    }

    fn link(&mut self, a: &Role, b: &Role) -> Result<Resolved, String> {
        let is_clients = |role: &Role| *role == Role::Clients;
        let mut resolved = Resolved::default();
        if is_clients(a) || is_clients(b) {
            let other = if is_clients(a) { b } else { a };
            let (nodes, partition) = self.nodes(other)?;
            resolved.links = nodes.iter().map(|node| (LinkEnd::Clients, *node)).collect();
            resolved.text = format!("clients ↔ {}", describe(&nodes, partition.as_ref()));
            resolved.nodes = nodes;
            resolved.partition = partition;
            return Ok(resolved);
        }
        let (left, left_partition) = self.nodes(a)?;
        let (right, right_partition) = self.nodes(b)?;
        for one in &left {
            for other in right.iter().filter(|other| *other != one) {
                resolved.links.push((LinkEnd::Node(*one), *other));
                resolved.links.push((LinkEnd::Node(*other), *one));
            }
        }
        resolved.partition = left_partition.or(right_partition);
        resolved.text = format!("{} ↔ {}", describe(&left, None), describe(&right, None));
        if let Some((topic, partition)) = &resolved.partition {
            let _ = write!(resolved.text, " ({topic}/{partition})");
        }
        resolved.nodes = left.into_iter().chain(right).collect();
        Ok(resolved)
    }
}

fn describe(nodes: &[NodeId], partition: Option<&(String, u32)>) -> String {
    let numbers = nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ");
    let noun = if nodes.len() == 1 { "node" } else { "nodes" };
    match partition {
        Some((topic, partition)) => format!("{noun} {numbers} ({topic}/{partition})"),
        None => format!("{noun} {numbers}"),
    }
}

/// The nodes as bits of a word, for the journal.
pub fn bits(nodes: &[NodeId]) -> u64 {
    nodes.iter().fold(0, |bits, node| bits | 1 << (node.0 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leadership() -> Leadership {
        let state = |leader: Option<u32>| PartitionState {
            leader: leader.map(NodeId),
            replicas: vec![NodeId(1), NodeId(2), NodeId(3)],
            isr: vec![NodeId(1), NodeId(2), NodeId(3)],
        };
        Leadership {
            partitions: BTreeMap::from([
                (("t".into(), 0), state(Some(1))),
                (("t".into(), 1), state(Some(2))),
                (("t".into(), 2), state(None)),
            ]),
            recent_records: BTreeMap::from([(("t".into(), 0), 10), (("t".into(), 1), 30)]),
            controller: None,
        }
    }

    fn resolve(target: &FaultTarget, sticky: &mut BTreeMap<String, u32>) -> Result<Resolved, String> {
        let brokers = [NodeId(1), NodeId(2), NodeId(3)];
        let (leadership, controllers) = (leadership(), [NodeId(4)]);
        Resolver { leadership: &leadership, brokers: &brokers, controllers: &controllers, sticky }
            .resolve(target)
    }

    fn leader_of(partition: Option<u32>) -> Role {
        Role::LeaderOf { topic: "t".into(), partition }
    }

    #[test]
    fn a_leader_without_a_partition_is_that_of_the_busiest_and_stays_so() {
        let mut sticky = BTreeMap::new();
        let found = resolve(&FaultTarget::Nodes(leader_of(None)), &mut sticky).unwrap();
        assert_eq!((found.nodes, found.partition), (vec![NodeId(2)], Some(("t".into(), 1))));
        assert_eq!(sticky, BTreeMap::from([("t".into(), 1)]));
        let mut before = BTreeMap::from([("t".into(), 0)]);
        let found = resolve(&FaultTarget::Nodes(leader_of(None)), &mut before).unwrap();
        assert_eq!(found.nodes, [NodeId(1)]);
    }

    #[test]
    fn a_link_of_a_leader_and_its_followers_is_both_ways_to_each() {
        let followers = Role::FollowersOf { topic: "t".into(), partition: Some(0) };
        let found = resolve(&FaultTarget::Link(leader_of(Some(0)), followers), &mut BTreeMap::new()).unwrap();
        let link = |from, to| (LinkEnd::Node(NodeId(from)), NodeId(to));
        assert_eq!(found.links, [link(1, 2), link(2, 1), link(1, 3), link(3, 1)]);
    }

    #[test]
    fn a_partition_without_a_leader_is_told_and_not_guessed() {
        let error = resolve(&FaultTarget::Nodes(leader_of(Some(2))), &mut BTreeMap::new()).unwrap_err();
        assert_eq!(error, "t/2 has no leader");
    }

    #[test]
    fn a_single_controller_is_the_active_one() {
        let found = resolve(&FaultTarget::Nodes(Role::Controller), &mut BTreeMap::new()).unwrap();
        assert_eq!(found.nodes, [NodeId(4)]);
    }
}
