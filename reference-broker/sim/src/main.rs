//! `broker-sim`: runs seeds and prints what goes wrong.

use std::process::ExitCode;
use std::time::Instant;

use broker_core::Defect;
use broker_sim::hunt::{Bag, QUARRIES, hunt};
use broker_sim::{
    CrashPoint, Drill, Exploration, FaultSet, FlushPolicy, Options, Outcome, Rarities, Shrunk, explore,
    flush_name, run, shrink,
};
use clap::{Parser, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The reference broker in deterministic simulation.
///
/// The same seeds do the same in every build: `--seeds 20` prints the same trace in debug and in release.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Runs this seed only, and prints its violations
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// How many seeds to run
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plants a bug; may be repeated
    #[arg(long, value_name = "NAME")]
    defect: Vec<Defect>,
    /// When brokers flush: `page-cache`, `before-ack`, or at an interval such as `100ms`. Default: each seed draws it; with
    /// `--power-loss` one run of the seeds for each of the three
    #[arg(long, value_parser = parse_flush)]
    flush: Option<FlushPolicy>,
    /// A drill instead of the standard mix of bad disks: in each seed brokers lose their power, and what is lost is counted
    #[arg(long, value_enum, value_name = "WHOSE")]
    power_loss: Option<PowerLoss>,
    /// The disks of brokers say that they have flushed and have not; what is lost then is not claimed
    #[arg(long)]
    lying_disks: bool,
    /// Plants each defect in turn and counts the seeds until the check that is named for it speaks, in so many series of at
    /// most `--seeds` each; prints `docs/defects-in-simulation.md`
    #[arg(long, value_name = "SERIES", conflicts_with_all = ["seed", "defect", "flush", "power_loss", "lying_disks"])]
    hunt: Option<u64>,
    /// Leaves out faults by their numbers, such as `0-3,7`
    #[arg(long, value_name = "NUMBERS", default_value = "", hide_default_value = true)]
    without_faults: FaultSet,
    /// Looks for the few faults without which the seed does not fail
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// A short run without faults
    #[arg(long, conflicts_with = "power_loss")]
    script: bool,
    /// A node dies at one change of its disk: `NODE:CHANGE:before|midway|after:power|process`, and with `:CHANGE` again so many
    /// changes after its new start
    #[arg(long, value_name = "POINT")]
    crash: Option<CrashPoint>,
    /// Runs the script of the seed with a death at every so manieth change of each disk
    #[arg(long, value_name = "EVERY", requires = "seed", conflicts_with_all = ["crash", "shrink", "power_loss"])]
    crash_points: Option<u64>,
    /// Prints the trace after each thousand steps, to see where two builds part
    #[arg(long, requires = "seed")]
    windows: bool,
    /// Prints the plan, the deaths of nodes and what nodes log (`RUST_LOG` chooses what; by default `info`)
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum PowerLoss {
    /// One broker at a time, again and again, as far as the promise goes
    One,
    /// All nodes at once
    All,
}

fn parse_flush(text: &str) -> Result<FlushPolicy, String> {
    match (text, text.strip_suffix("ms").map(str::parse)) {
        ("page-cache", _) => Ok(FlushPolicy::PageCache),
        ("before-ack", _) => Ok(FlushPolicy::BeforeAck),
        (_, Some(Ok(ms))) => Ok(FlushPolicy::IntervalMs(ms)),
        _ => Err("`page-cache`, `before-ack` or an interval such as `100ms`".into()),
    }
}

/// What all seeds did together.
#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    failed: u64,
    not_claimed: u64,
    acknowledged: u64,
    lost: u64,
    lossy_seeds: u64,
    rarities: Rarities,
    /// The traces of all seeds, in order.
    trace: u64,
}

