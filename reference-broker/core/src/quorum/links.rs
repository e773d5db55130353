//! The connections to the other voters: one each, with one request on its way at most.
//!
//! What is to be sent follows from the role alone. A request that is on its way although the role wants another one is
//! given up together with its connection: a Fetch that waits for news would hold up a vote behind it.

use std::collections::BTreeMap;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};

use super::effect::QuorumEffect;
use super::messages::{self, FetchFrom, VoteAsked};
use super::quorum::{Quorum, QuorumError};
use super::role::Role;
use super::snapshot::SnapshotId;
use super::snapshot_messages::{ChunkAsked, chunk_request};
use crate::disk::Disk;
use crate::ids::{LeaderEpoch, NodeId};
use crate::node::{Now, Peer};

/// How long a voter that could not be reached is left alone.
const REDIAL_NS: u64 = 20_000_000;

/// All other voters.
#[derive(Debug)]
pub(super) struct Links {
    links: BTreeMap<NodeId, Link>,
}

#[derive(Debug)]
struct Link {
    peer: Peer,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Down { redial_ns: u64 },
    Dialling { until_ns: u64 },
    Up(Option<Sent>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sent {
    what: Message,
    until_ns: u64,
}

/// A request to another voter, and the epoch in which it makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Message {
    Vote { epoch: LeaderEpoch, round: u64, pre_vote: bool },
    Begin { epoch: LeaderEpoch },
    End { epoch: LeaderEpoch },
    Fetch { epoch: LeaderEpoch },
    FetchSnapshot { epoch: LeaderEpoch, id: SnapshotId, position: u64 },
}

impl Links {
    pub(super) fn new<'a>(others: impl Iterator<Item = &'a Peer>) -> Self {
        let down = |peer: &Peer| Link { peer: peer.clone(), state: State::Down { redial_ns: 0 } };
        Self { links: others.map(|peer| (peer.node, down(peer))).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many other voters there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.links.keys().copied()
    }

    fn set(&mut self, voter: NodeId, state: State) {
        if let Some(link) = self.links.get_mut(&voter) {
            link.state = state;
        }
    }

    fn state(&self, voter: NodeId) -> State {
        self.links.get(&voter).map_or(State::Down { redial_ns: u64::MAX }, |link| link.state)
    }
}

impl Quorum {
    /// The connection to a voter stands.
    pub fn connected(&mut self, now: Now, voter: NodeId, out: &mut Vec<QuorumEffect>) {
        self.links.set(voter, State::Up(None));
        self.drive(now, out);
    }

    /// The connection to a voter is gone or could not be made.
    pub fn closed(&mut self, now: Now, voter: NodeId, out: &mut Vec<QuorumEffect>) {
        self.connection_lost(voter);
        self.links.set(voter, State::Down { redial_ns: now.mono_ns + REDIAL_NS });
        self.drive(now, out);
    }

