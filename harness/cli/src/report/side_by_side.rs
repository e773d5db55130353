//! Promise × class × system: the cells of a run folded into one table.

use std::fmt::Write as _;

use std::collections::BTreeSet;

use mqproof_core::property::Property;
use mqproof_core::verdict::{CellResult, CheckResult, VerdictWord};

use super::figure;
use super::headline::count_words;
use super::text::{at_least, bound, class, counted, product, property, quantity, thousands, title};

/// The whole comparison.
pub struct SideBySide {
    /// One per distinct product and version, in the order in which they ran.
    pub systems: Vec<Column>,
    /// One per directory of scenarios.
    pub groups: Vec<Group>,
}

/// A system.
pub struct Column {
    /// `kafka`.
    pub name: String,
    /// `Kafka`.
    pub title: String,
    /// `4.3.1`.
    pub version: String,
    /// How it was provided.
    pub profile: String,
}

/// The scenarios of one directory.
pub struct Group {
    /// The directory as given, without the file name.
    pub directory: String,
    /// In the order in which they ran.
    pub scenarios: Vec<ScenarioRows>,
}

impl Group {
    /// `3 scenarios`.
    pub fn summary(&self) -> String {
        counted(self.scenarios.len(), "scenario")
    }

    /// Whether something in it is violated, so that it must not be folded away.
    pub fn violated(&self) -> bool {
        self.entries().any(|entry| entry.word == VerdictWord::Violated)
    }

    /// How many of its entries have each word.
    pub fn words(&self) -> Vec<(VerdictWord, usize)> {
        count_words(self.entries().map(|entry| entry.word))
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.scenarios.iter().flat_map(|scenario| &scenario.rows).flat_map(|row| &row.entries).flatten()
    }
}

/// One scenario: a row per promise and class.
pub struct ScenarioRows {
    /// Its name.
    pub name: String,
    /// Its sentence.
    pub about: String,
    /// Ids of the claims that it decides.
    pub decides: Vec<String>,
    /// By promise, then by class.
    pub rows: Vec<Row>,
}

/// A promise at a class.
pub struct Row {
    /// What is promised not to happen, or measured.
    pub promise: String,
    /// Whether it is the first row of its promise.
    pub first: bool,
    /// The durability class and the rest of the matrix point.
    pub class: String,
    /// One per system; None: not run.
    pub entries: Vec<Option<Entry>>,
}

/// What one system did.
pub struct Entry {
    /// The worst word of all repeats.
    pub word: VerdictWord,
    /// A metric that was measured: it stands where else the word stands.
    pub value: Option<String>,
    /// The number behind the word.
    pub figure: String,
    /// Index of the cell that decided it.
    pub cell: usize,
    /// What must be known to judge the number.
    pub notes: Vec<String>,
}

/// Folds the cells.
pub fn side_by_side(cells: &[CellResult]) -> SideBySide {
    let mut systems: Vec<Column> = Vec::new();
    for cell in cells {
        if column_of(&systems, cell).is_none() {
            systems.push(Column {
                name: cell.system.name.clone(),
                title: product(&cell.system.name).to_owned(),
                version: cell.system.version.clone(),
                profile: cell.system.profile.clone(),
            });
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for cell in cells {
        let key = (cell.path.as_str(), cell.scenario.as_str());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let mine: Vec<(usize, &CellResult)> = cells
            .iter()
            .enumerate()
            .filter(|(_, other)| (other.path.as_str(), other.scenario.as_str()) == key)
            .collect();
        let scenario = ScenarioRows {
            name: cell.scenario.clone(),
            about: cell.about.clone(),
            decides: cell.decides.clone(),
            rows: rows(&mine, &systems, &common_notes(&mine)),
        };
        let directory = cell.path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
        match groups.iter_mut().find(|group| group.directory == directory) {
            Some(group) => group.scenarios.push(scenario),
            None => groups.push(Group { directory, scenarios: vec![scenario] }),
        }
    }
    SideBySide { systems, groups }
}

fn column_of(systems: &[Column], cell: &CellResult) -> Option<usize> {
    systems.iter().position(|column| {
        (&column.name, &column.version, &column.profile)
            == (&cell.system.name, &cell.system.version, &cell.system.profile)
    })
}

/// Notes that mark no entry: what is true of every cell of a scenario, and how its links were reached.
fn common_notes<'a>(cells: &[(usize, &'a CellResult)]) -> BTreeSet<&'a String> {
    let judged: Vec<_> = cells.iter().filter(|(_, cell)| !cell.checks.is_empty()).collect();
    let common = |note: &&String| {
        note.starts_with("links: ") || judged.iter().all(|(_, cell)| cell.notes.contains(note))
    };
    cells.iter().flat_map(|(_, cell)| &cell.notes).filter(common).collect()
}

/// Whether a check gets a row: what the scenario expects, and whatever is violated.
fn has_row(check: &CheckResult) -> bool {
    check.verdict == VerdictWord::Violated || !property(check).is_some_and(Property::always_runs)
}

