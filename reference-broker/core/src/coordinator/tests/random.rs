//! Random conversations: what runs is always what a reload of the committed records would make.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{DeleteGroupsRequest, OffsetDeleteRequest, TopicName};
use proptest::prelude::*;

use super::world::{REBALANCE_MS, World, commit, config, group_id, heartbeat, join_with, leave, sync};
use crate::coordinator::response::text;
use crate::coordinator::{GroupRequest, GroupResponse, GroupState, ReplyId};
use crate::ids::{Offset, PartitionId};

const GROUPS: [&str; 2] = ["alpha", "beta"];
const CLIENTS: usize = 4;

/// One step of the world. A client is bound to the group of its parity.
#[derive(Clone, Debug)]
enum Step {
    Join { client: usize, protocols: bool },
    Sync { client: usize },
    Heartbeat { client: usize },
    Leave { client: usize },
    Commit { client: usize, partition: i32, offset: i64 },
    SimpleCommit { group: usize, partition: i32, offset: i64 },
    DeleteOffset { group: usize, partition: i32 },
    DeleteGroup { group: usize },
    Restart { client: usize },
    Settle { ok: bool },
    Advance { ms: u64 },
    FailOver,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let partition = 0..3;
    prop_oneof![
        10 => (client.clone(), prop::bool::weighted(0.1)).prop_map(|(client, protocols)| Step::Join { client, protocols }),
        10 => client.clone().prop_map(|client| Step::Sync { client }),
        3 => client.clone().prop_map(|client| Step::Heartbeat { client }),
        2 => client.clone().prop_map(|client| Step::Leave { client }),
        6 => (client.clone(), partition.clone(), 0..100i64)
            .prop_map(|(client, partition, offset)| Step::Commit { client, partition, offset }),
        2 => (0..2usize, partition.clone(), 0..100i64)
            .prop_map(|(group, partition, offset)| Step::SimpleCommit { group, partition, offset }),
        1 => (0..2usize, partition).prop_map(|(group, partition)| Step::DeleteOffset { group, partition }),
        1 => (0..2usize).prop_map(|group| Step::DeleteGroup { group }),
        1 => client.prop_map(|client| Step::Restart { client }),
        14 => prop::bool::weighted(0.9).prop_map(|ok| Step::Settle { ok }),
        3 => prop_oneof![Just(100u64), Just(4_000), Just(11_000), Just(61_000)]
            .prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::FailOver),
    ]
}

/// What a client knows of itself.
#[derive(Clone, Default)]
struct Client {
    member_id: String,
    generation: i32,
    /// Whom it assigns partitions to, if it leads.
    roster: Vec<String>,
}

struct Scene {
    world: World,
    clients: Vec<Client>,
    asked: BTreeMap<ReplyId, usize>,
    /// Group, partition and offset of the commits that are not answered.
    commits: BTreeMap<ReplyId, (&'static str, i32, i64)>,
    compared_stable: u32,
    acknowledged: u32,
}

impl Scene {
    fn new() -> Self {
        let clients = vec![Client::default(); CLIENTS];
        Self {
            world: World::new(config()),
            clients,
            asked: BTreeMap::new(),
            commits: BTreeMap::new(),
            compared_stable: 0,
            acknowledged: 0,
        }
    }

    fn group(client: usize) -> &'static str {
        GROUPS[client % 2]
    }

