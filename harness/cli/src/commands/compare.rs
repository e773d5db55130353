//! `mqproof compare`: recorded runs folded into one report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use mqproof_core::verdict::{CellResult, ExitStatus, RunInfo, RunReport};

use crate::conduct::without_secrets;
use crate::failure::Failure;
use crate::report::{self, Look};

/// Arguments of `mqproof compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// Directories of runs
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Write the report into this directory; must be missing or empty
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints all cells of the runs as one report, and its exit status.
pub fn run(args: &CompareArgs) -> Result<u8, Failure> {
    let reports = args.runs.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let report = folded(reports);
    if let Some(out) = &args.out {
        write(&report, out)?;
    }
    let shown = args.out.as_ref().map(|out| out.display().to_string());
    println!("{}", report::final_table(&report, shown.as_deref(), Look::of_stdout()));
    Ok(report.run.exit_status)
}

fn read(run: &Path) -> Result<RunReport, Failure> {
    let path = run.join("verdict.json");
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::input(format!(
            "cannot read `{}`: {error}\nhint: give directories of runs that came to their end",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&error))?;
    let mut report: RunReport = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    for cell in &mut report.results {
        cell.run_dir.get_or_insert_with(|| run.display().to_string());
    }
    Ok(report)
}

fn write(report: &RunReport, out: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::environment(format!("cannot write the report into `{}`: {error}", out.display()))
    };
    std::fs::create_dir_all(out).map_err(failed)?;
    if std::fs::read_dir(out).map_err(failed)?.next().is_some() {
        return Err(Failure::environment(format!(
            "`{}` is not empty\nhint: `--out` takes a directory that is missing or empty",
            out.display()
        )));
    }
    report::write_files(report, out).map_err(failed)
}

/// All cells, the same cells of several runs as repeats.
fn folded(reports: Vec<RunReport>) -> RunReport {
    let worst = reports.iter().map(|report| report.run.exit_status).max_by_key(|status| rank(*status));
    let interrupted = reports.iter().any(|report| report.run.interrupted);
    let duration_ms = reports.iter().map(|report| report.run.duration_ms).sum();
    let runs = reports.len();
    let first = reports.first().map(|report| report.run.clone()).expect("clap asks for at least one");
    let results = renumbered(reports.into_iter().flat_map(|report| report.results).collect());
    let run = RunInfo {
        id: format!("{} and {} more", first.id, runs - 1),
        duration_ms,
        version: env!("CARGO_PKG_VERSION").into(),
        command: without_secrets(std::env::args()),
        interrupted,
        exit_status: worst.unwrap_or(ExitStatus::Ok as u8),
        ..first
    };
    RunReport::new(run, results)
}

/// The order in which one status hides another, as within a run.
fn rank(status: u8) -> usize {
    [
        ExitStatus::Ok,
        ExitStatus::Inconclusive,
        ExitStatus::Environment,
        ExitStatus::HarnessFailure,
        ExitStatus::Violated,
    ]
    .iter()
    .position(|known| *known as u8 == status)
    .unwrap_or(usize::MAX)
}

/// Repeats of a cell count on from run to run.
fn renumbered(mut cells: Vec<CellResult>) -> Vec<CellResult> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for cell in &mut cells {
        let place = cell.cell_id.rsplit_once("~r").map_or(cell.cell_id.as_str(), |(place, _)| place);
        let next = seen.entry(format!("{}~{place}", cell.path)).or_default();
        cell.repeat = *next;
        *next += 1;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn two_runs_of_one_cell_are_its_repeats() {
        let mut one = fixture::clean();
        one.results.truncate(1);
        let report = folded(vec![one.clone(), one]);
        assert_eq!(report.results.iter().map(|cell| cell.repeat).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(report.summary.len(), 1);
        assert_eq!(report.summary[0].runs, 2);
    }

    #[test]
    fn the_worst_run_decides_the_exit_status() {
        let with = |status| {
            let mut report = fixture::clean();
            report.run.exit_status = status;
            report
        };
        let status = |all: &[u8]| folded(all.iter().map(|one| with(*one)).collect()).run.exit_status;
        assert_eq!(status(&[0, 2, 0]), 2);
        assert_eq!(status(&[2, 4]), 4);
        assert_eq!(status(&[4, 5, 2]), 5);
        assert_eq!(status(&[5, 1, 4]), 1);
    }
}
