//! A member of a consumer group: joins, reads what it is assigned, hands messages over, and settles as its plan says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use broker_core::NodeId;
use kafka_protocol::protocol::StrBytes;
use mqproof_core::history::{Event, EventKind, MemberChange, Outcome};
use mqproof_core::plan::{ConsumerPlan, Settle, Start};

use super::tape::{Arrival, Fetched, SharedTape, blank};
use crate::client::fetcher::{Bound, Fetcher, Found};
use crate::client::group_talk::{Asked, Generation, GroupTalk, Heard, Patience};
use crate::client::metadata::{Metadata, topic_name};
use crate::client::{Client, ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

/// As the live clients are set.
const METADATA_EVERY: u64 = 200 * MS;
const METADATA_PAUSE: u64 = 50 * MS;
const REQUEST_TIMEOUT: u64 = 3_000 * MS;
const SESSION_TIMEOUT: u64 = 1_000 * MS;
/// How long the members of a group are given to join again.
const REBALANCE_TIMEOUT: u64 = 60_000 * MS;
const PATIENCE: Patience = Patience { session: SESSION_TIMEOUT, rebalance: REBALANCE_TIMEOUT };
const HEARTBEAT: u64 = 200 * MS;
const RETRY: u64 = 50 * MS;
/// Whoever would look again at once has nothing to look at.
const LEAST_WAIT: u64 = MS / 50;
/// From one commit to the next.
const COMMIT_EVERY: u64 = 100 * MS;
const AUTO_COMMIT_EVERY: u64 = 1_000 * MS;
/// Messages taken and committed at once when settling before.
const BATCH_BEFORE: usize = 100;
/// Messages that wait to be handed over; with more, no more are fetched.
const READY_MAX: usize = 10_000;
/// Class of an answer that never came: the connection broke.
const TRANSPORT: i16 = -195;

/// What a member is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Not to begin yet.
    Asleep,
    Joining,
    /// Has a generation and no assignment yet.
    Syncing,
    /// Asks where its partitions were left off.
    Locating,
    Steady,
    /// Commits once more before it gives its partitions back.
    Revoking,
    /// The same, and goes.
    Leaving,
    /// Says that it goes.
    Parting,
    Gone,
}

struct Commit {
    offsets: BTreeMap<i32, u64>,
    began_ns: u64,
}

pub(crate) struct Member {
    plan: ConsumerPlan,
    run_id: u64,
    begins_ns: u64,
    tape: SharedTape,
    fetcher: Fetcher,
    talk: GroupTalk,
    phase: Phase,
    /// A question about the membership is under way.
    asking: bool,
    retry_ns: u64,
    generation: Generation,
    assigned: BTreeSet<i32>,
    /// Counts assignments.
    session: u16,
    heartbeat_ns: u64,
    heard_ns: u64,
    settled: BTreeMap<i32, u64>,
    commit: Option<Commit>,
    commit_ns: u64,
    ready: VecDeque<Arrival>,
    /// Taken and being committed, before they are handed over.
    before: VecDeque<Arrival>,
    before_committed: bool,
    /// At work on the message that this settles.
    working: Option<(i32, u64)>,
    busy_until_ns: u64,
    batch: u16,
}

