//! Literal histories, judged: for each property one that keeps it, one that breaks it, and one that leaves it open.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what it misses")]

mod story;

use mqproof_core::history::{Delivery, Event, EventKind, Outcome};
use mqproof_core::plan::Expectation;
use mqproof_core::property::Property;
use mqproof_core::verdict::{Judged, VerdictWord};

use VerdictWord::{HarnessFailure, Inconclusive, NotClaimed, NotExercised, NotObserved, Violated};
use story::{MS, ORIGIN, Story, event, message, plan};

/// The word on a property, and how often it was seen.
fn said(judged: &Judged, property: Property) -> (VerdictWord, u64) {
    let check = judged.checks.iter().find(|check| check.property == property.name());
    let check = check.unwrap_or_else(|| panic!("no check of {property}"));
    // A metric is its own evidence.
    if check.verdict == Violated && !property.is_metric() {
        assert!(!check.witnesses.is_empty(), "a violation has a witness: {check:?}");
        assert!(check.witnesses.iter().all(|witness| !witness.events.is_empty()), "a witness has events");
    }
    if check.verdict == NotObserved {
        assert!(check.exercised > 0, "not observed in no comparison: {check:?}");
    }
    (check.verdict, check.count)
}

fn grade(judged: &Judged, property: Property) -> String {
    let check = judged.checks.iter().find(|check| check.property == property.name()).unwrap();
    check.grade.clone().unwrap_or_default()
}

/// Nothing but these properties is violated.
fn only(judged: &Judged, properties: &[Property]) {
    for check in &judged.checks {
        let expected = properties.iter().any(|property| property.name() == check.property);
        assert_eq!(check.verdict == Violated, expected, "{check:?}");
    }
}

#[test]
fn a_clean_history_shows_nothing_in_comparisons_that_could_have_failed() {
    let judged = Story::clean().judge();
    assert_eq!((judged.verdict, judged.why.clone()), (NotObserved, None));
    only(&judged, &[]);
    for property in [
        Property::AckedLoss,
        Property::DuplicateAppend,
        Property::OrderLog,
        Property::OrderConsumer,
        Property::OrderPerKey,
        Property::Divergence,
        Property::HighWatermarkRollback,
        Property::Phantom,
        Property::Corruption,
    ] {
        assert_eq!(said(&judged, property), (NotObserved, 0), "{property}");
    }
    assert_eq!((judged.metrics.sent, judged.metrics.acked, judged.metrics.lost), (Some(6), Some(6), Some(0)));
    assert_eq!((judged.metrics.delivered, judged.metrics.duplicates), (Some(6), Some(0)));
    let p50 = judged.metrics.ack_latency_us.unwrap().p50;
    assert!((2_990..=3_010).contains(&p50), "three digits of 3 ms: {p50} µs");
}

/// Message 5 was acknowledged at offset 5; the log ends before it.
fn a_lost_tail(set: &[&str]) -> Story {
    let mut story = Story::with(set);
    story.assign(0, 1);
    for seq in 0..6 {
        story.send(seq).ack(seq, u64::from(seq));
    }
    for seq in 0..5 {
        story.deliver(0, u64::from(seq), seq);
    }
    story.commit(0, 5).stored(&[0, 1, 2, 3, 4])
}

#[test]
fn an_acknowledged_message_that_a_certified_read_does_not_find_is_lost() {
    let judged = a_lost_tail(&[]).judge();
    assert_eq!(said(&judged, Property::AckedLoss), (Violated, 1));
    assert_eq!(grade(&judged, Property::AckedLoss), "L3");
    assert_eq!((judged.verdict, judged.metrics.lost), (Violated, Some(1)));
    only(&judged, &[Property::AckedLoss]);
}

#[test]
fn a_loss_without_an_offset_is_of_the_second_grade() {
    let mut story = a_lost_tail(&[]);
    for event in &mut story.writer {
        if event.kind == EventKind::SendEnd {
            event.a = Event::NO_OFFSET;
        }
    }
    let judged = story.judge();
    assert_eq!(said(&judged, Property::AckedLoss), (Violated, 1));
    assert_eq!(grade(&judged, Property::AckedLoss), "L2");
}

