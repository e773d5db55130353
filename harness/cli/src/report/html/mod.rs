//! `report.html`: one file, no script, no reference to anything outside it.

mod cell;
mod page;
mod settings;

#[cfg(test)]
mod tests;

use askama::Template;
use mqproof_core::verdict::RunReport;

/// A page stays below 3 MB, so that it can be mailed; the rest of it takes well under 400 kB.
const CELLS_BYTES_MAX: usize = 2_500_000;

/// Prose as markup: what stands between backticks is code. The result is escaped.
pub fn prose(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts: Vec<&str> = escaped.split('`').collect();
    // An odd backtick closes nothing, and stays.
    if parts.len().is_multiple_of(2) {
        return escaped;
    }
    let span = |(index, part): (usize, &&str)| {
        if index % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() }
    };
    parts.iter().enumerate().map(span).collect()
}

/// The whole page.
pub fn render(report: &RunReport, run_dir: &str) -> String {
    page::Page::of(report, run_dir, CELLS_BYTES_MAX).render().expect("writing to memory does not fail")
}
