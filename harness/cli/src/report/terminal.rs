//! The final table: one line per cell, then what to do next.

use mqproof_core::verdict::{CellResult, ExitStatus, RunReport, VerdictWord};
use owo_colors::Style;

use super::look::{Look, columns, cut, padded, push_line, right, wrapped, wrapped_list};
use super::text::{class, counted, span, thousands};
use super::{command, figure, headline, summary};

/// From this width on, the numbers stand in the line of the cell.
const WIDE: usize = 116;
const INDENT: usize = 2;

/// The table, what is violated and how to look at it, what could not be judged, and where the report is.
///
/// Without a directory the report was not written, and there is nothing to open.
pub fn render(report: &RunReport, run_dir: Option<&str>, look: Look) -> String {
    let mut out = String::new();
    let defects = headline::defects(&report.results);
    if !defects.is_empty() {
        let text = format!("planted defects in force: {}", defects.join(", "));
        push_line(&mut out, &format!("  {}", look.paint(&text, Style::new().red().bold())));
        out.push('\n');
    }
    let layout = Layout::of(&report.results, look);
    let mut violated = false;
    for cell in &report.results {
        layout.cell(&mut out, cell);
        violated |= next_steps(&mut out, cell, run_dir.unwrap_or("RUN"), &layout);
    }
    if let Some(table) = summary::summary(report).and_then(|summary| summary::render(&summary, look)) {
        out.push('\n');
        out.push_str(&table);
    }
    out.push('\n');
    for line in wrapped(&headline::headline(report), look.width - INDENT) {
        push_line(&mut out, &format!("  {}", look.paint(&line, Style::new().bold())));
    }
    let faults = headline::FaultCounts::of(&report.results).sentence();
    let comparisons = thousands(headline::comparisons(&report.results));
    let total = format!(
        "{} · {comparisons} comparisons · {faults} · {} · seed {}",
        counted(report.results.len(), "cell"),
        span(report.run.duration_ms as f64),
        report.run.seed
    );
    for line in wrapped_list(&total, look.width - INDENT) {
        push_line(&mut out, &format!("  {}", look.dim(&line)));
    }
    if violated {
        let honest = "a replay repeats the plan, not the interleaving; `mqproof check` judges the recorded history again";
        for line in wrapped(honest, look.width - INDENT) {
            push_line(&mut out, &format!("  {}", look.dim(&line)));
        }
    }
    out.push('\n');
    if let Some(run_dir) = run_dir {
        push_line(&mut out, &format!("  report  {run_dir}/report.html"));
    }
    let exit = format!("{}, {}", report.run.exit_status, exit_in_words(report.run.exit_status));
    for (index, line) in wrapped(&exit, look.width - 10).iter().enumerate() {
        push_line(&mut out, &format!("  {}  {line}", padded(if index == 0 { "exit" } else { "" }, 6)));
    }
    out
}

/// The line of one finished cell, for logs.
pub fn line(cell: &CellResult, look: Look) -> String {
    let mut out = String::new();
    let mut layout = Layout::of(std::slice::from_ref(cell), look);
    // The other cells are not known yet; usual names align all the same.
    layout.system = layout.system.max(9);
    layout.class = layout.class.max(6);
    if layout.fixed() + 30 <= look.width {
        layout.scenario = layout.scenario.max(30);
    }
    layout.cell(&mut out, cell);
    out.trim_end().to_owned()
}

/// What an exit status means.
pub fn exit_in_words(status: u8) -> &'static str {
    match status {
        s if s == ExitStatus::Ok as u8 => {
            "nothing that was claimed is violated, and every required check was exercised"
        }
        s if s == ExitStatus::Violated as u8 => "something that was claimed is violated",
        s if s == ExitStatus::Inconclusive as u8 => "the evidence does not suffice",
        s if s == ExitStatus::BadInput as u8 => "bad scenario or arguments",
        s if s == ExitStatus::Environment as u8 => "the environment does not allow it",
        _ => "trouble of our own; no verdict",
    }
}

/// Widths of the columns.
struct Layout {
    look: Look,
    system: usize,
    scenario: usize,
    class: usize,
    word: usize,
    duration: usize,
}

impl Layout {
    fn of(cells: &[CellResult], look: Look) -> Self {
        let widest = |text: &dyn Fn(&CellResult) -> String, least: usize| {
            cells.iter().map(|cell| columns(&text(cell))).max().unwrap_or(0).max(least)
        };
        let mut layout = Self {
            look,
            system: widest(&|cell| cell.system.name.clone(), 0),
            scenario: widest(&scenario, 0),
            class: widest(&class, 0),
            word: widest(&|cell| format!("{} {}", cell.verdict.sign(), cell.verdict), 14),
            duration: widest(&|cell| span(cell.duration_ms as f64), 5),
        };
        let excess = layout.fixed().saturating_sub(look.width);
        layout.scenario = layout.scenario.saturating_sub(excess).max(12);
        layout
    }

