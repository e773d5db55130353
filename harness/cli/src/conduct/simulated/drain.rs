//! After the load: groups catch up, then two readers read every log, as in a live cell.

use std::collections::BTreeMap;

use broker_sim::scenario::LogSpan;
use mqproof_core::checkers::TRANSACTION_ROUNDS_NS;
use mqproof_core::history::EventKind;
use mqproof_core::plan::{Isolation, Plan};

use super::{Course, MS};
use crate::conduct::Observer;

/// How long groups are given to catch up.
const GROUPS_WITHIN: u64 = 60_000 * MS;
/// How long a question may go unanswered.
const ANSWER_WITHIN: u64 = 5_000 * MS;
/// How long the readers of whole logs are given.
const READERS_WITHIN: u64 = 120_000 * MS;
/// Between two questions about a group, in turns.
const TURNS_BETWEEN: u64 = 20;

/// Flags of [`EventKind::Drain`].
const BEGIN: u8 = 0;
const CERTIFICATE: u8 = 2;
const GAVE_UP: u8 = 3;
/// Flag of [`EventKind::LogBound`].
const LAST_STABLE: u8 = 2;
/// The drain reader that is handed committed records only.
const COMMITTED_READER: u16 = 3;

/// Last stable offsets, by topic and partition.
type Stable = BTreeMap<(String, u32), u64>;

pub(super) fn drain(course: &mut Course<'_>, observer: &mut dyn Observer) {
    course.record.note(EventKind::Drain, BEGIN, 0, 0, 0, 0);
    let stable = wait_for_transactions(course, observer);
    let lag = wait_for_groups(course, observer);
    let bounds = bounds(course, observer);
    let complete = bounds.is_some();
    for (topic, spans) in bounds.unwrap_or_default() {
        let mut simulation = course.simulation.borrow_mut();
        for number in [1, 2] {
            course.clients.drain(number, &topic, spans.clone(), &mut simulation, &mut course.record);
        }
        if writes_transactions(course.order.plan, &topic) {
            let cut = |span: &LogSpan| {
                let stable = stable.get(&(topic.clone(), span.partition)).copied();
                LogSpan { end: stable.map_or(span.end, |stable| span.end.min(stable)), ..*span }
            };
            let spans = spans.iter().map(cut).collect();
            course.clients.drain(COMMITTED_READER, &topic, spans, &mut simulation, &mut course.record);
        }
    }
    let until_ns = course.now_ns() + READERS_WITHIN;
    while !course.clients.drains_ended() && !course.is_over() && course.now_ns() < until_ns {
        course.turn("read logs", observer);
    }
    // Log starts are looked at again: retention in between would void the certificate.
    let again = self::bounds(course, observer).is_some();
    if complete && again && lag == 0 && !course.is_over() {
        course.record.note(EventKind::Drain, CERTIFICATE, 0, 0, 0, 0);
    } else {
        course.record.note(EventKind::Drain, GAVE_UP, 0, lag, 0, 0);
        course.notes.push(format!("drain: group lag {lag}"));
    }
}

/// Whether transactions are written to a topic.
fn writes_transactions(plan: &Plan, topic: &str) -> bool {
    plan.producers.iter().any(|producer| producer.topic == topic && producer.transactions.is_some())
}

/// Waits until nothing is undecided any more, or every transaction has had its time and nothing came of it. The last
/// stable offsets are recorded at the beginning and at the end.
fn wait_for_transactions(course: &mut Course<'_>, observer: &mut dyn Observer) -> Stable {
    let plan = course.order.plan;
    let transactions = plan.producers.iter().filter_map(|producer| producer.transactions);
    let Some(longest_ms) = transactions.map(|one| one.timeout_ms).max() else { return Stable::new() };
    let until_ns = course.now_ns() + longest_ms * MS + TRANSACTION_ROUNDS_NS + 1_000 * MS;
    let mut first = true;
    loop {
        let seen = stable(course, first);
        first &= seen.is_none();
        let decided = seen.as_ref().is_some_and(|(_, all)| *all);
        if decided || course.now_ns() > until_ns || course.is_over() {
            return stable(course, true).or(seen).map_or_else(Stable::new, |(stable, _)| stable);
        }
        for _ in 0..TURNS_BETWEEN {
            course.turn("drain", observer);
        }
    }
}

