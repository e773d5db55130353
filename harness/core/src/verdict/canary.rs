//! The canary: a copy of the real history in which three events are changed. Each check must notice, or the verdict of the
//! cell would rest on a pipeline that cannot fail.
//!
//! Nothing is copied: the changes lie over the journals while they are streamed again.

use std::collections::BTreeMap;

use crate::checkers::{Checked, Depth, Events, Fate, KeyOf, Names, ShardMeta, ShardRole, Source, check};
use crate::contract::Storage;
use crate::history::{Event, EventKind, TransactionPhase, flags};
use crate::ids::{MessageId, SessionId};
use crate::plan::Plan;
use crate::property::Property;

/// What is changed.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    /// A message that was acknowledged and read, and now was never read by anybody.
    hidden: Option<MessageId>,
    /// A read record that now claims an identity that nobody sent: journal, number of the event.
    renamed: Option<(usize, u64)>,
    /// Two read records that now stand in each other's place.
    swapped: Option<[(usize, u64, u64); 2]>,
    /// The first message of a committed transaction that now was aborted.
    aborted: Option<MessageId>,
}

/// The history with the changes.
struct Overlay<'a> {
    inner: &'a dyn Source,
    changes: Changes,
}

/// Stands for a message that nobody sent.
const NEVER_SENT: u32 = u32::MAX - 1;

impl Source for Overlay<'_> {
    fn shards(&self) -> &[ShardMeta] {
        self.inner.shards()
    }

    fn names(&self) -> &Names {
        self.inner.names()
    }

    fn events(&self, shard: usize, from: u64) -> Events<'_> {
        let changes = self.changes;
        let hidden = changes.hidden.map(|message| message.0);
        let change = move |(number, mut event): (u64, Event)| {
            if event.kind == EventKind::Transaction && Some(event.message()) == changes.aborted {
                event.flags = aborting(&event);
            }
            if event.kind != EventKind::Deliver {
                return Some(event);
            }
            if changes.renamed == Some((shard, number)) {
                event.msg = MessageId::new(event.message().session(), NEVER_SENT).0;
            }
            for (at_shard, at, msg) in changes.swapped.into_iter().flatten() {
                if (at_shard, at) == (shard, number) {
                    event.msg = msg;
                }
            }
            (Some(event.msg) != hidden).then_some(event)
        };
        Box::new((from..).zip(self.inner.events(shard, from)).filter_map(change))
    }
}

/// The flags of a commit, as those of an abort.
fn aborting(event: &Event) -> u8 {
    let phase = match event.transaction_phase() {
        Some(TransactionPhase::CommitInvoke) => TransactionPhase::AbortInvoke,
        Some(TransactionPhase::CommitEnd) => TransactionPhase::AbortEnd,
        _ => return event.flags,
    };
    event.outcome() as u8 | (phase as u8) << flags::PHASE_SHIFT
}

/// Changes a copy of the history and checks it; the names of the checks that did not notice. `checked`: what was found in
/// the history itself. Nothing is said where the history has nothing to change.
pub(super) fn unnoticed(
    plan: &Plan,
    keys: &dyn KeyOf,
    source: &dyn Source,
    epsilon_ns: u64,
    checked: &Checked,
) -> Vec<&'static str> {
    if source.shards().iter().any(|meta| !meta.is_complete()) {
        return Vec::new();
    }
    let (mut changes, order) = match checked.storage {
        Storage::Log => (choose(source, checked), Property::OrderLog),
        Storage::Queue => (choose_in_queues(source, keys, checked), Property::OrderPerKey),
    };
    changes.aborted = checked.certificate.visible.is_none().then(|| committed(checked, &changes)).flatten();
    let overlay = Overlay { inner: source, changes };
    let again = check(plan, checked.storage, keys, &overlay, epsilon_ns, Depth::Sequential);
    let count = |checked: &Checked, property| match property {
        Property::AbortedRead => checked.reads.committed.aborted.count,
        _ => checked.findings.get(&property).map_or(0, |findings| findings.count),
    };
    let grew = |property| count(&again, property) > count(checked, property);
    let lost = |checked: &Checked| match checked.storage {
        Storage::Log => checked.losses.log.count,
        Storage::Queue => checked.lost(),
    };
    let mut silent = Vec::new();
    if changes.hidden.is_some() && lost(&again) <= lost(checked) {
        silent.push(Property::AckedLoss.name());
    }
    if changes.renamed.is_some() && !grew(Property::Phantom) {
        silent.push(Property::Phantom.name());
    }
    if changes.aborted.is_some() && !grew(Property::AbortedRead) {
        silent.push(Property::AbortedRead.name());
    }
    let was_torn = changes.hidden.is_some_and(|hidden| checked.sends.transactions.of(hidden).is_some());
    if was_torn && checked.certificate.visible.is_none() && !grew(Property::TornTransaction) {
        silent.push(Property::TornTransaction.name());
    }
    // A check that has noticed something is not blind; and where the order is broken as it is, a record that is renamed may
    // mend as much as the two that change places break.
    if changes.swapped.is_some() && count(checked, order) == 0 && !grew(order) {
        silent.push(order.name());
    }
    silent
}

