//! How far a cell is, while it runs: a bar on a terminal, else one plain line per finished cell.

use std::fmt::Write as _;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mqproof_core::verdict::{CellResult, VerdictWord};

use super::look::{Look, cut, padded};
use super::terminal;
use super::text::thousands;
use crate::conduct::{CellStatus, Observer};

const STEPS: u64 = 1000;
/// From this width on there is room for everything.
const WIDE: usize = 110;
/// With a bar of 22 columns, and of 10.
const TEMPLATES: [&str; 2] = [
    "  {prefix}  {bar:22.blue/dim} {percent:>3} %  {msg}",
    "  {prefix}  {bar:10.blue/dim} {percent:>3} %  {msg}",
];
/// Columns of everything but what runs: the bar, the percentage, the rate and the time left, and the blanks between.
const BESIDE: [usize; 2] = [64, 50];

/// Standard error while the cells of a run go by.
pub struct Progress {
    /// None where nobody watches.
    bar: Option<ProgressBar>,
    look: Look,
    cells: usize,
    begun: usize,
    label: String,
}

impl Progress {
    /// For a run of so many cells. A bar only on a terminal, and never in CI.
    pub fn new(cells: usize) -> Self {
        let look = Look::of_stderr();
        let bar = crate::terminal::stderr_is_watched().then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template(TEMPLATES[usize::from(look.width < WIDE)]) {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        });
        Self { bar, look, cells, begun: 0, label: String::new() }
    }

    /// A cell begins.
    pub fn begin(&mut self, system: &str, scenario: &str) {
        self.begun += 1;
        self.label = format!("{system} · {scenario}");
        if let Some(bar) = &self.bar {
            bar.set_position(0);
            bar.set_prefix(self.left(&CellStatus::default()));
            bar.set_message(String::new());
            bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    /// A cell is over. Without a terminal it gets its line; on one only what is wrong is said at once, since the
    /// table follows.
    pub fn finish(&mut self, cell: &CellResult) {
        let line = terminal::line(cell, self.look);
        match &self.bar {
            None => eprintln!("{line}"),
            Some(bar) if matches!(cell.verdict, VerdictWord::Violated | VerdictWord::HarnessFailure) => {
                bar.println(line);
            }
            Some(_) => {}
        }
    }

    /// All cells are over: the bar leaves no trace.
    pub fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// What runs, and the fault in force or due next; always as wide, so that the bar stands still.
    fn left(&self, status: &CellStatus) -> String {
        let running = if self.look.width < WIDE { "" } else { "running  " };
        let count = if self.cells > 1 { format!("{}/{}  ", self.begun, self.cells) } else { String::new() };
        let mut text = format!("{running}{count}{}", self.label);
        if status.phase.is_empty() {
            return padded(&text, self.room());
        }
        if status.phase != "load" {
            let _ = write!(text, " · {}", status.phase);
        } else if let Some(fault) = &status.fault {
            let _ = write!(text, " · {fault}");
        }
        padded(&cut(&text, self.room()), self.room())
    }

    fn room(&self) -> usize {
        self.look.width.saturating_sub(BESIDE[usize::from(self.look.width < WIDE)]).min(84)
    }

    /// How fast it goes, and how long still.
    fn right(status: &CellStatus) -> String {
        let mut parts = Vec::new();
        if status.acked_per_s >= 1.0 {
            parts.push(format!("{} acked/s", thousands(status.acked_per_s.round() as u64)));
        }
        if status.left_s >= 1.0 {
            parts.push(format!("{:.0} s left", status.left_s));
        }
        parts.join("  ")
    }
}

impl Observer for Progress {
    fn status(&mut self, status: &CellStatus) {
        if let Some(bar) = &self.bar {
            bar.set_position((status.progress.clamp(0.0, 1.0) * STEPS as f64) as u64);
            bar.set_prefix(self.left(status));
            bar.set_message(Self::right(status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_runs_and_what_is_due() {
        let look = Look { width: 140, colour: false };
        let mut progress = Progress { bar: None, look, cells: 3, begun: 0, label: String::new() };
        progress.begin("kafka", "order-by-key");
        let status = CellStatus {
            phase: "load",
            fault: Some("kill leader in 0.8 s".to_owned()),
            progress: 0.61,
            acked_per_s: 2003.4,
            left_s: 9.0,
        };
        let left = progress.left(&status);
        assert_eq!(left.trim_end(), "running  1/3  kafka · order-by-key · kill leader in 0.8 s");
        assert_eq!(Progress::right(&status), "2,003 acked/s  9 s left");
        let draining = progress.left(&CellStatus { phase: "drain", ..CellStatus::default() });
        assert_eq!(draining.trim_end(), "running  1/3  kafka · order-by-key · drain");
        assert_eq!(draining.chars().count(), left.chars().count(), "the bar must stand still");
    }

    #[test]
    fn the_template_of_the_bar_is_valid() {
        assert!(TEMPLATES.iter().all(|template| ProgressStyle::with_template(template).is_ok()));
    }
}
