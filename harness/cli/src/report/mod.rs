//! From verdicts to what people and machines read.
//!
//! In:  a `RunReport`, the run directory as the user would type it, and live status while a cell runs.
//! Out: text: the lines on the terminal, `verdict.json`, `junit.xml`, `report.html`, `summary.md`.
//! Owns the wording and the drawing. It never judges, and reads nothing but its arguments.

mod command;
mod figure;
#[cfg(test)]
pub mod fixture;
mod headline;
mod html;
mod json;
mod junit;
mod look;
mod markdown;
mod progress;
mod side_by_side;
mod summary;
mod svg;
mod terminal;
mod text;
mod why;

use std::path::Path;

use mqproof_core::verdict::RunReport;

pub use look::{Look, columns, padded, push_line, right, wrapped_list};
pub use progress::Progress;
pub use terminal::render as final_table;
pub use text::{span, thousands};
pub use why::{life, witness};

/// Renders one file of a run directory: the report, and the directory as it stands in commands for the reader.
type Render = fn(&RunReport, &str) -> String;

/// The files that a run leaves, one line each. `verdict.json` comes first: whatever happens later, it is there.
const FILES: [(&str, Render); 4] = [
    ("verdict.json", json::render),
    ("junit.xml", junit::render),
    ("report.html", html::render),
    ("summary.md", markdown::render),
];

/// Writes all files of the report into the run directory.
pub fn write_files(report: &RunReport, directory: &Path) -> std::io::Result<()> {
    let shown = directory.to_string_lossy();
    for (name, render) in FILES {
        std::fs::write(directory.join(name), render(report, &shown))?;
    }
    Ok(())
}
