//! How checkers read a history: a set of journals, each of which can be streamed as often as needed.
//!
//! In:  whoever holds journals (files, memory, an overlay of another source).
//! Out: events in recorded order, from any number on.
//! Never: holds more than one event.

use crate::history::Event;
use crate::ids::{MessageId, SessionId};

/// Whose journal it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ShardRole {
    /// The producer with this number in the plan.
    Producer(u16),
    /// The consumer with this number in the plan.
    Consumer(u16),
    /// Drain reader 1 or 2: reads every partition of one topic from the start to the end, without a group.
    DrainReader(u8),
    /// The conductor and its probes: faults, processes, leaders, bounds of logs.
    Conductor,
}

/// What is known of a journal before its events are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardMeta {
    /// As in reports: `writer-0.0`, `drain-1.0`, `conductor`.
    pub name: String,
    /// Whose it is.
    pub role: ShardRole,
    /// How often that role instance was started before.
    pub incarnation: u16,
    /// The topic that its events are about, as index into [`Names::topics`]; 0 for the conductor, whose events say it.
    pub topic: u16,
    /// The group of a consumer, as index into [`Names::groups`]; else 0.
    pub group: u16,
    /// Whether nothing can be missing: it was closed, or its process was seen dead and the journal closed for it.
    pub sealed: bool,
    /// What is wrong with it (a gap, a checksum), if anything is; then it counts as unsealed.
    pub trouble: Option<String>,
    /// Number of events.
    pub events: u64,
}

impl ShardMeta {
    /// Whether an event that is not in it surely did not happen.
    pub fn is_complete(&self) -> bool {
        self.sealed && self.trouble.is_none()
    }

    /// The producer session whose journal it is.
    pub fn session(&self) -> Option<SessionId> {
        match self.role {
            ShardRole::Producer(producer) => Some(SessionId { producer, incarnation: self.incarnation }),
            _ => None,
        }
    }
}

/// Events of a journal, in recorded order.
pub type Events<'a> = Box<dyn Iterator<Item = Event> + 'a>;

/// The keys of messages: a pure function of the plan.
pub trait KeyOf {
    /// The key of a message, if it has one.
    fn key(&self, message: MessageId) -> Option<u32>;
}

/// A history.
pub trait Source {
    /// Its journals; their numbers are indices into this slice.
    fn shards(&self) -> &[ShardMeta];

    /// What the numbers in events stand for.
    fn names(&self) -> &Names;

    /// The events of journal `shard` from event `from` on. Must be cheap for any `from`.
    fn events(&self, shard: usize, from: u64) -> Events<'_>;
}

/// What the numbers in events stand for.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Names {
    /// Topics by index.
    pub topics: Vec<String>,
    /// Consumer groups by index.
    pub groups: Vec<String>,
    /// When the load begins, on the clock of the events.
    pub load_begins_ns: u64,
}

/// A history in memory: tests and simulators.
#[derive(Clone, Default, Debug)]
pub struct MemorySource {
    names: Names,
    metas: Vec<ShardMeta>,
    events: Vec<Vec<Event>>,
}

impl MemorySource {
    /// A history without journals.
    pub fn new(names: Names) -> Self {
        Self { names, metas: Vec::new(), events: Vec::new() }
    }

    /// Adds a journal; its number of events is taken from `events`.
    pub fn push(&mut self, mut meta: ShardMeta, events: Vec<Event>) {
        meta.events = events.len() as u64;
        self.metas.push(meta);
        self.events.push(events);
    }
}

impl Source for MemorySource {
    fn shards(&self) -> &[ShardMeta] {
        &self.metas
    }

    fn names(&self) -> &Names {
        &self.names
    }

    fn events(&self, shard: usize, from: u64) -> Events<'_> {
        Box::new(self.events[shard].iter().skip(from as usize).copied())
    }
}