    /// The last two clients are static members.
    fn instance(client: usize) -> Option<&'static str> {
        [None, None, Some("node-a"), Some("node-b")][client]
    }

    fn send(&mut self, client: usize, request: GroupRequest, version: i16) {
        let reply = self.world.send(request, version);
        self.asked.insert(reply, client);
    }

    fn commit(&mut self, group: &'static str, member_id: &str, generation: i32, partition: i32, offset: i64) {
        let reply = self.world.send(commit(group, member_id, generation, partition, offset), 9);
        self.commits.insert(reply, (group, partition, offset));
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Join { client, protocols } => {
                let offered: &[_] =
                    if protocols { &[("sticky", "s"), ("range", "r")] } else { &[("range", "r")] };
                let member_id = self.clients[client].member_id.clone();
                let request = join_with(Self::group(client), &member_id, Self::instance(client), offered);
                self.send(client, request, 9);
            }
            Step::Sync { client } => {
                let Client { member_id, generation, roster } = self.clients[client].clone();
                let assignments: Vec<_> = roster.iter().map(|id| (id.as_str(), id.as_str())).collect();
                self.send(client, sync(Self::group(client), &member_id, generation, &assignments), 5);
            }
            Step::Heartbeat { client } => {
                let Client { member_id, generation, .. } = self.clients[client].clone();
                self.send(client, heartbeat(Self::group(client), &member_id, generation), 4);
            }
            Step::Leave { client } => {
                let member_id = std::mem::take(&mut self.clients[client].member_id);
                self.send(client, leave(Self::group(client), &[(&member_id, Self::instance(client))]), 5);
            }
            Step::Commit { client, partition, offset } => {
                let Client { member_id, generation, .. } = self.clients[client].clone();
                self.commit(Self::group(client), &member_id, generation, partition, offset);
            }
            Step::SimpleCommit { group, partition, offset } => {
                self.commit(GROUPS[group], "", -1, partition, offset);
            }
            Step::DeleteOffset { group, partition } => {
                self.world.send(delete_offset(GROUPS[group], partition), 0);
            }
            Step::DeleteGroup { group } => {
                let groups = vec![group_id(GROUPS[group])];
                self.world
                    .send(GroupRequest::Delete(DeleteGroupsRequest::default().with_groups_names(groups)), 2);
            }
            Step::Restart { client } => self.clients[client].member_id.clear(),
            Step::Settle { ok } => {
                self.world.settle_next(if ok { Ok(()) } else { Err(ResponseError::NotEnoughReplicas) });
            }
            Step::Advance { ms } => self.world.advance(ms),
            Step::FailOver => self.world.fail_over(),
        }
        self.hear();
        self.check_acknowledged();
        self.check();
    }

    /// Clients learn from what was answered.
    fn hear(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        for (reply, client) in asked {
            let Some(response) = self.world.reply(reply) else {
                self.asked.insert(reply, client);
                continue;
            };
            let state = &mut self.clients[client];
            if let GroupResponse::Join(response) = response {
                if response.error_code == 0 || response.error_code == ResponseError::MemberIdRequired.code() {
                    state.member_id = response.member_id.to_string();
                    state.generation = response.generation_id;
                    state.roster =
                        response.members.iter().map(|member| member.member_id.to_string()).collect();
                } else if response.error_code == ResponseError::UnknownMemberId.code() {
                    state.member_id.clear();
                }
            }
        }
    }

    fn check(&mut self) {
        self.world.assert_matches_the_log();
        let snapshot = self.world.coordinator.snapshot();
        let memberships = snapshot.groups.values().filter_map(|group| group.membership.as_ref());
        self.compared_stable += memberships.filter(|group| group.state == GroupState::Stable).count() as u32;
    }

    /// A commit that is acknowledged in this step is what a reload finds.
    fn check_acknowledged(&mut self) {
        let answered: Vec<ReplyId> =
            self.commits.keys().copied().filter(|reply| self.world.reply(*reply).is_some()).collect();
        for reply in answered {
            let Some((group, partition, offset)) = self.commits.remove(&reply) else { continue };
            if self.world.error(reply) == 0 {
                let reloaded = self.world.reloaded();
                let stored = &reloaded.groups[group].offsets[&("orders".to_owned(), PartitionId(partition))];
                assert_eq!(stored.offset, Offset(offset), "acknowledged in `{group}`");
                self.acknowledged += 1;
            }
        }
    }

    /// Everything that was asked is answered in the end.
    fn finish(&mut self) {
        for _ in 0..4 {
            self.world.settle_all();
            self.world.advance(REBALANCE_MS as u64);
            self.check();
        }
        assert!(self.world.open.is_empty(), "never answered: {:?}", self.world.open);
    }
}

fn delete_offset(group: &str, partition: i32) -> GroupRequest {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(partition);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(vec![partition]);
    GroupRequest::OffsetDelete(
        OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_live_state_is_the_state_rebuilt_from_the_committed_log(steps in prop::collection::vec(step(), 1..150)) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.take(step);
        }
        scene.finish();
    }
}

#[test]
fn random_conversations_reach_stable_groups_and_acknowledged_commits() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut scene = Scene::new();
    for step in prop::collection::vec(step(), 2_000).new_tree(&mut runner).unwrap().current() {
        scene.take(&step);
    }
    scene.finish();
    assert!(scene.compared_stable > 100, "only {} comparisons", scene.compared_stable);
    assert!(scene.acknowledged > 20, "only {} acknowledged commits", scene.acknowledged);
}
