//! The public format `verdict.json`, version 1. A metric that was not measured is null, never 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::summary::{SummaryEntry, summarise};
use super::timeline::Timeline;
use super::word::VerdictWord;

/// The name and version of the format.
pub const VERDICT_SCHEMA: &str = "mqproof.verdict/1";

/// One run: all cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunReport {
    /// [`VERDICT_SCHEMA`].
    pub schema: String,
    /// The run.
    pub run: RunInfo,
    /// The cells folded by scenario, class and system.
    #[serde(default)]
    pub summary: Vec<SummaryEntry>,
    /// The cells, in the order in which they ran.
    pub results: Vec<CellResult>,
}

impl RunReport {
    /// The report of a run with these cells.
    pub fn new(run: RunInfo, results: Vec<CellResult>) -> Self {
        Self { schema: VERDICT_SCHEMA.into(), run, summary: summarise(&results), results }
    }
}

/// The run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunInfo {
    /// Its id, also the name of its directory.
    pub id: String,
    /// The seed that was given or drawn.
    pub seed: u64,
    /// When it started, RFC 3339.
    pub started: String,
    /// How long it took.
    pub duration_ms: u64,
    /// Version of mqproof.
    pub version: String,
    /// The command line.
    pub command: Vec<String>,
    /// Whether it was ended by Ctrl-C.
    pub interrupted: bool,
    /// The exit status.
    pub exit_status: u8,
    /// Where it ran.
    pub environment: Environment,
}

/// Where a run took place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Environment {
    /// Processor cores.
    pub cores: usize,
    /// Load average of the last minute at the start.
    pub load_average: Option<f64>,
    /// Operating system and kernel.
    pub kernel: String,
    /// File system of the run directory.
    pub file_system: Option<String>,
    /// Version of the client library.
    pub client_library: String,
    /// Git commit of the binary, if it was built in a checkout.
    pub git_commit: Option<String>,
    /// CRC-32C of the binary.
    pub binary_crc32c: Option<String>,
}

/// One cell: scenario × system × matrix point × repeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CellResult {
    /// `<scenario>~<system>~<k=v,…>~r<n>`, also the name of its directory.
    pub cell_id: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's sentence.
    pub about: String,
    /// The file it was read from, as given.
    pub path: String,
    /// The seed of the plan.
    pub seed: u64,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// The matrix point.
    pub matrix: BTreeMap<String, String>,
    /// Ids of the claims that it decides.
    pub decides: Vec<String>,
    /// Names of the checks that must be exercised.
    pub required: Vec<String>,
    /// What it ran on.
    pub system: SystemInfo,
    /// The cell's word: the worst of its required checks, or of any that is violated.
    pub verdict: VerdictWord,
    /// Why, in a sentence, where the word alone does not say.
    pub why: Option<String>,
    /// The checks.
    pub checks: Vec<CheckResult>,
    /// The faults.
    pub faults: Vec<FaultResult>,
    /// The numbers.
    pub metrics: Metrics,
    /// Half width of the uncertainty between clocks, ns; 0 where all processes share one clock.
    pub clock_epsilon_ns: u64,
    /// How long the cell took, all told.
    pub duration_ms: u64,
    /// The course of events, for charts. None if there was no load.
    pub timeline: Option<Timeline>,
    /// What a reader must know to judge the numbers (replicas clamped, latency unreliable, fault without effect …).
    pub notes: Vec<String>,
    /// The command that runs the cell again, in words of a shell.
    #[serde(default)]
    pub replay: Vec<String>,
    /// The directory of the run that recorded it, where that is not the directory of this report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_dir: Option<String>,
}

/// What a cell ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SystemInfo {
    /// `reference`, `kafka`, …
    pub name: String,
    /// The product's version as it says itself.
    pub version: String,
    /// How it was provided: `embedded`, `external`, …
    pub profile: String,
    /// The durability class.
    pub durability: String,
    /// When consumers settle: `before`, `after`, `auto`.
    pub settle: Option<String>,
    /// Settings read back from the running cluster, and those of the clients.
    pub settings: BTreeMap<String, String>,
    /// Planted bugs.
    pub defects: Vec<String>,
    /// The container image, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Hash of the simulator's trace, if it ran there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_hash: Option<String>,
}