impl Member {
    /// A member of the plan's group. `partitions`: of each topic of the plan.
    pub(crate) fn new(
        plan: &ConsumerPlan,
        partitions: BTreeMap<String, u32>,
        load_begins_ns: u64,
        [fetch_dice, talk_dice]: [Dice; 2],
        tape: SharedTape,
    ) -> Self {
        let metadata = Metadata::new(topic_name(&plan.topic), METADATA_PAUSE, METADATA_EVERY);
        let (fetcher, session) = Fetcher::new(metadata, plan.isolation, fetch_dice, REQUEST_TIMEOUT);
        let talk = GroupTalk::new(&plan.group, &plan.topic, partitions, PATIENCE, session, talk_dice);
        let run_id = tape.borrow().meta.run_id;
        Self {
            run_id,
            begins_ns: if plan.from_ns == 0 { 0 } else { load_begins_ns + plan.from_ns },
            tape,
            fetcher,
            talk,
            phase: Phase::Asleep,
            asking: false,
            retry_ns: 0,
            generation: Generation::default(),
            assigned: BTreeSet::new(),
            session: 0,
            heartbeat_ns: 0,
            heard_ns: 0,
            settled: BTreeMap::new(),
            commit: None,
            commit_ns: 0,
            ready: VecDeque::new(),
            before: VecDeque::new(),
            before_committed: false,
            working: None,
            busy_until_ns: 0,
            batch: 0,
            plan: plan.clone(),
        }
    }

    // --- what is heard ---

    fn hear(&mut self, heard: Heard, now_ns: u64) {
        match heard {
            Heard::Joined(generation) if self.asked_as(Phase::Joining) => {
                self.generation = generation;
                self.phase = Phase::Syncing;
            }
            Heard::NeedsId(member_id) if self.asked_as(Phase::Joining) => {
                self.generation.member_id = member_id;
            }
            Heard::Assigned(partitions) if self.asked_as(Phase::Syncing) => self.assign(partitions, now_ns),
            Heard::Located(offsets) if self.asked_as(Phase::Locating) => self.located(offsets),
            // It has become something else since it asked.
            Heard::Joined(_) | Heard::NeedsId(_) | Heard::Assigned(_) | Heard::Located(_) => {}
            Heard::Alive => self.heard_ns = now_ns,
            Heard::Rebalance => self.begin_revoke(),
            Heard::Committed(codes) => self.committed(&codes, now_ns),
            Heard::Parted => self.phase = Phase::Gone,
            Heard::Refused { asked, code } => self.refused(asked, code, now_ns),
        }
        if self.phase == Phase::Gone {
            self.change(None, MemberChange::Leave, now_ns);
        }
    }

    /// Whether an answer finds the member as it was when it asked.
    fn asked_as(&mut self, phase: Phase) -> bool {
        self.asking = self.asking && self.phase != phase;
        self.phase == phase
    }

    fn assign(&mut self, partitions: BTreeSet<i32>, now_ns: u64) {
        self.heard_ns = now_ns;
        self.heartbeat_ns = now_ns + HEARTBEAT;
        self.settled.clear();
        self.session += 1;
        self.assigned = partitions;
        for partition in self.assigned.clone() {
            self.change(Some(partition), MemberChange::Assign, now_ns);
        }
        self.phase = if self.assigned.is_empty() { Phase::Steady } else { Phase::Locating };
    }

    fn located(&mut self, offsets: BTreeMap<i32, Option<u64>>) {
        self.phase = Phase::Steady;
        for (partition, offset) in offsets {
            match offset {
                Some(offset) => self.fetcher.place(partition, offset),
                None => self.ask_start(partition),
            }
        }
    }

    fn ask_start(&mut self, partition: i32) {
        let bound = match self.plan.start {
            Start::Earliest => Bound::Start,
            Start::Latest => Bound::End,
        };
        self.fetcher.ask_bound(partition, bound);
    }

    fn refused(&mut self, asked: Asked, code: i16, now_ns: u64) {
        const UNKNOWN_MEMBER: i16 = 25;
        const ILLEGAL_GENERATION: i16 = 22;
        const REBALANCE: i16 = 27;
        match (asked, code) {
            (Asked::Commit, code) => {
                let all = self.commit.as_ref().map(|commit| commit.offsets.keys().map(|one| (*one, code)));
                let codes: BTreeMap<i32, i16> = all.into_iter().flatten().collect();
                self.committed(&codes, now_ns);
            }
            (Asked::Heartbeat, _) => {}
            _ => {
                self.asking = false;
                self.retry_ns = now_ns + RETRY;
            }
        }
        match (asked, code) {
            // Whoever goes does not come back for an error.
            (Asked::Leave, _) if matches!(self.phase, Phase::Leaving | Phase::Parting) => {
                self.phase = Phase::Gone;
            }
            _ if matches!(self.phase, Phase::Leaving | Phase::Parting) => {}
            (_, UNKNOWN_MEMBER) => {
                self.generation.member_id = StrBytes::default();
                self.lose(now_ns);
            }
            (_, ILLEGAL_GENERATION) => self.lose(now_ns),
            (Asked::Sync, REBALANCE) => self.phase = Phase::Joining,
            _ => {}
        }
    }

