//! `mqproof run`: scenarios on clusters, verdicts, reports.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use jiff::Zoned;
use mqproof_core::contract::{adapt, equality};
use mqproof_core::plan::Plan;
use mqproof_core::verdict::{
    CellResult, ExitStatus, RunInfo, RunReport, SystemInfo, VerdictWord, exit_status,
};
use tokio::runtime::Runtime;

use super::broker::defect_names;
use crate::conduct::{
    CellError, CellOrder, ClientSetting, Observer, System, Target, conduct, container_order, data_dir,
    hand_out, make_dirs, masked, rename, without_secrets,
};
use crate::failure::Failure;
use crate::provision::{ClusterPool, remains, remove};
use crate::report::{self, Look, Progress};
use crate::run::{
    Cell, CellFacts, RunDirectory, RunRecord, cells_of, environment, judge_cell, leftovers, load_scenarios,
};

/// How much slower the clock of a run with containers is. Kafka takes up to 13 s to replace a dead leader, RocketMQ 23 s.
const CONTAINERS_STRETCH: u32 = 12;

/// Arguments of `mqproof run`.
#[derive(Args)]
pub struct RunArgs {
    /// Scenario files, or directories of them [default: scenarios/smoke]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Where to run: `reference`, `sim` (the same broker in simulation: the same course each time), `kafka`, `rabbitmq` or `rocketmq` (in containers; a variant or settings behind `@`), or
    /// `kafka=HOST:PORT` for a cluster that is already there; several with commas
    #[arg(long, value_name = "SYSTEM[=ADDRESS]", value_delimiter = ',', default_value = "reference")]
    on: Vec<Target>,
    /// How clients reach a cluster that is already there, in the names of its client library: `sasl.mechanism=PLAIN`; with
    /// several such systems `kafka:sasl.mechanism=PLAIN`
    #[arg(long, value_name = "[SYSTEM:]KEY=VALUE")]
    client: Vec<ClientSetting>,
    /// Seed of every random choice [default: drawn from the clock, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// How often each cell runs; repeat n has the seed SEED + n
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Directory of the run; must be missing or empty [default: a new one under reports/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Change a key of the scenarios, or narrow a matrix: `durability=quorum`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How many times slower than written the clocks of scenarios with faults are [default: 1; 12 for all systems of a
    /// run with containers, because real products take seconds to notice the death of a node]
    #[arg(long, value_name = "FACTOR", value_parser = clap::value_parser!(u32).range(1..=1000))]
    stretch: Option<u32>,
    /// Plant a bug in the reference broker (see `mqproof defects`)
    #[arg(long, value_name = "NAME")]
    defect: Vec<String>,
    /// Keep what the brokers stored
    #[arg(long)]
    keep_data: bool,
}

/// Runs all cells; the exit status.
pub fn run(mut args: RunArgs) -> Result<u8, Failure> {
    check_defects(&args)?;
    hand_out(&args.client, &mut args.on).map_err(|error| Failure::input(error.to_string()))?;
    let default = [PathBuf::from("scenarios/smoke")];
    let paths = if args.paths.is_empty() { &default[..] } else { &args.paths };
    let loaded = load_scenarios(paths, &args.set)?;
    let seed = args.seed.unwrap_or_else(drawn_seed);
    let in_containers = args.on.iter().any(Target::is_containers);
    let stretch = args.stretch.unwrap_or(if in_containers { CONTAINERS_STRETCH } else { 1 });
    let cells = cells_of(&loaded, &args.on, seed, args.repeat, stretch);
    let (directory, record) = prepare_directory(&args, seed)?;
    let session = Session::start(&args, &directory, &record)?;
    let report = session.run_all(&cells, seed);
    finish(&directory, record, &report)?;
    let shown = directory.path().display().to_string();
    println!("{}", report::final_table(&report, Some(&shown), Look::of_stdout()));
    Ok(report.run.exit_status)
}

fn check_defects(args: &RunArgs) -> Result<(), Failure> {
    let known = defect_names();
    for name in &args.defect {
        if !known.contains(&name.as_str()) {
            return Err(Failure::input(format!(
                "unknown defect `{name}`\nhint: known defects are {}",
                known.join(", ")
            )));
        }
    }
    match args.on.iter().find(|target| !target.system.is_bundled()) {
        Some(target) if !args.defect.is_empty() => Err(Failure::input(format!(
            "`--defect` plants bugs in the reference broker only, not in `{}`",
            target.system.name()
        ))),
        _ => Ok(()),
    }
}

/// Short enough to be typed again.
fn drawn_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64 ^ u64::from(std::process::id()) << 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44
}

fn prepare_directory(args: &RunArgs, seed: u64) -> Result<(RunDirectory, RunRecord), Failure> {
    let now = Zoned::now();
    let (directory, id) = RunDirectory::create(args.out.as_deref(), &now).map_err(|error| {
        let place = args.out.clone().unwrap_or_else(|| PathBuf::from("reports"));
        Failure::environment(format!(
            "cannot make the run directory `{}`: {error}\nhint: `--out` takes a directory that is missing or empty",
            place.display()
        ))
    })?;
    if let Some(reports) = directory.path().parent() {
        for leftover in leftovers(reports) {
            // Whatever cannot be removed now is told by `mqproof heal`.
            let _ = leftover.remove();
        }
    }
    let record = RunRecord {
        id,
        number: drawn_seed() << 20 | u64::from(std::process::id()),
        seed,
        started: now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        command: without_secrets(std::env::args()),
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        boot_id: mqproof_drivers::clock::boot_id(),
        environment: environment(directory.path()),
        finished: false,
    };
    directory.write_record(&record).map_err(|error| {
        Failure::environment(format!("cannot write into `{}`: {error}", directory.path().display()))
    })?;
    Ok((directory, record))
}

fn finish(directory: &RunDirectory, mut record: RunRecord, report: &RunReport) -> Result<(), Failure> {
    record.finished = true;
    report::write_files(report, directory.path()).map_err(|error| {
        Failure::environment(format!(
            "cannot write the report into `{}`: {error}",
            directory.path().display()
        ))
    })?;
    directory.write_record(&record)?;
    Ok(())
}

/// What all cells of a run share.
struct Session<'a> {
    args: &'a RunArgs,
    directory: &'a RunDirectory,
    record: &'a RunRecord,
    runtime: Runtime,
    interrupted: Arc<AtomicBool>,
    pool: RefCell<ClusterPool>,
    begun: Instant,
}

