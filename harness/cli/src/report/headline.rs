//! The sentence that says the one thing that matters, and the line below it.

use std::fmt::Write as _;

use std::collections::{BTreeMap, BTreeSet};

use mqproof_core::property::Property;
use mqproof_core::verdict::{CellResult, CheckResult, ExitStatus, RunReport, VerdictWord};

use super::figure;
use super::text::{counted, listed, product, property, stopped, thousands};

/// The headline: one sentence.
pub fn headline(report: &RunReport) -> String {
    let cells = &report.results;
    let violated = violations(cells);
    if !violated.is_empty() {
        return broken(&violated);
    }
    let with = |word| cells.iter().filter(move |cell| cell.verdict == word);
    if let Some(first) = with(VerdictWord::HarnessFailure).next() {
        let count = with(VerdictWord::HarnessFailure).count();
        let why = figure::reason(first);
        return if why.to_lowercase().contains("canary") {
            stopped(&format!("No verdict: a checker missed a fault planted in its own history ({why})"))
        } else {
            let whose = match report.run.exit_status {
                status if status == ExitStatus::Environment as u8 => "the environment does not allow it",
                _ => "trouble of our own",
            };
            stopped(&format!("No verdict on {}: {whose}, {why}", counted(count, "cell")))
        };
    }
    let open =
        |cell: &&CellResult| matches!(cell.verdict, VerdictWord::Inconclusive | VerdictWord::NotExercised);
    if let Some(first) = cells.iter().find(open) {
        let count = cells.iter().filter(open).count();
        let share = if count == cells.len() {
            "nothing could be judged".to_owned()
        } else {
            format!("{count} of {} cannot be judged", counted(cells.len(), "cell"))
        };
        return stopped(&format!("Nothing broke that was claimed, but {share}: {}", figure::reason(first)));
    }
    if report.run.interrupted {
        return format!(
            "Interrupted: nothing that was claimed broke in the {} that ran.",
            counted(cells.len(), "cell")
        );
    }
    if cells.iter().all(|cell| cell.verdict == VerdictWord::NotOffered) {
        return "Nothing was judged: no system here offers what was asked.".to_owned();
    }
    match FaultCounts::of(cells).installed {
        0 => format!("Nothing that was claimed broke in {} comparisons.", thousands(comparisons(cells))),
        faults => format!("Nothing that was claimed broke in {}.", counted(faults, "effective fault")),
    }
}

/// The line below the headline.
pub fn context(report: &RunReport) -> String {
    let cells = &report.results;
    let mut sentences = Vec::new();
    let broken = cells.iter().any(|cell| cell.verdict == VerdictWord::Violated);
    if broken && cells.iter().any(|cell| cell.verdict == VerdictWord::NotObserved) {
        sentences.push("Everything else that was claimed held in what was exercised.".to_owned());
    }
    if broken {
        let open = cells
            .iter()
            .filter(|cell| matches!(cell.verdict, VerdictWord::Inconclusive | VerdictWord::NotExercised))
            .count();
        if open > 0 {
            sentences
                .push(format!("The evidence did not suffice to judge {}.", counted(open, "further cell")));
        }
    }
    sentences.extend(unclaimed_losses(cells));
    let offered = cells.iter().filter(|cell| cell.verdict == VerdictWord::NotOffered).count();
    if offered > 0 && offered < cells.len() {
        sentences.push(format!("{} not offered, and not run.", was(offered)));
    }
    if report.run.interrupted {
        sentences.push("The run was interrupted.".to_owned());
    }
    sentences.join(" ")
}

fn was(cells: usize) -> String {
    format!("{} {}", counted(cells, "cell"), if cells == 1 { "is" } else { "are" })
}

/// What was lost where nothing was promised.
fn unclaimed_losses(cells: &[CellResult]) -> Option<String> {
    let lossy = |cell: &&CellResult| {
        cell.checks.iter().any(|check| {
            check.verdict == VerdictWord::NotClaimed
                && check.count > 0
                && property(check) == Some(Property::AckedLoss)
        })
    };
    let systems: BTreeSet<String> =
        cells.iter().filter(lossy).map(|cell| product(&cell.system.name).to_owned()).collect();
    let classes: BTreeSet<String> =
        cells.iter().filter(lossy).map(|cell| cell.system.durability.clone()).collect();
    if systems.is_empty() {
        return None;
    }
    let lose = if systems.len() == 1 { "loses" } else { "lose" };
    let systems: Vec<_> = systems.into_iter().collect();
    let classes: Vec<_> = classes.into_iter().collect();
    let mut text = format!(
        "{} {lose} acknowledged messages at class {}, where nothing is promised.",
        listed(&systems),
        listed(&classes)
    );
    if let Some(first) = text.get(..1) {
        let upper = first.to_uppercase();
        text.replace_range(..1, &upper);
    }
    Some(text)
}

/// Broken promises: distinct systems, and in each its distinct properties in the order of reports.
type Violations = BTreeMap<String, Vec<Broken>>;

struct Broken {
    property: String,
    phrase: String,
}

