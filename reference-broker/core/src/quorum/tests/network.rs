//! Voters in one thread: messages are handed over at once, time moves only when asked, voters can be cut off or killed.
//!
//! It stands in for the controller as far as the quorum needs one: a leader appends a record when its epoch begins, and
//! fetches are answered at once or when there is news.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData, SnapshotId as WireSnapshotId,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, FetchSnapshotRequest, RequestKind, ResponseKind,
};

use crate::disk::MemDisk;
use crate::ids::{LeaderEpoch, NodeId, Offset};
use crate::node::{Endpoint, NodeConfig, Now, Peer, Role};
use crate::quorum::boot::LOG_DIR;
use crate::quorum::snapshots::Snapshots;
use crate::quorum::{Quorum, QuorumEffect, QuorumError, SnapshotId};
use crate::record::batches;

const MS: u64 = 1_000_000;

type Act<'a> =
    &'a mut dyn FnMut(&mut Quorum, Now, &mut MemDisk, &mut Vec<QuorumEffect>) -> Result<(), QuorumError>;

struct Voter {
    quorum: Quorum,
    /// The epoch in which it has appended as leader last.
    begun: LeaderEpoch,
    waiting: Vec<(NodeId, FetchRequest)>,
}

pub(super) struct Network {
    pub(super) now: Now,
    configs: BTreeMap<NodeId, NodeConfig>,
    disks: BTreeMap<NodeId, MemDisk>,
    voters: BTreeMap<NodeId, Voter>,
    /// Pairs of dialler and dialled.
    links: BTreeSet<(NodeId, NodeId)>,
    /// Who asks whom for a part of a snapshot; answered as time passes.
    chunks: Vec<(NodeId, NodeId, FetchSnapshotRequest)>,
    /// Nothing passes between these and the others.
    cut: BTreeSet<NodeId>,
    pub(super) failures: Vec<(NodeId, QuorumError)>,
    /// Who led in which epoch.
    pub(super) leaders: BTreeMap<LeaderEpoch, NodeId>,
}

impl Network {
    pub(super) fn of(voters: i32) -> Self {
        let nodes: Vec<NodeId> = (1..=voters).map(NodeId).collect();
        let endpoint = |node: NodeId| Endpoint { host: format!("n{node}"), port: 9093 };
        let peers: Vec<Peer> =
            nodes.iter().map(|node| Peer { node: *node, endpoint: endpoint(*node) }).collect();
        let config = |node: NodeId| NodeConfig {
            controllers: peers.clone(),
            metadata_segment_bytes: 1024,
            ..NodeConfig::new(node, Role::Controller, endpoint(node), endpoint(node)).with_quick_failover()
        };
        let mut network = Self {
            now: Now { mono_ns: MS, wall_ms: 1_700_000_000_000 },
            configs: nodes.iter().map(|node| (*node, config(*node))).collect(),
            disks: nodes.iter().map(|node| (*node, MemDisk::new())).collect(),
            voters: BTreeMap::new(),
            links: BTreeSet::new(),
            chunks: Vec::new(),
            cut: BTreeSet::new(),
            failures: Vec::new(),
            leaders: BTreeMap::new(),
        };
        for node in nodes {
            network.boot(node);
        }
        network
    }

    pub(super) fn boot(&mut self, node: NodeId) {
        let disk = self.disks.get_mut(&node).expect("a disk");
        let quorum = Quorum::boot(&self.configs[&node], self.now, disk).expect("boots");
        self.voters.insert(node, Voter { quorum, begun: LeaderEpoch::NONE, waiting: Vec::new() });
        self.tick(node);
    }

    pub(super) fn kill(&mut self, node: NodeId) {
        self.voters.remove(&node);
        self.disks.get_mut(&node).expect("a disk").close_all();
        self.hang_up_all(node);
    }

    fn hang_up_all(&mut self, node: NodeId) {
        let lost: Vec<_> =
            self.links.iter().copied().filter(|(from, to)| *from == node || *to == node).collect();
        for (from, to) in lost {
            self.hang_up(from, to);
        }
    }

