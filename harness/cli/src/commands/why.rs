//! `mqproof why`: the life of one message, or of one violation.

use std::path::PathBuf;

use clap::Args;
use mqproof_core::ids::MessageId;

use super::check::{judge_again, life_of_message};
use crate::failure::Failure;
use crate::report::{self, Look};

/// Arguments of `mqproof why`.
#[derive(Args)]
pub struct WhyArgs {
    /// Directory of a run, or of one cell of it
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// A violation (`V1`), or a message as reports name it (`p0.0-4711`: producer, incarnation, number)
    #[arg(value_name = "ID")]
    id: String,
}

/// Prints the timeline.
pub fn run(args: &WhyArgs) -> Result<u8, Failure> {
    if args.id.starts_with(['V', 'v']) {
        let report = judge_again(&args.run)?;
        let wanted = args.id.to_uppercase();
        for cell in &report.results {
            for witness in cell.checks.iter().flat_map(|check| &check.witnesses) {
                if witness.id == wanted {
                    println!("{}", report::witness(witness, Look::of_stdout()));
                    return Ok(0);
                }
            }
        }
        return Err(Failure::input(format!("`{}` has no violation `{}`", args.run.display(), args.id)));
    }
    let message: MessageId = args.id.parse().map_err(|error| {
        Failure::input(format!("{error}\nhint: violations are `V1`, `V2`, …; messages are `p0.0-4711`"))
    })?;
    let lives = life_of_message(&args.run, message)?;
    if lives.is_empty() {
        return Err(Failure::input(format!(
            "no journal of `{}` knows message `{message}`",
            args.run.display()
        )));
    }
    for (cell, events) in lives {
        println!("{message} in {cell}\n\n{}", report::life(&events, Look::of_stdout()));
    }
    Ok(0)
}
