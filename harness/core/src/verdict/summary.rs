//! Cells folded: one entry per scenario, class and system, over all repeats.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::CellResult;
use super::word::VerdictWord;

/// The level of confidence of [`SummaryEntry::share_max`].
const CONFIDENCE: f64 = 0.95;

/// A scenario at a class on a system, over its repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SummaryEntry {
    /// The scenario's name.
    pub scenario: String,
    /// The file it was read from, as given.
    pub path: String,
    /// The durability class.
    pub durability: String,
    /// The matrix point.
    pub matrix: BTreeMap<String, String>,
    /// When consumers settle.
    pub settle: Option<String>,
    /// `reference`, `kafka`, …
    pub system: String,
    /// The product's version.
    pub version: String,
    /// How it was provided.
    pub profile: String,
    /// The worst word of all repeats.
    pub verdict: VerdictWord,
    /// Repeats that have this word.
    pub runs_alike: u32,
    /// Repeats that were judged.
    pub runs: u32,
    /// Acknowledged messages, in all.
    pub acked: Option<u64>,
    /// Acknowledged messages lost, in all; null if a repeat has no drain certificate.
    pub lost: Option<u64>,
    /// Median of the recovery times, ms.
    pub rto_ms: Option<f64>,
    /// Whether that one was not over at the end of the load.
    #[serde(default)]
    pub rto_is_least: bool,
    /// Where all repeats say `not_observed`: the share of such runs that would show it is at most this, with 95 %
    /// confidence (0 of n: 1 − 0.05^(1/n)).
    pub share_max: Option<f64>,
}

/// Folds the cells, in the order in which they first occur.
pub fn summarise(cells: &[CellResult]) -> Vec<SummaryEntry> {
    let mut folded: Vec<Vec<&CellResult>> = Vec::new();
    for cell in cells {
        match folded.iter_mut().find(|repeats| is_repeat(repeats[0], cell)) {
            Some(repeats) => repeats.push(cell),
            None => folded.push(vec![cell]),
        }
    }
    folded.iter().map(|repeats| entry(repeats)).collect()
}

/// Whether they differ in the seed at most. A system that could not be started tells no version.
fn is_repeat(one: &CellResult, other: &CellResult) -> bool {
    let place = |cell: &CellResult| (cell.path.clone(), cell.scenario.clone(), cell.matrix.clone());
    let (a, b) = (&one.system, &other.system);
    let version = a.version == b.version || a.version.is_empty() || b.version.is_empty();
    let system = (&a.name, &a.profile, &a.durability) == (&b.name, &b.profile, &b.durability);
    place(one) == place(other) && system && version
}

fn entry(repeats: &[&CellResult]) -> SummaryEntry {
    let worst = repeats.iter().max_by_key(|cell| cell.verdict.severity()).expect("a fold has a cell");
    let judged: Vec<&&CellResult> = repeats.iter().filter(|cell| !cell.checks.is_empty()).collect();
    let runs = judged.len() as u32;
    let alike = repeats.iter().filter(|cell| cell.verdict == worst.verdict).count() as u32;
    let sum = |of: &dyn Fn(&CellResult) -> Option<u64>| {
        judged.iter().map(|cell| of(cell)).sum::<Option<u64>>().filter(|_| runs > 0)
    };
    let recovery = |cell: &&&CellResult| Some((cell.metrics.rto_ms?, cell.metrics.rto_is_least));
    let mut recoveries: Vec<(f64, bool)> = judged.iter().filter_map(recovery).collect();
    recoveries.sort_by(|one, other| one.0.total_cmp(&other.0));
    let median = recoveries.get(recoveries.len() / 2).copied();
    let told = repeats.iter().max_by_key(|cell| cell.system.version.len()).expect("a fold has a cell");
    let unseen = worst.verdict == VerdictWord::NotObserved && alike == runs;
    SummaryEntry {
        scenario: worst.scenario.clone(),
        path: worst.path.clone(),
        durability: worst.system.durability.clone(),
        matrix: worst.matrix.clone(),
        settle: told.system.settle.clone(),
        system: worst.system.name.clone(),
        version: told.system.version.clone(),
        profile: worst.system.profile.clone(),
        verdict: worst.verdict,
        runs_alike: alike,
        runs,
        acked: sum(&|cell| cell.metrics.acked),
        lost: sum(&|cell| cell.metrics.lost),
        rto_ms: median.map(|(ms, _)| ms),
        rto_is_least: median.is_some_and(|(_, is_least)| is_least),
        share_max: unseen.then(|| 1.0 - (1.0 - CONFIDENCE).powf(1.0 / f64::from(runs))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{CheckResult, Metrics, SystemInfo};

    fn cell(system: &str, repeat: u32, verdict: VerdictWord, lost: Option<u64>) -> CellResult {
        let judged = !matches!(verdict, VerdictWord::NotOffered | VerdictWord::HarnessFailure);
        let check = CheckResult { property: "acked_loss".into(), verdict, ..CheckResult::default() };
        CellResult {
            scenario: "survives".into(),
            repeat,
            system: SystemInfo { name: system.into(), durability: "quorum".into(), ..SystemInfo::default() },
            verdict,
            checks: if judged { vec![check] } else { Vec::new() },
            metrics: Metrics {
                acked: Some(1_000),
                lost,
                rto_ms: Some(100.0 + f64::from(repeat)),
                ..Metrics::default()
            },
            ..CellResult::default()
        }
    }

    #[test]
    fn twenty_runs_without_loss_bound_the_share_of_losing_runs_at_14_percent() {
        let cells: Vec<_> = (0..20).map(|n| cell("kafka", n, VerdictWord::NotObserved, Some(0))).collect();
        let [entry] = summarise(&cells).try_into().expect("one entry");
        assert_eq!((entry.runs, entry.acked, entry.lost), (20, Some(20_000), Some(0)));
        assert_eq!(entry.rto_ms, Some(110.0));
        let bound = entry.share_max.expect("a bound");
        assert!((bound - 0.139).abs() < 0.001, "{bound}");
    }

    #[test]
    fn one_bad_run_decides_the_word_and_leaves_no_bound() {
        let mut cells: Vec<_> = (0..4).map(|n| cell("kafka", n, VerdictWord::NotObserved, Some(0))).collect();
        cells.push(cell("kafka", 4, VerdictWord::Violated, Some(3)));
        let [entry] = summarise(&cells).try_into().expect("one entry");
        assert_eq!((entry.verdict, entry.runs_alike, entry.runs), (VerdictWord::Violated, 1, 5));
        assert_eq!((entry.lost, entry.share_max), (Some(3), None));
    }

    #[test]
    fn a_run_that_could_not_be_judged_is_not_counted_as_one_that_held() {
        let held = cell("kafka", 0, VerdictWord::NotObserved, Some(0));
        let open = cell("kafka", 1, VerdictWord::Inconclusive, None);
        let failed = cell("kafka", 2, VerdictWord::HarnessFailure, None);
        let [entry] = summarise(&[held, open, failed]).try_into().expect("one entry");
        assert_eq!((entry.verdict, entry.runs), (VerdictWord::HarnessFailure, 2));
        assert_eq!((entry.lost, entry.share_max), (None, None));
    }

    #[test]
    fn systems_stand_apart() {
        let cells = ["kafka", "rabbitmq"].map(|system| cell(system, 0, VerdictWord::NotObserved, Some(0)));
        assert_eq!(summarise(&cells).len(), 2);
    }
}
