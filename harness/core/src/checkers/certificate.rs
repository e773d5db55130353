//! The drain certificate: the licence for saying that something is missing.
//!
//! Of the log: both drain readers read every partition from its start to its end, they agree, and the bounds of the log
//! did not move meanwhile. Of a group: it has committed up to the end of every partition, or up to the last record there
//! that it is owed: the last offsets of a log may hold marks of transactions, and records that were aborted. Of what is
//! visible to readers of committed records: one that was handed nothing else came to the end of every partition, below
//! which nothing is undecided. Evaluated from events alone.
//!
//! Queues have no log to certify. Of a group that reads queues: nothing was ready or unsettled in any of them, at two
//! observations in a row that are a second apart.

use std::collections::BTreeMap;

use super::conductor::Conductor;
use super::finding::Place;
use super::log_view::LogView;
use super::offset_join::Joined;
use super::source::{Names, ShardRole, Source};
use super::transactional_reads::{TransactionalReads, VISIBLE};
use crate::history::Event;

/// What may be concluded from absence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Why the logs are not known in full; None: they are.
    pub log: Option<String>,
    /// Why it is not known what readers of committed records can see; None: it is.
    pub visible: Option<String>,
    /// By group: why it is not known to have caught up; None: it has.
    pub groups: BTreeMap<u16, Option<String>>,
}

impl Certificate {
    /// Whether what the drain readers did not see is not in the log.
    pub fn covers_log(&self) -> bool {
        self.log.is_none()
    }

    /// Whether what a group was not handed will never be.
    pub fn covers_group(&self, group: u16) -> bool {
        matches!(self.groups.get(&group), Some(None))
    }
}

/// The topics of plan and history that are written or read: their number of partitions.
pub type Partitions = BTreeMap<u16, u32>;

/// What the clauses rest on.
pub(super) struct Evidence<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) conductor: &'a Conductor,
    pub(super) partitions: &'a Partitions,
    /// What the readers of whole logs saw.
    pub(super) views: &'a [LogView; 2],
    /// What the reader of committed records saw.
    pub(super) visible: &'a LogView,
    pub(super) joined: &'a Joined,
    pub(super) reads: &'a TransactionalReads,
}

/// Evaluates all clauses.
pub(super) fn evaluate(evidence: &Evidence<'_>) -> Certificate {
    let Evidence { source, conductor, partitions, views, joined, reads, .. } = *evidence;
    let log = log_clause(source, conductor, partitions, views, joined);
    let visible = log.clone().or_else(|| visible_clause(evidence));
    let mut groups = BTreeMap::new();
    for (shard, meta) in source.shards().iter().enumerate() {
        if matches!(meta.role, ShardRole::Consumer(_)) {
            // Only a log that is known as a whole tells what its last offsets hold.
            let owed = |place: Place| match &log {
                Some(_) => None,
                None => Some(
                    views[0].owed.get(&place).map_or(0, |owed| owed[usize::from(reads.is_committed(shard))]),
                ),
            };
            let clause = group_clause(meta.group, meta.topic, source.names(), conductor, partitions, &owed);
            let entry = groups.entry(meta.group).or_insert(None);
            *entry = entry.take().or(clause);
        }
    }
    Certificate { log, visible, groups }
}

fn visible_clause(evidence: &Evidence<'_>) -> Option<String> {
    let Evidence { source, conductor, partitions, visible, .. } = *evidence;
    let mut readers =
        source.shards().iter().filter(|meta| meta.role == ShardRole::DrainReader(VISIBLE)).peekable();
    if readers.peek().is_none() {
        return Some("nobody read what is committed".into());
    }
    if let Some(meta) = readers.find(|meta| !meta.is_complete()) {
        return Some(format!("journal `{}` is not complete", meta.name));
    }
    for (&topic, &count) in partitions {
        for partition in 0..count as u16 {
            let place = Place { topic, partition };
            let end =
                conductor.bounds.get(&place).and_then(|bounds| bounds.ends.first()).copied().unwrap_or(0);
            let stable = conductor.stable.get(&place).and_then(|seen| seen.last());
            let next = visible.coverage.get(&place).map_or(0, |coverage| coverage.next);
            let of = || format!("`{}/{partition}`", topic_name(source.names(), topic));
            match stable {
                None => return Some(format!("nobody observed the last stable offset of {}", of())),
                Some(seen) if seen.event.a < end => {
                    return Some(format!("below the end of {} something is undecided", of()));
                }
                Some(_) if next < end && end > 0 => {
                    return Some(format!(
                        "the reader of committed records came to offset `{next}` of {}, not to the end `{end}`",
                        of()
                    ));
                }
                Some(_) => {}
            }
        }
    }
    None
}

fn log_clause(
    source: &dyn Source,
    conductor: &Conductor,
    partitions: &Partitions,
    views: &[LogView; 2],
    joined: &Joined,
) -> Option<String> {
    if conductor.interrupted {
        return Some("the run was interrupted".into());
    }
    if !conductor.drain_begun {
        return Some("no drain took place".into());
    }
    let incomplete = source.shards().iter().find(|meta| {
        !meta.is_complete() && matches!(meta.role, ShardRole::DrainReader(1 | 2) | ShardRole::Conductor)
    });
    if let Some(meta) = incomplete {
        return Some(format!("journal `{}` is not complete", meta.name));
    }
    for (&topic, &count) in partitions {
        for partition in 0..count as u16 {
            let place = Place { topic, partition };
            if let Some(why) = place_clause(place, conductor, views) {
                return Some(format!("{why} of `{}/{partition}`", topic_name(source.names(), topic)));
            }
        }
    }
    let (place, offset) = joined.disagreement?;
    Some(format!(
        "the drain readers disagree on {} records, first at offset {offset} of `{}/{}`",
        joined.disagreements,
        topic_name(source.names(), place.topic),
        place.partition
    ))
}

