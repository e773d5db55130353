//! Each checker on histories that were written down by hand.

use super::story::{CONSUMERS, DRAINS, PRODUCER, Story, healthy, message};
use crate::history::{Delivery, Event, EventKind, Level, MemberChange, Outcome};
use crate::ids::MessageId;
use crate::plan::{Durability, FaultKind, FaultPlan, FaultTarget, Role, Settle, Trigger};
use crate::property::Property;
use crate::verdict::VerdictWord::{Inconclusive, NotClaimed, NotExercised, NotObserved, Violated};

const READER: usize = CONSUMERS[0];
const OTHER: usize = CONSUMERS[1];

/// [`healthy`] without any trace of message 2 behind its acknowledgement.
fn lost() -> Story {
    let is_lost = |event: &Event| event.kind == EventKind::Deliver && event.message() == message(2);
    [READER, DRAINS[0], DRAINS[1]].into_iter().fold(healthy(), |story, shard| story.without(shard, is_lost))
}

#[test]
fn a_healthy_history_violates_nothing_and_exercises_what_it_can() {
    let story = healthy();
    assert_eq!(story.violated(), []);
    for property in [
        Property::AckedLoss,
        Property::DuplicateAppend,
        Property::DuplicateDelivery,
        Property::Phantom,
        Property::Corruption,
        Property::OrderLog,
        Property::OrderConsumer,
        Property::OrderPerKey,
        Property::Divergence,
        Property::HighWatermarkRollback,
    ] {
        let check = story.check(property);
        assert_eq!(check.verdict, NotObserved, "{property}: {}", check.why);
        assert!(check.exercised > 0, "{property}");
    }
    // No send failed, so nothing could have shown it.
    assert_eq!(story.check(Property::FailVisible).verdict, NotExercised);
    assert_eq!(story.judge().verdict, NotObserved);
}

#[test]
fn an_acknowledged_message_that_nobody_reads_is_lost_with_grade_l3() {
    let check = lost().check(Property::AckedLoss);
    assert_eq!((check.verdict, check.count, check.grade.as_deref()), (Violated, 1, Some("L3")));
    let witness = &check.witnesses[0];
    assert_eq!((witness.messages.as_slice(), witness.offset), ([message(2).to_string()].as_slice(), Some(2)));
    assert!(!witness.events.is_empty() && witness.events.len() <= 12);
}

#[test]
fn a_lost_message_whose_offset_is_unknown_has_grade_l2() {
    let story = lost().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.a = Event::NO_OFFSET;
        }
    });
    assert_eq!(story.check(Property::AckedLoss).grade.as_deref(), Some("L2"));
}

#[test]
fn a_message_in_the_log_that_a_session_read_past_is_lost_to_the_group_with_grade_l1() {
    let story =
        healthy().without(READER, |event| event.kind == EventKind::Deliver && event.message() == message(2));
    let check = story.check(Property::AckedLoss);
    assert_eq!((check.verdict, check.count, check.grade.as_deref()), (Violated, 1, Some("L1")));
    // The same is a record left out by the consumer.
    assert_eq!(story.word(Property::OrderConsumer), (Violated, 1));
}

#[test]
fn a_group_that_committed_past_a_message_lost_it_also_at_the_end_of_the_log() {
    let story =
        healthy().without(READER, |event| event.kind == EventKind::Deliver && event.message() == message(3));
    assert_eq!(story.word(Property::AckedLoss), (Violated, 1));
    assert_eq!(story.word(Property::OrderConsumer).0, NotObserved);
}

#[test]
fn without_a_drain_a_missing_message_proves_nothing() {
    let mut story = Story::new();
    for seq in 0..4 {
        story = story.acked(u64::from(seq), seq, u64::from(seq));
    }
    let check = story.check(Property::AckedLoss);
    assert_eq!((check.verdict, check.count), (Inconclusive, 0));
    assert!(check.why.starts_with("drain"), "{}", check.why);
}

#[test]
fn a_group_that_lags_makes_loss_inconclusive_and_is_named() {
    let story = healthy().without(READER, |event| event.kind == EventKind::Commit || event.a == 3);
    let mut story = story;
    story.events[5]
        .iter_mut()
        .filter(|event| event.kind == EventKind::Committed)
        .for_each(|event| event.a = 3);
    let check = story.check(Property::AckedLoss);
    assert_eq!(check.verdict, Inconclusive);
    assert!(check.why.contains("readers") && check.why.contains("lags by 1"), "{}", check.why);
}