/// The last transaction that is committed and visible, and has nothing to do with the other changes.
fn committed(checked: &Checked, changes: &Changes) -> Option<MessageId> {
    let transactions = &checked.sends.transactions;
    let hidden = changes.hidden.and_then(|hidden| Some(transactions.of(hidden)?.first));
    let mut last = None;
    for (session, one) in transactions.iter() {
        let first = MessageId(u64::from(session) << 32 | u64::from(one.first));
        let is_visible = one.fate == Fate::Committed && checked.sends.answered.contains(first);
        if is_visible && hidden != Some(one.first) {
            last = Some(first);
        }
    }
    last
}

/// Records that are looked through for what to change.
const LOOKED_AT: usize = 100_000;

/// The newest record of each lane so far: its number and the record.
#[derive(Default)]
struct Newest(BTreeMap<(u32, SessionId), (u64, Event)>);

impl Newest {
    /// The record of the same lane that the next one may change places with: both are the newest of their lane when they
    /// are read, and both stand alone.
    fn partner(
        &mut self,
        lane: u32,
        number: u64,
        event: Event,
        stands_alone: impl Fn(MessageId) -> bool,
    ) -> Option<(u64, Event)> {
        let lane = (lane, event.message().session());
        let before = self.0.get(&lane).copied();
        if before.is_none_or(|(_, before)| before.msg < event.msg) {
            self.0.insert(lane, (number, event));
        }
        before.filter(|(_, before)| {
            before.msg < event.msg && stands_alone(event.message()) && stands_alone(before.message())
        })
    }
}

/// Chooses events that lie apart from each other, among the first records of the first drain reader.
///
/// What is changed must be noticeable: the two records that change places are the newest of their session so far, sent
/// once; the hidden one is not the last of its log, for a reader that does not come to the end certifies nothing.
fn choose(source: &dyn Source, checked: &Checked) -> Changes {
    let mut changes = Changes::default();
    let reader = source.shards().iter().position(|meta| meta.role == ShardRole::DrainReader(1));
    let Some(shard) = reader else { return changes };
    let mut newest = Newest::default();
    let mut to_hide: Option<Event> = None;
    let stands_alone =
        |message| checked.sends.acked.contains(message) && !checked.sends.retried.contains(message);
    for (number, event) in (0..).zip(source.events(shard, 0)).take(LOOKED_AT) {
        let message = event.message();
        if event.kind != EventKind::Deliver || !event.is_intact() || !checked.sends.invoked.contains(message)
        {
            continue;
        }
        if changes.renamed.is_none() {
            changes.renamed = Some((shard, number));
            continue;
        }
        if to_hide.is_some_and(|hidden| hidden.partition() == event.partition() && hidden.msg != event.msg) {
            changes.hidden = to_hide.map(|hidden| hidden.message());
            return changes;
        }
        if changes.swapped.is_none() {
            let partner = newest.partner(event.partition().into(), number, event, stands_alone);
            changes.swapped = partner.map(|(before_number, before)| {
                [(shard, before_number, event.msg), (shard, number, before.msg)]
            });
        } else if to_hide.is_none() && stands_alone(message) && checked.certificate.covers_log() {
            to_hide = Some(event);
        }
    }
    changes
}

