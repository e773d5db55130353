//! mqproof: a conformance and chaos test for message brokers.
//!
//! The data goes down this list: [`commands`] (the command line) → [`run`] (cells and their directory) →
//! [`conduct`] (one cell) → [`provision`] (its cluster) and [`faults`] (what is done to it) → [`report`] (what people see).

mod bench;
mod clock;
mod commands;
mod conduct;
mod failure;
mod faults;
mod images;
mod provision;
mod report;
mod run;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use mqproof_core::verdict::ExitStatus;

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Help and version are no errors; everything else is bad input, whatever clap's own status is.
            let status = if error.use_stderr() { ExitStatus::BadInput } else { ExitStatus::Ok };
            return ExitCode::from(status as u8);
        }
    };
    match cli.execute() {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.status as u8)
        }
    }
}
