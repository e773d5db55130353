//! From the directory of a cell to its verdict: right after a run, and later by `mqproof check`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mqproof_core::checkers::{HistorySource, PlanKeys};
use mqproof_core::history::{Event, EventKind, History, JournalKind, Outcome};
use mqproof_core::plan::{Durability, Plan};
use mqproof_core::verdict::{CellResult, FaultResult, RunFacts, SystemInfo, judge};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// `cell.json`: what the journals do not say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CellFacts {
    /// The cell's id.
    pub cell_id: String,
    /// The scenario's file.
    pub path: String,
    /// Which repeat.
    pub repeat: u32,
    /// What it ran on.
    pub system: SystemInfo,
    /// The faults, with what was observed.
    pub faults: Vec<FaultResult>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// Troubles of ours.
    pub troubles: Vec<String>,
    /// Whether it was cut short by Ctrl-C.
    pub interrupted: bool,
    /// How long it took, without judging.
    pub duration_ms: u64,
}

impl CellFacts {
    /// Reads `cell.json`; a run that was killed has none.
    pub fn read(dir: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(dir.join("cell.json")).ok()?).ok()
    }

    /// Writes `cell.json`.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        fs::write(dir.join("cell.json"), serde_json::to_string_pretty(self).expect("facts are plain data"))
    }
}

/// Judges what a cell recorded.
pub fn judge_cell(dir: &Path, plan: &Plan, facts: &CellFacts) -> Result<CellResult, Failure> {
    let history = mqproof_drivers::journal::open_history(&dir.join("history"))
        .map_err(|error| Failure::input(format!("cannot read the history of `{}`: {error}", facts.cell_id)))?;
    let run_facts = RunFacts {
        system: facts.system.name.clone(),
        troubles: facts.troubles.clone(),
        fault_evidence: facts.faults.iter().map(|fault| fault.evidence.clone()).enumerate().collect(),
        clock_epsilon_ns: 0,
        interrupted: facts.interrupted,
    };
    let source = HistorySource::new(&history);
    let keys = PlanKeys::new(plan);
    let judged = judge(plan, &run_facts, &keys, &source);
    let mut faults = if facts.faults.is_empty() { judged.faults } else { facts.faults.clone() };
    measure_bites(plan, &history, &mut faults);
    let mut notes = facts.notes.clone();
    notes.extend(judged.notes);
    Ok(CellResult {
        cell_id: facts.cell_id.clone(),
        scenario: plan.scenario.clone(),
        about: plan.about.clone(),
        path: facts.path.clone(),
        seed: plan.seed,
        repeat: facts.repeat,
        matrix: plan.matrix.clone(),
        decides: plan.decides.clone(),
        required: judged.required,
        system: facts.system.clone(),
        verdict: judged.verdict,
        why: judged.why,
        checks: judged.checks,
        faults,
        metrics: judged.metrics,
        clock_epsilon_ns: 0,
        duration_ms: facts.duration_ms,
        timeline: judged.timeline,
        notes,
    })
}

/// The bite meter of each kill of a leader: messages that were acknowledged before the high watermark was asked for,
/// just before the kill, and that lay at or above it.
fn measure_bites(plan: &Plan, history: &History, faults: &mut [FaultResult]) {
    // Without acknowledgements there are no offsets to compare.
    if plan.durability == Durability::None {
        return;
    }
    let Some(conductor) = history.conductor() else { return };
    let topics = &conductor.meta().topics;
    let mut bound: Option<Event> = None;
    let mut meters = BTreeMap::new();
    for event in conductor.events() {
        match event.kind {
            EventKind::LogBound if event.flags == 1 => bound = Some(event),
            EventKind::Fault if event.flags == 0 => {
                if let Some(bound) = bound.take()
                    && plan.faults.get(event.b as usize).is_some_and(|fault| fault.kind.name() == "kill")
                    && let Some(topic) = topics.get(bound.msg as usize)
                {
                    meters.insert(event.b as usize, (topic.clone(), bound));
                }
            }
            _ => {}
        }
    }
    for (fault, (topic, bound)) in meters {
        let above = history
            .of_kind(JournalKind::Producer)
            .filter(|journal| journal.meta().topic.as_ref() == Some(&topic))
            .flat_map(mqproof_core::history::Journal::events)
            .filter(|event| {
                event.kind == EventKind::SendEnd
                    && event.outcome() == Outcome::Ok
                    && event.t_ns <= bound.t_ns
                    && event.partition() == bound.partition()
                    && event.a != Event::NO_OFFSET
                    && event.a >= bound.a
            })
            .count();
        if let Some(result) = faults.get_mut(fault) {
            result.unreplicated_acked = Some(above as u64);
        }
    }
}