#[test]
fn unknown_and_refused_sends_are_never_lost() {
    let story = Story::new()
        .sent(0, 0)
        .ended(1, 0, Outcome::Info, Level::Sent, Event::NO_OFFSET)
        .sent(2, 1)
        .ended(3, 1, Outcome::Fail, Level::Sent, Event::NO_OFFSET)
        .acked(4, 2, 0)
        .read(READER, 6, 0, 2)
        .log(&[(0, 2)])
        .drained(1, 1);
    assert_eq!(story.violated(), []);
    assert_eq!(story.word(Property::AckedLoss), (NotObserved, 0));
}

#[test]
fn an_unknown_send_that_was_delivered_is_recovered() {
    let story = healthy().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd && event.message() == message(1) {
            event.flags = Outcome::Info as u8;
        }
    });
    assert_eq!(story.violated(), []);
    let metrics = story.judge().metrics;
    assert_eq!((metrics.acked, metrics.unknown, metrics.lost), (Some(3), Some(1), Some(0)));
}

#[test]
fn with_acks_1_a_loss_is_counted_and_not_claimed() {
    let mut story = lost().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.flags = (Level::Leader as u8) << 2;
        }
    });
    story.plan.durability = Durability::Leader;
    assert_eq!(story.word(Property::AckedLoss), (NotClaimed, 1));
    assert_eq!(story.judge().verdict, NotClaimed);
}

#[test]
fn an_acknowledgement_below_the_class_does_not_count() {
    let story = lost().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd && event.message() == message(2) {
            event.flags = (Level::Leader as u8) << 2;
        }
    });
    assert_eq!(story.word(Property::AckedLoss), (NotObserved, 0));
}

#[test]
fn fire_and_forget_counts_what_was_sent_and_is_missing() {
    let mut story = lost().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.flags = Outcome::Info as u8;
            event.a = Event::NO_OFFSET;
        }
    });
    story.plan.durability = Durability::None;
    let judged = story.judge();
    assert_eq!((judged.metrics.sent_but_missing, judged.metrics.lost), (Some(1), None));
    assert_eq!(story.word(Property::AckedLoss), (NotClaimed, 0));
}

#[test]
fn two_brokers_dead_at_once_are_outside_the_promise_of_a_quorum_of_two() {
    let story = lost().broker(40, 1, true).broker(41, 2, true).broker(50, 1, false);
    assert_eq!(story.word(Property::AckedLoss), (NotClaimed, 1));
    let one_after_the_other = lost().broker(40, 1, true).broker(41, 1, false).broker(42, 2, true);
    assert_eq!(one_after_the_other.word(Property::AckedLoss), (Violated, 1));
    // Node 4 is the controller.
    let with_controller = lost().broker(40, 1, true).broker(41, 4, true);
    assert_eq!(with_controller.word(Property::AckedLoss), (Violated, 1));
}

#[test]
fn a_message_at_two_offsets_violates_only_an_idempotent_session() {
    let story = Story::new()
        .acked(0, 0, 0)
        .read(READER, 5, 0, 0)
        .read(READER, 6, 1, 0)
        .log(&[(0, 0), (1, 0)])
        .drained(2, 2);
    assert_eq!(story.violated(), [Property::DuplicateAppend]);
    let mut plain = story;
    plain.plan.producers[0].idempotence = false;
    assert_eq!(plain.word(Property::DuplicateAppend), (NotClaimed, 1));
}

#[test]
fn a_copy_that_the_harness_sent_itself_is_legal() {
    let story = Story::new()
        .sent(0, 0)
        .ended(1, 0, Outcome::Info, Level::Sent, Event::NO_OFFSET)
        .acked(2, 0, 1)
        .read(READER, 5, 0, 0)
        .read(READER, 6, 1, 0)
        .log(&[(0, 0), (1, 0)])
        .drained(2, 2);
    assert_eq!(story.violated(), []);
    assert!(story.check(Property::DuplicateAppend).why.contains("sent again by the harness"));
}

