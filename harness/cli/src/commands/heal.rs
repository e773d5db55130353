//! `mqproof heal`: removes what killed runs left.

use std::path::PathBuf;

use clap::Args;
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::provision::{ProvisionError, remains, remove};
use crate::run::leftovers;

/// Arguments of `mqproof heal`.
#[derive(Args)]
pub struct HealArgs {
    /// Directory that holds the runs
    #[arg(value_name = "DIR", default_value = "reports")]
    reports: PathBuf,
    /// Only list what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Lists and removes.
pub fn run(args: &HealArgs) -> Result<u8, Failure> {
    let mut healed = 0;
    let verb = if args.dry_run { "found" } else { "removed" };
    for leftover in leftovers(&args.reports) {
        if !args.dry_run {
            leftover.remove().map_err(|error| {
                Failure::environment(format!("cannot remove `{}`: {error}", leftover.data.display()))
            })?;
        }
        println!("{verb}  broker data of run {}: {}", leftover.run, leftover.data.display());
        healed += 1;
    }
    let runtime = Runtime::new()?;
    let of_containers = match remains(runtime.handle()) {
        // Where no engine answers, no container runs.
        Err(ProvisionError::NoEngine { .. }) => Vec::new(),
        answer => answer.map_err(|error| Failure::environment(error.to_string()))?,
    };
    for one in of_containers {
        if !args.dry_run {
            remove(&one, runtime.handle()).map_err(|error| Failure::environment(error.to_string()))?;
        }
        println!("{verb}  {one}");
        healed += 1;
    }
    if healed == 0 {
        println!("nothing to heal: no data of dead runs under `{}`, no containers", args.reports.display());
    }
    Ok(0)
}
