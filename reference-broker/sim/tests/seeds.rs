//! Whole clusters under many seeds: nothing breaks without a planted bug, every planted bug is found.

use std::thread;

use broker_core::{Defect, Defects};
use broker_sim::{Drill, FlushPolicy, Options, Outcome, Rarities, Shrunk, explore, run, shrink};

fn explain(outcome: &Outcome, options: &Options) -> String {
    let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    format!("seed {}:\n{}\nreplay: {}", outcome.seed, violations.join("\n"), outcome.replay(options))
}

/// The seeds in two halves, each on a core of its own.
#[expect(clippy::disallowed_methods, reason = "whole runs, side by side; inside a run there is no thread")]
fn run_all(seeds: u64, options: Options) -> Vec<Outcome> {
    let half = move |from, to| (from..to).map(|seed| run(seed, options)).collect::<Vec<_>>();
    let first = thread::spawn(move || half(0, seeds / 2));
    let second = half(seeds / 2, seeds);
    let mut outcomes = first.join().expect("no run panics");
    outcomes.extend(second);
    outcomes
}

fn assert_unbroken(outcomes: &[Outcome], options: &Options) {
    let broken = outcomes.iter().filter(|outcome| !outcome.violations.is_empty());
    let report: Vec<String> = broken.map(|outcome| explain(outcome, options)).collect();
    assert!(report.is_empty(), "{}", report.join("\n\n"));
}

#[test]
fn three_hundred_seeds_break_no_promise_and_meet_everything_that_is_rare() {
    let outcomes = run_all(300, Options::default());
    assert_unbroken(&outcomes, &Options::default());
    let mut rarities = Rarities::default();
    for outcome in &outcomes {
        rarities.merge(&outcome.rarities);
    }
    assert_eq!(rarities.never().collect::<Vec<_>>(), []);
}

fn drill(drill: Drill, flush: FlushPolicy) -> (Options, Vec<Outcome>) {
    let options = Options { drill: Some(drill), flush: Some(flush), ..Options::default() };
    let outcomes = run_all(30, options);
    assert_unbroken(&outcomes, &options);
    (options, outcomes)
}

#[test]
fn with_a_flush_before_each_acknowledgement_a_blackout_loses_nothing() {
    let (options, outcomes) = drill(Drill::All, FlushPolicy::BeforeAck);
    for outcome in outcomes {
        assert_eq!((outcome.lost, &outcome.not_claimed), (0, &None), "{}", explain(&outcome, &options));
    }
}

#[test]
fn without_flushes_a_blackout_loses_records_in_most_seeds_and_that_is_not_claimed() {
    let (_, outcomes) = drill(Drill::All, FlushPolicy::PageCache);
    assert!(outcomes.iter().all(|outcome| outcome.lost == 0 || outcome.not_claimed.is_some()));
    let lossy = outcomes.iter().filter(|outcome| outcome.lost > 0).count();
    assert!(lossy > 15, "{lossy} of 30");
}

#[test]
fn without_flushes_one_power_loss_at_a_time_loses_nothing_that_was_acknowledged() {
    let (options, outcomes) = drill(Drill::One, FlushPolicy::PageCache);
    for outcome in outcomes {
        assert_eq!((outcome.lost, &outcome.not_claimed), (0, &None), "{}", explain(&outcome, &options));
    }
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
    let elections = sum(|outcome| outcome.elections);
    assert!(elections > 40, "{elections}: two per seed would be one more than it takes");
}

#[test]
fn a_node_that_dies_at_any_change_of_its_disk_loses_nothing_that_was_promised() {
    let found = explore(3, 41, Options::default());
    let broken: Vec<String> =
        found.broken.iter().map(|(point, broken)| format!("{point}: {broken:?}")).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(
        found.points > 200 && found.deaths >= found.points && found.twice > found.points / 4,
        "{found:?}"
    );
}

#[test]
fn of_the_faults_of_a_failing_run_those_are_left_that_it_takes() {
    let defects = Defects::from_iter([Defect::ElectOutsideIsr]);
    let options = Options { defects, ..Options::default() };
    let seed = (0..200).find(|seed| !run(*seed, options).violations.is_empty()).expect("it shows");
    let Shrunk { kind, options: less, kept, of, .. } = shrink(seed, options).expect("it fails");
    assert!(!kept.is_empty() && (kept.len() as u64) < of, "{kept:?} of {of}");
    let fails = |options| run(seed, options).violations.iter().any(|violation| violation.kind == kind);
    assert!(fails(less));
    let none = Options { spared: (0..of).collect(), ..options };
    assert!(!fails(none), "it takes a fault");
    assert!(shrink(seed, Options::default()).is_none(), "without the defect nothing fails");
}
