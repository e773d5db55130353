//! Random conversations of the consumer protocol.
//!
//! At every moment: what runs is the committed log, no partition has two owners, and the epoch of a member that lives
//! never goes back.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use proptest::prelude::*;

use super::consumer::{answer, assigned, beat, joining, owning};
use super::world::{REBALANCE_MS, World, commit, config, fetch};
use crate::coordinator::response::text;
use crate::coordinator::{CoordinatorConfig, GroupRequest, ReplyId};
use crate::defects::{Defect, Defects};

const CLIENTS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Beat {
        client: usize,
    },
    /// Gives back what it is to give back, and says so.
    Reconcile {
        client: usize,
    },
    Leave {
        client: usize,
    },
    /// Dies and starts anew.
    Restart {
        client: usize,
    },
    /// In its own epoch, or in the one before.
    Commit {
        client: usize,
        late: bool,
    },
    Settle {
        ok: bool,
    },
    Advance {
        ms: u64,
    },
    Grow,
    FailOver,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => client.clone().prop_map(|client| Step::Beat { client }),
        10 => client.clone().prop_map(|client| Step::Reconcile { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        1 => client.clone().prop_map(|client| Step::Restart { client }),
        5 => (client, prop::bool::weighted(0.2)).prop_map(|(client, late)| Step::Commit { client, late }),
        16 => prop::bool::weighted(0.9).prop_map(|ok| Step::Settle { ok }),
        3 => prop_oneof![Just(100u64), Just(4_000), Just(11_000), Just(61_000)].prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Grow),
        1 => Just(Step::FailOver),
    ]
}

/// What a client knows.
#[derive(Clone, Default)]
struct Client {
    lives: u32,
    epoch: i32,
    /// What it reads.
    owned: BTreeSet<i32>,
    /// What it was told to have.
    told: Option<BTreeSet<i32>>,
    asked: Option<ReplyId>,
}

struct Scene {
    world: World,
    clients: Vec<Client>,
    /// The last epoch that a member id was seen in.
    epochs: BTreeMap<String, i32>,
    next_offset: i64,
    /// Partition and offset, and whether it was committed in an epoch that is over.
    commits: BTreeMap<ReplyId, (i32, i64, bool)>,
    /// The highest offset of a partition that was acknowledged.
    acknowledged: BTreeMap<i32, i64>,
    rebalanced: u32,
    stale: u32,
    committed: u32,
}

impl Scene {
    fn new(defects: Defects) -> Self {
        Self {
            world: World::new(CoordinatorConfig { defects, ..config() }),
            clients: vec![Client::default(); CLIENTS],
            epochs: BTreeMap::new(),
            next_offset: 0,
            commits: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            rebalanced: 0,
            stale: 0,
            committed: 0,
        }
    }

    /// The last client is a static member, whose lives share an instance.
    fn request(&self, client: usize, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        let id = format!("m{client}-{}", self.clients[client].lives);
        let request = if epoch == 0 { joining("g", &id, &["orders"]) } else { beat("g", &id, epoch) };
        if client == CLIENTS - 1 { request.with_instance_id(Some(text("node"))) } else { request }
    }

    fn send(&mut self, client: usize, request: ConsumerGroupHeartbeatRequest) {
        if self.clients[client].asked.is_none() {
            let reply = self.world.send(GroupRequest::ConsumerHeartbeat(request), 1);
            self.clients[client].asked = Some(reply);
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Beat { client } => self.send(client, self.request(client, self.clients[client].epoch)),
            Step::Reconcile { client } => {
                if let Some(told) = self.clients[client].told.take() {
                    self.clients[client].owned = told;
                }
                let Client { epoch, owned, .. } = &self.clients[client];
                let owned: Vec<i32> = owned.iter().copied().collect();
                let request = self.request(client, *epoch);
                self.send(client, if *epoch == 0 { request } else { owning(request, &owned) });
            }
            Step::Leave { client } => {
                let request = self.request(client, if client == CLIENTS - 1 { -2 } else { -1 });
                self.world.send(GroupRequest::ConsumerHeartbeat(request), 1);
                self.restart(client);
            }
            Step::Restart { client } => self.restart(client),
            Step::Commit { client, late } => {
                let Client { lives, epoch, ref owned, .. } = self.clients[client];
                let late = late && epoch > 1;
                if let Some(partition) = owned.iter().next().copied() {
                    self.next_offset += 1;
                    let id = format!("m{client}-{lives}");
                    let request = commit("g", &id, epoch - i32::from(late), partition, self.next_offset);
                    let reply = self.world.send(request, 9);
                    self.commits.insert(reply, (partition, self.next_offset, late));
                }
            }
            Step::Settle { ok } => {
                self.world.settle_next(if ok { Ok(()) } else { Err(ResponseError::NotEnoughReplicas) });
            }
            Step::Advance { ms } => self.world.advance(ms),
            Step::Grow => {
                let count = self.world.topics.0.entry("orders").or_default();
                *count = (*count + 1).min(7);
            }
            Step::FailOver => self.world.fail_over(),
        }
        self.hear();
        self.check();
    }