impl<'a> Session<'a> {
    fn start(args: &'a RunArgs, directory: &'a RunDirectory, record: &'a RunRecord) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Failure::harness(format!("cannot start the runtime: {error}")))?;
        let interrupted = Arc::new(AtomicBool::new(false));
        runtime.spawn(watch_signals(Arc::clone(&interrupted)));
        if args.on.iter().any(Target::is_containers) {
            // What cannot be listed or removed now is told by `mqproof heal`.
            for one in remains(runtime.handle()).unwrap_or_default() {
                let _ = remove(&one, runtime.handle());
            }
        }
        let pool = RefCell::default();
        Ok(Self { args, directory, record, runtime, interrupted, pool, begun: Instant::now() })
    }

    fn run_all(&self, cells: &[Cell<'_>], seed: u64) -> RunReport {
        let mut progress = Progress::new(cells.len());
        let mut results = Vec::new();
        let mut environment_failed = false;
        for (at, cell) in in_order(cells) {
            if self.interrupted.load(Ordering::Relaxed) {
                break;
            }
            progress.begin(cell.target.system.name(), &cell.plan.scenario);
            let begun = Instant::now();
            let mut result = match cell.not_offered() {
                Some(why) => unrun(cell, VerdictWord::NotOffered, why),
                None => self.run_cell(cell, &mut progress).unwrap_or_else(|error| {
                    environment_failed |= error.is_environment();
                    unrun(cell, VerdictWord::HarnessFailure, error.to_string())
                }),
            };
            result.duration_ms = begun.elapsed().as_millis() as u64;
            progress.finish(&result);
            results.push((at, result));
        }
        progress.end();
        self.pool.borrow_mut().clear();
        // Side by side, whatever the order in which they ran.
        results.sort_by_key(|(at, _)| *at);
        let mut results: Vec<CellResult> = results.into_iter().map(|(_, result)| result).collect();
        number_witnesses(&mut results);
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        let status = status_of(&results, environment_failed, interrupted);
        let run = RunInfo {
            id: self.record.id.clone(),
            seed,
            started: self.record.started.clone(),
            duration_ms: self.begun.elapsed().as_millis() as u64,
            version: self.record.version.clone(),
            command: self.record.command.clone(),
            interrupted,
            exit_status: status as u8,
            environment: self.record.environment.clone(),
        };
        RunReport::new(run, results)
    }

    fn order<T>(&self, cell: &Cell<'_>, plan: &Plan, dir: &Path, act: impl FnOnce(&CellOrder<'_>) -> T) -> T {
        act(&CellOrder {
            plan,
            target: cell.target,
            defects: &self.args.defect,
            dir,
            run_id: self.record.number,
            runtime: self.runtime.handle(),
            interrupted: &self.interrupted,
        })
    }