    fn committed(&mut self, codes: &BTreeMap<i32, i16>, now_ns: u64) {
        let Some(commit) = self.commit.take() else { return };
        self.commit_ns = now_ns + self.commit_every();
        let (mut all_ok, mut refused) = (true, false);
        for (partition, next) in commit.offsets {
            let code = codes.get(&partition).copied().unwrap_or(TRANSPORT);
            let outcome = commit_outcome(code);
            all_ok &= outcome == Outcome::Ok;
            refused |= outcome == Outcome::Fail;
            self.tape.borrow_mut().record(Event {
                msg: commit.began_ns,
                a: next,
                b: partition as u32,
                flags: outcome as u8,
                c: code as u16,
                ..blank(EventKind::Commit, now_ns)
            });
            if outcome != Outcome::Ok && !matches!(self.phase, Phase::Revoking | Phase::Leaving) {
                // What is not known to be committed is committed again, unless more was settled meanwhile.
                self.settled.entry(partition).or_insert(next);
            }
        }
        if refused {
            // The coordinator does not know this member any more; a rebalance follows.
            self.before.clear();
        }
        self.before_committed = all_ok && !self.before.is_empty();
    }

    fn commit_every(&self) -> u64 {
        if self.plan.settle == Settle::Auto { AUTO_COMMIT_EVERY } else { COMMIT_EVERY }
    }

    // --- giving up partitions ---

    fn begin_revoke(&mut self) {
        if matches!(self.phase, Phase::Steady | Phase::Locating) {
            self.asking = false;
            self.stop_reading();
            self.phase = Phase::Revoking;
        }
    }

    fn stop_reading(&mut self) {
        self.fetcher.clear();
        self.ready.clear();
        self.before.clear();
        self.before_committed = false;
        if let Some((partition, next)) = self.working.take() {
            self.settled.insert(partition, next);
        }
    }

    /// The session has ended: what was not committed is another's now.
    fn lose(&mut self, now_ns: u64) {
        self.stop_reading();
        self.give_back(MemberChange::Lost, now_ns);
        self.asking = false;
        self.phase = Phase::Joining;
    }

    fn give_back(&mut self, change: MemberChange, now_ns: u64) {
        self.settled.clear();
        for partition in std::mem::take(&mut self.assigned) {
            self.change(Some(partition), change, now_ns);
        }
    }

    fn change(&self, partition: Option<i32>, change: MemberChange, now_ns: u64) {
        self.tape.borrow_mut().record(Event {
            a: Event::NO_OFFSET,
            b: partition.map_or(u32::from(u16::MAX), |partition| partition as u32),
            flags: change as u8,
            c: self.session,
            ..blank(EventKind::Member, now_ns)
        });
    }

    // --- reading ---

    fn found(&mut self, found: Found, now_ns: u64) {
        match found {
            Found::Record { partition, offset, key, value } if self.assigned.contains(&partition) => {
                let record = Fetched { partition, offset, key, value };
                self.ready.push_back(Arrival::judge(record, self.run_id, now_ns));
            }
            Found::Passed { partition, next } if self.assigned.contains(&partition) => {
                self.pass(partition, next);
            }
            Found::Bound { partition, offset, .. } if self.assigned.contains(&partition) => {
                self.fetcher.place(partition, offset);
            }
            Found::OutOfRange(partition) => self.ask_start(partition),
            Found::Unreadable { partition, why } => {
                self.fetcher.drop_partition(partition);
                self.tape.borrow_mut().trouble.get_or_insert(why);
            }
            Found::Record { .. } | Found::Passed { .. } | Found::Bound { .. } => {}
        }
    }