/// The same among the first deliveries of the first member that was handed anything: records of one key change places.
fn choose_in_queues(source: &dyn Source, keys: &dyn KeyOf, checked: &Checked) -> Changes {
    let mut changes = Changes::default();
    let is_delivery = |event: &Event| event.kind == EventKind::Deliver;
    let is_member = |shard: &usize| {
        matches!(source.shards()[*shard].role, ShardRole::Consumer(_))
            && source.events(*shard, 0).any(|event| is_delivery(&event))
    };
    let Some(shard) = (0..source.shards().len()).find(is_member) else { return changes };
    let number_of_group = source.shards()[shard].group;
    let Some(group) = checked.groups.iter().find(|group| group.group == number_of_group) else {
        return changes;
    };
    let owed = checked.losses.groups.get(&number_of_group).is_some_and(|findings| findings.exercised > 0);
    let mut newest = Newest::default();
    let stands_alone = |message| {
        checked.sends.acked.contains(message)
            && !checked.sends.retried.contains(message)
            && !group.came_again(message)
    };
    for (number, event) in (0..).zip(source.events(shard, 0)).take(LOOKED_AT) {
        let message = event.message();
        if !is_delivery(&event) || !event.is_intact() || !stands_alone(message) {
            continue;
        }
        if changes.renamed.is_none() {
            changes.renamed = Some((shard, number));
        } else if changes.hidden.is_none() && owed {
            changes.hidden = Some(message);
        } else if let Some(key) = keys.key(message) {
            let partner = newest.partner(key, number, event, stands_alone);
            if let Some((before_number, before)) = partner {
                changes.swapped = Some([(shard, before_number, event.msg), (shard, number, before.msg)]);
                return changes;
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::{Findings, MemorySource};
    use crate::history::{Level, Outcome};
    use crate::ids::SessionId;
    use crate::plan::{Durability, Topology};

    struct NoKeys;

    impl KeyOf for NoKeys {
        fn key(&self, _: MessageId) -> Option<u32> {
            None
        }
    }

    fn plan() -> Plan {
        let topic = crate::plan::TopicPlan {
            partitions: 1,
            replicas: 3,
            min_in_sync: 2,
            flush: crate::plan::Flush::PageCache,
        };
        Plan {
            schema: 1,
            scenario: "canary".into(),
            about: String::new(),
            decides: Vec::new(),
            seed: 1,
            matrix: std::collections::BTreeMap::new(),
            topology: Topology { brokers: 3, controllers: 1, topics: [("t".to_owned(), topic)].into() },
            durability: Durability::Quorum,
            producers: Vec::new(),
            consumers: Vec::new(),
            faults: Vec::new(),
            expect: std::collections::BTreeMap::new(),
            load_ms: 1000,
            stretch: 1,
            rto_window_ms: 1000,
            workload_digest: 0,
            messages_expected: None,
            bytes_expected: None,
        }
    }

    /// Ten messages, acknowledged and read twice.
    fn history(sealed: bool) -> MemorySource {
        history_of(sealed, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    }

    /// Of a log that holds the messages in this order.
    fn history_of(sealed: bool, log: &[u32]) -> MemorySource {
        let names = Names { topics: vec!["t".into()], groups: Vec::new(), load_begins_ns: 0 };
        let mut source = MemorySource::new(names);
        let mut push = |name: &str, role, events| {
            let meta = ShardMeta {
                name: name.into(),
                role,
                incarnation: 0,
                topic: 0,
                group: 0,
                sealed,
                trouble: None,
                events: 0,
            };
            source.push(meta, events);
        };
        let event = |t_ns, kind, msg, a, flags| Event { t_ns, msg, a, b: 0, kind, flags, c: 0 };
        let id = |seq| MessageId::new(SessionId { producer: 0, incarnation: 0 }, seq).0;
        let acked = Outcome::Ok as u8 | (Level::Quorum as u8) << flags::LEVEL_SHIFT;
        let sends = (0..10).flat_map(|seq| {
            let at = u64::from(seq) * 10;
            [
                event(at, EventKind::SendInvoke, id(seq), at, 0),
                event(at + 1, EventKind::SendEnd, id(seq), u64::from(seq), acked),
            ]
        });
        push("writer", ShardRole::Producer(0), sends.collect());
        for reader in [1, 2] {
            let read = |(offset, &seq)| event(500, EventKind::Deliver, id(seq), offset, 0);
            push("drain", ShardRole::DrainReader(reader), (0..).zip(log).map(read).collect());
        }
        let mut told = vec![event(200, EventKind::Mark, 0, 0, 1), event(201, EventKind::Drain, 0, 0, 0)];
        for at in [300, 600] {
            told.push(event(at, EventKind::LogBound, 0, 0, 0));
            told.push(event(at, EventKind::LogBound, 0, 10, 1));
        }
        push("conductor", ShardRole::Conductor, told);
        source
    }

    #[test]
    fn checks_that_see_notice_every_change() {
        let (plan, source) = (plan(), history(true));
        let checked = check(&plan, Storage::Log, &NoKeys, &source, 0, Depth::Full);
        let changes = choose(&source, &checked);
        assert!(
            changes.hidden.is_some() && changes.renamed.is_some() && changes.swapped.is_some(),
            "{changes:?}"
        );
        assert!(unnoticed(&plan, &NoKeys, &source, 0, &checked).is_empty());
    }

    #[test]
    fn a_check_that_counts_no_more_than_before_is_named() {
        let (plan, source) = (plan(), history(true));
        let mut checked = check(&plan, Storage::Log, &NoKeys, &source, 0, Depth::Full);
        // As if every check were blind to what is added to the history.
        checked.losses.log.count = u64::MAX;
        checked.findings.insert(Property::Phantom, Findings { count: u64::MAX, ..Findings::default() });
        assert_eq!(unnoticed(&plan, &NoKeys, &source, 0, &checked), ["acked_loss", "phantom"]);
    }

    #[test]
    fn a_log_that_is_out_of_order_as_it_is_does_not_make_its_check_blind() {
        let (plan, source) = (plan(), history_of(true, &[1, 0, 2, 4, 3, 5, 6, 7, 8, 9]));
        let checked = check(&plan, Storage::Log, &NoKeys, &source, 0, Depth::Full);
        assert!(checked.findings[&Property::OrderLog].count > 0);
        assert!(choose(&source, &checked).swapped.is_some());
        assert!(!unnoticed(&plan, &NoKeys, &source, 0, &checked).contains(&"order_log"));
    }

    #[test]
    fn an_incomplete_history_is_left_alone() {
        let (plan, source) = (plan(), history(false));
        let checked = check(&plan, Storage::Log, &NoKeys, &source, 0, Depth::Full);
        assert!(unnoticed(&plan, &NoKeys, &source, 0, &checked).is_empty());
    }
}
