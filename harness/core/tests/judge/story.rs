//! A history that is told event by event, and a plan for it.

use mqproof_core::checkers::{KeyOf, MemorySource, Names, ShardMeta, ShardRole};
use mqproof_core::claims::ClaimRegister;
use mqproof_core::history::{Delivery, Event, EventKind, Level, MemberChange, Outcome, flags};
use mqproof_core::ids::{MessageId, SessionId};
use mqproof_core::plan::{Expectation, Plan};
use mqproof_core::property::Property;
use mqproof_core::scenario::Scenario;
use mqproof_core::verdict::{Judged, RunFacts, judge};

pub(super) const SESSION: SessionId = SessionId { producer: 0, incarnation: 0 };
pub(super) const MS: u64 = 1_000_000;
/// The load begins here, so that nothing is before time zero.
pub(super) const ORIGIN: u64 = 1_000 * MS;

/// Messages with even numbers have key 0, the others key 1.
pub(super) struct Parity;

impl KeyOf for Parity {
    fn key(&self, message: MessageId) -> Option<u32> {
        Some(message.seq() % 2)
    }
}

pub(super) fn plan(set: &[&str]) -> Plan {
    let text = "
schema: 1
name: literal
about: A literal history.
topology: {brokers: 3, topics: {t: {partitions: 1, replicas: 3, min_in_sync: 2}}}
durability: quorum
producers: {w: {topic: t, rate: 1000/s, for: 1s, idempotence: true, keys: {uniform: {count: 2}}, payload: {fixed: 100B}}}
consumers: {g: {topic: t, members: 2, settle: after, start: earliest}}
expect:
  acked_loss: never
  duplicate_append: never
  duplicate_delivery: never
  order_log: never
  order_consumer: never
  order_per_key: never
";
    let claims = ClaimRegister::parse("claims.yaml", "schema: 1\nclaims: []\n").unwrap_or_default();
    let overrides: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
    let scenario = Scenario::parse_with("literal.yaml", text, &overrides, &claims)
        .unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(false)));
    Plan::draw(&scenario, &scenario.matrix_points()[0], 1)
}

/// A history that is told event by event. Times are milliseconds of the load.
pub(super) struct Story {
    pub(super) writer: Vec<Event>,
    pub(super) members: [Vec<Event>; 2],
    pub(super) conductor: Vec<Event>,
    /// The log as the drain readers find it: offset and message.
    pub(super) log: [Vec<(u64, MessageId)>; 2],
    pub(super) committed: u64,
    pub(super) unsealed: Option<&'static str>,
    pub(super) certified: bool,
    pub(super) plan: Plan,
    pub(super) facts: RunFacts,
}

pub(super) fn event(ms: u64, kind: EventKind) -> Event {
    Event { t_ns: ORIGIN + ms * MS, msg: 0, a: 0, b: 0, kind, flags: 0, c: 0 }
}

pub(super) fn message(seq: u32) -> MessageId {
    MessageId::new(SESSION, seq)
}

impl Story {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    pub(super) fn with(set: &[&str]) -> Self {
        let facts = RunFacts { system: "reference".into(), ..RunFacts::default() };
        Self {
            writer: Vec::new(),
            members: [Vec::new(), Vec::new()],
            conductor: Vec::new(),
            log: [Vec::new(), Vec::new()],
            committed: 0,
            unsealed: None,
            certified: true,
            plan: plan(set),
            facts,
        }
    }

    /// Six messages that are sent, acknowledged, stored, handed over and committed as they should be.
    pub(super) fn clean() -> Self {
        Self::clean_with(&[])
    }

    pub(super) fn clean_with(set: &[&str]) -> Self {
        let mut story = Self::with(set);
        story.assign(0, 1);
        for seq in 0..6 {
            story.send(seq).ack(seq, u64::from(seq)).deliver(0, u64::from(seq), seq);
        }
        story.commit(0, 6).stored(&[0, 1, 2, 3, 4, 5])
    }

    pub(super) fn at(seq: u32) -> u64 {
        10 * u64::from(seq)
    }

    pub(super) fn send(&mut self, seq: u32) -> &mut Self {
        let at = Self::at(seq);
        let invoke = Event { msg: message(seq).0, a: ORIGIN + at * MS, ..event(at, EventKind::SendInvoke) };
        self.writer.push(invoke);
        self
    }

    pub(super) fn end(&mut self, seq: u32, outcome: Outcome, offset: u64) -> &mut Self {
        let level = match self.plan.durability.name() {
            "leader" => Level::Leader,
            "none" => Level::Sent,
            _ => Level::Quorum,
        };
        let flags = outcome as u8 | (level as u8) << flags::LEVEL_SHIFT;
        let end =
            Event { msg: message(seq).0, a: offset, flags, ..event(Self::at(seq) + 3, EventKind::SendEnd) };
        self.writer.push(end);
        self
    }

