//! What tests of the command line share.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The checkout, where scenarios are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout is there")
}

/// `mqproof` with these arguments, in the checkout.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqproof"));
    command.args(arguments).current_dir(root()).env("NO_COLOR", "1").env("COLUMNS", "120");
    command
}

/// Runs `mqproof` to its end.
pub fn mqproof(arguments: &[&str]) -> Output {
    command(arguments).output().expect("mqproof can be started")
}

/// The exit status and both outputs of a finished command.
pub fn told(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The report of a run.
pub fn report(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("verdict.json")).expect("the run has a verdict.json");
    serde_json::from_str(&text).expect("verdict.json is JSON")
}

/// The check of a property in a cell.
pub fn check<'a>(cell: &'a Value, property: &str) -> &'a Value {
    let checks = cell["checks"].as_array().expect("a cell has checks");
    checks
        .iter()
        .find(|check| check["property"] == property)
        .unwrap_or_else(|| panic!("no check of {property}"))
}