/// The last stable offsets of all logs that transactions are written to, and whether nothing is undecided in any; None
/// while a partition has no leader. `record`: into the journal, too.
fn stable(course: &mut Course<'_>, record: bool) -> Option<(Stable, bool)> {
    let plan = course.order.plan;
    let seen = course.simulation.borrow().partitions();
    let (mut found, mut all) = (Stable::new(), true);
    for (place, one) in seen.into_iter().filter(|((topic, _), _)| writes_transactions(plan, topic)) {
        let (stable, (_, end)) = (one.last_stable?, one.bounds?);
        all &= stable >= end;
        found.insert(place, stable);
    }
    for ((name, partition), stable) in found.iter().filter(|_| record) {
        let topic = course.record.topic(name);
        course.record.note(EventKind::LogBound, LAST_STABLE, topic, *stable, *partition, 0);
    }
    Some((found, all))
}

/// Waits until every group has committed all that is readable; returns the lag that is left.
fn wait_for_groups(course: &mut Course<'_>, observer: &mut dyn Observer) -> u64 {
    let until_ns = course.now_ns() + GROUPS_WITHIN;
    loop {
        let lag = lag(course, false, observer);
        if lag == Some(0) || course.now_ns() > until_ns || course.is_over() {
            return self::lag(course, true, observer).or(lag).unwrap_or(u64::MAX);
        }
        for _ in 0..TURNS_BETWEEN {
            course.turn("drain", observer);
        }
    }
}

/// Records that no group has handed out yet; None if the cluster does not answer. `record`: into the journal, too.
fn lag(course: &mut Course<'_>, record: bool, observer: &mut dyn Observer) -> Option<u64> {
    let plan = course.order.plan;
    let mut groups: Vec<(&str, &str)> =
        plan.consumers.iter().map(|one| (one.group.as_str(), one.topic.as_str())).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut lag = 0;
    for (group, topic) in groups {
        course.simulation.borrow_mut().ask_committed(group, topic);
        let until_ns = course.now_ns() + ANSWER_WITHIN;
        while !course.simulation.borrow().is_answered() && course.now_ns() < until_ns && !course.is_over() {
            course.turn("drain", observer);
        }
        let committed = course.simulation.borrow().committed()?;
        let seen = course.simulation.borrow().partitions();
        let index = course.record.groups().iter().position(|name| name == group)? as u16;
        let isolation = plan.consumers.iter().find(|one| one.group == group)?.isolation;
        for (partition, offset) in committed {
            let one = seen.get(&(topic.to_owned(), partition as u32))?;
            let (start, end) = one.bounds?;
            let end = if isolation == Isolation::ReadCommitted { one.last_stable? } else { end };
            lag += end.saturating_sub(offset.unwrap_or(start));
            if record {
                let (topic, offset) = (course.record.topic(topic), offset.unwrap_or(u64::MAX));
                course.record.note(EventKind::Committed, 0, topic, offset, partition as u32, index);
            }
        }
    }
    Some(lag)
}

/// The bounds of all logs, into the journal and for the readers; waits while a partition has no leader.
fn bounds(course: &mut Course<'_>, observer: &mut dyn Observer) -> Option<Vec<(String, Vec<LogSpan>)>> {
    let plan = course.order.plan;
    let until_ns = course.now_ns() + ANSWER_WITHIN;
    loop {
        let seen = course.simulation.borrow().partitions();
        let spans_of = |topic: &str, partitions: u32| -> Option<Vec<LogSpan>> {
            let span = |partition: u32| {
                let (start, end) = seen.get(&(topic.to_owned(), partition))?.bounds?;
                Some(LogSpan { partition, start, end })
            };
            (0..partitions).map(span).collect()
        };
        let topics = plan.topology.topics.iter();
        let all: Option<Vec<(String, Vec<LogSpan>)>> =
            topics.map(|(name, topic)| Some((name.clone(), spans_of(name, topic.partitions)?))).collect();
        if let Some(all) = all {
            for (topic, spans) in &all {
                for span in spans {
                    course.record.bounds(topic, span.partition, (span.start, span.end));
                }
            }
            return Some(all);
        }
        if course.now_ns() >= until_ns || course.is_over() {
            course.notes.push("drain: a partition has no leader".into());
            return None;
        }
        course.turn("drain", observer);
    }
}