/// One check of one cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CheckResult {
    /// The property's name.
    pub property: String,
    /// The word.
    pub verdict: VerdictWord,
    /// `never`, `allowed`, `demonstrated`, `max 5 s` …
    pub expect: String,
    /// Comparisons that could have shown it.
    pub exercised: u64,
    /// How often it was seen; 0 for a metric.
    pub count: u64,
    /// The value of a metric, in `unit`.
    pub value: Option<f64>,
    /// Unit of `value`.
    pub unit: Option<String>,
    /// The strength of evidence (`L1`, `L2`, `L3`) or the cause, of the first witness.
    pub grade: Option<String>,
    /// Why it is said, in a sentence.
    pub why: String,
    /// The best pieces of evidence, at most 20; `count` is exact.
    pub witnesses: Vec<Witness>,
}

impl CheckResult {
    /// Whether the value is the least that it can be: what was measured was not over at the end.
    pub fn is_least(&self) -> bool {
        self.grade.as_deref() == Some("censored")
    }
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Witness {
    /// To ask for with `mqproof why RUN ID`: `V1`, `V2`, … in a run.
    pub id: String,
    /// The rule that it breaks, in a sentence.
    pub rule: String,
    /// One line that says what happened.
    pub summary: String,
    /// The messages concerned, as ids.
    pub messages: Vec<String>,
    /// `topic/partition`, if it is about one.
    pub partition: Option<String>,
    /// The offset, if it is about one.
    pub offset: Option<u64>,
    /// The strength of evidence or the cause.
    pub grade: Option<String>,
    /// The events that show it and their surroundings, by time, at most 12.
    pub events: Vec<WitnessEvent>,
}

/// One line of a witness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WitnessEvent {
    /// Milliseconds since the start of load.
    pub at_ms: f64,
    /// Who recorded it: `writer-0.0`, `reader-1.0`, `conductor`.
    pub who: String,
    /// One or two words: `ack`, `deliver`, `kill`, `leader`.
    pub what: String,
    /// The rest of the line.
    pub text: String,
    /// Whether it is only what happened around the evidence.
    pub context: bool,
}

/// One fault of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FaultResult {
    /// `kill`, `stall`, …
    pub kind: String,
    /// As planned: `leader of orders`.
    pub target: String,
    /// As resolved: `node 3 (orders/1)`.
    pub resolved: Option<String>,
    /// `installed`, `skipped` or `indeterminate`.
    pub outcome: String,
    /// What was observed, or why it was skipped.
    pub evidence: String,
    /// When its effect was observed, ms since the start of load.
    pub at_ms: Option<f64>,
    /// When it was undone.
    pub until_ms: Option<f64>,
    /// Acknowledged records that no other replica had when the leader was killed: the bite meter.
    pub unreplicated_acked: Option<u64>,
}

/// The numbers of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Metrics {
    /// Sends that were invoked.
    pub sent: Option<u64>,
    /// Sends that were acknowledged at the level asked for.
    pub acked: Option<u64>,
    /// Sends that surely had no effect.
    pub failed: Option<u64>,
    /// Sends whose fate the client does not know.
    pub unknown: Option<u64>,
    /// First deliveries, over all groups.
    pub delivered: Option<u64>,
    /// Repeated deliveries, over all groups.
    pub duplicates: Option<u64>,
    /// Acknowledged messages that are lost; null without a drain certificate.
    pub lost: Option<u64>,
    /// Class `none` only: messages handed to the network that are missing.
    pub sent_but_missing: Option<u64>,
    /// Acknowledged messages per second of load.
    pub throughput_per_s: Option<f64>,
    /// From the intended send to the acknowledgement.
    pub ack_latency_us: Option<Quantiles>,
    /// From the intended send to the hand-over.
    pub e2e_latency_us: Option<Quantiles>,
    /// Longest recovery after a fault.
    pub rto_ms: Option<f64>,
    /// Whether it was not over at the end of the load, so that `rto_ms` is the least that it can be.
    #[serde(default)]
    pub rto_is_least: bool,
    /// The part of it after the partition's last new leader was first seen: what the client took to find it, and the leader to
    /// serve it. Null where no new leader was seen.
    pub rto_after_leader_ms: Option<f64>,
    /// Acknowledged records lost, with a certificate.
    pub rpo_records: Option<u64>,
    /// From the end of load to an empty backlog.
    pub drain_ms: Option<f64>,
    /// How late the harness itself sent, 99th percentile.
    pub self_lag_p99_us: Option<u64>,
}

/// Quantiles of a latency, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quantiles {
    /// Samples.
    pub count: u64,
    /// Samples that never completed, counted at their least possible value.
    pub censored: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Maximum.
    pub max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_an_older_version_are_read() {
        let metrics: Metrics =
            serde_json::from_str(r#"{"rto_ms": 2300.0}"#).expect("older reports are compared, too");
        assert_eq!((metrics.rto_ms, metrics.rto_is_least), (Some(2300.0), false));
    }
}