    /// Marks of transactions and aborted records are settled with the record before them.
    fn pass(&mut self, partition: i32, next: u64) {
        let mut waiting =
            self.before.iter_mut().chain(&mut self.ready).filter(|one| one.partition == partition);
        if let Some(last) = waiting.next_back() {
            last.next = next;
        } else if let Some((_, settled)) = self.working.as_mut().filter(|(worked, _)| *worked == partition) {
            *settled = next;
        } else {
            self.settled.insert(partition, next);
        }
    }

    /// Hands over what can be handed over now.
    fn work(&mut self, now_ns: u64) {
        self.batch = self.batch.wrapping_add(1);
        loop {
            if now_ns < self.busy_until_ns {
                return;
            }
            if let Some((partition, next)) = self.working.take() {
                self.settled.insert(partition, next);
            }
            let arrival = match self.plan.settle {
                Settle::Before if self.before_committed => self.before.pop_front(),
                Settle::Before => None,
                Settle::After | Settle::Auto => self.ready.pop_front(),
            };
            let Some(arrival) = arrival else {
                self.before_committed = false;
                return;
            };
            let settled = (arrival.partition, arrival.next);
            // What the library handed out only now was taken only now.
            let arrival = if self.plan.settle == Settle::Before { arrival } else { arrival.taken(now_ns) };
            self.tape.borrow_mut().hand_over(arrival, now_ns, self.batch);
            self.busy_until_ns = now_ns + self.plan.processing_ns;
            match self.plan.settle {
                Settle::After => self.working = Some(settled),
                Settle::Auto => {
                    self.settled.insert(settled.0, settled.1);
                }
                Settle::Before => {}
            }
        }
    }

    /// Takes a batch, to be committed first.
    fn take_before(&mut self, now_ns: u64) {
        if self.plan.settle != Settle::Before || !self.before.is_empty() || self.commit.is_some() {
            return;
        }
        let count = self.ready.len().min(BATCH_BEFORE);
        self.before = self.ready.drain(..count).map(|arrival| arrival.taken(now_ns)).collect();
        for arrival in &self.before {
            self.settled.insert(arrival.partition, arrival.next);
        }
    }

    // --- what is asked ---

    fn ask(&mut self, turn: &mut ClientTurn<'_>) {
        let now_ns = turn.now_ns;
        if self.phase == Phase::Asleep && now_ns >= self.begins_ns {
            self.phase = Phase::Joining;
        }
        if matches!(self.phase, Phase::Asleep | Phase::Gone) {
            return;
        }
        let Some(coordinator) = self.talk.coordinator(turn) else { return };
        if matches!(self.phase, Phase::Steady | Phase::Locating) && !self.assigned.is_empty() {
            if now_ns > self.heard_ns + SESSION_TIMEOUT {
                self.lose(now_ns);
            } else if now_ns >= self.heartbeat_ns {
                self.heartbeat_ns = now_ns + HEARTBEAT;
                self.talk.heartbeat(coordinator, &self.generation, turn);
            }
        } else if self.phase == Phase::Steady && now_ns >= self.heartbeat_ns {
            self.heartbeat_ns = now_ns + HEARTBEAT;
            self.talk.heartbeat(coordinator, &self.generation, turn);
        }
        self.commit_due(coordinator, turn);
        if self.commit.is_none() && self.phase == Phase::Revoking {
            self.give_back(MemberChange::Revoke, now_ns);
            self.phase = Phase::Joining;
        }
        if self.commit.is_none() && self.phase == Phase::Leaving {
            self.give_back(MemberChange::Revoke, now_ns);
            self.phase = Phase::Parting;
        }
        if self.asking || now_ns < self.retry_ns {
            return;
        }
        match self.phase {
            Phase::Joining => self.talk.join(coordinator, &self.generation, turn),
            Phase::Syncing => self.talk.sync(coordinator, &self.generation, turn),
            Phase::Locating => self.talk.locate(coordinator, &self.assigned, turn),
            Phase::Parting => self.talk.leave(coordinator, &self.generation, turn),
            _ => return,
        }
        self.asking = true;
    }

