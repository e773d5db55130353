//! After the load: groups catch up, then two readers read every log from start to end.
//!
//! This is the licence for saying that something is missing: `docs/outcomes.md`, drain certificate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mqproof_core::checkers::TRANSACTION_ROUNDS_NS;
use mqproof_core::contract::{Storage, storage};
use mqproof_core::history::EventKind;
use mqproof_core::plan::{Isolation, Plan};
use mqproof_drivers::admin::AdminError;
use mqproof_drivers::client::{ClientJob, PartitionEnd};

use super::cell::Running;
use super::error::CellError;
use super::setup::ASK;
use super::status::Observer;
use crate::clock::now_ns;

/// How long groups are given to catch up.
const GROUPS_WITHIN: Duration = Duration::from_mins(1);
/// Between the two looks at queues that are empty.
const QUEUES_APART: Duration = Duration::from_millis(1500);
/// How long a question may go unanswered because a partition has no leader.
const LEADERS_WITHIN: Duration = Duration::from_secs(5);
/// How long a reader of the whole log is given.
const READERS_WITHIN: Duration = Duration::from_mins(2);

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

pub(super) fn drain(running: &mut Running<'_>, observer: &mut dyn Observer) -> Result<(), CellError> {
    running.parts().2.note(EventKind::Drain, BEGIN, 0, 0, 0, 0);
    if storage(running.system(), running.plan()) == Storage::Queue {
        return drain_queues(running, observer);
    }
    let stable = wait_for_transactions(running, observer)?;
    let lag = wait_for_groups(running, observer)?;
    if running.is_interrupted() {
        return Ok(());
    }
    let bounds = bounds(running);
    let complete = bounds.is_ok();
    for (topic, ends) in bounds.unwrap_or_default() {
        let transactional = writes_transactions(running.plan(), &topic);
        for number in [1, 2, COMMITTED_READER] {
            let ends = match number {
                COMMITTED_READER if !transactional => continue,
                COMMITTED_READER => below(&ends, &stable, &topic),
                _ => ends.clone(),
            };
            let (topic, timeout_ms) = (topic.clone(), READERS_WITHIN.as_millis() as u64);
            let job = ClientJob::Drain { topic, ends, timeout_ms, transactional };
            let (_, clients, journal, _) = running.parts();
            clients.start(number, 0, job, journal)?;
        }
    }
    let until = Instant::now() + READERS_WITHIN + Duration::from_secs(5);
    while !running.parts().1.drains_ended() && !running.is_interrupted() && Instant::now() < until {
        running.turn()?;
        running.report("read logs", observer, now_ns());
    }
    // Log starts are asked for again: retention in between would void the certificate.
    let again = self::bounds(running).is_ok();
    let (_, _, journal, notes) = running.parts();
    if complete && again && lag == 0 {
        journal.note(EventKind::Drain, CERTIFICATE, 0, 0, 0, 0);
    } else {
        journal.note(EventKind::Drain, GAVE_UP, 0, lag, 0, 0);
        notes.push(format!("drain: group lag {lag}"));
    }
    Ok(())
}

/// Whether transactions are written to a topic.
fn writes_transactions(plan: &Plan, topic: &str) -> bool {
    plan.producers.iter().any(|producer| producer.topic == topic && producer.transactions.is_some())
}

/// Where a reader of committed records comes to.
fn below(ends: &[PartitionEnd], stable: &Stable, topic: &str) -> Vec<PartitionEnd> {
    let cut = |one: &PartitionEnd| {
        let stable = stable.get(&(topic.to_owned(), one.partition)).copied();
        PartitionEnd { end: stable.map_or(one.end, |stable| one.end.min(stable)), ..*one }
    };
    ends.iter().map(cut).collect()
}

