//! Scenarios on real clusters of three nodes in containers: what must lose nothing, and controls that must lose something.
//! Without a container engine or an image these tests fail.
//!
//! To be run one at a time (`--test-threads=1`): each starts a cluster.

mod support;

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{command, mqproof, report, told};

const LEADER_KILL: &str = "scenarios/smoke/acks-levels-under-leader-kill.yaml";

/// Runs one scenario on one system, and returns its cells.
fn run(dir: &Path, scenario: &str, on: &str, set: &[&str]) -> Vec<Value> {
    let out = dir.join("run");
    let out_text = out.to_string_lossy();
    let mut arguments = vec!["run", scenario, "--on", on, "--seed", "1", "--out", &out_text];
    arguments.extend(set.iter().flat_map(|set| ["--set", set]));
    let (status, stdout, stderr) = told(&mqproof(&arguments));
    println!("{stdout}\n{stderr}");
    assert_eq!(status, 0, "exit status of {scenario} on {on}");
    report(&out)["results"].as_array().expect("cells").clone()
}

fn cell<'a>(cells: &'a [Value], durability: &str) -> &'a Value {
    cells
        .iter()
        .find(|cell| cell["system"]["durability"] == durability)
        .unwrap_or_else(|| panic!("no cell of class {durability}"))
}

/// Nothing acknowledged was lost, although the leader died with its followers behind.
fn assert_keeps_everything(cell: &Value) {
    let check = support::check(cell, "acked_loss");
    assert_eq!(check["verdict"], "not_observed", "{}: {}", cell["cell_id"], check["why"]);
    assert!(check["exercised"].as_u64() > Some(0));
    assert!(cell["metrics"]["acked"].as_u64() > Some(1_000), "{}", cell["metrics"]);
    assert_faults_bit(cell);
    assert_is_told(cell);
}

/// What was acknowledged and not replicated at the kill is gone, and the contract says that this was not claimed.
fn assert_loses(cell: &Value) {
    let check = support::check(cell, "acked_loss");
    assert_eq!(check["verdict"], "not_claimed", "{}: {}", cell["cell_id"], check["why"]);
    assert!(check["count"].as_u64() > Some(0), "the control does not bite: {}", cell["metrics"]);
    let faults = cell["faults"].as_array().expect("faults");
    let meter = faults.iter().filter_map(|fault| fault["unreplicated_acked"].as_u64()).max();
    assert!(meter > Some(0), "the bite meter says nothing: {faults:?}");
    assert_faults_bit(cell);
    assert_is_told(cell);
}

fn assert_faults_bit(cell: &Value) {
    for fault in cell["faults"].as_array().expect("faults") {
        assert_eq!(fault["outcome"], "installed", "{fault}");
        assert!(fault["until_ms"].is_number(), "undone: {fault}");
    }
}

/// Every number comes with what it was measured on.
fn assert_is_told(cell: &Value) {
    let system = &cell["system"];
    assert_eq!(system["profile"], "containers");
    assert!(system["image"].as_str().is_some_and(|image| !image.is_empty()), "{system}");
    assert!(system["version"].as_str().is_some_and(|version| !version.is_empty()), "{system}");
    assert!(system["settings"].as_object().is_some_and(|settings| settings.len() > 3), "{system}");
}

/// Nothing is left with the engine or in the kernel's tables.
fn assert_nothing_left(dir: &Path) {
    let (status, stdout, stderr) = told(&mqproof(&["heal", &dir.to_string_lossy(), "--dry-run"]));
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("nothing to heal"), "{stdout}");
}

#[test]
fn kafka_keeps_what_all_replicas_acknowledged_and_loses_what_the_leader_alone_did() {
    let dir = tempfile::tempdir().expect("a directory");
    let cells = run(dir.path(), LEADER_KILL, "kafka", &["durability=[leader, quorum]"]);
    assert_loses(cell(&cells, "leader"));
    assert_keeps_everything(cell(&cells, "quorum"));
    assert_nothing_left(dir.path());
}

