//! Literal histories of queues: messages have no offsets, and leave the broker when they are settled.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::story::{CONSUMERS, PRODUCER, Story, TwoKeys, message};
use crate::checkers::{Depth, check};
use crate::contract::Storage;
use crate::history::{Delivery, Event, EventKind, Level, MemberChange, Outcome, flags};
use crate::ids::MessageId;
use crate::plan::{Durability, FaultKind, FaultPlan, FaultTarget, Role, Settle, Trigger};
use crate::property::Property;
use crate::verdict::VerdictWord::{
    Inconclusive, NotClaimed, NotExercised, NotObserved, NotOffered, Violated,
};

const READER: usize = CONSUMERS[0];
const OTHER: usize = CONSUMERS[1];
/// Two looks at empty queues, a second and a half apart.
const EMPTY: [(u64, u64); 2] = [(6000, 0), (7500, 0)];

/// Nothing happened yet, on RabbitMQ.
fn queues() -> Story {
    let mut story = Story::new();
    story.system = "rabbitmq";
    story
}

/// Messages that were acknowledged, the `handed` of which were handed to the first consumer.
fn acknowledged(count: u32, handed: impl Fn(u32) -> bool) -> Story {
    let mut story = queues().member(READER, 0, MemberChange::Assign, 1);
    for seq in 0..count {
        let at = u64::from(seq) * 10;
        story = story.acked(at, seq, Event::NO_OFFSET);
        if handed(seq) {
            story = story.handed(READER, at + 5, seq, false);
        }
    }
    story
}

fn healthy() -> Story {
    acknowledged(4, |_| true).emptied(&EMPTY)
}

fn lost() -> Story {
    acknowledged(4, |seq| seq != 2).emptied(&EMPTY)
}

#[test]
fn a_healthy_queue_violates_nothing_and_has_no_log() {
    let story = healthy();
    assert_eq!(story.violated(), []);
    for property in
        [Property::AckedLoss, Property::DuplicateDelivery, Property::Phantom, Property::OrderPerKey]
    {
        let check = story.check(property);
        assert_eq!(check.verdict, NotObserved, "{property}: {}", check.why);
        assert!(check.exercised > 0, "{property}");
    }
    for property in [
        Property::DuplicateAppend,
        Property::OrderLog,
        Property::OrderConsumer,
        Property::Divergence,
        Property::HighWatermarkRollback,
    ] {
        let check = story.check(property);
        assert_eq!((check.verdict, check.why.is_empty()), (NotOffered, false), "{property}");
    }
    let judged = story.judge();
    assert_eq!(judged.verdict, NotObserved);
    assert_eq!((judged.metrics.lost, judged.metrics.rpo_records), (Some(0), Some(0)));
}

#[test]
fn what_is_acknowledged_and_never_handed_over_is_lost_once_nothing_waits() {
    let check = lost().check(Property::AckedLoss);
    assert_eq!((check.verdict, check.count, check.grade.as_deref()), (Violated, 1, Some("L2")));
    assert_eq!(check.witnesses[0].messages, [message(2).to_string()]);
    assert_eq!(check.witnesses[0].offset, None);
    let metrics = lost().judge().metrics;
    assert_eq!((metrics.lost, metrics.rpo_records), (Some(1), Some(1)));
}

#[test]
fn a_queue_that_is_not_known_to_be_empty_leaves_loss_open() {
    for (seen, why) in [
        (&[(6000, 0), (7500, 3)][..], "3 messages were ready or unsettled at last"),
        (&[(6000, 0)][..], "not observed twice"),
        (&[(6000, 0), (6500, 0)][..], "not observed twice"),
        (&[(6000, 0), (6800, 2), (7500, 0)][..], "within the last second"),
        (&[][..], "nobody observed the backlog"),
    ] {
        let check = acknowledged(4, |seq| seq != 2).emptied(seen).check(Property::AckedLoss);
        assert_eq!((check.verdict, check.count), (Inconclusive, 0), "{seen:?}");
        assert!(check.why.contains(why), "{}", check.why);
    }
    // What waited long before the end is handed over by then.
    assert_eq!(
        acknowledged(4, |_| true).emptied(&[(6000, 4), (7000, 0), (8500, 0)]).word(Property::AckedLoss).0,
        NotObserved
    );
    assert_eq!(acknowledged(4, |seq| seq != 2).word(Property::AckedLoss), (Inconclusive, 0), "no drain");
    assert_eq!(acknowledged(4, |seq| seq != 2).judge().metrics.lost, None);
}

