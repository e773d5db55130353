//! From a history to the verdict on a cell.

use super::judged::{Judged, RunFacts};
use super::report::Metrics;
use super::word::VerdictWord;
use crate::checkers::{KeyOf, Source};
use crate::plan::Plan;

/// Judges a cell: the contract is asked first, then what the scenario expects.
pub fn judge(plan: &Plan, facts: &RunFacts, keys: &dyn KeyOf, source: &dyn Source) -> Judged {
    let _ = (plan, keys, source);
    Judged {
        verdict: VerdictWord::HarnessFailure,
        why: facts.troubles.first().cloned(),
        required: Vec::new(),
        checks: Vec::new(),
        faults: Vec::new(),
        metrics: Metrics::default(),
        timeline: None,
        notes: Vec::new(),
    }
}