    /// The connection that `from` has dialled breaks.
    pub(super) fn hang_up(&mut self, from: NodeId, to: NodeId) {
        self.links.remove(&(from, to));
        self.drop_waiting(from, to);
        self.step(from, |quorum, now, _, out| {
            quorum.closed(now, to, out);
            Ok(())
        });
    }

    /// Nothing reaches this voter any more, and nothing leaves it.
    pub(super) fn cut_off(&mut self, node: NodeId) {
        self.cut.insert(node);
        self.hang_up_all(node);
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(super) fn quorum(&self, node: NodeId) -> &Quorum {
        &self.voters[&node].quorum
    }

    pub(super) fn disk(&mut self, node: NodeId) -> &mut MemDisk {
        self.disks.get_mut(&node).expect("a disk")
    }

    /// The one that leads in the newest epoch.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let leaders = self.voters.iter().filter(|(_, voter)| voter.quorum.is_leader());
        leaders.max_by_key(|(_, voter)| voter.quorum.epoch()).map(|(node, _)| *node)
    }

    /// Lets a voter do something, and then all that follows from it.
    pub(super) fn step(
        &mut self,
        node: NodeId,
        act: impl FnOnce(&mut Quorum, Now, &mut MemDisk, &mut Vec<QuorumEffect>) -> Result<(), QuorumError>,
    ) {
        let mut act = Some(act);
        self.step_once(node, &mut |quorum, now, disk, out| {
            act.take().map_or(Ok(()), |act| act(quorum, now, disk, out))
        });
    }

