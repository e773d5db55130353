//! Transactions, on histories that were written down by hand.

use super::story::{CONSUMERS, DRAINS, PRODUCER, Story, message};
use crate::history::{Event, EventKind, MemberChange, Outcome, TransactionPhase as Phase};
use crate::plan::{Expectation, Isolation, TransactionsPlan};
use crate::property::Property;
use crate::verdict::VerdictWord::{
    Inconclusive, NotClaimed, NotExercised, NotObserved, NotOffered, Violated,
};

const READER: usize = CONSUMERS[0];
/// The drain reader that is handed committed records only.
const VISIBLE: usize = super::story::VISIBLE;

/// Nothing happened yet; transactions may be written, and the group reads what is committed.
fn story() -> Story {
    let mut story = Story::new();
    story.plan.producers[0].transactions =
        Some(TransactionsPlan { messages: 2, abort: 0.5, timeout_ms: 1_000 });
    for consumer in &mut story.plan.consumers {
        consumer.isolation = Isolation::ReadCommitted;
    }
    let transactional = Property::ALL.into_iter().filter(|property| property.is_transactional());
    story.plan.expect.extend(transactional.map(|property| (property, Expectation::Never)));
    story
}

/// The log is 0: m0, 1: m1, 2: commit, 3: m2, 4: m3, 5: abort. The readers of committed records are handed m0 and m1.
fn healthy() -> Story {
    let story = story().member(READER, 0, MemberChange::Assign, 1);
    let story = story.phase(0, 0, Phase::Begin, Outcome::Ok).acked(1, 0, 0).acked(2, 1, 1);
    let story = story.phase(10, 0, Phase::CommitInvoke, Outcome::Ok);
    let story = story.phase(12, 0, Phase::CommitEnd, Outcome::Ok);
    let story = story.phase(20, 2, Phase::Begin, Outcome::Ok).acked(21, 2, 3).acked(22, 3, 4);
    let story = story.phase(30, 2, Phase::AbortInvoke, Outcome::Ok);
    let story = story.phase(31, 2, Phase::AbortEnd, Outcome::Ok);
    let story = story.read(READER, 15, 0, 0).read(READER, 15, 1, 1).commit(READER, 100, 6);
    drained(story, &[(0, 0), (1, 1)])
}

/// The load ends; the whole log is read, and of the committed records these.
fn drained(story: Story, visible: &[(u64, u32)]) -> Story {
    let story = story.log(&[(0, 0), (1, 1), (3, 2), (4, 3)]).drained(6, 6);
    let story = visible.iter().fold(story, |story, (offset, seq)| story.read(VISIBLE, 9100, *offset, *seq));
    let story =
        [DRAINS[0], DRAINS[1], VISIBLE].into_iter().fold(story, |story, shard| story.read_to(shard, 9200, 6));
    story.stable(5002, 6).stable(5003, 6)
}

/// The drain reader of committed records is handed one more, before it says how far it came.
fn sees(story: Story, offset: u64, seq: u32) -> Story {
    let mut story = story.read(VISIBLE, 9150, offset, seq);
    let last = story.events[VISIBLE].len() - 1;
    story.events[VISIBLE].swap(last - 1, last);
    story
}

fn is_phase(phase: Phase, seq: u32) -> impl Fn(&Event) -> bool {
    move |event| {
        event.kind == EventKind::Transaction
            && event.transaction_phase() == Some(phase)
            && event.message() == message(seq)
    }
}

#[test]
fn a_healthy_history_with_an_abort_violates_nothing_and_exercises_every_check() {
    let story = healthy();
    assert_eq!(story.violated(), []);
    for property in Property::ALL.into_iter().filter(|property| property.is_transactional()) {
        let check = story.check(property);
        assert_eq!(check.verdict, NotObserved, "{property}: {}", check.why);
        assert!(check.exercised > 0, "{property}");
    }
    for property in [Property::AckedLoss, Property::OrderConsumer, Property::DuplicateAppend] {
        assert_eq!(story.check(property).verdict, NotObserved, "{}", story.check(property).why);
    }
    assert_eq!(story.check(Property::AckedLoss).exercised, 2, "what was aborted was not promised");
    assert_eq!(story.judge().metrics.acked, Some(2));
}

