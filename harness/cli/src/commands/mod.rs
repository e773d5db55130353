//! The command line: one file per subcommand.

mod bench;
pub mod broker;
mod check;
mod claims;
mod client;
mod compare;
mod defects;
mod fuzz;
mod heal;
mod images;
mod plan;
mod run;
mod schema;
mod systems;
mod why;

pub use broker::REFERENCE_VERSION;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Put a message broker's promises to the test: the same workload and the same faults, judged from what clients saw.
#[derive(Parser)]
#[command(name = "mqproof", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Exit status: 0 nothing violated and all required checks exercised · 1 violated · 2 inconclusive or \
not exercised · 3 bad scenario or arguments · 4 environment · 5 harness failure. See docs/outcomes.md."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios on a cluster and judge them
    Run(run::RunArgs),
    /// Show what a run will do, to whom and when, and what it will assert; touches nothing
    Plan(plan::PlanArgs),
    /// Judge a recorded run again
    Check(check::CheckArgs),
    /// Fold recorded runs into one report: systems and repeats side by side
    Compare(compare::CompareArgs),
    /// Show the life of a message or of a violation as a timeline
    Why(why::WhyArgs),
    /// List the claims and the scenarios that decide them; with runs, what was measured
    Claims(claims::ClaimsArgs),
    /// Run random clusters, workloads and faults in the simulator; a seed that breaks something is printed with its replay
    Fuzz(fuzz::FuzzArgs),
    /// Measure one broker, or two side by side: throughput, latency, and what they cost in processor time and memory
    Bench(bench::BenchArgs),
    /// List the bugs that can be planted in the reference broker
    Defects,
    /// List the systems that scenarios can run on
    Systems,
    /// Remove what killed runs left on the disk
    Heal(heal::HealArgs),
    /// Container images of the real products: what is there, and local builds of them
    #[command(subcommand)]
    Images(images::ImagesCommand),
    /// Print the JSON Schema of scenario files
    Schema,
    /// One node of an embedded cluster; its specification is read from standard input
    #[command(hide = true)]
    Broker,
    /// One client process; its specification is read from standard input
    #[command(hide = true)]
    Client,
}

impl Cli {
    /// Does what was asked; the exit status.
    pub fn execute(self) -> Result<u8, Failure> {
        match self.command {
            Command::Run(args) => run::run(args),
            Command::Plan(args) => plan::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Compare(args) => compare::run(&args),
            Command::Why(args) => why::run(&args),
            Command::Claims(args) => claims::run(&args),
            Command::Fuzz(args) => Ok(fuzz::run(&args)),
            Command::Bench(args) => bench::run(&args),
            Command::Defects => Ok(defects::run()),
            Command::Systems => Ok(systems::run()),
            Command::Heal(args) => heal::run(&args),
            Command::Images(command) => images::run(&command),
            Command::Schema => Ok(schema::run()),
            Command::Broker => broker::run().map_err(|error| Failure::harness(error.to_string())),
            Command::Client => Ok(client::run()),
        }
    }
}