fn violations(cells: &[CellResult]) -> Violations {
    let mut found = Violations::new();
    for cell in cells.iter().filter(|cell| cell.verdict == VerdictWord::Violated) {
        let list = found.entry(figure::system(cell)).or_default();
        for check in cell.checks.iter().filter(|check| check.verdict == VerdictWord::Violated) {
            if !list.iter().any(|broken| broken.property == check.property) {
                list.push(Broken { property: check.property.clone(), phrase: breach(check) });
            }
        }
    }
    found
}

fn broken(violations: &Violations) -> String {
    let count: usize = violations.values().map(|list| list.len().max(1)).sum();
    let parts: Vec<String> = violations
        .iter()
        .map(|(system, list)| {
            let phrases: Vec<String> = list.iter().take(3).map(|broken| broken.phrase.clone()).collect();
            let rest = list.len() - phrases.len();
            let rest = if rest > 0 { format!(", and {rest} more") } else { String::new() };
            format!("{system} {}{rest}", listed(&phrases))
        })
        .collect();
    let promises = match count {
        1 => "One promise broken".to_owned(),
        count => format!("{count} promises broken"),
    };
    format!("{promises}: {}.", parts.join("; "))
}

/// What a system does that breaks the promise.
fn breach(check: &CheckResult) -> String {
    let Some(property) = property(check) else {
        return format!("breaks {}", check.property.replace('_', " "));
    };
    match property {
        Property::AckedLoss => "loses acknowledged messages",
        Property::DuplicateAppend => "stores messages twice",
        Property::DuplicateDelivery => "delivers messages again without a reason",
        Property::Phantom => "delivers messages that nobody sent",
        Property::Corruption => "changes messages on the way",
        Property::FailVisible => "delivers messages that it had refused",
        Property::OrderLog => "stores messages out of order",
        Property::OrderConsumer => "hands records out in another order than the log",
        Property::OrderPerKey => "delivers keys out of order",
        Property::Divergence => "shows two messages at one offset",
        Property::HighWatermarkRollback => "takes back records that it had delivered",
        Property::AbortedRead => "shows records of aborted transactions",
        Property::EarlyRead => "shows records before their commit",
        Property::TornTransaction => "tears transactions",
        Property::HangingTransaction => "leaves transactions open for ever",
        Property::Rto => "recovers too slowly",
        Property::Rpo => "loses more records than allowed",
        Property::AckLatency => "acknowledges too slowly",
        Property::EndToEndLatency => "delivers too slowly",
        Property::Drain => "drains its backlog too slowly",
        Property::Throughput => "is slower than asked",
    }
    .to_owned()
}

/// Comparisons that could have shown a violation.
pub fn comparisons(cells: &[CellResult]) -> u64 {
    cells.iter().flat_map(|cell| &cell.checks).map(|check| check.exercised).sum()
}

/// How many cells have each word.
pub fn words(cells: &[CellResult]) -> Vec<(VerdictWord, usize)> {
    count_words(cells.iter().map(|cell| cell.verdict))
}

/// How often each word stands, what is wrong first; words that do not occur are left out.
pub fn count_words(words: impl Iterator<Item = VerdictWord>) -> Vec<(VerdictWord, usize)> {
    let words: Vec<VerdictWord> = words.collect();
    [
        VerdictWord::Violated,
        VerdictWord::HarnessFailure,
        VerdictWord::NotObserved,
        VerdictWord::Inconclusive,
        VerdictWord::NotExercised,
        VerdictWord::NotClaimed,
        VerdictWord::NotOffered,
    ]
    .into_iter()
    .map(|word| (word, words.iter().filter(|other| **other == word).count()))
    .filter(|(_, count)| *count > 0)
    .collect()
}

/// What became of the faults.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct FaultCounts {
    /// That were planned in cells that ran.
    pub planned: usize,
    /// Whose outcome is `installed`.
    pub installed: usize,
    /// Whose effect was observed at a known time.
    pub bit: usize,
    /// That were undone.
    pub undone: usize,
}

impl FaultCounts {
    /// Over all cells.
    pub fn of(cells: &[CellResult]) -> Self {
        let mut counts = Self::default();
        for fault in cells.iter().flat_map(|cell| &cell.faults) {
            let installed = fault.outcome == "installed";
            counts.planned += 1;
            counts.installed += usize::from(installed);
            counts.bit += usize::from(installed && fault.at_ms.is_some());
            counts.undone += usize::from(installed && fault.until_ms.is_some());
        }
        counts
    }

    /// `4 faults installed, 4 seen to bite, 4 undone; 1 had no effect`.
    pub fn sentence(self) -> String {
        if self.planned == 0 {
            return "no faults planned".to_owned();
        }
        let mut text = format!(
            "{} installed, {} seen to bite, {} undone",
            counted(self.installed, "fault"),
            self.bit,
            self.undone
        );
        if self.planned > self.installed {
            let _ = write!(text, "; {} without effect", self.planned - self.installed);
        }
        text
    }
}

/// The planted defects of all cells.
pub fn defects(cells: &[CellResult]) -> Vec<String> {
    let all: BTreeSet<&String> = cells.iter().flat_map(|cell| &cell.system.defects).collect();
    all.into_iter().cloned().collect()
}