#[test]
fn a_record_of_an_aborted_transaction_is_an_aborted_read_for_a_reader_of_committed_ones_only() {
    let story = healthy().read(READER, 40, 3, 2);
    assert_eq!(story.violated(), [Property::AbortedRead]);
    let check = story.check(Property::AbortedRead);
    assert_eq!((check.count, check.grade.as_deref()), (1, Some("aborted")));
    let mut uncommitted = story;
    uncommitted.plan.consumers.iter_mut().for_each(|one| one.isolation = Isolation::ReadUncommitted);
    assert_eq!(uncommitted.word(Property::AbortedRead), (NotClaimed, 1));
}

#[test]
fn the_drain_reader_of_committed_records_is_such_a_reader_and_those_of_the_whole_log_are_not() {
    assert_eq!(sees(healthy(), 4, 3).violated(), [Property::AbortedRead]);
}

#[test]
fn a_transaction_that_nobody_ended_is_void_unless_its_journal_may_lack_the_commit() {
    let left_open = healthy()
        .without(PRODUCER, is_phase(Phase::AbortInvoke, 2))
        .without(PRODUCER, is_phase(Phase::AbortEnd, 2))
        .read(READER, 40, 3, 2);
    assert_eq!(left_open.check(Property::AbortedRead).grade.as_deref(), Some("left open"));
    let mut unsealed = left_open;
    unsealed.unsealed = Some(PRODUCER);
    assert_eq!(unsealed.word(Property::AbortedRead), (Inconclusive, 0));
}

#[test]
fn a_commit_without_an_answer_may_have_been_carried_out_even_if_an_abort_followed() {
    let doubt = |ends: &[(Phase, Outcome)]| {
        let story = healthy()
            .without(PRODUCER, is_phase(Phase::AbortInvoke, 2))
            .without(PRODUCER, is_phase(Phase::AbortEnd, 2))
            .phase(30, 2, Phase::CommitInvoke, Outcome::Ok);
        ends.iter().fold(story, |story, (phase, outcome)| story.phase(31, 2, *phase, *outcome))
    };
    for ends in [
        &[][..],
        &[(Phase::CommitEnd, Outcome::Info)],
        &[
            (Phase::CommitEnd, Outcome::Info),
            (Phase::AbortInvoke, Outcome::Ok),
            (Phase::AbortEnd, Outcome::Ok),
        ],
    ] {
        assert_eq!(doubt(ends).violated(), [], "{ends:?}: none of it is visible");
        let whole = doubt(ends).read(READER, 40, 3, 2).read(READER, 40, 4, 3);
        assert_eq!(sees(sees(whole, 3, 2), 4, 3).violated(), [], "{ends:?}");
        let torn = sees(doubt(ends), 3, 2);
        assert_eq!(torn.violated(), [Property::TornTransaction], "{ends:?}");
    }
    let refused = doubt(&[(Phase::CommitEnd, Outcome::Fail)]).read(READER, 40, 3, 2);
    assert_eq!(refused.check(Property::AbortedRead).grade.as_deref(), Some("refused"));
}

#[test]
fn a_committed_transaction_of_which_a_record_cannot_be_read_is_torn_and_lost_to_nobody_else() {
    let hidden = healthy().without(VISIBLE, |event| event.kind == EventKind::Deliver && event.a == 1);
    assert_eq!(hidden.violated(), [Property::TornTransaction]);
    let check = hidden.check(Property::TornTransaction);
    assert_eq!((check.count, check.grade.as_deref()), (1, Some("torn")));
    assert!(check.witnesses[0].messages.contains(&message(1).to_string()));
    let none = hidden.without(VISIBLE, |event| event.kind == EventKind::Deliver);
    assert_eq!(none.check(Property::TornTransaction).grade.as_deref(), Some("committed, not visible"));
}