#[test]
fn a_copy_of_a_session_that_began_a_new_producer_epoch_is_legal() {
    let timed_out = |event: &mut Event| {
        if event.kind == EventKind::SendEnd && event.outcome() == Outcome::Info {
            event.c = super::super::sends::TIMED_OUT;
        }
    };
    let story = Story::new()
        .acked(0, 0, 0)
        .sent(1, 1)
        .ended(2, 1, Outcome::Info, Level::Sent, Event::NO_OFFSET)
        .read(READER, 5, 0, 0)
        .read(READER, 6, 1, 0)
        .log(&[(0, 0), (1, 0)])
        .drained(2, 2);
    assert_eq!(story.violated(), [Property::DuplicateAppend]);
    let story = story.changed(PRODUCER, timed_out);
    assert_eq!(story.violated(), []);
    assert!(story.check(Property::DuplicateAppend).why.contains("new producer epoch"));
}

/// The first consumer is handed 0 to 3 and ends so; the second then gets the partition and starts at `from`.
fn taken_over(committed: Option<u64>, end: Option<MemberChange>, from: u64) -> Story {
    let mut story = healthy().without(READER, |event| event.kind == EventKind::Commit);
    if let Some(next) = committed {
        story = story.commit(READER, 100, next);
    }
    if let Some(end) = end {
        story = story.member(READER, 110, end, 1);
    }
    story = story.member(OTHER, 200, MemberChange::Assign, 1);
    for offset in from..4 {
        story = story.read(OTHER, 210 + offset, offset, offset as u32);
    }
    story.commit(OTHER, 300, 4)
}

#[test]
fn what_a_dead_consumer_had_not_settled_is_legally_delivered_again() {
    let story = taken_over(Some(2), None, 2);
    assert_eq!(story.word(Property::DuplicateDelivery), (NotObserved, 0));
    assert!(story.check(Property::DuplicateDelivery).why.contains("2 × consumer died"));
    let metrics = story.judge().metrics;
    assert_eq!((metrics.delivered, metrics.duplicates), (Some(4), Some(2)));
}

#[test]
fn what_was_committed_before_the_next_session_must_not_be_delivered_again() {
    let story = taken_over(Some(4), Some(MemberChange::Revoke), 3);
    assert_eq!(story.word(Property::DuplicateDelivery), (Violated, 1));
    assert_eq!(story.check(Property::DuplicateDelivery).grade.as_deref(), Some("acked, then redelivered"));
}

#[test]
fn a_commit_whose_fate_is_unknown_excuses_a_repeat() {
    let story = taken_over(Some(4), Some(MemberChange::Revoke), 3).changed(READER, |event| {
        if event.kind == EventKind::Commit {
            event.flags = Outcome::Info as u8;
        }
    });
    assert_eq!(story.word(Property::DuplicateDelivery), (NotObserved, 0));
}

#[test]
fn the_same_session_is_not_handed_a_record_twice() {
    let story = healthy().read(READER, 120, 1, 1);
    assert_eq!(story.word(Property::DuplicateDelivery), (Violated, 1));
    assert_eq!(story.check(Property::DuplicateDelivery).grade.as_deref(), Some("unexplained"));
    assert_eq!(story.word(Property::OrderConsumer), (Violated, 1));
}

#[test]
fn a_message_that_nobody_sent_is_a_phantom() {
    assert_eq!(healthy().read(READER, 120, 4, 77).word(Property::Phantom), (Violated, 1));
    let unknown = healthy().read_bad(READER, 120, 4, MessageId::NONE, Delivery::ForeignRun);
    assert_eq!(unknown.word(Property::Phantom), (Violated, 1));
}

#[test]
fn a_message_delivered_before_its_send_is_a_phantom() {
    let story = Story::new().sent(10, 0).ended(20, 0, Outcome::Ok, Level::Quorum, 0).read(READER, 5, 0, 0);
    let check = story.check(Property::Phantom);
    assert_eq!((check.verdict, check.grade.as_deref()), (Violated, Some("before its send")));
}

#[test]
fn an_unknown_message_of_a_producer_whose_journal_is_torn_is_no_phantom() {
    let mut story = healthy().read(READER, 120, 4, 77);
    story.unsealed = Some(PRODUCER);
    assert_eq!(story.word(Property::Phantom), (Inconclusive, 0));
}