    /// Columns of a line without its numbers.
    fn fixed(&self) -> usize {
        INDENT + self.system + 2 + self.scenario + 2 + self.class + 2 + self.word + 2 + self.duration
    }

    /// Where what belongs to a cell begins in the lines below it.
    fn inner(&self) -> usize {
        INDENT + self.system + 2
    }

    fn cell(&self, out: &mut String, cell: &CellResult) {
        let start = format!(
            "  {}  {}  {}  {}  ",
            padded(&cell.system.name, self.system),
            padded(&cut(&scenario(cell), self.scenario), self.scenario),
            padded(&class(cell), self.class),
            self.look.word(cell.verdict, self.word),
        );
        let duration = right(&span(cell.duration_ms as f64), self.duration);
        let numbers = figure::numbers(cell);
        let room = self.look.width.saturating_sub(self.fixed() + 2);
        if self.look.width >= WIDE && room >= 30 {
            let mut lines = wrapped_list(&numbers, room).into_iter();
            let first = lines.next().unwrap_or_default();
            push_line(out, &format!("{start}{}  {}", padded(&first, room), self.look.dim(&duration)));
            let below = self.fixed() - self.duration;
            for line in lines {
                push_line(out, &format!("{}{line}", " ".repeat(below)));
            }
        } else {
            push_line(out, &format!("{start}{}", self.look.dim(&duration)));
            if !numbers.is_empty() {
                self.below(out, &numbers);
            }
        }
    }

    /// Lines below a cell, under its scenario.
    fn below(&self, out: &mut String, text: &str) {
        for line in wrapped_list(text, self.look.width.saturating_sub(self.inner())) {
            push_line(out, &format!("{}{line}", " ".repeat(self.inner())));
        }
    }
}

/// Below a violated cell: the best witness of each check with its `why`, and the replay. Says whether it is violated.
fn next_steps(out: &mut String, cell: &CellResult, run_dir: &str, layout: &Layout) -> bool {
    if cell.verdict != VerdictWord::Violated {
        return false;
    }
    let look = layout.look;
    let indent = " ".repeat(layout.inner());
    let violated = cell.checks.iter().filter(|check| check.verdict == VerdictWord::Violated);
    let labelled = |label: &str, text: &str| format!("{indent}{}  {text}", look.dim(&padded(label, 6)));
    for check in violated {
        let Some(witness) = check.witnesses.first() else { continue };
        let lines = wrapped(&witness.summary, look.width.saturating_sub(layout.inner() + 8));
        for (index, line) in lines.iter().enumerate() {
            push_line(out, &labelled(if index == 0 { &witness.id } else { "" }, line));
        }
        push_line(out, &labelled("why", &command::why(run_dir, cell, &witness.id)));
    }
    push_line(out, &labelled("replay", &command::replay(cell)));
    true
}

/// The scenario's name, with the repeat if it is not the first.
fn scenario(cell: &CellResult) -> String {
    if cell.repeat == 0 { cell.scenario.clone() } else { format!("{} r{}", cell.scenario, cell.repeat) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_table_fits_80_columns_and_says_all_without_colour() {
        let text =
            render(&fixture::report(), Some("reports/20261121-0240"), Look { width: 80, colour: false });
        assert!(!text.contains('\u{1b}'));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_wide_terminal_gets_one_line_per_cell() {
        let text =
            render(&fixture::report(), Some("reports/20261121-0240"), Look { width: 140, colour: false });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_but_commands_that_must_be_copied_whole() {
        for width in [60, 80, 100, 140] {
            let text = render(&fixture::report(), Some("reports/x"), Look { width, colour: false });
            for line in text.lines().filter(|line| !line.contains("mqproof ")) {
                assert!(columns(line) <= width, "{width} columns: {line}");
            }
        }
    }

    #[test]
    fn colour_changes_no_letter() {
        let report = fixture::report();
        let plain = render(&report, Some("reports/x"), Look { width: 100, colour: false });
        let coloured = render(&report, Some("reports/x"), Look { width: 100, colour: true });
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            stripped.push_str(before);
            rest = after.split_once('m').map_or("", |(_, after)| after);
        }
        stripped.push_str(rest);
        let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&stripped), trimmed(&plain));
    }
}
