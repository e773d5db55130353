//! `broker-sim`: runs seeds and prints what goes wrong.

use std::process::ExitCode;
use std::time::Instant;

use broker_core::Defect;
use broker_sim::{Options, run};
use clap::Parser;

/// The reference broker in deterministic simulation.
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
    /// Prints the plan and the deaths of nodes
    #[arg(long)]
    verbose: bool,
}

#[expect(clippy::disallowed_methods, reason = "the clock only measures the simulator's own speed")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let defects = arguments.defect.into_iter().collect();
    let options = Options { defects, verbose: arguments.verbose, ..Options::default() };
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from + arguments.seeds,
    };
    let (started, count) = (Instant::now(), seeds.end - seeds.start);
    let (mut steps, mut failed) = (0, 0);
    for seed in seeds {
        let outcome = run(seed, options);
        steps += outcome.steps;
        if arguments.seed.is_some() {
            println!(
                "seed {seed}: trace {:016x}, {} steps in {} virtual ms, {} faults, {} records acknowledged, {} batches sent again",
                outcome.trace_hash,
                outcome.steps,
                outcome.virtual_ms,
                outcome.faults,
                outcome.acknowledged,
                outcome.retried
            );
        }
        if !outcome.violations.is_empty() {
            failed += 1;
            println!("seed {seed}: {} violations", outcome.violations.len());
            for violation in &outcome.violations {
                println!("  {violation}");
            }
            println!("  replay: {}", outcome.replay(&options));
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{failed} of {count} seeds failed; {steps} steps in {seconds:.1} s, {:.0} steps/s",
        steps as f64 / seconds
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