#[test]
fn a_member_whose_journal_is_torn_may_have_been_handed_what_is_missing() {
    let mut story = lost();
    story.unsealed = Some(OTHER);
    assert_eq!(story.word(Property::AckedLoss), (Inconclusive, 0));
}

#[test]
fn a_message_that_came_with_other_bytes_is_not_also_lost() {
    let named = lost().read_bad(READER, 60, Event::NO_OFFSET, message(2), Delivery::Corrupt);
    assert_eq!(named.violated(), [Property::Corruption]);
    let nameless = lost().read_bad(READER, 60, Event::NO_OFFSET, MessageId::NONE, Delivery::Corrupt);
    assert_eq!(nameless.word(Property::AckedLoss), (NotObserved, 0));
    assert_eq!(nameless.word(Property::Corruption), (Violated, 1));
}

#[test]
fn automatic_acknowledgement_gives_up_what_is_under_way() {
    let mut story = lost();
    story.plan.consumers.iter_mut().for_each(|consumer| consumer.settle = Settle::Auto);
    let check = story.check(Property::AckedLoss);
    assert_eq!((check.verdict, check.count), (NotClaimed, 1));
    assert!(check.why.contains("automatic acknowledgement"), "{}", check.why);
    // What was given up is no loss of the broker's either.
    assert_eq!(story.judge().metrics.lost, Some(1));
}

#[test]
fn without_confirms_only_what_is_missing_is_counted() {
    let mut story = lost().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.flags = Outcome::Info as u8;
        }
    });
    story.plan.durability = Durability::None;
    let judged = story.judge();
    assert_eq!((judged.metrics.sent_but_missing, judged.metrics.lost), (Some(1), None));
    assert_eq!(story.word(Property::AckedLoss), (NotClaimed, 0));
}

/// Message 3 is handed to the second consumer at 2 s.
fn again(marked: bool) -> Story {
    acknowledged(4, |_| true)
        .member(OTHER, 0, MemberChange::Assign, 1)
        .handed(OTHER, 2000, 3, marked)
        .emptied(&EMPTY)
}

fn kill(story: &mut Story) {
    story.plan.faults.push(FaultPlan {
        kind: FaultKind::KillHost,
        target: FaultTarget::Nodes(Role::All),
        trigger: Trigger::AtMs(1000),
        for_ms: Some(500),
        optional: false,
    });
}

#[test]
fn a_repeat_with_a_cause_is_legal_and_names_it() {
    let mut disturbed = again(true).fault(900, 0).fault(1000, 1).fault(1500, 2);
    kill(&mut disturbed);
    for (story, cause) in [
        (again(true).consumer_ended(1500, 0), "consumer died"),
        // The conductor sees a death a little later than the broker.
        (again(true).consumer_ended(2050, 0), "consumer died"),
        (again(true).member(READER, 1500, MemberChange::Lost, 1), "session lost"),
        (again(true).member(READER, 2500, MemberChange::Lost, 1), "session lost"),
        (again(true).member(READER, 1500, MemberChange::Leave, 1), "rebalance"),
        (disturbed, "broker disturbed"),
        (again(true).broker(1000, 2, true), "broker disturbed"),
        (again(true).sent(40, 3), "stored twice"),
    ] {
        let check = story.check(Property::DuplicateDelivery);
        assert_eq!((check.verdict, check.count), (NotObserved, 0), "{cause}: {}", check.why);
        assert!(check.why.contains(&format!("1 × {cause}")), "{cause}: {}", check.why);
        assert_eq!(story.judge().metrics.duplicates, Some(1));
    }
}

