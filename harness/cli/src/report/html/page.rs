//! The page as a whole: what comes first, and what is left out when it would grow too long.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use askama::Template;
use mqproof_core::property::Property;
use mqproof_core::verdict::{RunReport, VerdictWord};

use super::cell::{CellView, Depth};
use super::settings::{Settings, settings};
use crate::report::side_by_side::{SideBySide, side_by_side};
use crate::report::summary::{Summary, summary};
use crate::report::text::{class, counted, product, property, span, thousands};
use crate::report::{figure, headline, svg, terminal};

/// With more cells than this, those that held are folded.
const OPEN_CELLS_MAX: usize = 3;
/// Up to this many cells, the first of each scenario is unfolded all the same: a picture says what the run was like.
const FIRST_CELLS_MAX: usize = 24;
/// With more rows than this, the comparison is folded by directory.
const OPEN_ROWS_MAX: usize = 40;
/// More rows than this say nothing that the cells do not say better.
const LATENCY_ROWS_MAX: usize = 48;

/// The page as the template takes it.
#[derive(Template)]
#[template(path = "report.html")]
pub struct Page<'a> {
    report: &'a RunReport,
    headline: String,
    context: String,
    scope: String,
    took: String,
    words: Vec<(VerdictWord, usize)>,
    faults: String,
    comparisons: String,
    defects: Vec<String>,
    table: SideBySide,
    summary: Option<Summary>,
    fold: bool,
    always: String,
    scenarios: Vec<ScenarioCells>,
    undrawn: usize,
    latency: String,
    latency_hidden: usize,
    settings: Settings,
    not_done: Vec<NotDone>,
    notes: Vec<(String, String)>,
    exit: &'static str,
}

/// The cells of one scenario, each rendered.
struct ScenarioCells {
    name: String,
    about: String,
    cells: Vec<String>,
    /// Whether something in it is worse than not observed.
    bad: bool,
    words: Vec<(VerdictWord, usize)>,
}

/// What was not run, and why.
struct NotDone {
    what: String,
    word: VerdictWord,
    why: String,
}

impl<'a> Page<'a> {
    /// Lays out the page; the cells together take at most about `bytes_max`.
    pub fn of(report: &'a RunReport, run_dir: &str, bytes_max: usize) -> Self {
        let cells = &report.results;
        let table = side_by_side(cells);
        let rows: usize = table.groups.iter().flat_map(|group| &group.scenarios).map(|s| s.rows.len()).sum();
        let (scenarios, undrawn) = scenarios(report, run_dir, bytes_max);
        let (latency, latency_hidden) = latency(report);
        let distinct = table.groups.iter().map(|group| group.scenarios.len()).sum();
        let repeats = cells.iter().map(|cell| cell.repeat + 1).max().unwrap_or(1);
        let repeats = if repeats > 1 { format!(" · {repeats} repeats") } else { String::new() };
        Self {
            report,
            headline: headline::headline(report),
            context: headline::context(report),
            scope: format!(
                "{} on {}{repeats} · seed {}",
                counted(distinct, "scenario"),
                counted(table.systems.len(), "system"),
                report.run.seed
            ),
            took: span(report.run.duration_ms as f64),
            words: headline::words(cells),
            faults: headline::FaultCounts::of(cells).sentence(),
            comparisons: thousands(headline::comparisons(cells)),
            defects: headline::defects(cells),
            fold: rows > OPEN_ROWS_MAX,
            table,
            summary: summary(report),
            always: always(report),
            scenarios,
            undrawn,
            latency,
            latency_hidden,
            settings: settings(cells),
            not_done: not_done(report),
            notes: notes(report),
            exit: terminal::exit_in_words(report.run.exit_status),
        }
    }

    /// When the run started, for people.
    fn started(&self) -> String {
        self.report.run.started.replacen('T', " ", 1).replace("+00:00", " UTC").replace('Z', " UTC")
    }

    /// The colour class of a system.
    fn system_class(&self, name: &str) -> String {
        system_class(self.report, name)
    }
}

fn system_class(report: &RunReport, name: &str) -> String {
    let mut systems: Vec<&str> = report.results.iter().map(|cell| cell.system.name.as_str()).collect();
    systems.sort_unstable();
    systems.dedup();
    svg::system_class(&systems, name)
}

