//! A member of a consumer group that speaks the classic protocol: joins, commits, dies and comes back.
//!
//! It reads nothing: what it commits are numbers that only grow.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::protocol::StrBytes;

use super::group_talk::{Asked, Generation, GroupTalk, Heard, Patience};
use super::session::Session;
use super::{Client, ClientEvent, ClientTurn, TOPIC};
use crate::dice::{Concern, Dice};
use crate::groups::Fault;
use crate::plan::MS;

const GROUP: &str = "elders";
const PATIENCE: Patience = Patience { session: 1_500 * MS, rebalance: 1_000 * MS };
const TIMEOUT: u64 = 400 * MS;
const HEARTBEAT: u64 = 80 * MS;
const RETRY: u64 = 30 * MS;
/// Mean time between two commits.
const COMMIT_EVERY: u64 = 40 * MS;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER: i16 = 25;
const REBALANCE: i16 = 27;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Joining,
    /// Has a generation and no assignment yet.
    Syncing,
    /// Asks where its partitions were left off.
    Locating,
    Steady,
}

pub(crate) struct Elder {
    index: usize,
    talk: GroupTalk,
    dice: Dice,
    phase: Phase,
    generation: Generation,
    assigned: BTreeSet<i32>,
    /// What was known to be committed when it asked for it.
    known_before: BTreeMap<i32, Option<i64>>,
    /// The partitions of which it knows where they were left off.
    located: BTreeSet<i32>,
    /// A question about the membership is under way since then.
    asked_ns: Option<u64>,
    retry_ns: u64,
    /// When the last heartbeat was sent, and when the next is due.
    beat_ns: u64,
    next_beat_ns: u64,
    commit: Option<BTreeMap<i32, u64>>,
    next_commit_ns: u64,
    finishing: bool,
    /// What is not committed although it was acknowledged.
    behind: Option<String>,
    last_error: i16,
}

impl Elder {
    pub(crate) fn new(index: usize, partitions: i32, mut dice: Dice) -> Self {
        let partitions = BTreeMap::from([(TOPIC.to_owned(), partitions as u32)]);
        let own = Dice::new(dice.number(), Concern::Workload);
        Self {
            index,
            talk: GroupTalk::new(GROUP, TOPIC, partitions, PATIENCE, Session::new(TIMEOUT), own),
            dice,
            phase: Phase::Joining,
            generation: Generation::default(),
            assigned: BTreeSet::new(),
            known_before: BTreeMap::new(),
            located: BTreeSet::new(),
            asked_ns: None,
            retry_ns: 0,
            beat_ns: 0,
            next_beat_ns: 0,
            commit: None,
            next_commit_ns: 0,
            finishing: false,
            behind: None,
            last_error: 0,
        }
    }

    // --- what is heard ---

    fn hear(&mut self, heard: Heard, turn: &mut ClientTurn<'_>) {
        let asked_ns = self.asked_ns.unwrap_or(turn.now_ns);
        match heard {
            Heard::Joined(generation) if self.asked_as(Phase::Joining) => {
                // It was a member for as long as it waited for the others.
                turn.ledger.elders.had_member(asked_ns, turn.now_ns);
                self.generation = generation;
                self.phase = Phase::Syncing;
            }
            Heard::NeedsId(member_id) if self.asked_as(Phase::Joining) => {
                self.generation.member_id = member_id;
            }
            Heard::Assigned(partitions) if self.asked_as(Phase::Syncing) => {
                turn.ledger.elders.had_member(asked_ns, asked_ns + PATIENCE.session);
                self.assigned = partitions;
                self.located.clear();
                self.phase = Phase::Locating;
                self.next_beat_ns = turn.now_ns + HEARTBEAT;
            }
            Heard::Located(offsets) if self.asked_as(Phase::Locating) => self.locate(&offsets, turn),
            // It has become something else since it asked.
            Heard::Joined(_) | Heard::NeedsId(_) | Heard::Assigned(_) | Heard::Located(_) => {}
            Heard::Alive => {
                turn.ledger.elders.had_member(self.beat_ns, self.beat_ns + PATIENCE.session);
            }
            Heard::Rebalance => self.rejoin(),
            Heard::Committed(codes) => self.committed(&codes, turn),
            Heard::Parted => {}
            Heard::Refused { asked, code } => self.refused(asked, code, turn),
        }
    }

    /// Whether an answer finds the member as it was when it asked.
    fn asked_as(&mut self, phase: Phase) -> bool {
        if self.phase == phase {
            self.asked_ns = None;
        }
        self.phase == phase
    }

