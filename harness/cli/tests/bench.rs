//! `mqproof bench` from outside: bad input, an address where nobody is, and a short benchmark on embedded clusters.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{command, mqproof, told};

#[test]
fn bad_input_exits_3_and_says_what_is_wrong() {
    let cases: [(&[&str], &str); 7] = [
        (&["bench"], "required"),
        (&["bench", "here"], "`here` is no cluster"),
        (&["bench", "a=127.0.0.1:1", "a=127.0.0.1:2"], "both clusters are named `a`"),
        (&["bench", "a=127.0.0.1:1", "--only", "prodcue"], "unknown workload `prodcue`"),
        (&["bench", "a=127.0.0.1:1", "--pid", "b=1"], "`b` is none of the clusters"),
        (&["bench", "a=127.0.0.1:1", "--pid", "a=4294967295"], "cannot be found"),
        (&["bench", "a=127.0.0.1:1", "--block", "0"], "not between"),
    ];
    for (arguments, text) in cases {
        let (status, stdout, stderr) = told(&mqproof(arguments));
        assert_eq!(status, 3, "{arguments:?}\n{stdout}{stderr}");
        assert!(stderr.contains(text), "{arguments:?} should say `{text}`:\n{stderr}");
    }
}

#[test]
fn an_address_where_nobody_is_exits_4() {
    let (status, stdout, stderr) = told(&mqproof(&["bench", "mine=127.0.0.1:1", "--only", "latency"]));
    assert_eq!(status, 4, "{stdout}{stderr}");
    assert!(stderr.contains("`127.0.0.1:1` cannot be reached"), "{stderr}");
}

/// A short benchmark of embedded clusters; the report.
fn short(clusters: &[&str], more: &[&str]) -> (Output, Value) {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("bench.json");
    let mut arguments = vec!["bench", "--block", "0.2", "--warm-up", "0.1", "--rounds", "2"];
    arguments.extend(["--block-max", "50", "--out"]);
    let name = out.to_string_lossy().into_owned();
    arguments.push(&name);
    arguments.extend(more.iter().chain(clusters));
    let output = command(&arguments).output().expect("mqproof can be started");
    let text = std::fs::read_to_string(&out).unwrap_or_else(|_| panic!("no report: {:?}", told(&output)));
    (output, serde_json::from_str(&text).expect("the report is JSON"))
}

fn row<'a>(report: &'a Value, workload: &str, metric: &str) -> &'a Value {
    let rows = report["rows"].as_array().expect("rows");
    rows.iter()
        .find(|row| row["workload"] == workload && row["metric"] == metric)
        .unwrap_or_else(|| panic!("no {metric} of {workload}"))
}

fn all_positive(row: &Value) -> bool {
    let values = row["values"][0].as_array().expect("values of the first system");
    values.len() == 2 && values.iter().all(|value| value.as_f64().is_some_and(|value| value > 0.0))
}

#[test]
fn every_workload_of_one_cluster_is_measured_and_its_records_arrived() {
    // A block whose log is shorter than what was acknowledged is an error, and the status would say so.
    let (output, report) =
        short(&["reference"], &["--only", "start,produce-1k-all,tiny,flush,fetch,latency,memory"]);
    let (status, stdout, stderr) = told(&output);
    assert_eq!(status, 0, "{stdout}{stderr}");
    // A machine that is busy may not come to the fixed rate; nothing else may be noted.
    let notes = report["notes"].as_array().expect("notes");
    let is_of_rate = |note: &Value| note.as_str().is_some_and(|note| note.contains("waited for each other"));
    assert!(notes.iter().all(is_of_rate), "{stdout}{stderr}");
    for (workload, metric) in [
        ("start", "first-ack"),
        ("produce-1k-all", "throughput"),
        ("tiny-batches", "record-rate"),
        ("flush-before-ack", "throughput"),
        ("fetch-tail", "throughput"),
        ("fetch-catch-up", "throughput"),
        ("latency", "latency-p99"),
        ("latency", "broker-cpu-per-gb"),
        ("latency", "client-cores"),
    ] {
        assert!(all_positive(row(&report, workload, metric)), "{metric} of {workload}: {report:#}");
    }
    for metric in ["memory-at-rest", "memory-loaded"] {
        assert!(row(&report, "memory", metric)["medians"][0].as_f64().is_some_and(|mb| mb > 1.0));
    }
    assert!(stdout.contains("produce-1k-all") && stdout.contains("fdatasync"), "{stdout}");
}

#[test]
fn librdkafka_makes_the_load_as_well() {
    let (output, report) =
        short(&["reference"], &["--client", "librdkafka", "--only", "produce-1k-acks1,fetch-tail,latency"]);
    let (status, stdout, stderr) = told(&output);
    assert_eq!(status, 0, "{stdout}{stderr}");
    for workload in ["produce-1k-acks1", "fetch-tail", "latency"] {
        assert!(all_positive(row(&report, workload, "throughput")), "{report:#}");
    }
    assert!(stdout.contains("client librdkafka"), "{stdout}");
}

#[test]
fn two_clusters_are_set_side_by_side_with_ratios_of_pairs() {
    let (output, report) = short(&["new=reference", "reference"], &["--only", "produce-1k-all"]);
    let (status, stdout, stderr) = told(&output);
    assert_eq!(status, 0, "{stdout}{stderr}");
    // The reference broker above, and the first one below the line.
    assert_eq!(report["ratio_of"], serde_json::json!([1, 0]));
    let throughput = row(&report, "produce-1k-all", "throughput");
    let value = |system: usize, round: usize| throughput["values"][system][round].as_f64().expect("a number");
    for round in 0..2 {
        let pair = throughput["ratio"]["pairs"][round].as_f64().expect("a number");
        assert!((pair - value(1, round) / value(0, round)).abs() < 1e-9, "{throughput:#}");
    }
    assert!(stdout.contains("reference/new"), "{stdout}");
    // Blocks alternate: A B, then B A.
    let order: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains("produce-1k-all  1/2") || line.contains("produce-1k-all  2/2"))
        .filter_map(|line| line.split("  ").nth(3))
        .collect();
    assert_eq!(order, ["new", "reference", "reference", "new"], "{stderr}");
}

#[test]
fn ctrl_c_prints_what_was_measured_until_then() {
    let arguments = [
        "bench",
        "reference",
        "--only",
        "produce-1k-all",
        "--block",
        "0.2",
        "--warm-up",
        "0.1",
        "--rounds",
        "100",
    ];
    let mut child = command(&arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("mqproof can be started");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let first = stderr.find(|line| line.as_ref().is_ok_and(|line| line.contains("produce-1k-all  1/100")));
    assert!(first.is_some(), "the first block is told");
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal can be sent");
    // Read to its end, so that nobody waits for a full pipe.
    let rest: Vec<String> = stderr.map_while(Result::ok).collect();
    let output = child.wait_with_output().expect("mqproof ends");
    let (status, stdout, _) = told(&output);
    assert_eq!(status, 2, "{stdout}{rest:?}");
    assert!(stdout.contains("interrupted") && stdout.contains("MB/s"), "{stdout}");
}