/// The cells by scenario, the worst scenario first. Each has its line; tables and charts go to the worst cells and to the
/// first of each scenario first, as long as there is room.
fn scenarios(report: &RunReport, run_dir: &str, bytes_max: usize) -> (Vec<ScenarioCells>, usize) {
    let cells = &report.results;
    let bad = |word: VerdictWord| word.severity() > VerdictWord::NotObserved.severity();
    let first = |index: usize| !cells[..index].iter().any(|cell| cell.scenario == cells[index].scenario);
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by_key(|index| (Reverse(cells[*index].verdict.severity()), !first(*index), *index));
    let render = |index: usize, depth: Depth| {
        let open = cells.len() <= OPEN_CELLS_MAX
            || cells.len() <= FIRST_CELLS_MAX && first(index)
            || bad(cells[index].verdict);
        CellView::of(report, index, run_dir, open, depth).render().unwrap_or_default()
    };
    let mut rendered: BTreeMap<usize, String> =
        (0..cells.len()).map(|index| (index, render(index, Depth::Line))).collect();
    let mut left = bytes_max.saturating_sub(rendered.values().map(String::len).sum());
    let mut undrawn = 0;
    for index in order {
        let full = render(index, Depth::Full);
        let fits = if full.len() <= left {
            Some(full)
        } else {
            undrawn += 1;
            Some(render(index, Depth::Tables)).filter(|tables| tables.len() <= left)
        };
        if let Some(text) = fits {
            left -= text.len();
            rendered.insert(index, text);
        }
    }
    let mut scenarios: Vec<(u8, ScenarioCells)> = Vec::new();
    for (index, cell) in cells.iter().enumerate() {
        let Some(text) = rendered.remove(&index) else { continue };
        let rank = cell.verdict.severity();
        if let Some((worst, scenario)) =
            scenarios.iter_mut().find(|(_, scenario)| scenario.name == cell.scenario)
        {
            *worst = (*worst).max(rank);
            scenario.cells.push(text);
        } else {
            let (name, about) = (cell.scenario.clone(), cell.about.clone());
            let mine =
                cells.iter().filter(|other| other.scenario == cell.scenario).map(|other| other.verdict);
            let words = headline::count_words(mine);
            let bad = words.iter().any(|(word, _)| bad(*word));
            scenarios.push((rank, ScenarioCells { name, about, cells: vec![text], bad, words }));
        }
    }
    scenarios.sort_by_key(|(worst, _)| Reverse(*worst));
    (scenarios.into_iter().map(|(_, scenario)| scenario).collect(), undrawn)
}

/// The percentiles of all cells, and how many cells are not shown.
fn latency(report: &RunReport) -> (String, usize) {
    let all: Vec<svg::LatencyRow> = report
        .results
        .iter()
        .filter_map(|cell| {
            let quantiles = cell.metrics.ack_latency_us.filter(|quantiles| quantiles.count > 0)?;
            let repeat = if cell.repeat > 0 { format!(" r{}", cell.repeat) } else { String::new() };
            let name = product(&cell.system.name);
            Some(svg::LatencyRow {
                label: shortened(&format!("{}{repeat} · {} · {name}", cell.scenario, class(cell)), 58),
                class: system_class(report, &cell.system.name),
                quantiles,
            })
        })
        .collect();
    if all.is_empty() {
        return (String::new(), 0);
    }
    let shown = all.len().min(LATENCY_ROWS_MAX);
    let title = "Latency from the intended send to the acknowledgement, by cell";
    (svg::latency("latency", title, &all[..shown]), all.len() - shown)
}

/// The end of a label says more than its middle.
fn shortened(label: &str, most: usize) -> String {
    let length = label.chars().count();
    if length <= most {
        return label.to_owned();
    }
    let end: String = label.chars().skip(length - most + 1).collect();
    format!("…{end}")
}

/// What is checked in every cell, in one sentence; what of it is violated stands in the table.
fn always(report: &RunReport) -> String {
    let checks = report.results.iter().flat_map(|cell| &cell.checks);
    let always: Vec<_> = checks.filter(|check| property(check).is_some_and(Property::always_runs)).collect();
    if always.is_empty() {
        return String::new();
    }
    let exercised = always.iter().map(|check| check.exercised).sum();
    let bad = always.iter().filter(|check| check.verdict == VerdictWord::Violated).count();
    let found = match bad {
        0 if always.iter().any(|check| check.count > 0) => "none was observed where it is claimed".to_owned(),
        0 => "none was observed".to_owned(),
        bad => format!("{} violated", counted(bad, "check")),
    };
    format!(
        "Every cell is also checked for messages that nobody sent, that changed on the way, that were delivered although \
         refused, that share an offset, or that vanish after delivery: {found} in {} comparisons.",
        thousands(exercised)
    )
}

fn not_done(report: &RunReport) -> Vec<NotDone> {
    let mut rows: Vec<NotDone> = Vec::new();
    for cell in &report.results {
        let place = format!("{} on {}", cell.scenario, figure::system(cell));
        if matches!(cell.verdict, VerdictWord::NotOffered | VerdictWord::HarnessFailure) {
            rows.push(NotDone { what: place, word: cell.verdict, why: figure::reason(cell) });
            continue;
        }
        let open = cell.checks.iter().filter(|check| {
            matches!(
                check.verdict,
                VerdictWord::NotOffered | VerdictWord::NotExercised | VerdictWord::Inconclusive
            ) && !property(check).is_some_and(Property::always_runs)
        });
        for check in open {
            let what = format!("{}, {place}", crate::report::text::title(check));
            rows.push(NotDone { what, word: check.verdict, why: check.why.clone() });
        }
        for fault in cell.faults.iter().filter(|fault| fault.outcome != "installed") {
            let what = format!("{} {}, {place}", fault.kind, fault.target);
            let why = format!("{}: {}", fault.outcome, fault.evidence);
            rows.push(NotDone { what, word: VerdictWord::NotExercised, why });
        }
    }
    rows
}

fn notes(report: &RunReport) -> Vec<(String, String)> {
    let mut notes: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for cell in &report.results {
        for note in &cell.notes {
            let places = notes.entry(note).or_default();
            let place = format!("{} on {}", cell.scenario, figure::system(cell));
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    let places = |places: Vec<String>| match places.len() {
        0..=3 => places.join(", "),
        more => format!("{} and {} more", places[..2].join(", "), more - 2),
    };
    notes.into_iter().map(|(note, found)| (note.clone(), places(found))).collect()
}
