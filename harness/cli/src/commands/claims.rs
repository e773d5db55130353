//! `mqproof claims`: every claim, the scenarios that decide it, and what was measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use mqproof_core::verdict::{CellResult, RunReport};

use crate::failure::Failure;
use crate::run::{built_in_claims, load_scenarios};

/// Arguments of `mqproof claims`.
#[derive(Args)]
pub struct ClaimsArgs {
    /// Runs whose verdicts are shown beside the claims
    #[arg(value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where the scenarios are
    #[arg(long, value_name = "DIR", default_value = "scenarios")]
    scenarios: PathBuf,
}

/// Prints the register.
pub fn run(args: &ClaimsArgs) -> Result<u8, Failure> {
    let register = built_in_claims()?;
    let deciders = deciders(&args.scenarios)?;
    let results = args.runs.iter().map(|run| verdicts(run)).collect::<Result<Vec<_>, _>>()?.concat();
    for claim in register.iter() {
        println!("{}  {}", claim.id, claim.statement);
        for scenario in deciders.get(&claim.id).into_iter().flatten() {
            println!("      decided by {scenario}");
        }
        for cell in results.iter().filter(|cell| cell.decides.contains(&claim.id)) {
            println!(
                "      {} {:13} {} · {} · {}",
                cell.verdict.sign(),
                cell.verdict,
                cell.system.name,
                cell.scenario,
                cell.system.durability
            );
        }
    }
    Ok(0)
}

/// Which scenario files decide which claim.
fn deciders(scenarios: &Path) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut deciders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if !scenarios.is_dir() {
        return Ok(deciders);
    }
    for one in load_scenarios(&[scenarios.to_owned()], &[])? {
        for claim in &one.scenario.decides {
            deciders.entry(claim.clone()).or_default().push(one.path.display().to_string());
        }
    }
    Ok(deciders)
}

fn verdicts(run: &Path) -> Result<Vec<CellResult>, Failure> {
    let file = run.join("verdict.json");
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Failure::input(format!("cannot read `{}`: {error}", file.display())))?;
    let report: RunReport = serde_json::from_str(&text).map_err(|error| {
        Failure::input(format!("`{}` is no report of this version: {error}", file.display()))
    })?;
    Ok(report.results)
}
