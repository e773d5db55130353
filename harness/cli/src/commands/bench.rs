//! `mqproof bench`: what brokers can do and what it costs, two of them side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use jiff::Zoned;
use mqproof_core::verdict::ExitStatus;

use super::run::watch_signals;
use crate::bench::{
    self, BenchTarget, ClientKind, Ground, Order, ProcessSource, Report, Session, Settings, Workload, chosen,
    ratio_of,
};
use crate::clock::now_ns;
use crate::failure::Failure;
use crate::report::Look;
use crate::run::environment;

/// Arguments of `mqproof bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// One cluster or two to compare: `[NAME=]HOST:PORT` for one that is already there (several brokers joined with `+`),
    /// `reference` or `kafka` for one of three nodes that is started here, also under another name: `NAME=reference`
    #[arg(value_name = "CLUSTER", required = true, num_args = 1..=2)]
    clusters: Vec<BenchTarget>,
    /// Only workloads whose names begin with one of these words (see docs/benchmarks.md)
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',')]
    only: Vec<String>,
    /// Measured blocks of each workload and cluster; with six or more the intervals are those of 95 %
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds that a block is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    block: f64,
    /// Seconds that each cluster runs each workload before it is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = seconds)]
    warm_up: f64,
    /// Who makes the load
    #[arg(long, value_enum, default_value_t = ClientKind::Light)]
    client: ClientKind,
    /// Megabytes a second of the workload `latency`
    #[arg(long, value_name = "MB/S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Partitions of each topic, of up to three replicas
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: u32,
    /// KiB of a batch
    #[arg(long, value_name = "KIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=900))]
    batch: u32,
    /// Requests in flight on the connection to each leader
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    in_flight: u32,
    /// A block ends early when so many megabytes went through it
    #[arg(long, value_name = "MB", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    block_max: u64,
    /// The processes of a cluster that is already there, to count their processor time and memory
    #[arg(long, value_name = "NAME=PID[,PID…]", value_parser = ProcessSource::of_pids)]
    pid: Vec<(String, ProcessSource)>,
    /// The same, by the directory of their control group
    #[arg(long, value_name = "NAME=PATH", value_parser = ProcessSource::of_cgroup)]
    cgroup: Vec<(String, ProcessSource)>,
    /// Where clusters that are started here keep their data [default: the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the disk is probed around each block [default: as `--data`]
    #[arg(long, value_name = "DIR")]
    probe_dir: Option<PathBuf>,
    /// Write all numbers into this file, as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the table into this file, as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.05..=600.0).contains(&value) { Ok(value) } else { Err("not between 0.05 and 600".to_owned()) }
}

/// Measures, prints, writes; the exit status.
pub fn run(args: &BenchArgs) -> Result<u8, Failure> {
    let workloads = workloads(args)?;
    let sources = sources(args)?;
    let base = args.data.clone().unwrap_or_else(std::env::temp_dir);
    let unusable = |error| Failure::environment(format!("cannot write into `{}`: {error}", base.display()));
    let dir = tempfile::Builder::new().prefix("mqproof-bench-").tempdir_in(&base).map_err(unusable)?;
    let settings = settings(args, dir.path());
    let mut report = empty_report(args, &settings, &base);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::harness(format!("cannot start the runtime: {error}")))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    runtime.spawn(watch_signals(Arc::clone(&interrupted)));
    let order = Order {
        targets: &args.clusters,
        sources: &sources,
        workloads: &workloads,
        settings: &settings,
        ground: Ground { dir: dir.path(), runtime: runtime.handle(), run_id: run_id() },
        interrupted: Arc::clone(&interrupted),
    };
    let outcome = Session::new(order).run()?;
    report.systems = outcome.systems;
    report.rows = outcome.rows;
    report.notes = outcome.notes;
    report.interrupted = interrupted.load(Ordering::Relaxed);
    write(args, &report)?;
    println!("{}", bench::table(&report, Look::of_stdout()));
    match outcome.gave_up {
        Some(error) => Err(error.into()),
        None if report.interrupted || !report.is_complete() => Ok(ExitStatus::Inconclusive as u8),
        None => Ok(ExitStatus::Ok as u8),
    }
}

fn workloads(args: &BenchArgs) -> Result<Vec<Workload>, Failure> {
    chosen(&args.only).map_err(|word| {
        let names: Vec<&str> = Workload::ALL.iter().map(|workload| workload.name).collect();
        Failure::input(format!("unknown workload `{word}`\nhint: there are `{}`", names.join("`, `")))
    })
}

/// Which cluster has which processes.
fn sources(args: &BenchArgs) -> Result<BTreeMap<String, ProcessSource>, Failure> {
    if let [one, other] = &args.clusters[..]
        && one.name() == other.name()
    {
        return Err(Failure::input(format!("both clusters are named `{}`", one.name())));
    }
    let mut sources = BTreeMap::new();
    for (name, source) in args.pid.iter().chain(&args.cgroup) {
        let is_external =
            |one: &BenchTarget| matches!(one, BenchTarget::External { name: known, .. } if known == name);
        if !args.clusters.iter().any(is_external) {
            return Err(Failure::input(format!(
                "`{name}` is none of the clusters that are already there\nhint: those that are started here need no `--pid`"
            )));
        }
        if source.cpu_s().is_none() {
            return Err(Failure::input(format!("the processes of `{name}` cannot be found or looked at")));
        }
        sources.insert(name.clone(), source.clone());
    }
    Ok(sources)
}

fn settings(args: &BenchArgs, dir: &Path) -> Settings {
    Settings {
        rounds: args.rounds as usize,
        block: Duration::from_secs_f64(args.block),
        warm_up: Duration::from_secs_f64(args.warm_up),
        client: args.client,
        partitions: args.partitions,
        replicas: 3,
        batch_bytes: args.batch << 10,
        in_flight: args.in_flight,
        rate_bytes_per_s: u64::from(args.rate) * 1_000_000,
        block_bytes_max: args.block_max * 1_000_000,
        probe_dir: args.probe_dir.clone().unwrap_or_else(|| dir.to_owned()),
    }
}

/// What is known before anything is measured.
fn empty_report(args: &BenchArgs, settings: &Settings, base: &Path) -> Report {
    let names: Vec<&str> = args.clusters.iter().map(BenchTarget::name).collect();
    Report {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        command: std::env::args().collect(),
        environment: environment(base),
        settings: settings.clone(),
        systems: Vec::new(),
        ratio_of: ratio_of(&names),
        rows: Vec::new(),
        notes: Vec::new(),
        interrupted: false,
    }
}

fn write(args: &BenchArgs, report: &Report) -> Result<(), Failure> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Failure::environment(format!("cannot write `{}`: {error}", path.display())))
    };
    if let Some(path) = &args.out {
        let json = serde_json::to_string_pretty(report).expect("a report has only string keys");
        write(path, json + "\n")?;
    }
    if let Some(path) = &args.markdown {
        write(path, bench::markdown(report))?;
    }
    Ok(())
}

/// Names topics and containers.
fn run_id() -> u64 {
    now_ns().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(std::process::id())
}
