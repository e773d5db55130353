//! Events in words, for witnesses and for the life of a message.

use super::conductor::Conductor;
use super::finding::Moment;
use super::source::{ShardRole, Source};
use crate::history::{Event, EventKind, MemberChange, Outcome, TransactionPhase};
use crate::ids::MessageId;
use crate::plan::Plan;
use crate::verdict::WitnessEvent;

/// Lines of a witness at most.
const LINES_MAX: usize = 12;
/// Context is looked for so long before and after the evidence.
const BEFORE_NS: u64 = 1_500_000_000;
const AFTER_NS: u64 = 3_000_000_000;

/// Tells events of one history in words.
pub struct Narrator<'a> {
    /// The history.
    pub source: &'a dyn Source,
    /// For names of faults.
    pub plan: &'a Plan,
    /// For what happened around.
    pub conductor: &'a Conductor,
}

impl Narrator<'_> {
    /// The evidence, and what happened around it, by time.
    pub fn with_context(&self, evidence: &[Moment]) -> Vec<WitnessEvent> {
        let mut moments: Vec<(Moment, bool)> =
            evidence.iter().take(LINES_MAX).map(|moment| (*moment, false)).collect();
        let first = evidence.iter().map(|moment| moment.event.t_ns).min().unwrap_or(0);
        let last = evidence.iter().map(|moment| moment.event.t_ns).max().unwrap_or(0);
        let near = first.saturating_sub(BEFORE_NS)..=last + AFTER_NS;
        let mut context: Vec<&(usize, Event)> = self
            .conductor
            .context
            .iter()
            .filter(|(_, event)| near.contains(&event.t_ns) && is_telling(event))
            .collect();
        // What is nearest to the evidence says most.
        context.sort_by_key(|(_, event)| {
            if event.t_ns < first { first - event.t_ns } else { event.t_ns.saturating_sub(last) }
        });
        let room = LINES_MAX.saturating_sub(moments.len());
        moments.extend(
            context
                .into_iter()
                .take(room)
                .map(|(shard, event)| (Moment { shard: *shard, event: *event }, true)),
        );
        moments.sort_by_key(|(moment, _)| moment.event.t_ns);
        moments.into_iter().map(|(moment, context)| self.tell(&moment, context)).collect()
    }

    /// Everything that any journal says of a message and of its transaction, by time, with the faults in between.
    pub fn life_of(&self, message: MessageId) -> Vec<WitnessEvent> {
        let mut moments: Vec<(Moment, bool)> = Vec::new();
        let transaction = self.transaction_of(message);
        for shard in 0..self.source.shards().len() {
            for event in self.source.events(shard, 0) {
                let is_of_message =
                    matches!(event.kind, EventKind::SendInvoke | EventKind::SendEnd | EventKind::Deliver);
                let is_of_transaction =
                    event.kind == EventKind::Transaction && Some(event.message()) == transaction;
                if is_of_message && event.message() == message || is_of_transaction {
                    moments.push((Moment { shard, event }, false));
                }
            }
        }
        if moments.is_empty() {
            return Vec::new();
        }
        let telling = self.conductor.context.iter().filter(|(_, event)| is_telling(event));
        moments.extend(telling.map(|(shard, event)| (Moment { shard: *shard, event: *event }, true)));
        moments.sort_by_key(|(moment, _)| moment.event.t_ns);
        moments.into_iter().map(|(moment, context)| self.tell(&moment, context)).collect()
    }

    /// The first message of the transaction that a message was sent in.
    fn transaction_of(&self, message: MessageId) -> Option<MessageId> {
        let is_its = |meta: &super::source::ShardMeta| meta.session() == Some(message.session());
        let shard = self.source.shards().iter().position(is_its)?;
        let mut first = None;
        for event in self.source.events(shard, 0) {
            match event.kind {
                EventKind::Transaction if event.transaction_phase() == Some(TransactionPhase::Begin) => {
                    first = Some(event.message());
                }
                EventKind::SendInvoke if event.message() == message => return first,
                _ => {}
            }
        }
        None
    }

    fn tell(&self, moment: &Moment, context: bool) -> WitnessEvent {
        let meta = &self.source.shards()[moment.shard];
        let event = &moment.event;
        let topic = match meta.role {
            ShardRole::Conductor if event.kind == EventKind::LogBound => event.msg as u16,
            ShardRole::Conductor => event.c,
            _ => meta.topic,
        };
        let topic = self.source.names().topics.get(usize::from(topic)).map_or("?", String::as_str);
        let place = format!("{topic}/{}", event.partition());
        let (what, text) = match event.kind {
            EventKind::SendInvoke => ("send", format!("{}  attempt {}", event.message(), event.c)),
            EventKind::SendEnd => {
                (told(event.outcome()), format!("{place}  {}{}", at_offset(event.a), class(event.c)))
            }
            EventKind::Deliver => {
                let what = if matches!(meta.role, ShardRole::DrainReader(_)) { "read" } else { "deliver" };
                let mark = if event.is_flagged_repeat() { "  marked as redelivered" } else { "" };
                (what, format!("{place}  {}  {}{mark}", at_offset(event.a), event.message()))
            }
            EventKind::Commit if event.a == Event::NO_OFFSET => {
                ("settle", format!("{place}  all before  {}", told(event.outcome())))
            }
            EventKind::Commit => ("commit", format!("{place}  next {}  {}", event.a, told(event.outcome()))),
            EventKind::Transaction => (phase(event), transaction(event)),
            EventKind::LogBound => ("bound", format!("{place}  {} at {}", bound(event.flags), event.a)),
            EventKind::Member => (member(event.flags), place),
            EventKind::Process => process(event),
            EventKind::Leader => leader(event, &place),
            EventKind::Fault => self.fault(event),
            EventKind::Mark => ("mark", mark(event.flags).to_owned()),
            _ => ("event", format!("{:?}", event.kind)),
        };
        WitnessEvent {
            at_ms: self.conductor.at_ms(event.t_ns),
            who: meta.name.clone(),
            what: what.to_owned(),
            text: text.trim_end().to_owned(),
            context,
        }
    }

    fn fault(&self, event: &Event) -> (&'static str, String) {
        let Some(fault) = self.plan.faults.get(event.b as usize) else { return ("fault", String::new()) };
        let nodes: Vec<String> =
            (0..64).filter(|node| event.a >> node & 1 == 1).map(|node| node.to_string()).collect();
        let on = if nodes.is_empty() { String::new() } else { format!("node {}  ", nodes.join(", ")) };
        let state = match event.flags {
            0 => "begun",
            1 => "in effect",
            2 => "undone",
            3 => "skipped",
            _ => "showed no effect",
        };
        (fault.kind.name(), format!("{on}{state}"))
    }
}