/// Waits until nothing is undecided any more, or every transaction has had its time and nothing came of it. The last
/// stable offsets are recorded at the beginning and at the end.
fn wait_for_transactions(
    running: &mut Running<'_>,
    observer: &mut dyn Observer,
) -> Result<Stable, CellError> {
    let plan = running.plan();
    let transactions = plan.producers.iter().filter_map(|producer| producer.transactions);
    let Some(longest_ms) = transactions.map(|one| one.timeout_ms).max() else { return Ok(Stable::new()) };
    let patience = Duration::from_millis(longest_ms) + Duration::from_nanos(TRANSACTION_ROUNDS_NS);
    let until = Instant::now() + patience + Duration::from_secs(1);
    let mut first = true;
    loop {
        let seen = stable(running, first);
        first &= seen.is_none();
        let decided = seen.as_ref().is_some_and(|(_, all)| *all);
        if decided || Instant::now() > until || running.is_interrupted() {
            return Ok(stable(running, true).or(seen).map_or_else(Stable::new, |(stable, _)| stable));
        }
        for _ in 0..5 {
            running.turn()?;
        }
        running.report("drain", observer, now_ns());
    }
}

/// The last stable offsets of all logs that transactions are written to, and whether nothing is undecided in any; None if
/// the cluster does not answer. `record`: into the journal, too.
fn stable(running: &mut Running<'_>, record: bool) -> Option<(Stable, bool)> {
    let plan = running.plan();
    let (admin, _, journal, _) = running.parts();
    let (mut found, mut all) = (Stable::new(), true);
    let written = plan.topology.topics.iter().filter(|(name, _)| writes_transactions(plan, name));
    for (name, topic) in written {
        for partition in 0..topic.partitions {
            let stable = admin.last_stable_offset(name, partition, ASK).ok()??;
            let (_, end) = admin.log_bounds(name, partition, ASK).ok()?;
            all &= stable >= end;
            found.insert((name.clone(), partition), stable);
        }
    }
    for ((name, partition), stable) in found.iter().filter(|_| record) {
        let topic = journal.topic(name);
        journal.note(EventKind::LogBound, LAST_STABLE, topic, *stable, *partition, 0);
    }
    Some((found, all))
}

/// Queues are drained when nothing waits in them and nothing is out unsettled, seen twice a while apart: what was
/// delivered to a consumer that died comes back in between.
fn drain_queues(running: &mut Running<'_>, observer: &mut dyn Observer) -> Result<(), CellError> {
    let until = Instant::now() + GROUPS_WITHIN;
    let mut empty_since: Option<Instant> = None;
    while !running.is_interrupted() {
        let backlog = backlog(running, empty_since.is_none());
        let late = Instant::now() > until;
        match (backlog, empty_since) {
            (Some(0), None) => empty_since = Some(Instant::now()),
            (Some(0), Some(since)) if since.elapsed() >= QUEUES_APART => {
                self::backlog(running, true);
                running.parts().2.note(EventKind::Drain, CERTIFICATE, 0, 0, 0, 0);
                return Ok(());
            }
            (Some(0), Some(_)) => {}
            _ => empty_since = None,
        }
        if late && empty_since.is_none() {
            self::backlog(running, true);
            let left = backlog.unwrap_or(u64::MAX);
            let (_, _, journal, notes) = running.parts();
            journal.note(EventKind::Drain, GAVE_UP, 0, left, 0, 0);
            notes.push(match backlog {
                Some(left) => format!("drain: {left} messages are still in the queues"),
                None => "drain: the cluster did not tell what is left in the queues".into(),
            });
            return Ok(());
        }
        for _ in 0..25 {
            running.turn()?;
        }
        running.report("drain", observer, now_ns());
    }
    Ok(())
}

