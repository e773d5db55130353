//! Random small histories, judged by sets and loops that follow the definitions word by word and share nothing with the
//! checkers but the event.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::story::{CONSUMERS, DRAINS, Story, TwoKeys};
use crate::checkers::{Depth, check};
use crate::contract::Storage;
use crate::history::{Event, Level, Outcome};
use crate::property::Property;

/// Messages `0..SENT` are sent, each once, in this order.
const SENT: u32 = 8;

/// What happened, as plainly as can be.
#[derive(Clone, Debug)]
struct World {
    /// How each send ended, and at which offset if it was acknowledged.
    ends: Vec<(Outcome, Option<u64>)>,
    /// The log by offset. Numbers from `SENT` on were never sent.
    log: Vec<u32>,
    /// What the group was handed, in order of time: member, offset, message.
    handed: Vec<(usize, u64, u32)>,
}

impl World {
    fn story(&self) -> Story {
        let mut story = Story::new();
        for (seq, &(outcome, offset)) in (0..).zip(&self.ends) {
            let level = if outcome == Outcome::Ok { Level::Quorum } else { Level::Sent };
            story = story.sent(u64::from(seq), seq);
            story = story.ended(u64::from(seq) + 20, seq, outcome, level, offset.unwrap_or(Event::NO_OFFSET));
        }
        for (at, &(member, offset, seq)) in (100..).zip(&self.handed) {
            story = story.read(CONSUMERS[member], at, offset, seq);
        }
        let log: Vec<(u64, u32)> = (0..).zip(self.log.iter().copied()).collect();
        let end = log.len() as u64;
        story.log(&log).drained(end, end)
    }

    fn acked(&self) -> BTreeSet<u32> {
        (0..).zip(&self.ends).filter(|(_, end)| end.0 == Outcome::Ok).map(|(seq, _)| seq).collect()
    }

    fn log_loss(&self) -> usize {
        self.acked().into_iter().filter(|seq| !self.log.contains(seq)).count()
    }

    /// The group has committed to the end of the log, so it is owed every record whose offset is known.
    fn group_loss(&self) -> usize {
        let handed: BTreeSet<u32> = self.handed.iter().map(|&(_, _, seq)| seq).collect();
        let owed = |seq: &u32| self.log.contains(seq) && self.ends[*seq as usize].1.is_some();
        self.acked().into_iter().filter(owed).filter(|seq| !handed.contains(seq)).count()
    }

    fn first_copies(&self) -> Vec<u32> {
        let is_first = |(at, seq): &(usize, &u32)| !self.log[..*at].contains(seq) && **seq < SENT;
        self.log.iter().enumerate().filter(is_first).map(|(_, seq)| *seq).collect()
    }

    fn duplicates(&self) -> usize {
        self.log.iter().filter(|seq| **seq < SENT).count() - self.first_copies().len()
    }

    fn phantoms(&self) -> usize {
        let in_log = self.log.iter().filter(|seq| **seq >= SENT).count();
        2 * in_log + self.handed.iter().filter(|(_, _, seq)| *seq >= SENT).count()
    }

    fn reader_divergence(&self) -> usize {
        let differs = |offset: &u64| {
            let mut seen: BTreeSet<u32> = self.log.get(*offset as usize).copied().into_iter().collect();
            seen.extend(self.handed.iter().filter(|(_, at, _)| at == offset).map(|(_, _, seq)| seq));
            seen.len() > 1
        };
        (0..self.log.len() as u64).filter(differs).count()
    }

    /// Every message is acknowledged at most once, so an earlier acknowledgement at the offset is another message's.
    fn ack_divergence(&self) -> usize {
        let acks: Vec<(u32, u64)> = (0..)
            .zip(&self.ends)
            .filter(|(_, end)| end.0 == Outcome::Ok)
            .filter_map(|(seq, end)| Some((seq, end.1?)))
            .collect();
        let differs = |&(index, &(seq, offset)): &(usize, &(u32, u64))| {
            acks[..index].iter().any(|(_, other)| *other == offset) || self.log[offset as usize] != seq
        };
        acks.iter().enumerate().filter(differs).count()
    }

    fn key_reorders(&self) -> usize {
        let mut first: Vec<u32> = Vec::new();
        let mut count = 0;
        for &(_, _, seq) in self.handed.iter().filter(|(_, _, seq)| *seq < SENT) {
            if first.contains(&seq) {
                continue;
            }
            count += usize::from(first.iter().any(|before| before % 2 == seq % 2 && *before > seq));
            first.push(seq);
        }
        count
    }
}