#[test]
fn without_a_certificate_nothing_is_lost_and_nothing_is_safe() {
    let mut story = a_lost_tail(&[]);
    story.certified = false;
    let judged = story.judge();
    assert_eq!(said(&judged, Property::AckedLoss), (Inconclusive, 0));
    assert_eq!((judged.verdict, judged.metrics.lost), (Inconclusive, None));
}

#[test]
fn drain_readers_that_disagree_give_no_certificate() {
    let mut story = a_lost_tail(&[]);
    story.log[1][4].1 = message(5);
    let judged = story.judge();
    assert_eq!(said(&judged, Property::AckedLoss).0, Inconclusive);
    assert_eq!(said(&judged, Property::Divergence).0, Violated, "two readers saw two messages at offset 4");
}

#[test]
fn a_send_of_unknown_fate_is_never_lost() {
    let mut story = a_lost_tail(&[]);
    let last = story.writer.last_mut().unwrap();
    (last.flags, last.a) = (Outcome::Info as u8, Event::NO_OFFSET);
    let judged = story.judge();
    assert_eq!(said(&judged, Property::AckedLoss), (NotObserved, 0));
    assert_eq!(judged.metrics.unknown, Some(1));
}

#[test]
fn below_the_quorum_a_loss_is_shown_and_not_claimed() {
    let judged = a_lost_tail(&["durability=leader", "producers.w.idempotence=false"]).judge();
    assert_eq!(said(&judged, Property::AckedLoss), (NotClaimed, 1));
    assert_eq!((judged.verdict, judged.metrics.lost), (NotClaimed, Some(1)));
    assert!(!judged.required.contains(&"acked_loss".to_owned()));
}

#[test]
fn fire_and_forget_loses_nothing_that_was_acknowledged() {
    let judged = a_lost_tail(&["durability=none", "producers.w.idempotence=false"]).judge();
    assert_eq!(said(&judged, Property::AckedLoss), (NotClaimed, 0));
    assert_eq!((judged.metrics.acked, judged.metrics.sent_but_missing), (None, Some(1)));
}

#[test]
fn a_group_that_commits_past_a_record_it_was_never_handed_has_lost_it() {
    let mut story = Story::new();
    story.assign(0, 1);
    for seq in 0..6 {
        story.send(seq).ack(seq, u64::from(seq));
    }
    for seq in 0..4 {
        story.deliver(0, u64::from(seq), seq);
    }
    let judged = story.commit(0, 6).stored(&[0, 1, 2, 3, 4, 5]).judge();
    assert_eq!(said(&judged, Property::AckedLoss), (Violated, 2));
    assert_eq!(grade(&judged, Property::AckedLoss), "L1");
}

#[test]
fn a_group_that_lags_leaves_its_losses_open() {
    let mut story = Story::clean();
    story.committed = 4;
    for event in &mut story.members[0] {
        if event.kind == EventKind::Commit {
            event.a = 4;
        }
    }
    story.members[0].retain(|event| event.kind != EventKind::Deliver || event.a < 4);
    assert_eq!(said(&story.judge(), Property::AckedLoss), (Inconclusive, 0));
}

#[test]
fn a_message_at_two_offsets_is_a_duplicate_of_an_idempotent_producer() {
    let twice = |set: &[&str]| {
        let mut story = Story::clean_with(set);
        story.deliver(0, 6, 3);
        story.commit(0, 7).stored(&[0, 1, 2, 3, 4, 5, 3])
    };
    let judged = twice(&[]).judge();
    assert_eq!(said(&judged, Property::DuplicateAppend), (Violated, 1));
    only(&judged, &[Property::DuplicateAppend]);
    let judged = twice(&["producers.w.idempotence=false", "producers.w.in_flight=1"]).judge();
    assert_eq!(said(&judged, Property::DuplicateAppend), (NotClaimed, 1));
}