fn rows(cells: &[(usize, &CellResult)], systems: &[Column], common: &BTreeSet<&String>) -> Vec<Row> {
    let mut promises: Vec<(String, String)> = Vec::new();
    for check in cells.iter().flat_map(|(_, cell)| &cell.checks).filter(|check| has_row(check)) {
        if !promises.iter().any(|(name, _)| *name == check.property) {
            promises.push((check.property.clone(), title(check)));
        }
    }
    if promises.is_empty() {
        promises.push((String::new(), "verdict".to_owned()));
    }
    let mut classes: Vec<String> = Vec::new();
    for (_, cell) in cells {
        let class = class(cell);
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    let mut rows = Vec::new();
    for (name, promise) in &promises {
        let mut first = true;
        for class_text in &classes {
            let entries: Vec<_> = (0..systems.len())
                .map(|column| {
                    let mine: Vec<_> = cells
                        .iter()
                        .filter(|(_, cell)| {
                            column_of(systems, cell) == Some(column) && class(cell) == *class_text
                        })
                        .copied()
                        .collect();
                    entry(name, &mine, common)
                })
                .collect();
            if entries.iter().all(Option::is_none) {
                continue;
            }
            let promise = promise.clone();
            rows.push(Row { promise, first, class: class_text.clone(), entries });
            first = false;
        }
    }
    rows
}

/// One promise over the repeats of a cell.
fn entry(property_name: &str, repeats: &[(usize, &CellResult)], common: &BTreeSet<&String>) -> Option<Entry> {
    let checks: Vec<(usize, &CheckResult)> = repeats
        .iter()
        .filter_map(|(index, cell)| {
            Some((*index, cell.checks.iter().find(|check| check.property == property_name)?))
        })
        .collect();
    let notes: BTreeSet<&String> = repeats.iter().flat_map(|(_, cell)| &cell.notes).collect();
    let notes: Vec<String> = notes.difference(common).map(|note| (*note).clone()).collect();
    let Some((cell, worst)) = checks.iter().max_by_key(|(_, check)| check.verdict.severity()).copied() else {
        let (index, cell) = repeats.first()?;
        // A cell with other checks was not asked for this one.
        if !cell.checks.is_empty() {
            return None;
        }
        return Some(Entry {
            word: cell.verdict,
            value: None,
            figure: figure::reason(cell),
            cell: *index,
            notes,
        });
    };
    if property(worst).is_some_and(Property::is_metric) {
        let (value, figure) = metric(&checks, worst);
        return Some(Entry { word: worst.verdict, value, figure, cell, notes });
    }
    let mut sum = worst.clone();
    sum.count = checks.iter().map(|(_, check)| check.count).sum();
    sum.exercised = checks.iter().map(|(_, check)| check.exercised).sum();
    let mut text = match cells_missing(property_name, repeats) {
        Some(missing) => format!("{} sent but missing", thousands(missing)),
        None => figure::figure(&sum),
    };
    let alike = checks.iter().filter(|(_, check)| check.verdict == worst.verdict).count();
    if alike < checks.len() {
        let _ = write!(text, " · in {alike} of {} runs", checks.len());
    } else if checks.len() > 1 {
        let _ = write!(text, " · n={}", checks.len());
    }
    Some(Entry { word: worst.verdict, value: None, figure: text, cell, notes })
}

/// Class `none` acknowledges nothing, so that nothing acknowledged can be lost: what is missing is shown instead.
fn cells_missing(property_name: &str, repeats: &[(usize, &CellResult)]) -> Option<u64> {
    let missing = repeats.iter().filter_map(|(_, cell)| cell.metrics.sent_but_missing);
    missing.reduce(|sum, more| sum + more).filter(|_| property_name == Property::AckedLoss.name())
}

/// The median as the value, and range, number of runs and bound below it.
fn metric(checks: &[(usize, &CheckResult)], worst: &CheckResult) -> (Option<String>, String) {
    let value = |(_, check): &(usize, &CheckResult)| Some((check.value?, check.is_least()));
    let mut values: Vec<(f64, bool)> = checks.iter().filter_map(value).collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    if values.is_empty() {
        return (None, worst.why.clone());
    }
    let told = |(value, is_least)| at_least(is_least, quantity(value, worst.unit.as_deref()));
    let mut parts = Vec::new();
    if values.len() > 1 {
        let (least, most) = (values[0], values[values.len() - 1]);
        let (least, most) = (told(least), told(most));
        let range = if least == most { String::new() } else { format!("{least}–{most}, ") };
        parts.push(format!("{range}n={}", values.len()));
    }
    let bounded = !matches!(worst.expect.as_str(), "allowed" | "never" | "demonstrated" | "");
    if bounded {
        parts.push(bound(&worst.expect));
    }
    let median = told(values[values.len() / 2]);
    match worst.verdict {
        VerdictWord::NotObserved => (Some(median), parts.join(" · ")),
        VerdictWord::NotClaimed | VerdictWord::Violated => {
            parts.insert(0, median);
            (None, parts.join(" · "))
        }
        _ => (None, worst.why.clone()),
    }
}