/// Pairs of which the later was sent before one that stands in front of it, counted once per message.
fn reorders(order: &[u32]) -> usize {
    order.iter().enumerate().filter(|(at, seq)| order[..*at].iter().any(|before| before > seq)).count()
}

/// A mostly healthy world: a log near the order of sending, read in order, with a few changes.
fn world() -> impl Strategy<Value = World> {
    let log = prop::collection::vec(prop_oneof![9 => 0..SENT, 1 => SENT..SENT + 2], 0..5).prop_map(|noise| {
        let mut log: Vec<u32> = (0..SENT).collect();
        for (at, seq) in noise.into_iter().enumerate() {
            let place = (at * 5 + seq as usize) % log.len();
            match seq % 3 {
                0 => log.insert(place, seq),
                1 => log[place] = seq,
                _ => log.swap(place, 0),
            }
        }
        log
    });
    let outcome = prop_oneof![6 => Just(Outcome::Ok), 1 => Just(Outcome::Info), 1 => Just(Outcome::Weak)];
    let ends = prop::collection::vec(
        (outcome, prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(2)]),
        SENT as usize,
    );
    let changes = prop::collection::vec((0_usize..12, 0..SENT + 2, 0_u8..4), 0..4);
    (log, ends, changes, any::<bool>()).prop_map(|(log, ends, changes, two_members)| {
        let ends = (0..).zip(ends).map(|(seq, (outcome, kind))| {
            let place = log.iter().position(|other| *other == seq).unwrap_or(0) as u64;
            let offset = match kind {
                0 => Some(place),
                1 => None,
                _ => Some((place + 1) % log.len() as u64),
            };
            (outcome, offset.filter(|_| outcome == Outcome::Ok))
        });
        let mut handed: Vec<(usize, u64, u32)> =
            (0..).zip(&log).map(|(offset, seq)| (0, offset, *seq)).collect();
        if two_members {
            let half = handed.len() / 2;
            handed[half..].iter_mut().for_each(|delivery| delivery.0 = 1);
        }
        for (at, seq, change) in changes {
            let at = at % handed.len().max(1);
            match change {
                0 if handed.len() > 1 => drop(handed.remove(at)),
                1 => handed[at].2 = seq,
                2 => handed.push(handed[at]),
                _ if at + 1 < handed.len() => {
                    let (one, other) = (handed[at].2, handed[at + 1].2);
                    (handed[at].2, handed[at + 1].2) = (other, one);
                }
                _ => {}
            }
        }
        World { ends: ends.collect(), log, handed }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn checkers_count_what_the_definitions_say(world in world()) {
        let story = world.story();
        let checked = check(&story.plan, Storage::Log, &TwoKeys, &story.source(), 0, Depth::Full);
        let count = |property| checked.findings[&property].count as usize;
        prop_assert!(checked.certificate.covers_log(), "{:?}", checked.certificate.log);
        prop_assert_eq!(checked.losses.log.count as usize, world.log_loss(), "log loss");
        prop_assert_eq!(checked.losses.groups[&0].count as usize, world.group_loss(), "group loss");
        prop_assert_eq!(count(Property::DuplicateAppend), world.duplicates(), "duplicates");
        prop_assert_eq!(count(Property::OrderLog), reorders(&world.first_copies()), "log order");
        prop_assert_eq!(count(Property::Phantom), world.phantoms(), "phantoms");
        prop_assert_eq!(count(Property::Divergence), world.reader_divergence(), "readers");
        prop_assert_eq!(checked.ack_divergence.count as usize, world.ack_divergence(), "acks");
        let first = checked.findings[&Property::OrderPerKey].by_grade.get("first delivery").copied().unwrap_or(0);
        prop_assert_eq!(first as usize, world.key_reorders(), "keys");
        for findings in checked.findings.values() {
            prop_assert!(findings.count >= findings.examples.len() as u64);
        }
    }

    #[test]
    fn without_sealed_drain_journals_nothing_is_ever_lost_to_the_log(world in world(), reader in 0_usize..2) {
        let mut story = world.story();
        story.unsealed = Some(DRAINS[reader]);
        let checked = check(&story.plan, Storage::Log, &TwoKeys, &story.source(), 0, Depth::Full);
        prop_assert_eq!(checked.losses.log.count, 0);
        prop_assert!(!checked.certificate.covers_log());
    }
}
