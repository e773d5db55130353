//! What a user meets: bad input, an environment that refuses, a recorded run looked at again, and runs that are cut short.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{command, mqproof, report, told};

/// One cluster at a time: the machine is small, and times are judged.
static CLUSTER: Mutex<()> = Mutex::new(());

fn one_cluster() -> std::sync::MutexGuard<'static, ()> {
    CLUSTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A short scenario without faults.
const SHORT: [&str; 5] =
    ["run", "scenarios/smoke/backlog-drain.yaml", "--seed", "1", "--set=producers.writer.total=2000"];

#[test]
fn bad_input_exits_3_and_says_where_and_what_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let scenario = dir.path().join("typo.yaml");
    std::fs::write(&scenario, "schema: 1\nname: typo\nabout: A typo.\nprodcers: {}\n")
        .expect("a file can be written");
    let scenario = scenario.to_string_lossy().into_owned();
    let empty = tempfile::tempdir().expect("a directory");
    let empty = empty.path().to_string_lossy().into_owned();
    let smoke = "scenarios/smoke";
    let cases: [(&[&str], &[&str]); 11] = [
        (&["run", &scenario], &["unknown key `prodcers`", "typo.yaml:4:1", "producers"]),
        (&["run", "no/such/path"], &["no/such/path", "hint:"]),
        (&["run", &empty], &["no scenario in", "hint:"]),
        (&["run", "--no-such-flag"], &["--no-such-flag"]),
        (&["run", smoke, "--on", "kafak=a:1"], &["unknown system `kafak`", "reference"]),
        (&["run", smoke, "--on", "kafka=here"], &["`here` is not an address", "HOST:PORT"]),
        (&["run", smoke, "--on", "rabbitmq@9.9"], &["no profile `9.9`", "`4.0`"]),
        (
            &["run", smoke, "--defect", "no-such-bug"],
            &["unknown defect `no-such-bug`", "ack-before-replicate"],
        ),
        (&["run", smoke, "--defect", "flip-byte", "--on", "kafka=127.0.0.1:1"], &["reference broker only"]),
        (&["run", smoke, "--set", "producers.writer.rat=1/s"], &["rat"]),
        (&["check", &empty], &["cannot read"]),
    ];
    for (arguments, texts) in cases {
        let (status, stdout, stderr) = told(&mqproof(arguments));
        assert_eq!(status, 3, "{arguments:?}\n{stdout}{stderr}");
        for text in texts {
            assert!(stderr.contains(text), "{arguments:?} should say `{text}`:\n{stderr}");
        }
    }
}

#[test]
fn an_environment_that_refuses_exits_4_and_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = dir.path().to_string_lossy().into_owned();
    std::fs::write(dir.path().join("file"), "x").expect("a file can be written");
    let (status, _, stderr) = told(&mqproof(&["run", "--out", &taken]));
    assert_eq!(status, 4, "{stderr}");
    assert!(stderr.contains("not empty") && stderr.contains("hint:"), "{stderr}");
    let (status, _, stderr) = told(&mqproof(&["run", "--out", "/proc/no/such"]));
    assert_eq!(status, 4, "{stderr}");

    let out = dir.path().join("run");
    let begun = Instant::now();
    let arguments = [
        "run",
        "scenarios/smoke/backlog-drain.yaml",
        "--on",
        "kafka=127.0.0.1:1",
        "--out",
        &out.to_string_lossy(),
    ];
    let (status, stdout, stderr) = told(&mqproof(&arguments));
    assert_eq!(status, 4, "{stdout}{stderr}");
    assert!(format!("{stdout}{stderr}").contains("cannot be reached"), "{stdout}{stderr}");
    assert!(begun.elapsed() < Duration::from_mins(1), "it does not wait for ever");

    let out = dir.path().join("no-engine");
    let output = command(&["run", "--on", "kafka", "--out", &out.to_string_lossy()])
        .env("DOCKER_HOST", "unix:///no/such/socket")
        .output()
        .expect("mqproof can be started");
    let (status, stdout, stderr) = told(&output);
    assert_eq!(status, 4, "{stdout}{stderr}");
    assert!(stdout.contains("no container engine answers"), "{stdout}{stderr}");
}

