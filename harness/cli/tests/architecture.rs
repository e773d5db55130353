//! The walls of the house: what may depend on what.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Names of the packages that each package of the workspace depends on, directly; tests' own needs apart.
fn direct() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(support::root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo tells JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("dependencies");
            let normal = all.iter().filter(|one| one["kind"].is_null());
            (text(&package["name"]), normal.map(|one| text(&one["name"])).collect())
        })
        .collect()
}

/// Every package in the tree below one of ours.
fn tree(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--offline"])
        .current_dir(support::root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_cores_have_no_runtime_no_sockets_and_no_global_randomness() {
    for core in ["mqproof-core", "broker-core", "broker-sim"] {
        let tree = tree(core);
        for banned in ["tokio", "async-std", "smol", "mio", "socket2", "getrandom", "rdkafka"] {
            let found = tree.lines().any(|line| line.split(' ').next() == Some(banned));
            assert!(!found, "`{core}` depends on `{banned}`");
        }
    }
}

#[test]
fn broker_and_client_share_no_codec_and_nothing_depends_on_the_tool() {
    for (package, dependencies) in direct() {
        let is_broker = ["broker-core", "reference-broker", "broker-sim"].contains(&package.as_str());
        assert!(
            is_broker || !dependencies.contains("kafka-protocol"),
            "`{package}` depends on the broker's codec"
        );
        assert!(!dependencies.contains("mqproof"), "`{package}` depends on the tool");
        let starts_it = ["mqproof", "broker-sim"].contains(&package.as_str()) || is_broker;
        assert!(starts_it || !dependencies.contains("reference-broker"), "`{package}` depends on the broker");
        assert!(!(is_broker && dependencies.contains("rdkafka")), "`{package}` depends on the client");
    }
}

#[test]
fn one_file_of_the_tool_names_the_broker() {
    let mut named = Vec::new();
    visit(&support::root().join("harness/cli/src"), &mut |file, text| {
        if text.contains("reference_broker") {
            named.push(file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        }
    });
    assert_eq!(named, ["broker.rs"]);
}

fn visit(dir: &Path, act: &mut dyn FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).expect("a directory").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            visit(&path, act);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            act(&path, &text);
        }
    }
}