    fn step_once(&mut self, node: NodeId, act: Act<'_>) {
        let (Some(voter), Some(disk)) = (self.voters.get_mut(&node), self.disks.get_mut(&node)) else {
            return;
        };
        let mut out = Vec::new();
        let mut done = act(&mut voter.quorum, self.now, disk, &mut out);
        if done.is_ok() && voter.quorum.is_leader() && voter.begun != voter.quorum.epoch() {
            voter.begun = voter.quorum.epoch();
            let before = self.leaders.insert(voter.begun, node);
            assert!(
                before.is_none_or(|it| it == node),
                "{before:?} and {node} lead in epoch {}",
                voter.begun
            );
            done = voter.quorum.append(self.now, &[Bytes::from(format!("leader {node}"))], disk).map(drop);
        }
        voter.quorum.drive(self.now, &mut out);
        if let Err(error) = done {
            self.failures.push((node, error));
            return self.kill(node);
        }
        self.carry_out(node, out);
        self.serve(node);
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<QuorumEffect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                QuorumEffect::Dial { voter } => self.dial(node, voter.node),
                QuorumEffect::Close { voter } => {
                    self.links.remove(&(node, voter));
                    self.drop_waiting(node, voter);
                }
                QuorumEffect::Send { voter, request, .. } => self.ask(node, voter, *request),
            }
        }
    }

    fn dial(&mut self, from: NodeId, to: NodeId) {
        if self.voters.contains_key(&to) && !self.cut.contains(&from) && !self.cut.contains(&to) {
            self.links.insert((from, to));
            self.step(from, |quorum, now, _, out| {
                quorum.connected(now, to, out);
                Ok(())
            });
        }
    }

    fn ask(&mut self, from: NodeId, to: NodeId, request: RequestKind) {
        let mut response = None;
        let answer = &mut response;
        match request {
            RequestKind::Vote(request) => self.step(to, |quorum, now, disk, _| {
                *answer = Some(ResponseKind::from(quorum.vote(now, &request, disk)?));
                Ok(())
            }),
            RequestKind::BeginQuorumEpoch(request) => self.step(to, |quorum, now, disk, _| {
                *answer = Some(ResponseKind::from(quorum.begin_epoch(now, &request, disk)?));
                Ok(())
            }),
            RequestKind::EndQuorumEpoch(request) => self.step(to, |quorum, now, disk, _| {
                *answer = Some(ResponseKind::from(quorum.end_epoch(now, &request, disk)?));
                Ok(())
            }),
            RequestKind::Fetch(request) => {
                let partition = request.topics[0].partitions[0].clone();
                if let Some(voter) = self.voters.get_mut(&to) {
                    voter.waiting.push((from, request));
                }
                self.step(to, |quorum, now, _, _| {
                    let epoch = LeaderEpoch(partition.current_leader_epoch);
                    let last_epoch = LeaderEpoch(partition.last_fetched_epoch);
                    quorum.follower_fetched(now, from, epoch, Offset(partition.fetch_offset), last_epoch);
                    Ok(())
                });
            }
            RequestKind::FetchSnapshot(request) => self.chunks.push((from, to, request)),
            other => panic!("{other:?}"),
        }
        if let Some(response) = response {
            self.answer(from, to, &response);
        }
    }

    fn answer(&mut self, to: NodeId, from: NodeId, response: &ResponseKind) {
        if self.links.contains(&(to, from)) {
            self.step(to, |quorum, now, disk, out| quorum.answered(now, from, response, disk, out));
        }
    }

    fn drop_waiting(&mut self, from: NodeId, to: NodeId) {
        self.chunks.retain(|(asker, asked, _)| (*asker, *asked) != (from, to));
        if let Some(voter) = self.voters.get_mut(&to) {
            voter.waiting.retain(|(asker, _)| *asker != from);
        }
    }

    /// Answers the fetches that there is news for.
    fn serve(&mut self, node: NodeId) {
        let Some(voter) = self.voters.get_mut(&node) else { return };
        let mut answers = Vec::new();
        for (asker, request) in std::mem::take(&mut voter.waiting) {
            let disk = self.disks.get_mut(&node).expect("a disk");
            match fetch_answer(&mut voter.quorum, asker, &request, disk) {
                Some(answer) => answers.push((asker, answer)),
                None => voter.waiting.push((asker, request)),
            }
        }
        for (asker, answer) in answers {
            self.answer(asker, node, &ResponseKind::Fetch(answer));
        }
    }

    fn tick(&mut self, node: NodeId) {
        self.step(node, |quorum, now, disk, out| quorum.tick(now, disk, out));
    }

    /// Lets time pass, tick by tick; fetches that have waited for 100 ms are answered.
    pub(super) fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.mono_ns += MS;
            self.now.wall_ms += 1;
            for (from, to, request) in std::mem::take(&mut self.chunks) {
                let mut response = None;
                let answer = &mut response;
                self.step(to, |quorum, now, disk, _| {
                    *answer = Some(ResponseKind::from(quorum.fetch_snapshot(now, &request, disk)?));
                    Ok(())
                });
                if let Some(response) = response {
                    self.answer(from, to, &response);
                }
            }
            for node in self.voters.keys().copied().collect::<Vec<_>>() {
                if self.quorum_due(node) {
                    self.tick(node);
                }
                if self.now.wall_ms % 100 == 0 {
                    self.answer_all(node);
                }
            }
        }
    }

    fn quorum_due(&self, node: NodeId) -> bool {
        self.voters.get(&node).is_some_and(|voter| voter.quorum.next_tick_ns() <= self.now.mono_ns)
    }

    fn answer_all(&mut self, node: NodeId) {
        let Some(voter) = self.voters.get_mut(&node) else { return };
        for (asker, _) in std::mem::take(&mut voter.waiting) {
            let quorum = &self.voters[&node].quorum;
            let answer = with_partition(quorum, PartitionData::default());
            self.answer(asker, node, &ResponseKind::Fetch(answer));
        }
    }

    /// Lets time pass until something holds, for at most ten seconds.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..10_000 {
            if holds(self) {
                return;
            }
            self.run_ms(1);
        }
        let views: Vec<_> = self.voters.iter().map(|(node, voter)| (node, voter.quorum.view())).collect();
        panic!("never: {what}: {views:?}, {:?}", self.failures);
    }

    /// Until somebody other than `old` leads, and its first record is committed.
    pub(super) fn elect(&mut self, old: Option<NodeId>) -> NodeId {
        let elected = |network: &Self| {
            network.leader().filter(|leader| Some(*leader) != old).filter(|leader| {
                let quorum = network.quorum(*leader);
                quorum.high_watermark() == quorum.end_offset()
            })
        };
        self.until("a leader", |network| elected(network).is_some());
        elected(self).expect("a leader")
    }

    pub(super) fn append(&mut self, node: NodeId, value: &str) {
        let value = Bytes::from(value.to_owned());
        self.step(node, |quorum, now, disk, _| quorum.append(now, &[value], disk).map(drop));
    }

    /// How much of a snapshot voters that boot from now on ask for at a time.
    pub(super) fn chunk_bytes(&mut self, bytes: i32) {
        self.configs.values_mut().for_each(|config| config.quorum_snapshot_fetch_bytes = bytes);
    }

    /// Writes a snapshot of all that is committed; returns where it ends.
    pub(super) fn snapshot(&mut self, node: NodeId, values: &[&str]) -> Offset {
        let end = self.quorum(node).high_watermark();
        let values: Vec<_> = values.iter().map(|value| Bytes::from((*value).to_owned())).collect();
        self.step(node, |quorum, now, disk, _| quorum.write_snapshot(now, end, &values, disk));
        end
    }

    pub(super) fn read_snapshot(&mut self, node: NodeId) -> Option<(SnapshotId, Bytes)> {
        let disk = self.disks.get_mut(&node).expect("a disk");
        self.voters[&node].quorum.read_snapshot(disk).expect("reads")
    }

    /// A file of a snapshot appears on a disk.
    pub(super) fn put_snapshot(&mut self, node: NodeId, id: SnapshotId, bytes: &[u8]) {
        let disk = self.disks.get_mut(&node).expect("a disk");
        let mut snapshots = Snapshots::open(LOG_DIR, disk).expect("a directory");
        snapshots.store(id, bytes, disk).expect("writes");
    }

    /// All values in a voter's log, committed or not.
    pub(super) fn values(&mut self, node: NodeId) -> Vec<String> {
        let (disk, quorum) = (self.disks.get_mut(&node).expect("a disk"), &self.voters[&node].quorum);
        let (mut next, mut parts) = (quorum.log_start(), Vec::new());
        while next < quorum.end_offset() {
            for batch in quorum.read_all(next, 1 << 20, disk).expect("reads").into_iter().flat_map(batches) {
                let batch = batch.unwrap();
                next = batch.header.last_offset().next();
                parts.push(batch);
            }
        }
        let records = parts.into_iter().flat_map(|batch| batch.records().unwrap());
        records.map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()).collect()
    }
}