#[test]
fn what_can_be_asked_without_a_cluster_answers() {
    for (arguments, text) in [
        (&["--help"][..], "Exit status: 0"),
        (&["systems"], "reference"),
        (&["defects"], "ack-before-replicate"),
        (&["claims"], "decided by scenarios/smoke"),
        (&["plan", "scenarios/smoke/acked-survives-leader-kill.yaml"], "kill"),
    ] {
        let (status, stdout, stderr) = told(&mqproof(arguments));
        assert_eq!(status, 0, "{arguments:?}: {stderr}");
        assert!(stdout.contains(text), "{arguments:?} should say `{text}`:\n{stdout}");
    }
    let plan = || told(&mqproof(&["plan", "scenarios/smoke", "--json", "--seed", "7"])).1;
    assert_eq!(plan(), plan(), "the same file and seed give the same plan");
    let schema =
        std::fs::read_to_string(support::root().join("scenarios/scenario.schema.json")).expect("a schema");
    assert_eq!(told(&mqproof(&["schema"])).1.trim(), schema.trim());
}

#[test]
fn a_recorded_run_is_judged_again_and_a_message_has_a_life() {
    let _one = one_cluster();
    let dir = tempfile::tempdir().expect("a directory");
    let run = dir.path().join("run");
    let out = run.to_string_lossy().into_owned();
    let (status, stdout, stderr) = told(&command(&SHORT).args(["--out", &out]).output().expect("it runs"));
    assert_eq!(status, 0, "{stdout}{stderr}");
    for file in ["verdict.json", "junit.xml", "report.html", "run.json"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    assert!(!cell(&run).join("data").exists(), "what brokers stored is deleted at a normal end");
    let (status, again, stderr) = told(&mqproof(&["check", &out, "--json"]));
    assert_eq!(status, 0, "{stderr}");
    let again: Value = serde_json::from_str(&again).expect("check gives JSON");
    assert_eq!(again["results"][0]["checks"], report(&run)["results"][0]["checks"]);
    let (status, life, _) = told(&mqproof(&["why", &out, "p0.0-5"]));
    assert_eq!(status, 0);
    for text in ["send", "ack", "deliver", "read"] {
        assert!(life.contains(text), "the life of a message has `{text}`:\n{life}");
    }
    assert_eq!(told(&mqproof(&["why", &out, "V1"])).0, 3, "there is no violation");
    assert_eq!(told(&mqproof(&["why", &out, "p9.9-9"])).0, 3, "there is no such message");
    let (status, _, _) = told(&mqproof(&["heal", &dir.path().to_string_lossy()]));
    assert_eq!(status, 0);
}

fn cell(run: &Path) -> PathBuf {
    let mut cells = std::fs::read_dir(run.join("cells")).expect("a run has cells");
    cells.next().expect("at least one cell").expect("it can be read").path()
}

/// A run with faults, begun and left to itself for so long.
fn begun(out: &str, for_ms: u64) -> Child {
    let child =
        command(&["run", "scenarios/smoke/acked-survives-leader-kill.yaml", "--seed", "1", "--out", out])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
    thread::sleep(Duration::from_millis(for_ms));
    child
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill is there");
    assert!(status.success());
}

/// Brokers and clients that a harness has started, by the process that started them.
fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let pids = std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let stat = stat(*pid);
        let after = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        after.split(' ').nth(1) == Some(&parent.to_string())
    })
    .collect()
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn all_gone_within_a_second(pids: &[u32]) {
    let until = Instant::now() + Duration::from_secs(1);
    while pids.iter().any(|pid| alive(*pid)) {
        assert!(Instant::now() < until, "still there: {pids:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Nothing that needs a complete record is said to be unobserved.
fn says_nothing_it_cannot_know(verdict: &Value) {
    for cell in verdict["results"].as_array().expect("cells") {
        for check in cell["checks"].as_array().expect("checks") {
            assert_ne!(check["verdict"], "not_observed", "{}: {check}", cell["cell_id"]);
        }
    }
}

#[test]
fn ctrl_c_ends_a_run_with_what_was_recorded() {
    let _one = one_cluster();
    for for_ms in [900, 2_300, 3_500] {
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path().join("run");
        let out = run.to_string_lossy().into_owned();
        let mut child = begun(&out, for_ms);
        let brood = children(child.id());
        assert!(!brood.is_empty(), "a cluster runs after {for_ms} ms");
        signal(&child, "-INT");
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(2), "after {for_ms} ms");
        all_gone_within_a_second(&brood);
        let verdict = report(&run);
        assert_eq!(verdict["run"]["interrupted"], true);
        says_nothing_it_cannot_know(&verdict);
        let (status, again, stderr) = told(&mqproof(&["check", &out, "--json"]));
        assert_eq!(status, 2, "{stderr}");
        says_nothing_it_cannot_know(&serde_json::from_str(&again).expect("check gives JSON"));
    }
}

#[test]
fn a_killed_harness_takes_everything_with_it_and_leaves_readable_journals() {
    let _one = one_cluster();
    for for_ms in [1_100, 2_700, 4_200] {
        let dir = tempfile::tempdir().expect("a directory");
        let run = dir.path().join("run");
        let out = run.to_string_lossy().into_owned();
        let mut child = begun(&out, for_ms);
        let brood = children(child.id());
        assert!(!brood.is_empty(), "a cluster runs after {for_ms} ms");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        all_gone_within_a_second(&brood);
        let (status, again, stderr) = told(&mqproof(&["check", &out, "--json", "--out", &out]));
        assert_eq!(status, 2, "after {for_ms} ms: {stderr}");
        says_nothing_it_cannot_know(&report(&run));
        assert!(run.join("report.html").is_file(), "the report that the harness could not write");
        says_nothing_it_cannot_know(&serde_json::from_str(&again).expect("check gives JSON"));
        assert!(cell(&run).join("data").exists(), "nobody could delete it");
        let (status, healed, _) = told(&mqproof(&["heal", &dir.path().to_string_lossy()]));
        assert_eq!(status, 0);
        assert!(healed.contains("removed"), "{healed}");
        assert!(!cell(&run).join("data").exists());
    }
}

#[test]
fn a_disk_that_fills_up_in_the_middle_leaves_a_readable_history_and_no_claim() {
    let _one = one_cluster();
    let dir = tempfile::tempdir().expect("a directory");
    let small = Mount::new(&dir.path().join("small"), "160m");
    let run = small.path.join("run");
    let out = run.to_string_lossy().into_owned();
    let mut child = begun(&out, 1_800);
    // What is left after the harness looked is taken by somebody else.
    let full = Command::new("sh")
        .args([
            "-c",
            "cat /dev/zero > \"$1\" 2>/dev/null",
            "sh",
            &small.path.join("ballast").to_string_lossy(),
        ])
        .status();
    assert!(full.is_ok());
    let status = child.wait().expect("it ends");
    let _ = std::fs::remove_file(small.path.join("ballast"));
    assert_eq!(status.code(), Some(2));
    let (status, again, stderr) = told(&mqproof(&["check", &out, "--json"]));
    assert_eq!(status, 2, "{stderr}");
    let again: Value = serde_json::from_str(&again).expect("check gives JSON");
    says_nothing_it_cannot_know(&again);
    let lost = support::check(&again["results"][0], "acked_loss");
    assert_eq!(lost["why"], "recorder: disk full");
}

/// A small file system; needs root, like the rest of a full test run.
struct Mount {
    path: PathBuf,
}

impl Mount {
    fn new(path: &Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("a directory");
        let options = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs can be mounted (this test needs root)");
        Self { path: path.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