#[expect(clippy::disallowed_methods, reason = "the clock only measures the simulator's own speed")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.verbose {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        logs.with_ansi(false).without_time().with_target(false).init();
    }
    if let Some(series) = arguments.hunt {
        return hunt_all(series, arguments.seeds);
    }
    if let (Some(seed), true) = (arguments.seed, arguments.shrink) {
        return shrink_one(seed, options(&arguments));
    }
    if let (Some(seed), Some(every)) = (arguments.seed, arguments.crash_points) {
        return explore_all(seed, every, options(&arguments));
    }
    let options = options(&arguments);
    let policies = match (arguments.power_loss, options.flush) {
        (Some(_), None) => {
            let all = [FlushPolicy::PageCache, FlushPolicy::IntervalMs(100), FlushPolicy::BeforeAck];
            all.map(Some).to_vec()
        }
        (_, flush) => vec![flush],
    };
    let (started, mut all) = (Instant::now(), Sum::default());
    for flush in policies {
        let sum = run_seeds(&arguments, Options { flush, ..options });
        if let (Some(_), Some(flush)) = (arguments.power_loss, flush) {
            println!("{}", told_losses(flush, &sum));
        }
        all.merge(&sum);
    }
    println!("{}", told(&all, started.elapsed().as_secs_f64()));
    if arguments.seed.is_none() && options.drill.is_none() {
        println!("{}", all.rarities);
    }
    if all.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(arguments: &Arguments) -> Options {
    let drill = arguments.power_loss.map(|whose| match whose {
        PowerLoss::One => Drill::One,
        PowerLoss::All => Drill::All,
    });
    Options {
        defects: arguments.defect.iter().copied().collect(),
        verbose: arguments.verbose,
        flush: arguments.flush,
        lying_disks: arguments.lying_disks,
        drill: drill.or_else(|| arguments.script.then_some(Drill::Script)),
        spared: arguments.without_faults,
        crash: arguments.crash,
        ..Options::default()
    }
}

/// Status 1 if the seed fails, as it does where there is something to shrink.
fn shrink_one(seed: u64, options: Options) -> ExitCode {
    let Some(shrunk) = shrink(seed, options) else {
        println!("seed {seed} does not fail");
        return ExitCode::SUCCESS;
    };
    let Shrunk { kind, options, kept, of, runs } = shrunk;
    let outcome = run(seed, options);
    println!("seed {seed}: `{kind}` takes {} of {of} faults, found in {runs} runs", kept.len());
    for violation in &outcome.violations {
        println!("  {violation}");
    }
    println!("  replay: {}", outcome.replay(&options));
    ExitCode::FAILURE
}

