//! `summary.md`: the short form for a job summary or a pull request.

use std::fmt::Write as _;

use mqproof_core::verdict::{RunReport, VerdictWord};

use super::summary::{self, Summary};
use super::text::{class, span, thousands};
use super::{command, figure, headline};

/// Headline, one row per cell, and the commands for what is violated.
pub fn render(report: &RunReport, run_dir: &str) -> String {
    let mut out = format!("## {}\n\n", escaped(&headline::headline(report)));
    let defects = headline::defects(&report.results);
    if !defects.is_empty() {
        let _ = writeln!(out, "**Planted defects in force: {}.**\n", escaped(&defects.join(", ")));
    }
    let context = headline::context(report);
    if !context.is_empty() {
        let _ = writeln!(out, "{}\n", escaped(&context));
    }
    out.push_str("| scenario | system | class | verdict | numbers | took |\n|---|---|---|---|---|---:|\n");
    for cell in &report.results {
        let row = [
            cell.scenario.clone(),
            figure::system(cell),
            class(cell),
            format!("{} {}", cell.verdict.sign(), cell.verdict),
            figure::numbers(cell),
            span(cell.duration_ms as f64),
        ];
        let _ = writeln!(out, "| {} |", row.map(|text| escaped(&text)).join(" | "));
    }
    if let Some(summary) = summary::summary(report) {
        side_by_side(&mut out, &summary);
    }
    for cell in report.results.iter().filter(|cell| cell.verdict == VerdictWord::Violated) {
        let violated = cell.checks.iter().filter(|check| check.verdict == VerdictWord::Violated);
        let Some(witness) = violated.flat_map(|check| &check.witnesses).next() else { continue };
        let _ = writeln!(
            out,
            "\n**{}** {}\n\n```\n{}\n{}\n```",
            witness.id,
            escaped(&witness.summary),
            command::why(run_dir, cell, &witness.id),
            command::replay(cell)
        );
    }
    let _ = writeln!(
        out,
        "\n{} comparisons, {}. Seed {}, mqproof {}, exit status {}.",
        thousands(headline::comparisons(&report.results)),
        headline::FaultCounts::of(&report.results).sentence(),
        report.run.seed,
        report.run.version,
        report.run.exit_status
    );
    out
}

/// The systems next to each other.
fn side_by_side(out: &mut String, summary: &Summary) {
    let titles: Vec<String> = summary.systems.iter().map(|system| escaped(&system.title())).collect();
    let _ = writeln!(out, "\n| scenario | class | {} |", titles.join(" | "));
    let _ = writeln!(out, "|---|---|{}", "---|".repeat(titles.len()));
    for row in &summary.rows {
        let entries = row.entries.iter().map(|entry| match entry {
            Some(entry) => {
                let word = format!("{} {}", entry.word.sign(), entry.word);
                escaped(&std::iter::once(word).chain(entry.figures.clone()).collect::<Vec<_>>().join(" · "))
            }
            None => "not run".to_owned(),
        });
        let name = if row.first { escaped(&row.scenario) } else { String::new() };
        let entries = entries.collect::<Vec<_>>().join(" | ");
        let _ = writeln!(out, "| {name} | {} | {entries} |", escaped(&row.class));
    }
}

/// So that no name breaks a table or becomes markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::report::fixture;

    #[test]
    fn the_summary_has_a_row_per_cell() {
        insta::assert_snapshot!(super::render(&fixture::report(), "reports/20261121-0240"));
    }
}
