//! The history of a simulated cell: the conductor's events, and the files.

use std::path::Path;

use broker_sim::scenario::Tape;
use mqproof_core::history::{Event, EventKind, JournalKind, JournalMeta, SealReason, encode_journal};
use mqproof_core::plan::Plan;

use crate::conduct::CellError;

/// What the conductor records, in virtual time.
pub struct Record {
    /// The time of what is recorded next.
    now_ns: u64,
    meta: JournalMeta,
    events: Vec<Event>,
}

impl Record {
    /// Nothing yet.
    pub fn new(plan: &Plan, run_id: u64, now_ns: u64, load_begins_ns: u64) -> Self {
        let mut groups: Vec<String> = plan.consumers.iter().map(|consumer| consumer.group.clone()).collect();
        groups.sort();
        groups.dedup();
        let meta = JournalMeta {
            run_id,
            kind: JournalKind::Conductor,
            role: "conductor".into(),
            boot_id: "simulated".into(),
            load_begins_ns,
            topics: plan.topology.topics.keys().cloned().collect(),
            groups,
            nodes: plan.topology.brokers + plan.topology.controllers,
            ..JournalMeta::default()
        };
        Self { now_ns, meta, events: Vec::new() }
    }

    /// What is recorded from now on happens at this time.
    pub fn set_time(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// The groups, by index.
    pub fn groups(&self) -> &[String] {
        &self.meta.groups
    }

    /// The topic's index in events.
    pub fn topic(&self, name: &str) -> u64 {
        self.meta.topics.iter().position(|topic| topic == name).unwrap_or(usize::from(u16::MAX)) as u64
    }

    /// Records an event.
    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Records an event that happens now.
    pub fn note(&mut self, kind: EventKind, flags: u8, msg: u64, a: u64, b: u32, c: u16) {
        self.event(Event { t_ns: self.now_ns, msg, a, b, kind, flags, c });
    }

    /// Records where a log starts and ends.
    pub fn bounds(&mut self, topic: &str, partition: u32, (start, end): (u64, u64)) {
        let topic = self.topic(topic);
        self.note(EventKind::LogBound, 0, topic, start, partition, 0);
        self.note(EventKind::LogBound, 1, topic, end, partition, 0);
    }

    /// Writes all journals.
    pub fn write(self, dir: &Path, tapes: &[Tape], reason: SealReason) -> Result<(), CellError> {
        let disk =
            |error: std::io::Error| CellError::Disk(format!("cannot write `{}`: {error}", dir.display()));
        let journal = |meta: &JournalMeta, events: &[Event], reason| {
            let bytes = encode_journal(meta, events, Some(reason))
                .map_err(|error| CellError::Harness(error.to_string()))?;
            std::fs::write(dir.join(format!("{}.journal", meta.name())), bytes).map_err(disk)
        };
        journal(&self.meta, &self.events, reason)?;
        for tape in tapes {
            journal(&tape.meta, &tape.events, tape.sealed.unwrap_or(reason))?;
            if !tape.raw.is_empty() {
                std::fs::write(dir.join(format!("{}.side", tape.meta.name())), &tape.raw).map_err(disk)?;
            }
        }
        Ok(())
    }
}