#[test]
fn nothing_is_torn_as_long_as_it_is_not_known_what_is_visible() {
    let torn = || healthy().without(VISIBLE, |event| event.kind == EventKind::Deliver && event.a == 1);
    let why = |story: Story| {
        let check = story.check(Property::TornTransaction);
        assert_eq!((check.verdict, check.count), (Inconclusive, 0));
        check.why
    };
    assert!(
        why(torn().without(VISIBLE, |event| event.kind == EventKind::Drain)).contains("not to the end `6`")
    );
    let undecided = torn().changed(5, |event| {
        if event.kind == EventKind::LogBound && event.flags == 2 {
            event.a = 3;
        }
    });
    assert!(why(undecided).contains("undecided"));
    let mut unsealed = torn();
    unsealed.unsealed = Some(VISIBLE);
    assert!(why(unsealed).contains("`drain-3.0` was never sealed"));
}

#[test]
fn a_record_before_its_commit_is_an_early_read_and_one_just_behind_it_is_not() {
    let at = |at_ms| {
        let story = healthy().without(READER, |event| event.kind == EventKind::Deliver);
        story.read(READER, at_ms, 0, 0).read(READER, 15, 1, 1).word(Property::EarlyRead)
    };
    assert_eq!(at(9), (Violated, 1));
    assert_eq!(at(10), (NotObserved, 0), "the broker may be quick");
    let mut nobody = healthy();
    nobody.events[READER].clear();
    assert_eq!(nobody.word(Property::EarlyRead).0, NotExercised, "the drain reader came after all commits");
}

#[test]
fn a_log_whose_end_stays_undecided_beyond_all_patience_holds_a_hanging_transaction() {
    let watched = |until_ms| {
        healthy()
            .without(5, |event| event.kind == EventKind::LogBound && event.flags == 2)
            .stable(5002, 3)
            .stable(until_ms, 3)
            .word(Property::HangingTransaction)
    };
    assert_eq!(
        watched(6_000),
        (Inconclusive, 0),
        "its time of 1 s is over, and the coordinator may not have looked"
    );
    assert_eq!(watched(21_100), (Violated, 1));
    let unseen = healthy().without(5, |event| event.kind == EventKind::LogBound && event.flags == 2);
    assert_eq!(unseen.word(Property::HangingTransaction), (Inconclusive, 0));
}

#[test]
fn a_reader_of_committed_records_that_leaves_out_a_committed_one_skips_it() {
    let skips = healthy().without(READER, |event| event.kind == EventKind::Deliver && event.a == 0);
    // It is the first of its session, so that only the group's loss shows.
    assert_eq!(skips.violated(), [Property::AckedLoss]);
    let mut uncommitted = healthy().read(READER, 40, 4, 3);
    uncommitted.plan.consumers.iter_mut().for_each(|one| one.isolation = Isolation::ReadUncommitted);
    assert_eq!(
        uncommitted.word(Property::OrderConsumer),
        (Violated, 1),
        "it left out message 2, aborted or not"
    );
}

#[test]
fn a_group_need_not_commit_behind_marks_and_aborted_records() {
    let story = healthy().changed(5, |event| {
        if event.kind == EventKind::Committed {
            event.a = 2;
        }
    });
    assert_eq!(story.check(Property::AckedLoss).verdict, NotObserved);
    let mut uncommitted = story;
    uncommitted.plan.consumers.iter_mut().for_each(|one| one.isolation = Isolation::ReadUncommitted);
    let check = uncommitted.check(Property::AckedLoss);
    assert_eq!(check.verdict, Inconclusive, "readers of all records are owed the aborted ones");
    assert!(check.why.contains("lags by"), "{}", check.why);
}

#[test]
fn without_an_aborted_transaction_nothing_could_have_been_an_aborted_read() {
    let story = healthy().without(PRODUCER, |event| match event.kind {
        EventKind::Transaction | EventKind::SendInvoke | EventKind::SendEnd => event.message() >= message(2),
        _ => false,
    });
    assert_eq!(story.word(Property::AbortedRead).0, NotExercised);
}

#[test]
fn products_without_transactions_of_several_messages_do_not_offer_them() {
    for system in ["rabbitmq", "rocketmq"] {
        let mut story = healthy();
        story.system = system;
        assert_eq!(story.word(Property::TornTransaction).0, NotOffered, "{system}");
        assert!(
            crate::contract::not_offered(system, &story.plan).is_some_and(|why| why.contains("transactions"))
        );
    }
    assert_eq!(crate::contract::not_offered("kafka", &healthy().plan), None);
}