#[test]
fn a_record_of_another_run_is_trouble_of_ours() {
    let story = healthy().changed(READER, |event| {
        if event.kind == EventKind::Deliver && event.message() == message(1) {
            event.flags = Delivery::ForeignRun as u8;
        }
    });
    assert_eq!(story.judge().verdict, crate::verdict::VerdictWord::HarnessFailure);
}

#[test]
fn changed_bytes_are_corruption_and_neither_loss_nor_divergence() {
    let corrupt = |event: &mut Event| {
        if event.kind == EventKind::Deliver && event.message() == message(2) {
            event.flags = Delivery::Corrupt as u8;
            event.msg = MessageId::NONE.0;
        }
    };
    let story = [READER, DRAINS[0], DRAINS[1]]
        .into_iter()
        .fold(healthy(), |story, shard| story.changed(shard, corrupt));
    assert_eq!(story.violated(), [Property::Corruption]);
    assert_eq!(story.word(Property::Corruption), (Violated, 3));
}

#[test]
fn a_refused_send_that_is_delivered_is_a_violation() {
    let story = healthy()
        .sent(50, 4)
        .ended(51, 4, Outcome::Fail, Level::Sent, Event::NO_OFFSET)
        .read(READER, 55, 4, 4);
    assert_eq!(story.word(Property::FailVisible), (Violated, 1));
}

#[test]
fn a_log_out_of_send_order_is_seen_and_a_gap_is_not() {
    let story = Story::new()
        .acked(0, 0, 1)
        .acked(1, 1, 0)
        .acked(2, 2, 2)
        .log(&[(0, 1), (1, 0), (2, 2)])
        .drained(3, 3);
    assert_eq!(story.word(Property::OrderLog), (Violated, 1));
    let gap = Story::new().acked(0, 0, 0).acked(2, 2, 2).log(&[(0, 0), (2, 2)]).drained(3, 3);
    assert_eq!(gap.word(Property::OrderLog), (NotObserved, 0));
}

#[test]
fn what_was_given_up_before_the_next_was_sent_may_stand_behind_it_in_the_log() {
    let late = |outcome, level| {
        let story = Story::new().sent(0, 0).ended(1, 0, outcome, level, Event::NO_OFFSET);
        story.acked(2, 1, 0).log(&[(0, 1), (1, 0)]).drained(2, 2)
    };
    let unknown = || late(Outcome::Info, Level::Sent);
    let went_on = unknown().reconnected(2, 1).check(Property::OrderLog);
    assert_eq!((went_on.verdict, went_on.count), (NotObserved, 0), "{}", went_on.why);
    assert!(went_on.why.contains("1 × given up before the other was sent"), "{}", went_on.why);
    assert_eq!(unknown().word(Property::OrderLog), (Violated, 1), "it was not given up");
    assert_eq!(unknown().reconnected(2, 2).word(Property::OrderLog), (Violated, 1), "it was given up later");
    let acknowledged = late(Outcome::Ok, Level::Quorum).reconnected(2, 1);
    assert_eq!(acknowledged.word(Property::OrderLog), (Violated, 1));
}

#[test]
fn order_is_not_claimed_where_a_retry_may_overtake() {
    let mut story = Story::new().acked(0, 0, 1).acked(1, 1, 0).log(&[(0, 1), (1, 0)]).drained(2, 2);
    story.plan.producers[0].idempotence = false;
    assert_eq!(story.word(Property::OrderLog), (NotClaimed, 1));
    story.plan.producers[0].in_flight = 1;
    assert_eq!(story.word(Property::OrderLog), (Violated, 1));
}

#[test]
fn first_deliveries_of_a_key_out_of_order_are_seen_and_of_two_keys_are_not() {
    // Messages 0 and 2 share a key, 1 has another.
    let story = |order: [u32; 3]| {
        let mut story = Story::new();
        for seq in 0..3 {
            story = story.acked(u64::from(seq), seq, u64::from(seq));
        }
        for (offset, seq) in (0..).zip(order) {
            story = story.read(READER, 10 + offset, offset, seq);
        }
        story
    };
    assert_eq!(story([2, 1, 0]).word(Property::OrderPerKey), (Violated, 1));
    assert_eq!(story([1, 0, 2]).word(Property::OrderPerKey).1, 0);
}