#[test]
fn rabbitmq_keeps_everything_when_a_leader_dies_and_a_classic_queue_is_away_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let cells = run(dir.path(), LEADER_KILL, "rabbitmq", &["durability=[leader, quorum]"]);
    assert_keeps_everything(cell(&cells, "quorum"));
    let classic = cell(&cells, "leader");
    let kept = support::check(classic, "acked_loss");
    assert_eq!((&kept["verdict"], kept["count"].as_u64()), (&"not_observed".into(), Some(0)), "{kept}");
    assert!(kept["exercised"].as_u64() > Some(1_000), "{kept}");
    // It has no followers that could be stalled; its only copy was away, and nothing was acknowledged meanwhile.
    let faults = classic["faults"].as_array().expect("faults");
    let outcomes: Vec<&Value> = faults.iter().map(|fault| &fault["outcome"]).collect();
    assert_eq!(outcomes, ["skipped", "installed"], "{faults:?}");
    let rto = support::check(classic, "rto");
    assert_eq!(rto["verdict"], "not_claimed", "{rto}");
    assert!(rto["why"].as_str().is_some_and(|why| why.contains("outage instead of loss")), "{rto}");
    let notes = classic["notes"].to_string();
    assert!(notes.contains("unequal class: no failover: outage instead of loss"), "{notes}");
    assert_is_told(classic);
    assert_nothing_left(dir.path());
}

#[test]
fn rocketmq_keeps_what_all_in_sync_acknowledged_and_loses_what_the_master_alone_did() {
    let dir = tempfile::tempdir().expect("a directory");
    let cells = run(dir.path(), LEADER_KILL, "rocketmq", &["durability=[leader, quorum]"]);
    assert_loses(cell(&cells, "leader"));
    assert_keeps_everything(cell(&cells, "quorum"));
    assert_nothing_left(dir.path());
}

#[test]
fn rocketmq_without_controllers_loses_with_its_masters_disk_what_no_slave_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let scenario = "scenarios/durability/leader-dies-with-its-disk.yaml";
    let cells = run(dir.path(), scenario, "rocketmq@classic", &[]);
    assert_loses(cell(&cells, "leader"));
    assert_keeps_everything(cell(&cells, "quorum"));
    assert_nothing_left(dir.path());
}

#[test]
fn rabbitmq_loses_what_was_acknowledged_automatically_and_not_handled() {
    let dir = tempfile::tempdir().expect("a directory");
    let cells = run(dir.path(), "scenarios/delivery/auto-ack-loses-in-flight.yaml", "rabbitmq", &[]);
    let settled = |how: &str| {
        cells
            .iter()
            .find(|cell| cell["system"]["settle"] == how)
            .unwrap_or_else(|| panic!("no cell of {how}"))
    };
    let lost = support::check(settled("auto"), "acked_loss");
    assert_eq!(lost["verdict"], "not_claimed", "{lost}");
    assert!(lost["count"].as_u64() > Some(0), "the control does not bite: {lost}");
    let kept = support::check(settled("after"), "acked_loss");
    assert_eq!((&kept["verdict"], kept["count"].as_u64()), (&"not_observed".into(), Some(0)), "{kept}");
    assert_nothing_left(dir.path());
}

#[test]
fn a_harness_that_is_killed_leaves_containers_which_heal_removes() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("run");
    let mut harness = command(&["run", LEADER_KILL, "--on", "kafka", "--out", &out.to_string_lossy()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mqproof can be started");
    // The nodes' configuration is written just before they are started.
    let until = Instant::now() + Duration::from_mins(1);
    let configured = || {
        let cells = std::fs::read_dir(out.join("cells")).ok()?.next()?.ok()?.path();
        cells.join("nodes/config-3").is_dir().then_some(())
    };
    while configured().is_none() {
        assert!(Instant::now() < until, "no cluster was started");
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_secs(2));
    harness.kill().expect("it runs");
    harness.wait().expect("it is our child");

    let (status, stdout, stderr) = told(&mqproof(&["heal", &dir.path().to_string_lossy()]));
    assert_eq!(status, 0, "{stderr}");
    for what in ["container", "volume", "network", "route"] {
        assert!(stdout.contains(&format!("removed  {what}")), "{what}: {stdout}");
    }
    assert_nothing_left(dir.path());
}

#[test]
fn a_missing_image_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("run");
    let output = command(&["run", LEADER_KILL, "--on", "kafka", "--out", &out.to_string_lossy()])
        .env("MQPROOF_IMAGE_KAFKA", "nobody/has:this")
        .output()
        .expect("mqproof can be started");
    let (status, stdout, stderr) = told(&output);
    assert_eq!(status, 4, "{stdout}{stderr}");
    assert!(stdout.contains("nobody/has:this") && stdout.contains("MQPROOF_IMAGE_KAFKA"), "{stdout}");
}