#[test]
fn a_repeat_without_a_cause_is_a_violation() {
    let check = again(true).check(Property::DuplicateDelivery);
    assert_eq!((check.verdict, check.count, check.grade.as_deref()), (Violated, 1, Some("unexplained")));
    // A death long before or of somebody else explains nothing, nor does a fault that was over.
    assert_eq!(again(true).consumer_ended(1500, 1).word(Property::DuplicateDelivery).0, Violated);
    let mut late = again(true).fault(3000, 0).fault(3000, 1);
    kill(&mut late);
    assert_eq!(late.word(Property::DuplicateDelivery).0, Violated);
}

#[test]
fn what_was_settled_for_certain_must_not_come_again_even_after_a_death() {
    let story = again(true).settled(READER, 120, 110, Outcome::Ok).consumer_ended(1500, 0);
    let check = story.check(Property::DuplicateDelivery);
    assert_eq!((check.verdict, check.grade.as_deref()), (Violated, Some("acked, then redelivered")));
    // A node that died before the settlement had reached the other copies may have taken it along.
    let taken_along = again(true).settled(READER, 120, 110, Outcome::Ok).broker(500, 2, true);
    assert_eq!(taken_along.word(Property::DuplicateDelivery).0, NotObserved);
    let later = again(true).settled(READER, 120, 110, Outcome::Ok).broker(1500, 2, true);
    assert_eq!(later.word(Property::DuplicateDelivery).0, Violated);
    // An unanswered settle, or one that began before the hand-over, certifies nothing.
    for story in [
        again(true).settled(READER, 120, 110, Outcome::Info),
        again(true).settled(READER, 120, 20, Outcome::Ok),
    ] {
        assert_eq!(story.consumer_ended(1500, 0).word(Property::DuplicateDelivery).0, NotObserved);
    }
}

#[test]
fn a_repeat_that_the_broker_did_not_mark_is_told_in_a_note() {
    let notes = |marked| again(marked).consumer_ended(1500, 0).judge().notes;
    assert!(notes(false).iter().any(|note| note.contains("did not mark")), "{:?}", notes(false));
    assert_eq!(notes(true), Vec::<String>::new());
}

#[test]
fn a_key_goes_back_only_where_the_broker_says_so_or_a_session_is_new() {
    // Messages 1 and 3 share a key.
    let repeated = |marked| acknowledged(4, |_| true).handed(READER, 2000, 1, marked).emptied(&EMPTY);
    assert_eq!(repeated(true).word(Property::OrderPerKey), (NotObserved, 0));
    assert_eq!(repeated(false).word(Property::OrderPerKey), (Violated, 1));
    let elsewhere = acknowledged(4, |_| true).handed(OTHER, 2000, 1, false).emptied(&EMPTY);
    assert_eq!(elsewhere.word(Property::OrderPerKey), (NotObserved, 0));
    let late = acknowledged(4, |seq| seq != 1).handed(READER, 2000, 1, false).emptied(&EMPTY);
    assert_eq!(late.word(Property::OrderPerKey), (Violated, 1), "a first delivery behind a later message");
}

