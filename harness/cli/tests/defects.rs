//! Every planted defect on a live cluster: caught by the properties that its row of the table names, and by no others.
//!
//! One test, so that one cluster runs at a time. The simulator is held to the same table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use mqproof_core::scenario::DefectCase;
use serde_json::Value;
use tempfile::TempDir;

const SMOKE: &str = "scenarios/smoke/acked-survives-leader-kill.yaml";

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A replay has the same plan and not the same interleaving. Some strike only when something falls into a gap of some
/// hundred milliseconds, or where retries come in another order, and on a busy machine the gap may pass unused. In the
/// simulator the first seed has to do.
const LIVE_SEEDS: std::ops::RangeInclusive<u64> = 1..=4;

fn mqproof(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mqproof")).args(arguments).current_dir(ROOT).output().unwrap()
}

/// One run of one scenario with a defect.
struct Run {
    directory: TempDir,
    status: Option<i32>,
    verdict: Value,
    terminal: String,
}

impl Run {
    fn new(scenario: &str, defect: &str, seed: u64, system: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let (out, seed) = (directory.path().to_str().unwrap(), seed.to_string());
        let what = ["run", scenario, "--on", system, "--defect", defect];
        let output = mqproof(&[&what[..], &["--seed", &seed, "--out", out]].concat());
        let terminal = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = fs::read_to_string(directory.path().join("verdict.json"));
        let text = text.unwrap_or_else(|error| panic!("{defect}: no verdict: {error}\n{terminal}\n{errors}"));
        let verdict = serde_json::from_str(&text).unwrap();
        Self { directory, status: output.status.code(), verdict, terminal }
    }

    fn cell(&self) -> &Value {
        &self.verdict["results"][0]
    }

    fn violated(&self) -> BTreeSet<String> {
        let checks = self.cell()["checks"].as_array().unwrap();
        let violated = checks.iter().filter(|check| check["verdict"] == "violated");
        violated.map(|check| check["property"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether all that the row names was violated; nothing else may be.
    fn is_caught_by(&self, case: &DefectCase) -> bool {
        let (violated, must, may) = (self.violated(), names(&case.trips), names(&case.may_trip));
        let strangers: Vec<_> =
            violated.iter().filter(|name| !must.contains(*name) && !may.contains(*name)).collect();
        assert!(strangers.is_empty(), "{} tripped {strangers:?}\n{}", case.defect, self.terminal);
        must.is_subset(&violated) && self.status == Some(1)
    }

    /// The defect stands wherever somebody may look.
    fn assert_marked(&self, defect: &str) {
        assert_eq!(self.cell()["system"]["defects"], serde_json::json!([defect]));
        let banner = format!("planted defects in force: {defect}");
        assert!(self.terminal.contains(&banner), "{}", self.terminal);
        let page = fs::read_to_string(self.directory.path().join("report.html")).unwrap();
        assert!(page.contains("lanted defect") && page.contains(defect));
        let cells = fs::read_dir(self.directory.path().join("cells")).unwrap();
        for log in cells.flat_map(|cell| logs(&cell.unwrap().path())) {
            assert!(log.contains(&format!("PLANTED DEFECT `{defect}`")), "{log}");
        }
    }
}

fn logs(cell: &Path) -> Vec<String> {
    let nodes = fs::read_dir(cell.join("nodes")).unwrap();
    let logs: Vec<_> = nodes.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect();
    assert_eq!(logs.len(), 4, "three brokers and a controller");
    logs
}

fn table() -> Vec<DefectCase> {
    let text = fs::read_to_string(format!("{ROOT}/scenarios/defects/defects.yaml")).unwrap();
    DefectCase::parse_table("defects.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn names(properties: &[mqproof_core::property::Property]) -> BTreeSet<String> {
    properties.iter().map(ToString::to_string).collect()
}

#[test]
fn every_defect_has_a_row_in_the_table() {
    let output = mqproof(&["defects"]);
    let listed = String::from_utf8(output.stdout).unwrap();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let listed: BTreeSet<_> = listed.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(listed, table().into_iter().map(|case| case.defect).collect());
}

#[test]
fn a_defect_of_no_name_or_of_another_system_is_refused_before_anything_starts() {
    let refused = |arguments: &[&str]| {
        let output = mqproof(arguments);
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = refused(&["run", "--defect", "ack-before-replicat"]);
    assert!(unknown.contains("unknown defect `ack-before-replicat`"), "{unknown}");
    for case in table() {
        assert!(unknown.contains(&case.defect), "{unknown}");
    }
    let elsewhere = refused(&["run", "--defect", "dedupe-off", "--on", "kafka=127.0.0.1:9"]);
    assert!(elsewhere.contains("the reference broker only, not in `kafka`"), "{elsewhere}");
}

#[test]
fn every_defect_is_caught_by_the_properties_of_its_row_and_by_no_others() {
    for case in table() {
        let scenario = format!("scenarios/defects/{}.yaml", case.scenario);
        let caught = LIVE_SEEDS.into_iter().any(|seed| {
            let run = Run::new(&scenario, &case.defect, seed, "reference");
            run.assert_marked(&case.defect);
            run.is_caught_by(&case)
        });
        assert!(caught, "`{}` was not caught by {:?}", case.defect, case.trips);
    }

    let run = Run::new(SMOKE, "ack-before-replicate", 1, "reference");
    assert_eq!(run.status, Some(1), "{}", run.terminal);
    assert_names_the_loss(&run.cell()["checks"]);
}

#[test]
fn every_defect_is_caught_in_the_simulator_as_on_a_live_cluster() {
    for case in table() {
        let scenario = format!("scenarios/defects/{}.yaml", case.scenario);
        let run = Run::new(&scenario, &case.defect, 1, "sim");
        assert!(
            run.is_caught_by(&case),
            "`{}` was not caught by {:?}\n{}",
            case.defect,
            case.trips,
            run.terminal
        );
    }
}

/// A lost message is shown with its partition, its offset, when it was acknowledged, and the kill that lost it.
fn assert_names_the_loss(checks: &Value) {
    let check = checks.as_array().unwrap().iter().find(|check| check["property"] == "acked_loss").unwrap();
    let witness = &check["witnesses"][0];
    assert!(witness["partition"].as_str().unwrap().starts_with("orders/"), "{witness:#}");
    let offset = witness["offset"].as_u64().unwrap();
    let summary = witness["summary"].as_str().unwrap();
    assert!(summary.contains(&format!("was acknowledged at offset {offset} at ")), "{summary}");
    assert!(summary.contains("then its leader, was killed at "), "{summary}");
    let events = witness["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["what"] == "kill"), "{witness:#}");
}
