//! The drain certificate: the licence for saying that something is missing.
//!
//! Of the log: both drain readers read every partition from its start to its end, they agree, and the bounds of the log
//! did not move meanwhile. Of a group: it has committed up to the end of every partition. Evaluated from events alone.

use std::collections::BTreeMap;

use super::conductor::Conductor;
use super::finding::Place;
use super::log_view::LogView;
use super::offset_join::Joined;
use super::source::{Names, ShardRole, Source};
use crate::history::Event;

/// What may be concluded from absence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Why the logs are not known in full; None: they are.
    pub log: Option<String>,
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

/// Evaluates all clauses.
pub fn evaluate(
    source: &dyn Source,
    conductor: &Conductor,
    partitions: &Partitions,
    views: &[LogView; 2],
    joined: &Joined,
) -> Certificate {
    let log = log_clause(source, conductor, partitions, views, joined);
    let mut groups = BTreeMap::new();
    for meta in source.shards() {
        if matches!(meta.role, ShardRole::Consumer(_)) {
            let clause = group_clause(meta.group, meta.topic, source.names(), conductor, partitions);
            let entry = groups.entry(meta.group).or_insert(None);
            *entry = entry.take().or(clause);
        }
    }
    Certificate { log, groups }
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
        !meta.is_complete() && matches!(meta.role, ShardRole::DrainReader(_) | ShardRole::Conductor)
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
        if committed < end {
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
