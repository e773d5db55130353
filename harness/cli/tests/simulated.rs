//! Scenarios in the simulator: promises are kept, faults bite, and a seed is the same run again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

struct Run {
    directory: TempDir,
    output: Output,
    verdict: Value,
}

impl Run {
    fn new(arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_mqproof"))
            .args(["run", "--on", "sim", "--out", directory.path().to_str().unwrap()])
            .args(arguments)
            .current_dir(support::root())
            .output()
            .unwrap();
        let text = fs::read_to_string(directory.path().join("verdict.json"));
        let text =
            text.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let verdict = serde_json::from_str(&text).unwrap();
        Self { directory, output, verdict }
    }

    fn cells(&self) -> impl Iterator<Item = &Value> {
        self.verdict["results"].as_array().unwrap().iter()
    }

    fn check(&self, cell: &str, property: &str) -> &Value {
        let cell = self.cells().find(|one| one["cell_id"].as_str().unwrap().contains(cell)).unwrap();
        cell["checks"].as_array().unwrap().iter().find(|check| check["property"] == property).unwrap()
    }

    /// All bytes of all histories.
    fn histories(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for cell in fs::read_dir(self.directory.path().join("cells")).unwrap() {
            let cell = cell.unwrap().path();
            for file in fs::read_dir(cell.join("history")).unwrap() {
                let file = file.unwrap().path();
                files.insert(format!("{}/{}", name(&cell), name(&file)), fs::read(&file).unwrap());
            }
        }
        files
    }

    fn told(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn the_smoke_scenarios_keep_their_promises_under_three_seeds() {
    for seed in ["1", "2", "3"] {
        let run = Run::new(&["scenarios/smoke", "--seed", seed]);
        assert_eq!(run.output.status.code(), Some(0), "seed {seed}\n{}", run.told());
        for cell in run.cells() {
            let faults = cell["faults"].as_array().unwrap();
            assert!(faults.iter().all(|fault| fault["outcome"] == "installed"), "seed {seed}: {faults:#?}");
            assert_eq!(cell["system"]["trace_hash"].as_str().unwrap().len(), 16);
        }
        // The control: what one node has in its memory alone dies with it.
        let loss = run.check("durability=leader", "acked_loss");
        assert!(loss["count"].as_u64().unwrap() > 500, "seed {seed}: {loss:#}");
        assert!(run.check("durability=quorum", "acked_loss")["exercised"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_seed_gives_the_same_history_in_another_process_and_another_seed_does_not() {
    let scenario = "scenarios/smoke/duplicates-and-idempotence.yaml";
    let [first, again, other] = ["7", "7", "8"].map(|seed| Run::new(&[scenario, "--seed", seed]));
    let hashes =
        |run: &Run| -> Vec<Value> { run.cells().map(|cell| cell["system"]["trace_hash"].clone()).collect() };
    assert_eq!(hashes(&first), hashes(&again));
    assert_ne!(hashes(&first), hashes(&other));
    assert!(first.histories() == again.histories(), "the histories differ");
}

#[test]
fn what_needs_the_speed_of_a_machine_is_not_offered() {
    let run = Run::new(&["scenarios/capacity/one-producer-one-consumer.yaml", "--seed", "1"]);
    let cell = run.cells().next().unwrap();
    assert_eq!(cell["verdict"], "not_offered", "{}", run.told());
    assert!(cell["why"].as_str().unwrap().contains("virtual time"), "{cell:#}");
}

#[test]
fn fuzzing_finds_nothing_without_a_planted_bug_and_names_the_seed_that_finds_one() {
    let fuzz = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_mqproof")).arg("fuzz").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, told) = fuzz(&["--seeds", "10"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.starts_with("0 of 10 seeds failed"), "{told}");

    let (status, told) = fuzz(&["--seeds", "30", "--defect", "dedupe-off"]);
    assert_eq!(status, Some(1), "{told}");
    let replay = told.lines().find_map(|line| line.trim().strip_prefix("replay: mqproof fuzz ")).unwrap();
    let (status, again) = fuzz(&replay.split(' ').collect::<Vec<_>>());
    assert_eq!(status, Some(1), "{again}");
    let first = again.lines().next().unwrap();
    assert!(told.contains(first), "another trace the second time: {first}");
}

#[test]
fn a_loss_of_all_power_tells_what_was_flushed_from_what_was_only_copied() {
    let scenario = "scenarios/durability/power-fails-everywhere.yaml";
    for seed in ["1", "2", "3"] {
        let run = Run::new(&[scenario, "--seed", seed]);
        assert_eq!(run.output.status.code(), Some(0), "seed {seed}: {}", run.told());
        let cached = run.check("durability=quorum~", "acked_loss");
        assert_eq!(cached["verdict"], "not_claimed", "{cached}");
        assert!(
            cached["count"].as_u64() > Some(0),
            "seed {seed}: page caches that nobody flushed outlived all: {cached}"
        );
        let flushed = run.check("durability=quorum-disk~", "acked_loss");
        assert_eq!(flushed["verdict"], "not_observed", "{flushed}");
        assert!(flushed["exercised"].as_u64() > Some(0), "{flushed}");
    }

    // Where an operating system outlives the processes nothing could be seen of it.
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("run");
    let output = support::mqproof(&["run", scenario, "--on", "reference", "--out", out.to_str().unwrap()]);
    let (status, told, _) = support::told(&output);
    assert_eq!(status, 2, "{told}");
    for cell in support::report(&out)["results"].as_array().unwrap() {
        assert_eq!(cell["verdict"], "not_offered", "{cell}");
    }
}