/// So far apart must two observations of a backlog be at least, or both may be of one moment.
const APART_NS: u64 = 1_000_000_000;

/// Evaluates the clauses of groups that read queues.
pub fn evaluate_queues(source: &dyn Source, conductor: &Conductor, partitions: &Partitions) -> Certificate {
    let mut groups = BTreeMap::new();
    for meta in source.shards() {
        if matches!(meta.role, ShardRole::Consumer(_)) {
            let clause = queue_clause(source, conductor, partitions, meta.group, meta.topic);
            let entry = groups.entry(meta.group).or_insert(None);
            *entry = entry.take().or(clause);
        }
    }
    let log = "messages leave a queue when they are settled";
    Certificate { log: Some(log.into()), visible: Some(log.into()), groups }
}

fn queue_clause(
    source: &dyn Source,
    conductor: &Conductor,
    partitions: &Partitions,
    group: u16,
    topic: u16,
) -> Option<String> {
    if conductor.interrupted {
        return Some("the run was interrupted".into());
    }
    if !conductor.drain_begun {
        return Some("no drain took place".into());
    }
    let incomplete = source.shards().iter().find(|meta| {
        let counts = match meta.role {
            ShardRole::Consumer(_) => meta.group == group,
            role => role == ShardRole::Conductor,
        };
        counts && !meta.is_complete()
    });
    if let Some(meta) = incomplete {
        return Some(format!("journal `{}` is not complete", meta.name));
    }
    let name = source.names().groups.get(usize::from(group)).map_or("?", String::as_str);
    for partition in 0..partitions.get(&topic).copied().unwrap_or(0) as u16 {
        let seen = conductor.backlogs.get(&(group, Place { topic, partition }));
        if let Some(why) = backlog_clause(seen.map_or(&[], Vec::as_slice)) {
            let queue = format!("{}/{partition}", topic_name(source.names(), topic));
            return Some(format!("group `{name}` in `{queue}`: {why}"));
        }
    }
    None
}

/// Why a queue is not known to be empty, by what was seen of it.
fn backlog_clause(seen: &[(u64, u64)]) -> Option<String> {
    let Some(&(last_ns, left)) = seen.last() else { return Some("nobody observed the backlog".into()) };
    if left > 0 {
        return Some(format!("{left} messages were ready or unsettled at last"));
    }
    let Some(earlier) = seen.iter().rposition(|&(t_ns, _)| t_ns.saturating_add(APART_NS) <= last_ns) else {
        return Some("the backlog was not observed twice, a second apart".into());
    };
    let most = seen[earlier..].iter().map(|&(_, messages)| messages).max().unwrap_or(0);
    (most > 0).then(|| format!("{most} messages were still ready or unsettled within the last second"))
}

/// What is missing of one partition's clause.
fn place_clause(place: Place, conductor: &Conductor, views: &[LogView; 2]) -> Option<String> {
    let bounds = conductor.bounds.get(&place);
    let (Some(&start), Some(&end)) =
        (bounds.and_then(|bounds| bounds.starts.first()), bounds.and_then(|bounds| bounds.ends.first()))
    else {
        return Some("nobody observed the bounds".into());
    };
    let bounds = bounds?;
    if bounds.starts.len() < 2 {
        return Some("the start was not observed again after the drain".into());
    }
    if bounds.starts.iter().any(|&other| other != start) {
        return Some(format!("the start moved away from `{start}` during the drain"));
    }
    if bounds.ends.iter().any(|&other| other != end) {
        return Some(format!("the end moved away from `{end}` during the drain"));
    }
    if start == end {
        return None;
    }
    views.iter().find_map(|view| match view.coverage.get(&place) {
        None => Some(format!("drain reader {} read nothing", view.reader)),
        // Offsets at which the log holds nothing to hand out may lie in between, never at the end of such a log.
        Some(coverage) if coverage.next < end => Some(format!(
            "drain reader {} came to offset `{}`, not to the end `{end}`",
            view.reader, coverage.next
        )),
        Some(coverage) if coverage.first > start && coverage.first >= end => {
            Some(format!("drain reader {} began behind the end", view.reader))
        }
        Some(_) => None,
    })
}

fn group_clause(
    group: u16,
    topic: u16,
    names: &Names,
    conductor: &Conductor,
    partitions: &Partitions,
    owed: &dyn Fn(Place) -> Option<u64>,
) -> Option<String> {
    let name = names.groups.get(usize::from(group)).map_or("?", String::as_str);
    for partition in 0..partitions.get(&topic).copied().unwrap_or(0) as u16 {
        let place = Place { topic, partition };
        let bounds = conductor.bounds.get(&place);
        let (Some(&start), Some(&end)) =
            (bounds.and_then(|bounds| bounds.starts.first()), bounds.and_then(|bounds| bounds.ends.first()))
        else {
            return Some(format!("the bounds of `{}/{partition}` are not known", topic_name(names, topic)));
        };
        let committed = match conductor.committed.get(&(group, place)) {
            Some(&offset) if offset != Event::NO_OFFSET => offset,
            _ => start,
        };
        if committed < owed(place).unwrap_or(end).min(end) {
            let lag = end - committed;
            return Some(format!(
                "group `{name}` lags by {lag} in `{}/{partition}`",
                topic_name(names, topic)
            ));
        }
    }
    None
}

fn topic_name(names: &Names, topic: u16) -> &str {
    names.topics.get(usize::from(topic)).map_or("?", String::as_str)
}