    /// A voter has answered.
    pub fn answered(
        &mut self,
        now: Now,
        voter: NodeId,
        response: &ResponseKind,
        disk: &mut dyn Disk,
        out: &mut Vec<QuorumEffect>,
    ) -> Result<(), QuorumError> {
        let State::Up(Some(sent)) = self.links.state(voter) else { return Ok(()) };
        self.links.set(voter, State::Up(None));
        match (sent.what, response) {
            (Message::Vote { round, .. }, ResponseKind::Vote(response)) => {
                let (answer, granted) = messages::voted(response).unwrap_or_else(|| {
                    tracing::warn!(%voter, error = response.error_code, "a vote is refused");
                    (self.nothing_new(), false)
                });
                let leader = (answer.leader != NodeId::NONE).then_some(answer.leader);
                self.learn(answer.epoch, leader, voter, now, disk)?;
                self.polled(now, voter, round, granted, disk)?;
            }
            (Message::Begin { .. }, ResponseKind::BeginQuorumEpoch(response)) => {
                if let Some(answer) = messages::begun(response) {
                    let leader = (answer.leader != NodeId::NONE).then_some(answer.leader);
                    self.learn(answer.epoch, leader, voter, now, disk)?;
                }
            }
            (Message::End { .. }, ResponseKind::EndQuorumEpoch(_)) => {
                if let Role::Resigned { told, .. } = &mut self.role {
                    told.insert(voter);
                }
            }
            (Message::Fetch { epoch }, ResponseKind::Fetch(response)) if epoch == self.epoch() => {
                let before = self.log_position();
                self.fetched(now, voter, response, disk)?;
                let refused = messages::fetched(response).is_none_or(|answer| answer.error != 0);
                if refused && before == self.log_position() {
                    // It does not lead, or not yet: ask again, but not at once.
                    self.hang_up(now, voter, out);
                }
            }
            (Message::FetchSnapshot { epoch, .. }, ResponseKind::FetchSnapshot(response))
                if epoch == self.epoch() && !self.chunk_fetched(now, voter, response, disk)? =>
            {
                self.hang_up(now, voter, out);
            }
            _ => {}
        }
        self.drive(now, out);
        Ok(())
    }

    fn nothing_new(&self) -> messages::Answer {
        messages::Answer { error: 0, leader: NodeId::NONE, epoch: self.epoch() }
    }

    fn connection_lost(&mut self, voter: NodeId) {
        if self.leader() == Some(voter)
            && let Some(receiver) = &mut self.receiver
        {
            receiver.interrupt();
        }
    }

    fn hang_up(&mut self, now: Now, voter: NodeId, out: &mut Vec<QuorumEffect>) {
        self.connection_lost(voter);
        self.links.set(voter, State::Down { redial_ns: now.mono_ns + REDIAL_NS });
        out.push(QuorumEffect::Close { voter });
    }

    /// Dials and sends what the role asks for, and gives up what takes too long.
    pub(crate) fn drive(&mut self, now: Now, out: &mut Vec<QuorumEffect>) {
        for voter in self.links.peers().collect::<Vec<_>>() {
            self.drive_one(now, voter, out);
        }
    }

    fn drive_one(&mut self, now: Now, voter: NodeId, out: &mut Vec<QuorumEffect>) {
        let wanted = self.wants(voter).filter(|(at_ns, _)| *at_ns <= now.mono_ns).map(|(_, what)| what);
        match self.links.state(voter) {
            State::Up(Some(sent)) if now.mono_ns >= sent.until_ns => self.hang_up(now, voter, out),
            State::Dialling { until_ns } if now.mono_ns >= until_ns => self.hang_up(now, voter, out),
            State::Up(Some(sent)) if wanted.is_some_and(|wanted| wanted != sent.what) => {
                out.push(QuorumEffect::Close { voter });
                self.dial(now, voter, out);
            }
            State::Down { redial_ns } if wanted.is_some() && now.mono_ns >= redial_ns => {
                self.dial(now, voter, out);
            }
            State::Up(None) => {
                if let Some(what) = wanted {
                    self.send(now, voter, what, out);
                }
            }
            State::Up(Some(_)) | State::Dialling { .. } | State::Down { .. } => {}
        }
    }

    fn dial(&mut self, now: Now, voter: NodeId, out: &mut Vec<QuorumEffect>) {
        let Some(link) = self.links.links.get_mut(&voter) else { return };
        link.state = State::Dialling { until_ns: now.mono_ns + self.timeouts.election_ns };
        out.push(QuorumEffect::Dial { voter: link.peer.clone() });
    }

