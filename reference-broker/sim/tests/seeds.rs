//! Whole clusters under many seeds: nothing breaks without a planted bug, every planted bug is found.

use std::thread;

use broker_core::{Defect, Defects};
use broker_sim::{Options, Outcome, run};

fn planted(defect: Defect) -> Options {
    Options { defects: Defects::from_iter([defect]), ..Options::default() }
}

fn explain(outcome: &Outcome, options: &Options) -> String {
    let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    format!("seed {}:\n{}\nreplay: {}", outcome.seed, violations.join("\n"), outcome.replay(options))
}

/// Runs seeds until one of the named violations comes up.
fn found_within(seeds: u64, defect: Defect, kinds: &[&str]) {
    let found = |seed| run(seed, planted(defect)).violations.iter().any(|found| kinds.contains(&found.kind));
    assert!((0..seeds).any(found), "`{defect}` is not found by {kinds:?} within {seeds} seeds");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "two halves of the seeds, each on a core of its own")]
fn three_hundred_seeds_break_no_promise() {
    let options = Options::default();
    let half = move |seeds: std::ops::Range<u64>| {
        seeds
            .map(|seed| run(seed, options))
            .filter(|outcome| !outcome.violations.is_empty())
            .collect::<Vec<_>>()
    };
    let first = thread::spawn(move || half(0..150));
    let mut broken = half(150..300);
    broken.extend(first.join().unwrap());
    let report: Vec<String> = broken.iter().map(|outcome| explain(outcome, &options)).collect();
    assert!(report.is_empty(), "{}", report.join("\n\n"));
}

#[test]
fn the_same_seed_does_the_same_again_and_another_does_not() {
    let options = Options::default();
    assert_eq!(run(11, options), run(11, options));
    assert_ne!(run(11, options).trace_hash, run(12, options).trace_hash);
}

#[test]
fn seeds_are_not_idle() {
    let outcomes: Vec<Outcome> = (0..20).map(|seed| run(seed, Options::default())).collect();
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    let (acknowledged, retried, faults) =
        (sum(|outcome| outcome.acknowledged), sum(|outcome| outcome.retried), sum(|outcome| outcome.faults));
    assert!(acknowledged > 5000 && retried > 500 && faults > 50, "{acknowledged} {retried} {faults}");
}

#[test]
fn an_ack_before_replication_loses_records() {
    found_within(60, Defect::AckBeforeReplicate, &["acked-loss"]);
}

#[test]
fn a_high_watermark_ahead_of_the_isr_is_noticed_by_readers() {
    found_within(60, Defect::HwAheadOfIsr, &["read-vanished"]);
}

#[test]
fn a_skipped_truncation_makes_replicas_diverge() {
    found_within(60, Defect::SkipTruncation, &["divergence"]);
}

#[test]
fn a_batch_stored_twice_is_a_duplicate() {
    found_within(60, Defect::DedupeOff, &["duplicate"]);
}

#[test]
fn an_election_from_outside_the_isr_loses_records() {
    found_within(60, Defect::ElectOutsideIsr, &["acked-loss"]);
}

#[test]
fn a_skipped_sequence_check_reorders_records() {
    found_within(100, Defect::SkipSequenceCheck, &["reordered"]);
}

#[test]
fn a_flipped_byte_is_corruption() {
    found_within(60, Defect::FlipByte, &["corruption"]);
}

#[test]
fn a_rejected_batch_that_is_stored_is_found() {
    found_within(100, Defect::AppendRejected, &["rejected-but-stored"]);
}
