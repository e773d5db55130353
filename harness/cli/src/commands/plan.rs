//! `mqproof plan`: what a run will do.

use std::path::PathBuf;

use clap::Args;
use mqproof_core::plan::{Plan, render};

use crate::failure::Failure;
use crate::run::load_scenarios;

/// Arguments of `mqproof plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// Scenario file, or a directory of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Seed of every random choice
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Change a key of the scenarios, or narrow a matrix
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the plans as a JSON array
    #[arg(long)]
    json: bool,
}

/// Prints the plans.
pub fn run(args: &PlanArgs) -> Result<u8, Failure> {
    let loaded = load_scenarios(&args.paths, &args.set)?;
    let plans: Vec<Plan> = loaded
        .iter()
        .flat_map(|one| {
            one.scenario.matrix_points().iter().map(|point| Plan::draw(&one.scenario, point, args.seed))
        })
        .collect();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&plans).expect("a plan is plain data"));
    } else {
        println!("{}", plans.iter().map(render).collect::<Vec<_>>().join("\n"));
    }
    Ok(0)
}