    /// What is to be sent to a voter, and when.
    fn wants(&self, voter: NodeId) -> Option<(u64, Message)> {
        let epoch = self.epoch();
        match &self.role {
            Role::Follower { leader, .. } if *leader == voter => Some((0, self.wants_of_leader(epoch))),
            Role::Prospective { poll, .. } if poll.lacks(voter) => {
                Some((0, Message::Vote { epoch, round: poll.round, pre_vote: true }))
            }
            Role::Candidate(poll) if poll.lacks(voter) => {
                Some((0, Message::Vote { epoch, round: poll.round, pre_vote: false }))
            }
            Role::Leader(leading) => {
                leading.followers.get(&voter).map(|follower| (follower.remind_ns, Message::Begin { epoch }))
            }
            Role::Resigned { told, .. } if !told.contains(&voter) => Some((0, Message::End { epoch })),
            _ => None,
        }
    }

    fn wants_of_leader(&self, epoch: LeaderEpoch) -> Message {
        match self.receiver.as_ref().filter(|receiver| receiver.is_offered()) {
            Some(receiver) => {
                Message::FetchSnapshot { epoch, id: receiver.id(), position: receiver.position() }
            }
            None => Message::Fetch { epoch },
        }
    }

    fn send(&mut self, now: Now, voter: NodeId, what: Message, out: &mut Vec<QuorumEffect>) {
        let (election_ns, fetch_ns) = (self.timeouts.election_ns, self.timeouts.fetch_ns);
        let (api, version, patience_ns, request): (_, _, _, RequestKind) = match what {
            Message::Vote { epoch, pre_vote, .. } => {
                let (last_epoch, end) = self.log_position();
                let asked = VoteAsked { candidate: self.me, epoch, last_epoch, end, pre_vote };
                let request = messages::vote_request(&self.cluster_id, voter, asked).into();
                (ApiKey::Vote, messages::VOTE, election_ns, request)
            }
            Message::Begin { epoch } => {
                if let Role::Leader(leading) = &mut self.role
                    && let Some(follower) = leading.followers.get_mut(&voter)
                {
                    follower.remind_ns = now.mono_ns + election_ns / 2;
                }
                let request = messages::begin_request(&self.cluster_id, voter, self.me, epoch).into();
                (ApiKey::BeginQuorumEpoch, messages::BEGIN, election_ns, request)
            }
            Message::End { epoch } => {
                let successors = match &self.role {
                    Role::Resigned { successors, .. } => &successors[..],
                    _ => &[],
                };
                let request = messages::end_request(&self.cluster_id, self.me, epoch, successors).into();
                (ApiKey::EndQuorumEpoch, messages::END, election_ns, request)
            }
            Message::Fetch { epoch } => {
                let (last_epoch, end) = self.log_position();
                let wait_ms = (fetch_ns / 4_000_000) as i32;
                let from = FetchFrom { follower: self.me, epoch, last_epoch, end, wait_ms };
                (
                    ApiKey::Fetch,
                    messages::FETCH,
                    fetch_ns,
                    messages::fetch_request(&self.cluster_id, from).into(),
                )
            }
            Message::FetchSnapshot { epoch, id, position } => {
                let (replica, max_bytes) = (self.me, self.chunk_bytes);
                let asked = ChunkAsked { replica, epoch, id, position, max_bytes };
                let request = chunk_request(&self.cluster_id, asked).into();
                (ApiKey::FetchSnapshot, messages::FETCH_SNAPSHOT, fetch_ns, request)
            }
        };
        self.links.set(voter, State::Up(Some(Sent { what, until_ns: now.mono_ns + patience_ns })));
        out.push(QuorumEffect::Send { voter, api, version, request: Box::new(request) });
    }

    /// When something is to be sent, dialled or given up next.
    pub(super) fn links_due_ns(&self) -> u64 {
        let due = self.links.links.iter().map(|(voter, link)| {
            let wanted_ns = self.wants(*voter).map_or(u64::MAX, |(at_ns, _)| at_ns);
            match link.state {
                State::Up(Some(sent)) => sent.until_ns,
                State::Dialling { until_ns } => until_ns,
                State::Up(None) => wanted_ns,
                State::Down { redial_ns } => wanted_ns.max(redial_ns),
            }
        });
        due.min().unwrap_or(u64::MAX)
    }
}
