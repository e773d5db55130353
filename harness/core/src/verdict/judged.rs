//! What judging a cell takes and gives.

use super::report::{CheckResult, FaultResult, Metrics};
use super::timeline::Timeline;
use super::word::VerdictWord;

/// What the conductor knows of a run and the journals do not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFacts {
    /// `reference`, `kafka`, …
    pub system: String,
    /// Troubles of ours (a child that could not be started, an undo that failed): each makes the cell a harness failure.
    pub troubles: Vec<String>,
    /// Why a fault of the plan was skipped or had no effect, by its index, where the conductor knows more than the events.
    pub fault_evidence: Vec<(usize, String)>,
    /// Half width of the uncertainty between clocks, ns.
    pub clock_epsilon_ns: u64,
    /// Whether the run was cut short by Ctrl-C.
    pub interrupted: bool,
}

/// The verdict on a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The cell's word: the worst of its required checks, or of any that is violated.
    pub verdict: VerdictWord,
    /// Why, where the word alone does not say.
    pub why: Option<String>,
    /// Names of the checks that must be exercised.
    pub required: Vec<String>,
    /// One per property of the plan's `expect`, and those that always run.
    pub checks: Vec<CheckResult>,
    /// One per fault of the plan.
    pub faults: Vec<FaultResult>,
    /// The numbers.
    pub metrics: Metrics,
    /// The course of events; None if there was no load.
    pub timeline: Option<Timeline>,
    /// What a reader must know to judge the numbers.
    pub notes: Vec<String>,
}
