//! After the load: groups catch up, then two readers read every log from start to end.
//!
//! This is the licence for saying that something is missing: `docs/outcomes.md`, drain certificate.

use std::time::{Duration, Instant};

use mqproof_core::history::EventKind;
use mqproof_drivers::admin::AdminError;
use mqproof_drivers::client::{ClientJob, PartitionEnd};

use super::cell::Running;
use super::error::CellError;
use super::setup::ASK;
use super::status::Observer;
use crate::clock::now_ns;

/// How long groups are given to catch up.
const GROUPS_WITHIN: Duration = Duration::from_secs(30);
/// How long a question may go unanswered because a partition has no leader.
const LEADERS_WITHIN: Duration = Duration::from_secs(5);
/// How long a reader of the whole log is given.
const READERS_WITHIN: Duration = Duration::from_mins(2);

/// Flags of [`EventKind::Drain`].
const BEGIN: u8 = 0;
const CERTIFICATE: u8 = 2;
const GAVE_UP: u8 = 3;

pub(super) fn drain(running: &mut Running<'_>, observer: &mut dyn Observer) -> Result<(), CellError> {
    running.parts().2.note(EventKind::Drain, BEGIN, 0, 0, 0, 0);
    let lag = wait_for_groups(running, observer)?;
    if running.is_interrupted() {
        return Ok(());
    }
    let bounds = bounds(running);
    let complete = bounds.is_ok();
    for (topic, ends) in bounds.unwrap_or_default() {
        for number in [1, 2] {
            let job = ClientJob::Drain {
                topic: topic.clone(),
                ends: ends.clone(),
                timeout_ms: READERS_WITHIN.as_millis() as u64,
            };
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
        let committed = admin.committed(group, topic, partitions, ASK).ok()?;
        let group_index = journal.groups().iter().position(|name| name == group)? as u16;
        for (partition, offset) in (0..).zip(committed) {
            let (start, end) = admin.log_bounds(topic, partition, ASK).ok()?;
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