fn with_partition(quorum: &Quorum, partition: PartitionData) -> FetchResponse {
    let leader = LeaderIdAndEpoch::default()
        .with_leader_id(BrokerId(quorum.leader().unwrap_or(NodeId::NONE).0))
        .with_leader_epoch(quorum.epoch().0);
    let error =
        if quorum.is_leader() { 0 } else { kafka_protocol::ResponseError::NotLeaderOrFollower.code() };
    let partition = partition
        .with_current_leader(leader)
        .with_error_code(error)
        .with_high_watermark(quorum.high_watermark().0);
    FetchResponse::default()
        .with_responses(vec![FetchableTopicResponse::default().with_partitions(vec![partition])])
}

fn fetch_answer(
    quorum: &mut Quorum,
    asker: NodeId,
    request: &FetchRequest,
    disk: &mut MemDisk,
) -> Option<FetchResponse> {
    let asked = &request.topics[0].partitions[0];
    let (from, last_epoch) = (Offset(asked.fetch_offset), LeaderEpoch(asked.last_fetched_epoch));
    let mut partition = PartitionData::default();
    if quorum.is_leader() {
        if let Some(id) = quorum.snapshot_for(from, last_epoch) {
            partition.snapshot_id =
                WireSnapshotId::default().with_end_offset(id.end.0).with_epoch(id.epoch.0);
        } else if let Some((epoch, end)) = quorum.diverging(from, last_epoch) {
            partition.diverging_epoch = EpochEndOffset::default().with_epoch(epoch.0).with_end_offset(end.0);
        } else {
            let records = quorum.read_all(from, 1 << 20, disk).expect("reads");
            if records.is_empty() && !quorum.owes_high_watermark(asker) {
                return None;
            }
            quorum.told_high_watermark(asker);
            partition = partition.with_records(Some(Bytes::from(records.concat())));
        }
    }
    Some(with_partition(quorum, partition))
}