/// Messages that wait or are out, over all groups; None if the cluster does not answer. `record`: into the journal, too.
fn backlog(running: &mut Running<'_>, record: bool) -> Option<u64> {
    let plan = running.plan();
    let (admin, _, journal, _) = running.parts();
    let mut groups: Vec<(&str, &str)> =
        plan.consumers.iter().map(|one| (one.group.as_str(), one.topic.as_str())).collect();
    groups.sort_unstable();
    groups.dedup();
    let mut all = 0;
    for (group, topic) in groups {
        let partitions = plan.topology.topics.get(topic)?.partitions;
        let left = admin.backlog(group, topic, partitions, ASK).ok()?;
        let group_index = journal.groups().iter().position(|name| name == group)? as u16;
        for (partition, left) in (0..).zip(left) {
            all += left;
            if record {
                let topic = journal.topic(topic);
                journal.note(EventKind::Backlog, 0, topic, left, partition, group_index);
            }
        }
    }
    Some(all)
}

/// Waits until every group has committed all that is readable; returns the lag that is left.
fn wait_for_groups(running: &mut Running<'_>, observer: &mut dyn Observer) -> Result<u64, CellError> {
    let until = Instant::now() + GROUPS_WITHIN;
    loop {
        let lag = lag(running, false);
        if lag == Some(0) || Instant::now() > until || running.is_interrupted() {
            return Ok(self::lag(running, true).or(lag).unwrap_or(u64::MAX));
        }
        for _ in 0..5 {
            running.turn()?;
        }
        running.report("drain", observer, now_ns());
    }
}

/// Records that no group has handed out yet; None if the cluster does not answer. `record`: into the journal, too.
fn lag(running: &mut Running<'_>, record: bool) -> Option<u64> {
    let plan = running.plan();
    let (admin, _, journal, _) = running.parts();
    let mut lag = 0;
    let mut groups: Vec<(&str, &str)> =
        plan.consumers.iter().map(|one| (one.group.as_str(), one.topic.as_str())).collect();
    groups.sort_unstable();
    groups.dedup();
    for (group, topic) in groups {
        let partitions = plan.topology.topics.get(topic)?.partitions;
        let isolation = plan.consumers.iter().find(|one| one.group == group)?.isolation;
        let committed = admin.committed(group, topic, partitions, ASK).ok()?;
        let group_index = journal.groups().iter().position(|name| name == group)? as u16;
        for (partition, offset) in (0..).zip(committed) {
            let (start, end) = admin.log_bounds(topic, partition, ASK).ok()?;
            let end = match isolation {
                Isolation::ReadUncommitted => end,
                Isolation::ReadCommitted => {
                    admin.last_stable_offset(topic, partition, ASK).ok()?.unwrap_or(end)
                }
            };
            lag += end.saturating_sub(offset.unwrap_or(start));
            if record {
                let topic = journal.topic(topic);
                journal.note(
                    EventKind::Committed,
                    0,
                    topic,
                    offset.unwrap_or(u64::MAX),
                    partition,
                    group_index,
                );
            }
        }
    }
    Some(lag)
}

/// Asks again while leaders move.
fn patiently<T>(ask: impl Fn() -> Result<T, AdminError>) -> Result<T, AdminError> {
    let until = Instant::now() + LEADERS_WITHIN;
    loop {
        match ask() {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            answer => return answer,
        }
    }
}

/// The bounds of all logs, into the journal and for the readers.
fn bounds(running: &mut Running<'_>) -> Result<Vec<(String, Vec<PartitionEnd>)>, ()> {
    let plan = running.plan();
    let (admin, _, journal, notes) = running.parts();
    let mut all = Vec::new();
    for (name, topic) in &plan.topology.topics {
        let mut ends = Vec::new();
        for partition in 0..topic.partitions {
            match patiently(|| admin.log_bounds(name, partition, ASK)) {
                Ok((start, end)) => {
                    let index = journal.topic(name);
                    journal.note(EventKind::LogBound, 0, index, start, partition, 0);
                    journal.note(EventKind::LogBound, 1, index, end, partition, 0);
                    ends.push(PartitionEnd { partition, start, end });
                }
                Err(error) => {
                    notes.push(error.to_string());
                    return Err(());
                }
            }
        }
        all.push((name.clone(), ends));
    }
    Ok(all)
}
