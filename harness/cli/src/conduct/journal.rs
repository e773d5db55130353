//! The conductor's own journal: faults, processes, leaders, bounds of logs, phases.

use std::path::Path;

use mqproof_core::history::{Event, EventKind, JournalKind, JournalMeta, SealReason};
use mqproof_core::plan::Plan;
use mqproof_drivers::journal::JournalFile;

use super::error::CellError;
use crate::clock::now_ns;

/// Writes the conductor's journal, and knows topics and groups by index.
pub struct ConductorJournal {
    file: Option<JournalFile>,
    topics: Vec<String>,
    groups: Vec<String>,
    /// Set when the disk refused; the run is then inconclusive.
    pub trouble: Option<String>,
}

impl ConductorJournal {
    /// Creates `conductor.journal`.
    pub fn create(history: &Path, plan: &Plan, run_id: u64, load_begins_ns: u64) -> Result<Self, CellError> {
        let topics: Vec<String> = plan.topology.topics.keys().cloned().collect();
        let mut groups: Vec<String> = plan.consumers.iter().map(|consumer| consumer.group.clone()).collect();
        groups.sort();
        groups.dedup();
        let meta = JournalMeta {
            run_id,
            kind: JournalKind::Conductor,
            role: "conductor".into(),
            pid: std::process::id(),
            boot_id: mqproof_drivers::clock::boot_id(),
            load_begins_ns,
            topics: topics.clone(),
            groups: groups.clone(),
            nodes: plan.topology.brokers + plan.topology.controllers,
            ..JournalMeta::default()
        };
        let file = JournalFile::create(history, &meta).map_err(|error| CellError::Disk(error.to_string()))?;
        Ok(Self { file: Some(file), topics, groups, trouble: None })
    }

    /// The topic's index in events.
    pub fn topic(&self, name: &str) -> u64 {
        self.topics.iter().position(|topic| topic == name).unwrap_or(usize::from(u16::MAX)) as u64
    }

    /// The topics, by index.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The groups, by index.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Records an event; a full disk is remembered.
    pub fn record(&mut self, event: Event) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.record(&event)
        {
            self.trouble.get_or_insert(error.to_string());
        }
    }

    /// Records an event that happens now.
    pub fn note(&mut self, kind: EventKind, flags: u8, msg: u64, a: u64, b: u32, c: u16) {
        self.record(Event { t_ns: now_ns(), msg, a, b, kind, flags, c });
    }

    /// Seals it.
    pub fn seal(&mut self, reason: SealReason) {
        if let Some(mut file) = self.file.take()
            && let Err(error) = file.seal(reason)
        {
            self.trouble.get_or_insert(error.to_string());
        }
    }
}
