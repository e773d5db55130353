//! `--markdown FILE`: the table for a page.

use std::fmt::Write as _;

use super::report::Report;
use super::table::{facts, lines};

/// Where and how, the table, what must be known, and the command that made it.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    for fact in facts(report) {
        let _ = writeln!(out, "- {}", escaped(&fact));
    }
    out.push('\n');
    for (index, line) in lines(report).iter().enumerate() {
        let cells: Vec<String> = line.cells.iter().map(|cell| escaped(cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if index == 0 {
            let _ = writeln!(out, "|---|---|{}", "---:|".repeat(cells.len() - 2));
        }
    }
    for note in &report.notes {
        let _ = writeln!(out, "\n{}", escaped(note));
    }
    if report.interrupted {
        out.push_str("\nInterrupted: this is what was measured until then.\n");
    }
    let _ = writeln!(out, "\n```sh\n{}\n```", report.command.join(" "));
    out
}

fn escaped(text: &str) -> String {
    text.replace('|', r"\|")
}
