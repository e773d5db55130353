//! `mqproof heal`: removes what killed runs left.

use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;
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
    let all = leftovers(&args.reports);
    if all.is_empty() {
        println!("nothing to heal: no data of dead runs under `{}`", args.reports.display());
    }
    for leftover in all {
        println!(
            "{}  broker data of run {}: {}",
            if args.dry_run { "found" } else { "removed" },
            leftover.run,
            leftover.data.display()
        );
        if !args.dry_run {
            leftover.remove().map_err(|error| {
                Failure::environment(format!("cannot remove `{}`: {error}", leftover.data.display()))
            })?;
        }
    }
    Ok(0)
}