#[test]
fn after_a_rewind_a_key_may_repeat_in_order() {
    assert_eq!(taken_over(Some(0), None, 0).word(Property::OrderPerKey), (NotObserved, 0));
}

#[test]
fn two_readers_that_see_different_messages_at_one_offset_diverge() {
    let story = healthy().changed(READER, |event| {
        if event.kind == EventKind::Deliver && event.a == 3 {
            event.msg = message(0).0;
        }
    });
    let check = story.check(Property::Divergence);
    assert_eq!((check.verdict, check.grade.as_deref()), (Violated, Some("reader/reader")));
    // The log now holds something else than what the consumer was handed.
    assert_eq!(story.word(Property::HighWatermarkRollback), (Violated, 1));
}

#[test]
fn an_acknowledged_offset_that_holds_another_message_diverges_only_where_that_is_claimed() {
    let mut story = healthy().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd && event.message() == message(2) {
            event.a = 3;
        }
    });
    let check = story.check(Property::Divergence);
    assert_eq!((check.verdict, check.grade.as_deref()), (Violated, Some("ack/reader")));
    story = story.changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.flags = (Level::Leader as u8) << 2;
        }
    });
    story.plan.durability = Durability::Leader;
    assert_eq!(story.check(Property::Divergence).verdict, NotClaimed);
}

#[test]
fn a_delivered_record_that_the_log_no_longer_holds_needs_the_certificate() {
    let vanished = |event: &Event| event.kind == EventKind::Deliver && event.a == 1;
    let story = DRAINS.into_iter().fold(healthy(), |story, shard| story.without(shard, vanished));
    assert_eq!(story.word(Property::HighWatermarkRollback), (Violated, 1));
    let open = story.without(5, |event| event.kind == EventKind::Drain);
    assert_eq!(open.word(Property::HighWatermarkRollback).0, Inconclusive);
}

#[test]
fn drain_readers_that_disagree_certify_nothing() {
    let story = Story::new()
        .acked(0, 0, 0)
        .acked(1, 1, 1)
        .acked(2, 2, 2)
        .log(&[(0, 0), (1, 1), (2, 2)])
        .drained(3, 0)
        .without(DRAINS[1], |event| event.a == 1);
    let check = story.check(Property::AckedLoss);
    assert!(check.why.contains("disagree"), "{}", check.why);
}

#[test]
fn settling_before_processing_gives_up_what_a_crashed_consumer_had_settled() {
    let mut story = healthy().without(READER, |event| event.kind == EventKind::Deliver && event.a == 3);
    let crash =
        Event { t_ns: 2_000_000_000, msg: 1, a: 9 | 1 << 32, b: 0, kind: EventKind::Process, flags: 1, c: 2 };
    story.events[5].push(crash);
    assert_eq!(
        story.word(Property::AckedLoss),
        (Violated, 1),
        "settle: after promises it also after a crash"
    );
    story.plan.consumers.iter_mut().for_each(|consumer| consumer.settle = Settle::Before);
    assert_eq!(story.word(Property::AckedLoss), (NotClaimed, 1));
}

#[test]
fn a_fault_that_showed_no_effect_puts_nothing_to_the_test() {
    let mut story = healthy();
    story.plan.faults.push(FaultPlan {
        kind: FaultKind::Kill,
        target: FaultTarget::Nodes(Role::All),
        trigger: Trigger::AtMs(100),
        for_ms: None,
        optional: false,
    });
    assert_eq!(story.word(Property::AckedLoss), (NotExercised, 0));
    assert_eq!(story.clone().fault(100, 0).fault(101, 4).word(Property::OrderLog), (NotExercised, 0));
    assert_eq!(story.fault(100, 0).fault(101, 1).word(Property::AckedLoss), (NotObserved, 0));
}

#[test]
fn the_canary_is_silent_about_nothing_in_a_healthy_history() {
    let mut story = Story::new().member(READER, 0, MemberChange::Assign, 1);
    let mut log = Vec::new();
    for seq in 0..50 {
        story = story.acked(u64::from(seq) * 10, seq, u64::from(seq)).read(
            READER,
            u64::from(seq) * 10 + 5,
            u64::from(seq),
            seq,
        );
        log.push((u64::from(seq), seq));
    }
    let judged = story.log(&log).drained(50, 50).judge();
    assert_eq!((judged.verdict, judged.why), (NotObserved, None));
}