    fn run_cell(&self, cell: &Cell<'_>, observer: &mut dyn Observer) -> Result<CellResult, CellError> {
        let id = cell.id();
        let dir = self.directory.cell(&id);
        let mut plan = cell.plan.clone();
        let mut notes = Vec::new();
        if plan.stretch > 1 {
            notes.push(format!("the scenario's clock is {} times slower than written", plan.stretch));
        }
        if cell.target.address.is_some() {
            notes.extend(crate::conduct::fit_to_external(&mut plan, cell.target, self.record.number)?);
        }
        let system = cell.target.system.name();
        notes.extend(adapt(system, &mut plan));
        notes.extend(
            equality(system, &plan).and_then(|class| Some(format!("unequal class: {}", class.mark()?))),
        );
        if cell.target.is_containers() {
            let pool = self.pool.borrow();
            let before = self.order(cell, &plan, &dir, |order| {
                container_order(order).map(|order| pool.cells_before(&order))
            })?;
            if before > 0 {
                // Fresh topics and groups on a cluster that was used before.
                rename(&mut plan, |name| format!("{name}-{}", before + 1));
            }
        }
        let disk =
            |error: std::io::Error| CellError::Disk(format!("cannot write `{}`: {error}", dir.display()));
        make_dirs(&dir).map_err(disk)?;
        std::fs::write(dir.join("scenario.yaml"), &cell.loaded.text).map_err(disk)?;
        let json = serde_json::to_string_pretty(&plan).expect("a plan is plain data");
        std::fs::write(dir.join("plan.json"), json).map_err(disk)?;
        check_space(&plan, &dir)?;
        let begun = Instant::now();
        let outcome =
            self.order(cell, &plan, &dir, |order| conduct(order, &mut self.pool.borrow_mut(), observer))?;
        notes.extend(outcome.notes);
        let facts = CellFacts {
            cell_id: id,
            path: cell.loaded.path.display().to_string(),
            repeat: cell.repeat,
            system: outcome.system,
            faults: outcome.faults,
            notes,
            troubles: outcome.troubles,
            interrupted: outcome.interrupted,
            duration_ms: begun.elapsed().as_millis() as u64,
            replay: self.replay(cell),
        };
        facts.write(&dir).map_err(disk)?;
        observer.status(&crate::conduct::CellStatus {
            phase: "judging",
            progress: 1.0,
            ..Default::default()
        });
        let result =
            judge_cell(&dir, &plan, &facts).map_err(|error| CellError::Harness(error.to_string()))?;
        if result.verdict != VerdictWord::Violated && !self.args.keep_data {
            let _ = std::fs::remove_dir_all(data_dir(&dir));
        }
        Ok(result)
    }
}