#[test]
fn what_a_lost_connection_had_under_way_may_come_behind_what_was_sent_over_the_next() {
    // Messages 1 and 3 share a key, and 1 comes last.
    let late = |outcome| {
        acknowledged(4, |seq| seq != 1).handed(READER, 2000, 1, false).emptied(&EMPTY).changed(
            PRODUCER,
            move |event| {
                if event.kind == EventKind::SendEnd && event.msg == message(1).0 {
                    event.flags = outcome as u8 | (Level::Quorum as u8) << flags::LEVEL_SHIFT;
                }
            },
        )
    };
    let unknown = late(Outcome::Info).reconnected(25, 2).check(Property::OrderPerKey);
    assert_eq!((unknown.verdict, unknown.count), (NotObserved, 0), "{}", unknown.why);
    assert!(unknown.why.contains("1 × given up before the other was sent"), "{}", unknown.why);
    for (story, why) in [
        (late(Outcome::Info), "there was one connection"),
        (late(Outcome::Info).reconnected(25, 1), "both went through the second"),
        (late(Outcome::Info).reconnected(25, 4), "both went through the first"),
        (late(Outcome::Ok).reconnected(25, 2), "it was acknowledged before the other was sent"),
    ] {
        assert_eq!(story.word(Property::OrderPerKey), (Violated, 1), "{why}");
    }
}

#[test]
fn quorum_disk_is_not_put_to_the_test_by_the_death_of_processes() {
    let mut story = healthy().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.flags = (Level::QuorumDisk as u8) << 2;
        }
    });
    story.plan.durability = Durability::QuorumDisk;
    let check = story.check(Property::AckedLoss);
    assert_eq!(check.verdict, NotExercised);
    assert!(check.why.contains("cannot tell quorum from quorum-disk"), "{}", check.why);
    assert_eq!(story.word(Property::DuplicateDelivery).0, NotObserved);
}

#[test]
fn the_canary_is_silent_about_nothing_in_healthy_queues() {
    let judged = acknowledged(50, |_| true).emptied(&EMPTY).judge();
    assert_eq!((judged.verdict, judged.why), (NotObserved, None));
}

/// Messages `0..SENT` are sent in this order.
const SENT: u32 = 8;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Without faults or changes of sessions every repeat is unexplained, whoever is handed it.
    #[test]
    fn checkers_of_queues_count_what_the_definitions_say(
        outcomes in prop::collection::vec(prop_oneof![5 => Just(Outcome::Ok), 1 => Just(Outcome::Info)], SENT as usize),
        handed in prop::collection::vec((0_usize..2, 0..SENT + 1), 0..16),
        empty in prop::bool::weighted(0.8),
    ) {
        let mut story = queues();
        for (seq, outcome) in (0..).zip(&outcomes) {
            let level = if *outcome == Outcome::Ok { Level::Quorum } else { Level::Sent };
            story = story.sent(u64::from(seq), seq).ended(u64::from(seq) + 20, seq, *outcome, level, Event::NO_OFFSET);
        }
        for (at, &(member, seq)) in (100..).zip(&handed) {
            story = story.handed(CONSUMERS[member], at, seq, false);
        }
        let story = story.emptied(if empty { &EMPTY } else { &EMPTY[..1] });
        let checked = check(&story.plan, Storage::Queue, &TwoKeys, &story.source(), 0, Depth::Full);

        let known: Vec<u32> = handed.iter().map(|&(_, seq)| seq).filter(|seq| *seq < SENT).collect();
        let distinct: BTreeSet<u32> = known.iter().copied().collect();
        let acked = (0..SENT).zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Ok);
        let missing = acked.filter(|(seq, _)| !distinct.contains(seq)).count();
        prop_assert_eq!(checked.lost() as usize, if empty { missing } else { 0 }, "loss");
        prop_assert_eq!(checked.open_end().is_none(), empty);
        let repeats = &checked.findings[&Property::DuplicateDelivery];
        prop_assert_eq!(repeats.count as usize, known.len() - distinct.len(), "repeats");
        let mut first: Vec<u32> = Vec::new();
        let mut reorders = 0;
        for seq in known {
            if !first.contains(&seq) {
                reorders += usize::from(first.iter().any(|before| before % 2 == seq % 2 && *before > seq));
                first.push(seq);
            }
        }
        let keys = &checked.findings[&Property::OrderPerKey];
        prop_assert_eq!(keys.by_grade.get("first delivery").copied().unwrap_or(0) as usize, reorders, "keys");
    }
}
