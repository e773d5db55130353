//! The history of a cell as checkers read it.

use super::source::{Events, KeyOf, Names, ShardMeta, ShardRole, Source};
use crate::history::{History, Journal, JournalKind};
use crate::ids::MessageId;
use crate::plan::Plan;
use crate::workload::Generator;

/// Reads journals. Topics and groups have the numbers that the conductor gave them.
#[derive(Debug)]
pub struct HistorySource<'a> {
    journals: &'a [Journal],
    names: Names,
    shards: Vec<ShardMeta>,
}

impl<'a> HistorySource<'a> {
    /// The history of a cell.
    pub fn new(history: &'a History) -> Self {
        let conductor = history.conductor().map(Journal::meta);
        let mut names = conductor.map_or_else(Names::default, |meta| Names {
            topics: meta.topics.clone(),
            groups: meta.groups.clone(),
            load_begins_ns: meta.load_begins_ns,
        });
        let shards = history.journals().iter().map(|journal| shard(journal, &mut names)).collect();
        Self { journals: history.journals(), names, shards }
    }
}

fn shard(journal: &Journal, names: &mut Names) -> ShardMeta {
    let meta = journal.meta();
    if names.load_begins_ns == 0 {
        names.load_begins_ns = meta.load_begins_ns;
    }
    let role = match meta.kind {
        JournalKind::Producer => ShardRole::Producer(meta.number),
        JournalKind::Consumer => ShardRole::Consumer(meta.number),
        JournalKind::Drain => ShardRole::DrainReader(meta.number as u8),
        JournalKind::Conductor => ShardRole::Conductor,
    };
    let topic = meta.topic.as_ref().map_or(0, |topic| number(&mut names.topics, topic));
    let group = match (meta.kind, &meta.group) {
        (JournalKind::Consumer, Some(group)) => number(&mut names.groups, group),
        _ => 0,
    };
    let completeness = journal.completeness();
    ShardMeta {
        name: meta.name(),
        role,
        incarnation: meta.incarnation,
        topic,
        group,
        sealed: completeness.is_complete(),
        trouble: (!completeness.is_complete()).then(|| completeness.to_string()),
        events: journal.len(),
    }
}

/// The number of a name; a name that the conductor did not list gets the next.
fn number(names: &mut Vec<String>, name: &str) -> u16 {
    let found = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    found as u16
}

impl Source for HistorySource<'_> {
    fn shards(&self) -> &[ShardMeta] {
        &self.shards
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn events(&self, shard: usize, from: u64) -> Events<'_> {
        Box::new(self.journals[shard].events_from(from))
    }
}

/// The keys that a plan gives its messages.
#[derive(Clone, Debug)]
pub struct PlanKeys(Vec<Generator>);

impl PlanKeys {
    /// The keys of a plan.
    pub fn new(plan: &Plan) -> Self {
        let generators =
            plan.producers.iter().zip(0..).map(|(producer, number)| Generator::new(producer, number, 0, 0));
        Self(generators.collect())
    }
}

impl KeyOf for PlanKeys {
    fn key(&self, message: MessageId) -> Option<u32> {
        self.0.get(usize::from(message.session().producer))?.key_of(message.seq())
    }
}
