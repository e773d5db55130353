//! A healthy history with one thing changed: the right checks must notice, and no other.

use super::story::{CONSUMERS, DRAINS, PRODUCER, Story, healthy, message};
use crate::history::{Event, EventKind, Outcome};
use crate::property::Property;
use crate::verdict::VerdictWord;

const READER: usize = CONSUMERS[0];

fn is_read_of(seq: u32) -> impl Fn(&Event) -> bool {
    move |event| event.kind == EventKind::Deliver && event.message() == message(seq)
}

fn swap(story: Story, shard: usize, one: u32, other: u32) -> Story {
    story.changed(shard, |event| {
        if is_read_of(one)(event) {
            event.msg = message(other).0;
        } else if is_read_of(other)(event) {
            event.msg = message(one).0;
        }
    })
}

/// The history cut at this time: no later event was recorded, and nothing is sealed.
fn prefix(story: &Story, until_ns: u64) -> Story {
    let mut cut = story.clone();
    cut.events.iter_mut().for_each(|events| events.retain(|event| event.t_ns <= until_ns));
    cut.unsealed = Some(PRODUCER);
    cut
}

#[test]
fn dropping_all_reads_of_a_message_is_loss_with_a_certificate_and_nothing_without() {
    let dropped = [READER, DRAINS[0], DRAINS[1]]
        .into_iter()
        .fold(healthy(), |story, shard| story.without(shard, is_read_of(2)));
    assert_eq!(dropped.violated(), [Property::AckedLoss]);
    let erased = dropped.without(5, |event| event.kind == EventKind::Drain);
    assert!(!erased.violated().contains(&Property::HighWatermarkRollback));
    assert_eq!(
        erased.check(Property::AckedLoss).grade.as_deref(),
        Some("L1"),
        "the group read past it all the same"
    );
}

#[test]
fn turning_an_acknowledgement_into_unknown_alarms_nobody() {
    let story = healthy().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd {
            event.flags = Outcome::Info as u8;
        }
    });
    assert_eq!(story.violated(), []);
}

#[test]
fn turning_an_acknowledgement_into_a_refusal_makes_its_delivery_visible() {
    let story = healthy().changed(PRODUCER, |event| {
        if event.kind == EventKind::SendEnd && event.message() == message(1) {
            event.flags = Outcome::Fail as u8;
        }
    });
    assert_eq!(story.violated(), [Property::FailVisible]);
}

#[test]
fn swapping_two_messages_of_one_key_everywhere_breaks_every_order_and_of_two_keys_only_the_log() {
    let everywhere = |one, other| {
        [READER, DRAINS[0], DRAINS[1]]
            .into_iter()
            .fold(healthy(), |story, shard| swap(story, shard, one, other))
    };
    let same_key = everywhere(0, 2).violated();
    assert!(
        same_key.contains(&Property::OrderPerKey) && same_key.contains(&Property::OrderLog),
        "{same_key:?}"
    );
    let other_key = everywhere(0, 1).violated();
    assert!(
        !other_key.contains(&Property::OrderPerKey) && other_key.contains(&Property::OrderLog),
        "{other_key:?}"
    );
}

#[test]
fn an_unsealed_journal_or_no_certificate_leaves_no_check_saying_not_observed_of_loss() {
    for shard in 0..6 {
        let mut story = healthy();
        story.unsealed = Some(shard);
        let judged = story.judge();
        let observed: Vec<_> =
            judged.checks.iter().filter(|check| check.verdict == VerdictWord::NotObserved).collect();
        assert!(observed.is_empty(), "journal {shard}: {observed:?}");
        assert_eq!(judged.verdict, VerdictWord::Inconclusive);
    }
    let erased = healthy().without(5, |event| event.kind == EventKind::LogBound);
    assert_eq!(erased.check(Property::AckedLoss).verdict, VerdictWord::Inconclusive);
}

#[test]
fn a_positive_violation_of_a_prefix_is_one_of_the_whole() {
    let story = healthy().read(READER, 120, 1, 1).read(READER, 130, 9, 77);
    let whole = story.violated();
    let mut times: Vec<u64> = story.events.iter().flatten().map(|event| event.t_ns).collect();
    times.sort_unstable();
    for until_ns in times {
        for property in prefix(&story, until_ns).violated() {
            assert!(whole.contains(&property), "{property} at {until_ns} only");
        }
    }
}

#[test]
fn a_consumer_clock_ahead_of_the_producer_by_less_than_nothing_is_seen() {
    let early = healthy().changed(READER, |event| event.t_ns -= 100_000_000);
    assert!(early.violated().contains(&Property::Phantom));
}