/// A second member takes over at offset 2 from one that had committed up to `committed`.
fn taken_over(committed: u64) -> Story {
    let mut story = Story::clean();
    story.members[0].retain(|event| event.kind != EventKind::Commit);
    let mut story = story.commit(0, committed);
    let at = (story.members[0].last().unwrap().t_ns - ORIGIN) / MS + 50;
    let assign = Event { a: Event::NO_OFFSET, c: 1, ..event(at, EventKind::Member) };
    story.members[1].push(assign);
    for offset in 2..6 {
        story.deliver(1, offset, offset as u32);
    }
    story.commit(1, 6)
}

#[test]
fn a_committed_record_that_is_handed_over_again_is_a_violation() {
    let judged = taken_over(6).judge();
    assert_eq!(said(&judged, Property::DuplicateDelivery), (Violated, 4));
    only(&judged, &[Property::DuplicateDelivery]);
}

#[test]
fn what_was_not_committed_may_be_handed_over_again() {
    let judged = taken_over(2).judge();
    assert_eq!(said(&judged, Property::DuplicateDelivery), (NotObserved, 0));
    assert_eq!(judged.metrics.duplicates, Some(4));
}

#[test]
fn of_two_commits_the_last_answer_counts() {
    let mut story = taken_over(6);
    let older =
        story.members[0].last().map(|commit| Event { a: 2, t_ns: commit.t_ns + MS, ..*commit }).unwrap();
    story.members[0].push(older);
    assert_eq!(said(&story.judge(), Property::DuplicateDelivery), (NotObserved, 0));
}

#[test]
fn a_message_that_nobody_sent_is_a_phantom_whatever_else_is_known() {
    let mut story = Story::clean();
    story.deliver(0, 6, 77);
    story.certified = false;
    assert_eq!(said(&story.judge(), Property::Phantom), (Violated, 1));
    story.unsealed = Some("writer");
    assert_eq!(
        said(&story.judge(), Property::Phantom),
        (Inconclusive, 0),
        "its send may be missing from the journal"
    );
}

#[test]
fn changed_bytes_are_a_corruption() {
    let mut story = Story::clean();
    story.deliver_as(0, 6, message(3), Delivery::Corrupt);
    assert_eq!(said(&story.judge(), Property::Corruption), (Violated, 1));
}

#[test]
fn a_record_of_another_run_is_trouble_of_ours() {
    let mut story = Story::clean();
    story.deliver_as(0, 6, message(3), Delivery::ForeignRun);
    story.certified = false;
    assert_eq!(story.judge().verdict, HarnessFailure);
}

#[test]
fn a_refused_send_that_is_delivered_is_visible_and_an_unknown_one_is_recovered() {
    let ends = |outcome| {
        let mut story = Story::clean();
        story.send(6).end(6, outcome, Event::NO_OFFSET).deliver(0, 6, 6);
        story.commit(0, 7).stored(&[0, 1, 2, 3, 4, 5, 6]).judge()
    };
    let judged = ends(Outcome::Fail);
    assert!(matches!(said(&judged, Property::FailVisible), (Violated, 1..)), "{:?}", judged.checks);
    assert_eq!(said(&ends(Outcome::Info), Property::FailVisible), (NotExercised, 0));
    assert_eq!(ends(Outcome::Info).verdict, NotObserved);
}

#[test]
fn a_log_in_another_order_than_the_sends_is_out_of_order_and_a_gap_is_not() {
    let read_in_log_order = |seqs: &[u32]| {
        let mut story = Story::new();
        story.assign(0, 1);
        for seq in 0..6 {
            story.send(seq);
            let offset = seqs.iter().position(|one| *one == seq);
            match offset {
                Some(offset) => story.ack(seq, offset as u64),
                None => story.end(seq, Outcome::Info, Event::NO_OFFSET),
            };
        }
        for (offset, seq) in (0..).zip(seqs) {
            story.deliver(0, offset, *seq);
        }
        story.commit(0, seqs.len() as u64).stored(seqs).judge()
    };
    let judged = read_in_log_order(&[0, 1, 4, 3, 2, 5]);
    assert_eq!(said(&judged, Property::OrderLog).0, Violated);
    assert_eq!(said(&judged, Property::OrderPerKey), (Violated, 1), "4 before 2, both of key 0");
    let judged = read_in_log_order(&[0, 1, 3, 2, 4, 5]);
    assert_eq!(said(&judged, Property::OrderPerKey), (NotObserved, 0), "2 and 3 are of different keys");
    only(&read_in_log_order(&[0, 1, 3, 5]), &[]);
}