    fn locate(&mut self, offsets: &BTreeMap<i32, Option<u64>>, turn: &mut ClientTurn<'_>) {
        for (partition, offset) in offsets {
            let known = self.known_before.get(partition).copied().flatten();
            let offset = offset.map(|offset| offset as i64);
            match turn.ledger.elders.fetched(*partition, known, offset) {
                // A coordinator that does not know that it is deposed tells what was so.
                Some(Fault::Behind(what)) if turn.ledger.why_not_claimed().is_none() => {
                    self.behind = Some(what);
                    self.retry_ns = turn.now_ns + RETRY;
                }
                fault => {
                    if let Some(Fault::Invented(what)) = fault {
                        turn.ledger.violation("phantom", what);
                    }
                    self.behind = None;
                    self.located.insert(*partition);
                }
            }
        }
        if self.assigned.is_subset(&self.located) {
            self.phase = Phase::Steady;
        }
    }

    fn rejoin(&mut self) {
        self.phase = Phase::Joining;
        self.asked_ns = None;
        self.assigned.clear();
    }

    fn refused(&mut self, asked: Asked, code: i16, turn: &mut ClientTurn<'_>) {
        self.last_error = code;
        match asked {
            Asked::Commit => {
                let all = self.commit.iter().flatten().map(|(partition, _)| (*partition, code)).collect();
                self.committed(&all, turn);
            }
            Asked::Heartbeat => {}
            _ => {
                self.asked_ns = None;
                self.retry_ns = turn.now_ns + RETRY;
            }
        }
        match code {
            UNKNOWN_MEMBER => {
                self.generation.member_id = StrBytes::default();
                self.rejoin();
            }
            ILLEGAL_GENERATION | REBALANCE => self.rejoin(),
            _ => {}
        }
    }

    fn committed(&mut self, codes: &BTreeMap<i32, i16>, turn: &mut ClientTurn<'_>) {
        for (partition, offset) in self.commit.take().into_iter().flatten() {
            match codes.get(&partition).copied() {
                Some(0) => turn.ledger.elders.committed(partition, offset as i64),
                Some(ILLEGAL_GENERATION | UNKNOWN_MEMBER) => {}
                // Whether it was stored is not known.
                _ => turn.ledger.elders.lost(partition, offset as i64),
            }
        }
    }

    // --- what is asked ---

    fn act(&mut self, turn: &mut ClientTurn<'_>) {
        let Some(to) = self.talk.coordinator(turn) else { return };
        let settled = matches!(self.phase, Phase::Steady | Phase::Locating);
        if settled && turn.now_ns >= self.next_beat_ns {
            (self.beat_ns, self.next_beat_ns) = (turn.now_ns, turn.now_ns + HEARTBEAT);
            self.talk.heartbeat(to, &self.generation, turn);
        }
        let commits = self.phase == Phase::Steady && !self.finishing && self.commit.is_none();
        if commits && turn.now_ns >= self.next_commit_ns {
            self.next_commit_ns = turn.now_ns + self.dice.between(1, COMMIT_EVERY * 2);
            if let Some(partition) = self.assigned.first().copied() {
                let offset = turn.ledger.elders.draw(partition) as u64;
                let offsets = BTreeMap::from([(partition, offset)]);
                self.talk.commit(to, &self.generation, &offsets, turn);
                self.commit = Some(offsets);
            }
            if self.dice.percent(1) {
                self.die();
                return;
            }
        }
        if self.asked_ns.is_some() || turn.now_ns < self.retry_ns {
            return;
        }
        match self.phase {
            Phase::Joining => self.talk.join(to, &self.generation, turn),
            Phase::Syncing => self.talk.sync(to, &self.generation, turn),
            Phase::Locating => {
                let elders = &turn.ledger.elders;
                self.known_before =
                    self.assigned.iter().map(|one| (*one, elders.acknowledged(*one))).collect();
                self.talk.locate(to, &self.assigned, turn);
            }
            Phase::Steady => return,
        }
        self.asked_ns = Some(turn.now_ns);
    }

    /// Without a word; the next process knows nothing of this one.
    fn die(&mut self) {
        self.generation = Generation::default();
        self.rejoin();
    }
}

impl Client for Elder {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for heard in self.talk.take(event, turn) {
            self.hear(heard, turn);
        }
        self.act(turn);
        let soon = turn.now_ns + 10 * MS;
        let ask = if self.asked_ns.is_none() { self.retry_ns.max(soon) } else { u64::MAX };
        let wakes =
            [self.talk.next_wake_ns(), self.next_beat_ns.max(soon), self.next_commit_ns.max(soon), ask];
        wakes.into_iter().min().unwrap_or(soon).max(turn.now_ns + MS)
    }

    /// Whether it has come to rest in the group, and knows where all that it has was left off.
    fn is_done(&self) -> bool {
        self.finishing && self.phase == Phase::Steady && self.commit.is_none()
    }

    fn finish(&mut self) {
        self.finishing = true;
        // Everything is looked up once more.
        self.located.clear();
        if self.phase == Phase::Steady {
            self.phase = Phase::Locating;
        }
    }

    fn status(&self) -> String {
        format!(
            "elder {}: {:?}, has {:?}, last error {}, behind {:?}",
            self.index, self.phase, self.assigned, self.last_error, self.behind
        )
    }
}