/// Status 1 if something broke at one of the points.
fn explore_all(seed: u64, every: u64, options: Options) -> ExitCode {
    let Exploration { points, deaths, twice, broken } = explore(seed, every, options);
    for (point, violations) in &broken {
        println!("crash point {point}:");
        for violation in violations {
            println!("  {violation}");
        }
        println!("  replay: cargo run -p broker-sim --release -- --seed {seed} --script --crash {point}");
    }
    println!(
        "{} of {points} crash points failed; {deaths} deaths, {twice} runs with one in recovery",
        broken.len()
    );
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Status 1 if a defect was not found in every series, or something undeclared spoke.
fn hunt_all(series: u64, limit: u64) -> ExitCode {
    println!("{}", hunt_heading(series, limit));
    let mut good = true;
    for quarry in QUARRIES {
        let bag = hunt(quarry, series, limit);
        println!("{}", told_bag(&bag));
        if !bag.undeclared().is_empty() {
            eprintln!("`{}`: not declared: {:?}", quarry.defect.name(), bag.undeclared());
        }
        good &= bag.undeclared().is_empty() && bag.tries.len() as u64 == series;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hunt_heading(series: u64, limit: u64) -> String {
    format!(
        "# Planted defects, found by simulation\n\n\
         Each defect was planted in every node, and seeds of the mix of clusters, loads and faults that `mqproof fuzz` runs were tried \
         until the check that is named for it spoke; the mix knows nothing of the defect. {series} series of at most {limit} seeds each. \
         *Also seen* is what else spoke in those seeds, which is declared beforehand: one damage is often seen from several sides. A test \
         replays the recorded seed of each row.\n\n\
         Made by `cargo run --release -p broker-sim -- --hunt {series} --seeds {limit}`.\n\n\
         | defect | found by | median | maximum | found in | seed | also seen |\n|---|---|---:|---:|---|---:|---|"
    )
}

fn told_bag(bag: &Bag) -> String {
    let Bag { quarry, seed, tries, kinds } = bag;
    let number = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    let also: Vec<String> =
        kinds.keys().filter(|kind| **kind != quarry.named).map(|kind| format!("`{kind}`")).collect();
    format!(
        "| `{}` | `{}` | {} | {} | {} | {} | {} |",
        quarry.defect.name(),
        quarry.named,
        number(tries.get(tries.len() / 2).copied()),
        number(tries.last().copied()),
        tries.len(),
        number(*seed),
        if also.is_empty() { "–".to_owned() } else { also.join(", ") }
    )
}

fn run_seeds(arguments: &Arguments, options: Options) -> Sum {
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from + arguments.seeds,
    };
    let mut sum = Sum::default();
    for seed in seeds {
        let outcome = run(seed, options);
        sum.add(&outcome);
        if arguments.seed.is_some() {
            println!("{}", told_seed(&outcome));
            for (window, trace) in outcome.windows.iter().enumerate().filter(|_| arguments.windows) {
                println!("  {:>7} steps: {trace:016x}", (window + 1) * 1000);
            }
        }
        if !outcome.violations.is_empty() {
            println!("seed {seed}: {} violations", outcome.violations.len());
            for violation in &outcome.violations {
                println!("  {violation}");
            }
            println!("  replay: {}", outcome.replay(&options));
        }
    }
    sum
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.failed += u64::from(!outcome.violations.is_empty());
        self.not_claimed += u64::from(outcome.not_claimed.is_some());
        self.acknowledged += outcome.acknowledged;
        self.lost += outcome.lost;
        self.lossy_seeds += u64::from(outcome.lost > 0);
        self.rarities.merge(&outcome.rarities);
        self.trace = self.trace.rotate_left(5) ^ outcome.trace_hash;
    }

    fn merge(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.failed += other.failed;
        self.not_claimed += other.not_claimed;
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.lossy_seeds += other.lossy_seeds;
        self.rarities.merge(&other.rarities);
        self.trace = self.trace.rotate_left(5) ^ other.trace;
    }
}

fn told(sum: &Sum, seconds: f64) -> String {
    let Sum { seeds, steps, failed, not_claimed, trace, .. } = sum;
    let speed = *steps as f64 / seconds;
    format!(
        "{failed} of {seeds} seeds failed, {not_claimed} went beyond the promise; trace {trace:016x}; {steps} steps in {seconds:.1} s, {speed:.0} steps/s"
    )
}

fn told_losses(flush: FlushPolicy, sum: &Sum) -> String {
    let Sum { seeds, not_claimed, acknowledged, lost, lossy_seeds, .. } = sum;
    let name = flush_name(flush);
    format!(
        "flush {name:<10}  {lost} of {acknowledged} acknowledged records lost, in {lossy_seeds} of {seeds} seeds; not claimed in {not_claimed}"
    )
}

fn told_seed(outcome: &Outcome) -> String {
    let Outcome {
        seed, trace_hash, steps, virtual_ms, faults, acknowledged, retried, elections, lost, ..
    } = outcome;
    let mut text = format!(
        "seed {seed}: trace {trace_hash:016x}, {steps} steps in {virtual_ms} virtual ms, {faults} faults, {acknowledged} records acknowledged, {lost} lost, {retried} batches sent again, {elections} elections of a controller"
    );
    if let Some(why) = &outcome.not_claimed {
        text = text + "\n  a loss is not claimed: " + why;
    }
    text
}