#[test]
fn a_consumer_that_goes_back_or_skips_within_a_session_is_out_of_order() {
    let handed = |offsets: &[u64]| {
        let mut story = Story::new();
        story.assign(0, 1);
        for seq in 0..6 {
            story.send(seq).ack(seq, u64::from(seq));
        }
        for offset in offsets {
            story.deliver(0, *offset, *offset as u32);
        }
        story.commit(0, 6).stored(&[0, 1, 2, 3, 4, 5]).judge()
    };
    assert_eq!(said(&handed(&[0, 1, 2, 3, 4, 5]), Property::OrderConsumer), (NotObserved, 0));
    assert_eq!(said(&handed(&[0, 1, 3, 2, 4, 5]), Property::OrderConsumer).0, Violated);
    let skipped = handed(&[0, 1, 4, 5]);
    assert_eq!(said(&skipped, Property::OrderConsumer).0, Violated, "the log holds 2 and 3");
    assert_eq!(said(&skipped, Property::AckedLoss), (Violated, 2));
}

#[test]
fn two_messages_at_one_offset_diverge() {
    let mut story = Story::clean();
    for event in &mut story.members[0] {
        if event.kind == EventKind::Deliver && event.a == 4 {
            event.msg = message(3).0;
        }
    }
    let judged = story.judge();
    assert_eq!(said(&judged, Property::Divergence), (Violated, 1));
}

#[test]
fn an_acknowledged_offset_with_another_message_is_claimed_with_the_acknowledgement() {
    let reused = |set: &[&str]| {
        let mut story = Story::clean_with(set);
        story.send(6).ack(6, 5).deliver(0, 6, 6);
        story.commit(0, 7).stored(&[0, 1, 2, 3, 4, 5, 6]).judge()
    };
    assert_eq!(said(&reused(&[]), Property::Divergence).0, Violated);
    let weak = reused(&["durability=leader", "producers.w.idempotence=false", "producers.w.in_flight=1"]);
    assert_eq!(said(&weak, Property::Divergence).0, NotClaimed);
}

#[test]
fn a_record_that_was_delivered_and_is_gone_from_the_log_rolls_the_watermark_back() {
    let mut story = Story::clean().stored(&[0, 1, 2, 3, 4]);
    let judged = story.judge();
    assert_eq!(said(&judged, Property::HighWatermarkRollback), (Violated, 1));
    story.certified = false;
    assert_eq!(said(&story.judge(), Property::HighWatermarkRollback), (Inconclusive, 0));
}

#[test]
fn over_an_unsealed_journal_nothing_is_said_to_be_unobserved() {
    for name in ["writer", "member-0", "drain-1", "drain-2", "conductor"] {
        let mut story = Story::clean();
        story.unsealed = Some(name);
        let judged = story.judge();
        assert_eq!(judged.verdict, Inconclusive, "{name}");
        for check in judged.checks {
            assert_ne!(check.verdict, NotObserved, "{} over an unsealed {name}", check.property);
        }
    }
}

#[test]
fn an_interrupted_run_and_a_full_disk_leave_everything_open() {
    let mut story = Story::clean();
    story.facts.interrupted = true;
    assert_eq!(story.judge().verdict, Inconclusive);
    let mut story = Story::clean();
    story.conductor.push(event(500, EventKind::Trouble));
    let judged = story.judge();
    assert_eq!(judged.verdict, Inconclusive);
    assert!(judged.why.unwrap().contains("disk full"));
}

