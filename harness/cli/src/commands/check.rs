//! `mqproof check`: judges a recorded run again, also with a newer version.

use std::path::{Path, PathBuf};

use clap::Args;
use mqproof_core::checkers::{Conductor, HistorySource, Narrator};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::Plan;
use mqproof_core::verdict::{CellResult, RunInfo, RunReport, SystemInfo, WitnessEvent, exit_status};

use super::run::number_witnesses;
use crate::failure::Failure;
use crate::report::{self, Look};
use crate::run::{CellFacts, RunDirectory, judge_cell};

/// Arguments of `mqproof check`.
#[derive(Args)]
pub struct CheckArgs {
    /// Directory of a run, or of one cell of it
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
    /// Write `verdict.json`, `report.html`, `junit.xml` and `summary.md` there, also into RUN itself
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Judges and prints; nothing in the run's directory changes unless it is named as the place for the reports.
pub fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let report = judge_again(&args.run)?;
    if let Some(out) = &args.out {
        let written = std::fs::create_dir_all(out).and_then(|()| report::write_files(&report, out));
        written
            .map_err(|error| Failure::environment(format!("cannot write to `{}`: {error}", out.display())))?;
    }
    let place = args.out.as_ref().unwrap_or(&args.run);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).expect("a report is plain data"));
    } else {
        println!("{}", report::final_table(&report, Some(&place.display().to_string()), Look::of_stdout()));
    }
    Ok(report.run.exit_status)
}

/// The report of a run or cell, judged from its journals.
pub fn judge_again(path: &Path) -> Result<RunReport, Failure> {
    let (run_dir, cells) = cells(path)?;
    let directory = RunDirectory::open(&run_dir);
    let record = directory.record().map_err(|error| {
        Failure::input(format!(
            "`{}` is no run: {error}\nhint: give the directory that holds `run.json`",
            path.display()
        ))
    })?;
    let mut results: Vec<CellResult> = cells.iter().map(|cell| judge_dir(cell)).collect::<Result<_, _>>()?;
    number_witnesses(&mut results);
    let interrupted = !record.finished || results.iter().any(|result| result.verdict.name() == "interrupted");
    let status = exit_status(&results, false, interrupted);
    let run = RunInfo {
        id: record.id,
        seed: record.seed,
        started: record.started,
        duration_ms: results.iter().map(|result| result.duration_ms).sum(),
        version: env!("CARGO_PKG_VERSION").into(),
        command: record.command,
        interrupted,
        exit_status: status as u8,
        environment: record.environment,
    };
    Ok(RunReport::new(run, results))
}

/// The run's directory, and the cells that are meant.
fn cells(path: &Path) -> Result<(PathBuf, Vec<PathBuf>), Failure> {
    let missing =
        |error: std::io::Error| Failure::input(format!("cannot read `{}`: {error}", path.display()));
    if path.join("plan.json").is_file() {
        let run = path.parent().and_then(Path::parent).unwrap_or(path);
        return Ok((run.to_owned(), vec![path.to_owned()]));
    }
    let mut cells: Vec<PathBuf> = std::fs::read_dir(path.join("cells"))
        .map_err(missing)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|cell| {
            cell.join("plan.json").is_file() && cell.join("history").join("conductor.journal").is_file()
        })
        .collect();
    cells.sort_by_key(|cell| std::fs::metadata(cell.join("plan.json")).and_then(|meta| meta.modified()).ok());
    Ok((path.to_owned(), cells))
}

fn judge_dir(cell: &Path) -> Result<CellResult, Failure> {
    let plan = plan_of(cell)?;
    let facts = CellFacts::read(cell).unwrap_or_else(|| facts_of_a_dead_run(cell, &plan));
    judge_cell(cell, &plan, &facts)
}

fn plan_of(cell: &Path) -> Result<Plan, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::input(format!("cannot read the plan of `{}`: {error}", cell.display()))
    };
    let text = std::fs::read_to_string(cell.join("plan.json")).map_err(|error| unreadable(&error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(&error))
}

/// A run that was killed wrote no facts; its journals tell what they can.
fn facts_of_a_dead_run(cell: &Path, plan: &Plan) -> CellFacts {
    let id = cell.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let system = id.split('~').nth(1).unwrap_or("reference").to_owned();
    CellFacts {
        path: cell.join("scenario.yaml").display().to_string(),
        repeat: id.rsplit_once("~r").and_then(|(_, repeat)| repeat.parse().ok()).unwrap_or(0),
        cell_id: id,
        system: SystemInfo {
            name: system,
            profile: "unknown".into(),
            durability: plan.durability.name().into(),
            ..SystemInfo::default()
        },
        faults: Vec::new(),
        notes: vec!["the run died before its end".into()],
        troubles: Vec::new(),
        interrupted: true,
        duration_ms: 0,
        replay: Vec::new(),
    }
}

/// The life of a message in each cell that knows it.
pub fn life_of_message(path: &Path, message: MessageId) -> Result<Vec<(String, Vec<WitnessEvent>)>, Failure> {
    let mut lives = Vec::new();
    for cell in cells(path)?.1 {
        let history = mqproof_drivers::journal::open_history(&cell.join("history"))
            .map_err(|error| Failure::input(error.to_string()))?;
        let source = HistorySource::new(&history);
        let (plan, conductor) = (plan_of(&cell)?, Conductor::read(&source));
        let events = Narrator { source: &source, plan: &plan, conductor: &conductor }.life_of(message);
        if !events.is_empty() {
            let id = cell.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            lives.push((id, events));
        }
    }
    Ok(lives)
}