fn process(event: &Event) -> (&'static str, String) {
    let who = match event.c {
        0 => format!("node {}", event.b),
        1 => format!("producer {}", event.b),
        2 => format!("consumer {}", event.b),
        _ => format!("drain reader {}", event.b),
    };
    let text = match (event.flags, event.a >> 32 & 1 == 1) {
        (1, true) => format!("{who} ended with signal {}", event.a & 0xFFFF_FFFF),
        (1, false) => format!("{who} ended with status {}", event.a),
        (0, _) => format!("{who} started"),
        (2, _) => format!("{who} paused"),
        (3, _) => format!("{who} resumed"),
        _ => format!("{who} is ready"),
    };
    ("process", text)
}

/// Whether an event of the conductor helps to understand another.
fn is_telling(event: &Event) -> bool {
    match event.kind {
        EventKind::Fault => matches!(event.flags, 1 | 2),
        EventKind::Process => matches!(event.flags, 0 | 1 | 4) && matches!(event.c, 0 | 2),
        EventKind::Leader => true,
        _ => false,
    }
}

fn leader(event: &Event, place: &str) -> (&'static str, String) {
    let (node, epoch) = (event.a as u32, (event.a >> 32) as i32);
    let isr: Vec<String> =
        (0..64).filter(|bit| event.msg >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
    let who = if node == u32::MAX { "nobody".to_owned() } else { format!("node {node}") };
    let epoch = if epoch < 0 { String::new() } else { format!(", epoch {epoch}") };
    ("leader", format!("{place} → {who}{epoch}  in sync {}", isr.join(", ")))
}

fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ack",
        Outcome::Weak => "weak",
        Outcome::Fail => "refused",
        Outcome::Info => "unknown",
    }
}

fn phase(event: &Event) -> &'static str {
    match event.transaction_phase() {
        Some(TransactionPhase::Begin) => "begin",
        Some(TransactionPhase::CommitInvoke | TransactionPhase::CommitEnd) => "commit",
        Some(TransactionPhase::AbortInvoke | TransactionPhase::AbortEnd) => "abort",
        None => "transaction",
    }
}

fn transaction(event: &Event) -> String {
    let of = format!("transaction of {}", event.message());
    match event.transaction_phase() {
        Some(TransactionPhase::CommitEnd | TransactionPhase::AbortEnd) => {
            format!("{of}  {}{}", told(event.outcome()), class(event.c))
        }
        Some(TransactionPhase::CommitInvoke | TransactionPhase::AbortInvoke) => {
            format!("{of}  asked for, `{}` messages", event.a)
        }
        _ => of,
    }
}

fn bound(flags: u8) -> &'static str {
    match flags {
        0 => "log start",
        1 => "log end",
        _ => "last stable offset",
    }
}

fn member(change: u8) -> &'static str {
    match change {
        change if change == MemberChange::Assign as u8 => "assign",
        change if change == MemberChange::Revoke as u8 => "revoke",
        change if change == MemberChange::Lost as u8 => "lost",
        _ => "leave",
    }
}

fn mark(flags: u8) -> &'static str {
    match flags {
        0 => "load begins",
        1 => "load ends",
        2 => "drain ends",
        _ => "interrupted",
    }
}

fn at_offset(offset: u64) -> String {
    if offset == Event::NO_OFFSET { "no offset".into() } else { format!("offset {offset}") }
}

fn class(class: u16) -> String {
    if class == 0 { String::new() } else { format!("  error class {class}") }
}