#[test]
fn a_violation_outranks_trouble_and_trouble_outranks_the_rest() {
    let mut story = a_lost_tail(&[]);
    story.facts.troubles.push("a node did not come back".into());
    assert_eq!(story.judge().verdict, Violated);
    let mut story = Story::clean();
    story.facts.troubles.push("a node did not come back".into());
    assert_eq!(story.judge().verdict, HarnessFailure);
}

/// A plan with one kill; `optional` faults may be skipped.
fn with_a_kill(mut story: Story, optional: bool) -> Story {
    let faulty = plan(&["faults=[{kill: {target: {node: 1}, at: 20ms, for: 100ms}}]"]);
    story.plan.faults = faulty.faults;
    story.plan.faults[0].optional = optional;
    story
}

#[test]
fn a_fault_without_effect_puts_nothing_to_the_test() {
    let mut story = with_a_kill(Story::clean(), false);
    story.fault(&[0, 1, 2]);
    assert_eq!(story.judge().verdict, NotObserved);
    let mut story = with_a_kill(Story::clean(), false);
    story.fault(&[0, 4, 2]);
    let judged = story.judge();
    assert_eq!((said(&judged, Property::AckedLoss), judged.verdict), ((NotExercised, 0), NotExercised));
    let mut story = with_a_kill(Story::clean(), false);
    story.fault(&[3]);
    assert_eq!(story.judge().verdict, NotExercised);
    let mut story = with_a_kill(Story::clean(), true);
    story.fault(&[3]);
    assert_eq!(story.judge().verdict, NotObserved, "an optional fault may be skipped");
}

#[test]
fn of_a_repeated_fault_one_effect_is_enough() {
    let repeated = |flags: [&[u8]; 2]| {
        let mut story = with_a_kill(Story::clean(), false);
        story.plan.faults.push(story.plan.faults[0].clone());
        for (index, flags) in (0..).zip(flags) {
            story.fault(flags);
            let told = story.conductor.len() - flags.len();
            story.conductor[told..].iter_mut().for_each(|event| event.b = index);
        }
        story.judge().verdict
    };
    assert_eq!(repeated([&[0, 1, 2], &[0, 4, 2]]), NotObserved);
    assert_eq!(repeated([&[0, 4, 2], &[0, 4, 2]]), NotExercised);
}

#[test]
fn expectations_decide_what_an_observation_means() {
    let allowed = a_lost_tail(&[]).expecting(Property::AckedLoss, Expectation::Allowed).judge();
    assert_eq!(said(&allowed, Property::AckedLoss), (NotClaimed, 1));
    assert!(!allowed.required.contains(&"acked_loss".to_owned()));
    let shown = Story::clean().expecting(Property::AckedLoss, Expectation::Demonstrated).judge();
    assert_eq!(said(&shown, Property::AckedLoss), (NotExercised, 0));
    assert_eq!(shown.verdict, NotExercised);
}

#[test]
fn a_metric_keeps_its_bounds_or_does_not() {
    let bound = |min, max| Expectation::Bound { min, max };
    let word = |property, expectation| {
        let judged = Story::clean().expecting(property, expectation).judge();
        said(&judged, property).0
    };
    assert_eq!(word(Property::AckLatency, bound(None, Some(5.0))), NotObserved);
    assert_eq!(word(Property::AckLatency, bound(None, Some(1.0))), Violated);
    assert_eq!(word(Property::Throughput, bound(Some(1e9), None)), Violated);
    assert_eq!(word(Property::Rpo, bound(None, Some(0.0))), NotObserved);
    assert_eq!(word(Property::Rto, bound(None, Some(5.0))), NotExercised, "too few sends to tell an outage");
}

#[test]
fn a_prefix_of_a_violating_history_never_turns_a_violation_of_its_own_into_silence() {
    // Positive evidence stands alone: whatever is added after it, it stays.
    let mut story = Story::clean();
    story.deliver(0, 6, 77);
    let before = said(&story.judge(), Property::Phantom);
    story.deliver(0, 7, 5);
    assert_eq!(said(&story.judge(), Property::Phantom), before);
}