    /// Commits if it is time to, or once more before partitions are given back.
    fn commit_due(&mut self, coordinator: NodeId, turn: &mut ClientTurn<'_>) {
        let last =
            matches!(self.phase, Phase::Revoking | Phase::Leaving) && self.plan.settle != Settle::Before;
        let due = match self.plan.settle {
            Settle::Before => !self.before.is_empty() && !self.before_committed,
            Settle::After | Settle::Auto => turn.now_ns >= self.commit_ns,
        };
        let now = last || (self.phase == Phase::Steady && due);
        if self.commit.is_some() || self.settled.is_empty() || !now {
            return;
        }
        let offsets = std::mem::take(&mut self.settled);
        self.talk.commit(coordinator, &self.generation, &offsets, turn);
        self.commit = Some(Commit { offsets, began_ns: turn.now_ns });
    }

    fn next_wake_ns(&self, now_ns: u64) -> u64 {
        let mut wakes = vec![self.talk.next_wake_ns()];
        match self.phase {
            Phase::Asleep => return self.begins_ns.max(now_ns + MS),
            Phase::Gone => return u64::MAX,
            Phase::Steady | Phase::Locating => wakes.push(self.heartbeat_ns),
            _ => {}
        }
        if !self.asking && !matches!(self.phase, Phase::Asleep | Phase::Steady) {
            wakes.push(self.retry_ns.max(now_ns + 10 * MS));
        }
        if self.working.is_some() || !self.ready.is_empty() || !self.before.is_empty() {
            wakes.push(self.busy_until_ns.max(now_ns + 1000));
        }
        if !self.settled.is_empty() && self.commit.is_none() {
            wakes.push(self.commit_ns.max(now_ns + MS));
        }
        wakes.push(self.fetcher.next_wake_ns(now_ns));
        wakes.into_iter().min().unwrap_or(u64::MAX).max(now_ns + LEAST_WAIT)
    }
}

impl Client for Member {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for heard in self.talk.take(event.clone(), turn) {
            self.hear(heard, turn.now_ns);
        }
        for found in self.fetcher.take(event, turn) {
            self.found(found, turn.now_ns);
        }
        self.work(turn.now_ns);
        self.take_before(turn.now_ns);
        self.ask(turn);
        let awake = !matches!(self.phase, Phase::Asleep | Phase::Gone);
        if awake {
            self.fetcher.act(self.ready.len() < READY_MAX, turn);
        }
        self.next_wake_ns(turn.now_ns)
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Gone
    }

    fn finish(&mut self) {
        match self.phase {
            Phase::Asleep => self.phase = Phase::Gone,
            Phase::Leaving | Phase::Parting | Phase::Gone => {}
            _ => {
                self.stop_reading();
                self.asking = false;
                self.phase = Phase::Leaving;
            }
        }
    }

    fn status(&self) -> String {
        let at = format!("{:?}, {} partitions", self.phase, self.assigned.len());
        format!(
            "member {} of `{}`: {at}, last fetch error {}",
            self.plan.member,
            self.plan.group,
            self.fetcher.last_error()
        )
    }
}

/// Only an answer by which the coordinator refused it is a definite failure.
fn commit_outcome(code: i16) -> Outcome {
    const REFUSALS: [i16; 7] = [12, 22, 25, 27, 28, 30, 82];
    match code {
        0 => Outcome::Ok,
        code if REFUSALS.contains(&code) => Outcome::Fail,
        _ => Outcome::Info,
    }
}