    fn restart(&mut self, client: usize) {
        let lives = self.clients[client].lives + 1;
        self.clients[client] = Client { lives, ..Client::default() };
    }

    fn hear(&mut self) {
        for client in 0..CLIENTS {
            let Some(reply) = self.clients[client].asked.filter(|reply| self.world.reply(*reply).is_some())
            else {
                continue;
            };
            let response = answer(&self.world, reply);
            let state = &mut self.clients[client];
            state.asked = None;
            let lost = [
                ResponseError::UnknownMemberId,
                ResponseError::FencedMemberEpoch,
                ResponseError::FencedInstanceId,
            ];
            if lost.iter().any(|error| error.code() == response.error_code) {
                state.epoch = 0;
                state.owned.clear();
                state.told = None;
            } else if response.error_code == 0 {
                self.rebalanced += u32::from(response.member_epoch > state.epoch);
                state.epoch = response.member_epoch;
                if let Some(partitions) = assigned(&response) {
                    state.told = Some(partitions.into_iter().collect());
                }
            }
        }
    }

    fn check(&mut self) {
        self.world.assert_matches_the_log();
        let answered: Vec<ReplyId> =
            self.commits.keys().copied().filter(|reply| self.world.reply(*reply).is_some()).collect();
        for reply in answered {
            let Some((partition, offset, late)) = self.commits.remove(&reply) else { continue };
            match self.world.error(reply) {
                0 => {
                    assert!(!late, "a commit in an epoch that was over is acknowledged");
                    self.committed += 1;
                    self.acknowledged.insert(partition, offset);
                }
                code => self.stale += u32::from(code == ResponseError::StaleMemberEpoch.code()),
            }
        }
        let snapshot = self.world.coordinator.snapshot();
        let Some(group) = snapshot.groups.get("g").and_then(|group| group.consumer.as_ref()) else { return };
        for (id, member) in &group.members {
            let epoch = member.current.epoch;
            let last = self.epochs.insert(id.clone(), epoch).unwrap_or(epoch);
            assert!(epoch >= last || epoch == -2 || last == -2, "`{id}` went from epoch {last} to {epoch}");
        }
    }

    /// All that was asked is answered, and members that go on heartbeating come to a stable group.
    fn finish(&mut self) {
        for _ in 0..4 {
            self.world.settle_all();
            self.world.advance(REBALANCE_MS as u64);
            self.hear();
            self.check();
        }
        for _ in 0..20 {
            for client in 0..CLIENTS {
                self.take(&Step::Reconcile { client });
                self.world.settle_all();
                self.hear();
                self.check();
            }
        }
        assert!(self.world.open.is_empty(), "never answered: {:?}", self.world.open);
        let snapshot = self.world.coordinator.snapshot();
        let group = snapshot.groups["g"].consumer.as_ref().expect("a group");
        assert_eq!((group.state_name(), group.members.len()), ("Stable", CLIENTS), "{group:#?}");
        let owned: usize = self.clients.iter().map(|client| client.owned.len()).sum();
        assert_eq!(owned as i32, self.world.topics.0["orders"]);
        for (partition, offset) in &self.acknowledged.clone() {
            let reply = self.world.send(fetch("g", *partition, false), 9);
            assert_eq!(self.world.error(reply), 0);
            assert!(self.world.fetched("g", *partition) >= *offset, "an acknowledged offset went back");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_has_two_owners_and_the_live_state_is_the_committed_log(steps in prop::collection::vec(step(), 1..200)) {
        let mut scene = Scene::new(Defects::NONE);
        for step in &steps {
            scene.take(step);
        }
        scene.finish();
    }
}

/// A long conversation that is always the same.
fn long_scene(defects: Defects) -> Scene {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut scene = Scene::new(defects);
    for step in prop::collection::vec(step(), 3_000).new_tree(&mut runner).unwrap().current() {
        scene.take(&step);
    }
    scene.finish();
    scene
}

#[test]
fn random_conversations_reach_rebalances_commits_and_stale_members() {
    let scene = long_scene(Defects::NONE);
    let Scene { rebalanced, committed, stale, .. } = scene;
    assert!(rebalanced > 50 && committed > 20 && stale > 0, "{rebalanced} {committed} {stale}");
}

#[test]
#[should_panic(expected = "two members of `g` have it")]
fn random_conversations_find_partitions_that_are_given_away_too_early() {
    long_scene([Defect::AssignBeforeRevoke].into_iter().collect());
}

#[test]
#[should_panic(expected = "and from the log")]
fn random_conversations_find_leaves_that_are_not_stored() {
    long_scene([Defect::UnstoredLeave].into_iter().collect());
}
