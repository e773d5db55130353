//! From the directory of a cell to its verdict: right after a run, and later by `mqproof check`.

use std::fs;
use std::path::Path;

use mqproof_core::checkers::{HistorySource, PlanKeys};
use mqproof_core::plan::Plan;
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
    /// The command that runs it again.
    #[serde(default)]
    pub replay: Vec<String>,
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
    let history = mqproof_drivers::journal::open_history(&dir.join("history")).map_err(|error| {
        Failure::input(format!("cannot read the history of `{}`: {error}", facts.cell_id))
    })?;
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
    // The conductor knows more of a fault than the journals; the bite meter is in the journals.
    let mut faults = if facts.faults.is_empty() { judged.faults.clone() } else { facts.faults.clone() };
    for (fault, told) in faults.iter_mut().zip(&judged.faults) {
        fault.unreplicated_acked = told.unreplicated_acked;
    }
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
        replay: facts.replay.clone(),
        run_dir: None,
    })
}
