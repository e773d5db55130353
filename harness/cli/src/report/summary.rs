//! Scenario × class × system, over all repeats: the table that sets the products side by side in one look.

use std::fmt::Write as _;

use mqproof_core::verdict::{RunReport, SummaryEntry, VerdictWord};

use super::look::{Look, columns, cut, padded};
use super::text::{at_least, class_at, product, span, thousands};

/// Columns of a sign and the longest word.
const WORD: usize = 17;

/// The table.
pub struct Summary {
    /// The systems, in the order in which they ran: `Kafka 4.3.1`, and how it was provided.
    pub systems: Vec<System>,
    /// One per scenario and class.
    pub rows: Vec<Row>,
}

/// A column.
pub struct System {
    /// `kafka`.
    pub name: String,
    /// `4.3.1`.
    pub version: String,
    /// How it was provided.
    pub profile: String,
}

impl System {
    /// `Kafka 4.3.1`.
    pub fn title(&self) -> String {
        format!("{} {}", product(&self.name), self.version).trim_end().to_owned()
    }
}

/// A scenario at a class.
pub struct Row {
    /// The scenario.
    pub scenario: String,
    /// Whether it is the first row of its scenario.
    pub first: bool,
    /// The durability class, the rest of the matrix point, and when consumers settle.
    pub class: String,
    /// One per system; None: not run.
    pub entries: Vec<Option<Entry>>,
}

/// What one system did in all repeats.
pub struct Entry {
    /// The worst word.
    pub word: VerdictWord,
    /// The number behind it, the number of runs, and the bound.
    pub figures: Vec<String>,
}

/// Folds the summary of a report. None where it says no more than its cells: one system, no repeats.
pub fn summary(report: &RunReport) -> Option<Summary> {
    let mut systems: Vec<System> = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    for entry in &report.summary {
        let column = column_of(&mut systems, entry);
        let class = class_of(entry);
        let found = rows.iter().position(|row| (&row.scenario, &row.class) == (&entry.scenario, &class));
        let row = found.unwrap_or_else(|| {
            let first = !rows.iter().any(|row| row.scenario == entry.scenario);
            rows.push(Row { scenario: entry.scenario.clone(), first, class, entries: Vec::new() });
            rows.len() - 1
        });
        let entries = &mut rows[row].entries;
        entries.resize_with(entries.len().max(column + 1), || None);
        entries[column] = Some(Entry { word: entry.verdict, figures: figures(entry) });
    }
    for row in &mut rows {
        row.entries.resize_with(systems.len(), || None);
    }
    // The classes of a scenario stand together, whatever the order in which they ran.
    let mut order: Vec<String> = Vec::new();
    for row in &rows {
        if !order.contains(&row.scenario) {
            order.push(row.scenario.clone());
        }
    }
    rows.sort_by_key(|row| order.iter().position(|name| *name == row.scenario));
    let says_more = systems.len() > 1 || report.summary.iter().any(|entry| entry.runs > 1);
    says_more.then_some(Summary { systems, rows })
}

/// A system that could not be started tells no version, and gets no column of its own.
fn column_of(systems: &mut Vec<System>, entry: &SummaryEntry) -> usize {
    let found = systems.iter().position(|system| {
        let unknown = entry.version.is_empty() || system.version.is_empty();
        (&system.name, &system.profile) == (&entry.system, &entry.profile)
            && (unknown || system.version == entry.version)
    });
    let column = found.unwrap_or_else(|| {
        systems.push(System {
            name: entry.system.clone(),
            version: String::new(),
            profile: entry.profile.clone(),
        });
        systems.len() - 1
    });
    if systems[column].version.is_empty() {
        systems[column].version.clone_from(&entry.version);
    }
    column
}

fn class_of(entry: &SummaryEntry) -> String {
    let class = class_at(&entry.durability, &entry.matrix);
    match &entry.settle {
        Some(settle) => format!("{class} · settle {settle}"),
        None => class,
    }
}

fn figures(entry: &SummaryEntry) -> Vec<String> {
    let mut figures = Vec::new();
    match (entry.lost, entry.acked) {
        (Some(lost), Some(acked)) if acked > 0 => {
            figures.push(format!("{} of {} lost", thousands(lost), thousands(acked)));
        }
        _ => {}
    }
    if let Some(rto) = entry.rto_ms {
        figures.push(format!("recovery {}", at_least(entry.rto_is_least, span(rto))));
    }
    if entry.runs > 1 {
        let alike = if entry.runs_alike < entry.runs {
            format!("in {} of {} runs", entry.runs_alike, entry.runs)
        } else {
            format!("{} runs", entry.runs)
        };
        let bound = entry.share_max.map(|share| format!(", so in at most {:.0} % of runs", share * 100.0));
        figures.push(alike + &bound.unwrap_or_default());
    }
    figures
}

/// As text, if it fits the width; every cell has its line above it anyway.
pub fn render(summary: &Summary, look: Look) -> Option<String> {
    let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let scenario = widest(&mut summary.rows.iter().map(|row| columns(&row.scenario)));
    let class = widest(&mut summary.rows.iter().map(|row| columns(&row.class)));
    let titles: Vec<String> = summary.systems.iter().map(System::title).collect();
    let widths: Vec<usize> = titles.iter().map(|title| columns(title).max(WORD)).collect();
    let all = 2 + scenario + 2 + class + widths.iter().map(|width| width + 2).sum::<usize>();
    let scenario = scenario.checked_sub(all.saturating_sub(look.width)).filter(|left| *left >= 16)?;
    let mut head = format!("  {}  {}", padded("", scenario), padded("", class));
    for (title, width) in titles.iter().zip(&widths) {
        let _ = write!(head, "  {}", padded(title, *width));
    }
    let mut text = look.dim(head.trim_end()) + "\n";
    for row in &summary.rows {
        let name = if row.first { cut(&row.scenario, scenario) } else { String::new() };
        let mut line = format!("  {}  {}", padded(&name, scenario), padded(&row.class, class));
        for (entry, width) in row.entries.iter().zip(&widths) {
            let word = entry.as_ref().map(|entry| look.word(entry.word, *width));
            let _ = write!(line, "  {}", word.unwrap_or_else(|| padded("not run", *width)));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Some(text)
}