    pub(super) fn ack(&mut self, seq: u32, offset: u64) -> &mut Self {
        self.end(seq, Outcome::Ok, offset)
    }

    pub(super) fn assign(&mut self, member: usize, epoch: u16) -> &mut Self {
        let at = self.members[member].last().map_or(0, |last| (last.t_ns - ORIGIN) / MS + 1);
        let assign = Event {
            a: Event::NO_OFFSET,
            flags: MemberChange::Assign as u8,
            c: epoch,
            ..event(at, EventKind::Member)
        };
        self.members[member].push(assign);
        self
    }

    pub(super) fn deliver_as(
        &mut self,
        member: usize,
        offset: u64,
        id: MessageId,
        delivery: Delivery,
    ) -> &mut Self {
        let least = if id == MessageId::NONE { 0 } else { Self::at(id.seq().min(1_000)) + 5 };
        let after = self.members[member].last().map_or(0, |last| (last.t_ns - ORIGIN) / MS + 1);
        let deliver = Event {
            msg: id.0,
            a: offset,
            flags: delivery as u8,
            ..event(least.max(after), EventKind::Deliver)
        };
        self.members[member].push(deliver);
        self
    }

    pub(super) fn deliver(&mut self, member: usize, offset: u64, seq: u32) -> &mut Self {
        self.deliver_as(member, offset, message(seq), Delivery::Intact)
    }

    pub(super) fn commit(mut self, member: usize, next: u64) -> Self {
        let at = self.members[member].last().map_or(0, |last| (last.t_ns - ORIGIN) / MS + 1);
        self.members[member].push(Event { a: next, ..event(at, EventKind::Commit) });
        self.committed = self.committed.max(next);
        self
    }

    pub(super) fn stored(mut self, seqs: &[u32]) -> Self {
        let log: Vec<_> = (0..).zip(seqs.iter().map(|seq| message(*seq))).collect();
        self.log = [log.clone(), log];
        self
    }

    pub(super) fn fault(&mut self, flags: &[u8]) -> &mut Self {
        for flag in flags {
            self.conductor.push(Event { flags: *flag, a: 0b10, ..event(20, EventKind::Fault) });
        }
        self
    }

    pub(super) fn expecting(mut self, property: Property, expectation: Expectation) -> Self {
        self.plan.expect.insert(property, expectation);
        self
    }

    pub(super) fn source(&self) -> MemorySource {
        let names = Names { topics: vec!["t".into()], groups: vec!["g".into()], load_begins_ns: ORIGIN };
        let mut source = MemorySource::new(names);
        let mut push = |name: &str, role, events: Vec<Event>| {
            let sealed = self.unsealed != Some(name);
            source.push(
                ShardMeta {
                    name: name.into(),
                    role,
                    incarnation: 0,
                    topic: 0,
                    group: 0,
                    sealed,
                    trouble: None,
                    events: 0,
                },
                events,
            );
        };
        push("writer", ShardRole::Producer(0), self.writer.clone());
        push("member-0", ShardRole::Consumer(0), self.members[0].clone());
        push("member-1", ShardRole::Consumer(1), self.members[1].clone());
        let end = self.log[0].len() as u64;
        for (number, log) in (1..).zip(&self.log) {
            let read = |(offset, id): &(u64, MessageId)| Event {
                msg: id.0,
                a: *offset,
                ..event(3_000, EventKind::Deliver)
            };
            let events = if self.certified { log.iter().map(read).collect() } else { Vec::new() };
            push(&format!("drain-{number}"), ShardRole::DrainReader(number), events);
        }
        let mut conductor = vec![event(0, EventKind::Mark)];
        conductor.extend(&self.conductor);
        conductor.push(Event { flags: 1, ..event(1_000, EventKind::Mark) });
        if self.certified {
            conductor.push(event(1_100, EventKind::Drain));
            let committed = Event { a: self.committed, ..event(1_200, EventKind::Committed) };
            conductor.push(committed);
            for at in [1_300, 4_000] {
                conductor.push(event(at, EventKind::LogBound));
                conductor.push(Event { a: end, flags: 1, ..event(at, EventKind::LogBound) });
            }
            conductor.push(Event { flags: 2, ..event(4_100, EventKind::Drain) });
        }
        push("conductor", ShardRole::Conductor, conductor);
        source
    }

    pub(super) fn judge(&self) -> Judged {
        judge(&self.plan, &self.facts, &Parity, &self.source())
    }
}