impl Session<'_> {
    /// The command that runs a cell again: the same plan, and on a live system another interleaving.
    fn replay(&self, cell: &Cell<'_>) -> Vec<String> {
        let mut words = vec!["mqproof".to_owned(), "run".into(), cell.loaded.path.display().to_string()];
        let mut push = |key: &str, value: String| words.extend([key.to_owned(), value]);
        push("--on", cell.target.to_string());
        push("--seed", cell.plan.seed.to_string());
        for (key, value) in &cell.target.client.0 {
            push("--client", masked(&format!("{key}={value}")));
        }
        let usual = if cell.target.is_containers() { CONTAINERS_STRETCH } else { 1 };
        if !cell.plan.faults.is_empty() && cell.plan.stretch != usual {
            push("--stretch", cell.plan.stretch.to_string());
        }
        let matrix = cell.plan.matrix.iter().map(|(path, value)| format!("{path}={value}"));
        let in_matrix =
            |set: &&String| set.split('=').next().is_some_and(|path| cell.plan.matrix.contains_key(path));
        let sets = self.args.set.iter().filter(|set| !in_matrix(set)).cloned().chain(matrix);
        sets.for_each(|set| push("--set", set));
        self.args.defect.iter().for_each(|defect| push("--defect", defect.clone()));
        words
    }
}

/// A cell that the environment refused is shown as a failure of the harness's kind, but the status says whose it was.
fn status_of(results: &[CellResult], environment_failed: bool, interrupted: bool) -> ExitStatus {
    match exit_status(results, environment_failed, interrupted) {
        ExitStatus::HarnessFailure if environment_failed => ExitStatus::Environment,
        status => status,
    }
}

/// The first Ctrl-C ends the run in an orderly way, the second at once. Our children die with us.
pub async fn watch_signals(interrupted: Arc<AtomicBool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if interrupted.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!(
            "\ninterrupted: stopping clients and brokers, keeping what was recorded (again: end at once)"
        );
    }
}

/// Too little room is told before the load, not in its middle.
fn check_space(plan: &mqproof_core::plan::Plan, dir: &std::path::Path) -> Result<(), CellError> {
    let (Some(needed), Ok(stat)) = (plan.bytes_expected, rustix::fs::statvfs(dir)) else { return Ok(()) };
    let free = stat.f_bavail * stat.f_frsize;
    if needed > free {
        return Err(CellError::Disk(format!(
            "`{}` has {} MB free, and the plan will write {} MB\nhint: choose another directory with `--out`",
            dir.display(),
            free / 1_000_000,
            needed / 1_000_000
        )));
    }
    Ok(())
}

/// The cells in the order in which they run, with their places in the report: all of one system and of one durability
/// class together, so that a cluster serves as many as it can.
fn in_order<'a, 'b>(cells: &'a [Cell<'b>]) -> Vec<(usize, &'a Cell<'b>)> {
    let mut order: Vec<(usize, &Cell<'_>)> = cells.iter().enumerate().collect();
    let mut targets: Vec<&Target> = Vec::new();
    for cell in cells {
        if !targets.contains(&cell.target) {
            targets.push(cell.target);
        }
    }
    order.sort_by_key(|(_, cell)| {
        let target = targets.iter().position(|target| *target == cell.target);
        // The order within the reference broker, whose cells never share a cluster, stays as written.
        (target, cell.target.is_containers().then_some(cell.plan.durability))
    });
    order
}

/// A cell without a history.
fn unrun(cell: &Cell<'_>, verdict: VerdictWord, why: String) -> CellResult {
    CellResult {
        cell_id: cell.id(),
        scenario: cell.plan.scenario.clone(),
        about: cell.plan.about.clone(),
        path: cell.loaded.path.display().to_string(),
        seed: cell.plan.seed,
        repeat: cell.repeat,
        matrix: cell.plan.matrix.clone(),
        decides: cell.plan.decides.clone(),
        system: SystemInfo {
            name: cell.target.system.name().into(),
            profile: match (&cell.target.address, cell.target.is_containers()) {
                _ if cell.target.system == System::Sim => "simulated",
                (Some(_), _) => "external",
                (None, true) => "containers",
                (None, false) => "embedded",
            }
            .into(),
            durability: cell.plan.durability.name().into(),
            ..SystemInfo::default()
        },
        verdict,
        why: Some(why),
        ..CellResult::default()
    }
}

/// Witnesses are asked for as V1, V2, … over the whole run.
pub fn number_witnesses(results: &mut [CellResult]) {
    let mut next = 1;
    for result in results {
        for check in result.checks.iter_mut().filter(|check| check.verdict == VerdictWord::Violated) {
            for witness in &mut check.witnesses {
                witness.id = format!("V{next}");
                next += 1;
            }
        }
    }
}
