//! One cell of the page: its course, where its messages went, its checks, its evidence, its faults.

use askama::Template;
use mqproof_core::property::Property;
use mqproof_core::verdict::{
    CellResult, CheckResult, FaultResult, Quantiles, RunReport, VerdictWord, Witness,
};

use crate::report::svg;
use crate::report::text::{at_least, bound, class, moment, property, quantity, span, thousands, title};
use crate::report::{command, figure};

/// How much of a cell is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its word and numbers.
    Line,
    /// Also its tables and its evidence.
    Tables,
    /// Also its timeline.
    Full,
}

/// A cell as the template takes it.
#[derive(Template)]
#[template(path = "cell.html")]
pub struct CellView<'a> {
    cell: &'a CellResult,
    index: usize,
    open: bool,
    system: String,
    class: String,
    sentence: String,
    depth: Depth,
    /// Empty if there was no load, or if the page would grow too long.
    timeline: String,
    flow: String,
    latency: Vec<LatencyRow>,
    checks: Vec<CheckRow<'a>>,
    evidence: Vec<Evidence<'a>>,
    more: Vec<&'a Witness>,
    faults: Vec<FaultRow<'a>>,
    replay: String,
    took: String,
}

struct LatencyRow {
    name: &'static str,
    values: [String; 5],
    samples: String,
}

struct CheckRow<'a> {
    check: &'a CheckResult,
    title: String,
    expect: String,
    required: bool,
    seen: String,
    exercised: String,
}

struct Evidence<'a> {
    witness: &'a Witness,
    title: String,
    lines: Vec<EvidenceLine>,
    rest: String,
    why: String,
}

struct EvidenceLine {
    at: String,
    what: String,
    who: String,
    text: String,
    context: bool,
    /// Whether it is what went wrong, or what was done to the system.
    hot: bool,
}

struct FaultRow<'a> {
    fault: &'a FaultResult,
    at: String,
    until: String,
    unreplicated: String,
}

impl<'a> CellView<'a> {
    /// The view of a cell; `open` unfolds it.
    pub fn of(report: &'a RunReport, index: usize, run_dir: &str, open: bool, depth: Depth) -> Self {
        let cell = &report.results[index];
        let timeline = cell
            .timeline
            .as_ref()
            .filter(|_| depth == Depth::Full)
            .map(|timeline| svg::timeline(cell, timeline, &format!("t{index}")))
            .unwrap_or_default();
        let (evidence, more) = evidence(cell, run_dir);
        Self {
            cell,
            index,
            open,
            system: figure::system(cell),
            class: class(cell),
            sentence: figure::sentence(cell),
            timeline,
            depth,
            flow: svg::flow(cell, &format!("f{index}")).unwrap_or_default(),
            latency: latency(cell),
            checks: checks(cell),
            evidence,
            more,
            faults: cell.faults.iter().map(fault_row).collect(),
            replay: command::replay(cell),
            took: span(cell.duration_ms as f64),
        }
    }
}

fn latency(cell: &CellResult) -> Vec<LatencyRow> {
    let row = |name, quantiles: &Option<Quantiles>| {
        let q = quantiles.as_ref().filter(|q| q.count > 0)?;
        let samples = if q.censored > 0 {
            format!("{} samples, {} never completed", thousands(q.count), thousands(q.censored))
        } else {
            format!("{} samples", thousands(q.count))
        };
        let bounded = svg::bounded;
        let values = [
            bounded(q, q.p50, 0.5),
            bounded(q, q.p95, 0.95),
            bounded(q, q.p99, 0.99),
            bounded(q, q.p999, 0.999),
            bounded(q, q.max, 1.0),
        ];
        Some(LatencyRow { name, values, samples })
    };
    let rows = [
        row("sent to acknowledged", &cell.metrics.ack_latency_us),
        row("sent to handed over", &cell.metrics.e2e_latency_us),
    ];
    rows.into_iter().flatten().collect()
}

fn checks(cell: &CellResult) -> Vec<CheckRow<'_>> {
    let mut rows: Vec<CheckRow<'_>> = cell
        .checks
        .iter()
        .map(|check| CheckRow {
            check,
            title: title(check),
            expect: bound(&check.expect),
            required: cell.required.contains(&check.property),
            seen: match check.value {
                Some(value) => at_least(check.is_least(), quantity(value, check.unit.as_deref())),
                None => thousands(check.count),
            },
            exercised: thousands(check.exercised),
        })
        .collect();
    let rank = |word: VerdictWord| if word == VerdictWord::NotObserved { 0 } else { word.severity() };
    // What always runs and shows nothing stands last, whatever it was exercised on.
    let told = |row: &CheckRow<'_>| {
        row.check.verdict == VerdictWord::Violated || !property(row.check).is_some_and(Property::always_runs)
    };
    rows.sort_by_key(|row| (!told(row), std::cmp::Reverse(rank(row.check.verdict)), !row.required));
    rows
}

/// The best piece of evidence of each check, and the others of what is violated.
fn evidence<'a>(cell: &'a CellResult, run_dir: &str) -> (Vec<Evidence<'a>>, Vec<&'a Witness>) {
    let mut shown = Vec::new();
    let mut more = Vec::new();
    for check in &cell.checks {
        for (index, witness) in check.witnesses.iter().enumerate() {
            // One whole timeline per property; the others are a line each.
            if index == 0 && matches!(check.verdict, VerdictWord::Violated | VerdictWord::NotClaimed) {
                shown.push(piece(cell, check, witness, run_dir));
            } else if check.verdict == VerdictWord::Violated {
                more.push(witness);
            }
        }
    }
    (shown, more)
}

fn piece<'a>(cell: &CellResult, check: &CheckResult, witness: &'a Witness, run_dir: &str) -> Evidence<'a> {
    const HOT: [&str; 11] =
        ["kill", "stall", "stop", "pause", "cut", "slow", "reset", "lost", "missing", "again", "crash"];
    let lines = witness.events.iter().map(|event| EvidenceLine {
        at: moment(event.at_ms),
        what: event.what.clone(),
        who: event.who.clone(),
        text: event.text.clone(),
        context: event.context,
        hot: HOT.contains(&event.what.as_str()),
    });
    let rest = check.count.saturating_sub(1);
    Evidence {
        witness,
        title: title(check),
        lines: lines.collect(),
        rest: if rest == 0 {
            String::new()
        } else {
            format!("… {} more of the same kind", thousands(rest))
        },
        why: command::why(run_dir, cell, &witness.id),
    }
}

fn fault_row(fault: &FaultResult) -> FaultRow<'_> {
    let at = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), moment);
    FaultRow {
        fault,
        at: at(fault.at_ms),
        until: at(fault.until_ms),
        unreplicated: fault.unreplicated_acked.map_or_else(|| "–".to_owned(), thousands),
    }
}
