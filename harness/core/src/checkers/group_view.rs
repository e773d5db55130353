//! What one consumer group was handed, in the order of time over all its members.
//!
//! Feeds `duplicate_delivery`, `order_consumer` and `order_per_key`, which follow a group's progress through each partition.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::chunk_index::ChunkIndex;
use super::duplicate_delivery::{self, Repeat, SessionEnd};
use super::finding::{Findings, Moment, Place};
use super::intervals::Intervals;
use super::message_set::MessageSet;
use super::order_consumer::{self, Gap};
use super::order_per_key::{KeyCircumstances, KeyOrder};
use super::queue_trace::QueueTrace;
use super::sends::Sends;
use super::slots::Series;
use super::source::{KeyOf, ShardRole, Source};
use crate::contract::Storage;
use crate::history::{Event, EventKind, MemberChange, Outcome};

/// Gaps that are kept to be compared with the log.
const GAPS_MAX: usize = 100_000;

/// One member's hold on one partition, from assignment to revocation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// The member's journal.
    pub(super) shard: usize,
    /// Which assignment of that process.
    pub(super) epoch: u16,
    /// What the group had surely committed when it began: the next offset to read.
    pub(super) committed_before: u64,
    /// The last record that it was handed.
    pub(super) last: Option<Event>,
    /// Whose place it took: the journal that was handed a record last before its own first.
    heir_of: Option<usize>,
    /// How it ended.
    pub(super) end: Option<SessionEnd>,
}

/// A group's progress in one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// One past the highest offset that any member was handed.
    next: u64,
    /// What was surely committed last, and the event that says so.
    committed: Option<Moment>,
    /// The members' sessions, by journal: the latest of each.
    sessions: BTreeMap<usize, Session>,
    /// Who was handed a record last.
    last_shard: Option<usize>,
}

/// What one group was handed.
#[derive(Debug, Default)]
pub struct GroupView {
    /// Index into [`Names::groups`](super::Names::groups).
    pub group: u16,
    /// The messages that were handed over.
    pub messages: MessageSet,
    /// Records handed over, repeats included.
    pub handed: u64,
    /// First hand-overs by slot.
    pub first_by_slot: Series,
    /// When a message was handed over for the first time, last.
    pub last_first_ns: Option<u64>,
    /// Offsets that members' sessions read past, whether or not they were handed a record there.
    pub passed: BTreeMap<Place, Intervals>,
    /// Places of records that could not be read as intact messages.
    pub unreadable: BTreeSet<(Place, u64)>,
    /// The offset that was surely committed last.
    pub committed: BTreeMap<Place, u64>,
    /// Records handed over again.
    pub repeats: Findings,
    /// Records out of log order.
    pub order: Findings,
    /// Offsets that a session left out, to be compared with the log.
    pub gaps: Vec<Gap>,
    /// Keys out of order.
    pub keys: Findings,
    /// Where it reads queues: repeats, and what became of its members.
    pub queue: QueueTrace,
    progress: BTreeMap<Place, Progress>,
    pub(super) key_order: KeyOrder,
}

impl GroupView {
    /// Merges the members' journals by time.
    pub fn read(
        group: u16,
        storage: Storage,
        source: &dyn Source,
        sends: &Sends,
        keys: &dyn KeyOf,
        indices: &mut [ChunkIndex],
        on_delivery: &mut dyn FnMut(usize, &Event),
    ) -> Self {
        let mut view = Self { group, ..Self::default() };
        let is_member = |shard: &usize| {
            let meta = &source.shards()[*shard];
            meta.group == group && matches!(meta.role, ShardRole::Consumer(_))
        };
        let members: Vec<usize> = (0..source.shards().len()).filter(is_member).collect();
        let mut streams: Vec<_> = members.iter().map(|&shard| source.events(shard, 0)).collect();
        let mut heads = BinaryHeap::new();
        let mut next: Vec<_> = streams.iter_mut().map(Iterator::next).collect();
        for (stream, event) in next.iter().enumerate() {
            heads.extend(event.map(|event| Reverse((event.t_ns, stream))));
        }
        while let Some(Reverse((_, stream))) = heads.pop() {
            let (shard, limit) = (members[stream], heads.peek().map_or(u64::MAX, |head| head.0.0));
            // As long as this journal is the earliest, no heap is needed.
            while let Some(event) = next[stream] {
                if event.t_ns > limit {
                    heads.push(Reverse((event.t_ns, stream)));
                    break;
                }
                indices[shard].note(&event);
                if event.kind == EventKind::Deliver {
                    on_delivery(shard, &event);
                }
                let topic = source.shards()[shard].topic;
                match storage {
                    Storage::Log => view.on_event(shard, topic, &event, sends, keys),
                    Storage::Queue => view.on_queue_event(shard, topic, &event, sends, keys),
                }
                next[stream] = streams[stream].next();
            }
            if next[stream].is_none() {
                view.on_journal_end(shard);
            }
        }
        view.finish()
    }

    fn on_event(&mut self, shard: usize, topic: u16, event: &Event, sends: &Sends, keys: &dyn KeyOf) {
        match event.kind {
            EventKind::Deliver => self.on_delivery(shard, topic, event, sends, keys),
            EventKind::Commit if event.outcome() == Outcome::Ok => {
                let place = Place { topic, partition: event.partition() };
                let progress = self.progress.entry(place).or_default();
                // The last answer counts, not the highest offset: a client library that has several commits under way and
                // repeats one after a lost connection may itself put an older one behind a newer.
                progress.committed = Some(Moment { shard, event: *event });
            }
            EventKind::Member => self.on_member(shard, topic, event),
            _ => {}
        }
    }

    fn on_member(&mut self, shard: usize, topic: u16, event: &Event) {
        let place = Place { topic, partition: event.partition() };
        if event.flags == MemberChange::Assign as u8 {
            self.end_session(place, shard, SessionEnd::Revoked);
            let progress = self.progress.entry(place).or_default();
            let committed_before = progress.committed.map_or(0, |committed| committed.event.a);
            let session =
                Session { shard, epoch: event.c, committed_before, last: None, heir_of: None, end: None };
            progress.sessions.insert(shard, session);
            return;
        }
        let end = match event.flags {
            flags if flags == MemberChange::Lost as u8 => SessionEnd::Lost,
            flags if flags == MemberChange::Leave as u8 => SessionEnd::Left,
            _ => SessionEnd::Revoked,
        };
        if end == SessionEnd::Left {
            let places: Vec<Place> = self.progress.keys().copied().collect();
            for place in places {
                self.end_session(place, shard, end);
            }
        } else {
            self.end_session(place, shard, end);
        }
    }

    fn end_session(&mut self, place: Place, shard: usize, end: SessionEnd) {
        if let Some(progress) = self.progress.get_mut(&place)
            && let Some(session) = progress.sessions.get_mut(&shard)
        {
            session.end = session.end.or(Some(end));
        }
    }

    /// A process that is gone holds nothing any more.
    fn on_journal_end(&mut self, shard: usize) {
        for progress in self.progress.values_mut() {
            if let Some(session) = progress.sessions.get_mut(&shard) {
                session.end = session.end.or(Some(SessionEnd::Died));
            }
        }
    }

    fn on_delivery(&mut self, shard: usize, topic: u16, event: &Event, sends: &Sends, keys: &dyn KeyOf) {
        let place = Place { topic, partition: event.partition() };
        let moment = Moment { shard, event: *event };
        self.handed += 1;
        let progress = self.progress.entry(place).or_default();
        let committed_now = progress.committed.map_or(0, |committed| committed.event.a);
        // A journal without assignments (a client that is told its partitions) is one session.
        let session = progress.sessions.entry(shard).or_insert(Session {
            shard,
            epoch: 0,
            committed_before: committed_now,
            last: None,
            heir_of: None,
            end: None,
        });
        if session.last.is_none() {
            session.heir_of = progress.last_shard.filter(|&holder| holder != shard);
        }
        let session_before = *session;
        session.last = Some(*event);
        order_consumer::on_next(&mut self.order, place, self.group, &session_before, moment);
        if let Some(gap) = Gap::between(place, self.group, &session_before, moment)
            && self.gaps.len() < GAPS_MAX
        {
            self.gaps.push(gap);
        }
        let passed_from = session_before.last.map_or(event.a, |last| last.a.min(event.a));
        self.passed.entry(place).or_default().add(passed_from, event.a.saturating_add(1));

        let rewound = event.a < progress.next;
        progress.next = progress.next.max(event.a.saturating_add(1));
        progress.last_shard = Some(shard);
        if !event.is_intact() {
            self.unreadable.insert((place, event.a));
            return;
        }
        if !sends.invoked.contains(event.message()) {
            return;
        }
        let committed = progress.committed;
        let first = self.note_delivered(event, sends);
        if !first {
            let progress = self.progress.entry(place).or_default();
            let previous = session_before.heir_of.and_then(|holder| progress.sessions.get(&holder));
            let repeat = Repeat { rewound, session: session_before, previous, committed, group: self.group };
            duplicate_delivery::on_repeat(&mut self.repeats, place, &repeat, moment);
        }
        self.repeats.exercised += 1;
        if let Some(key) = keys.key(event.message()) {
            let circumstances = KeyCircumstances {
                place,
                group: self.group,
                key,
                session: (shard, session_before.epoch),
                first,
                rewound,
                announced: false,
            };
            self.key_order.on_delivery(&mut self.keys, circumstances, moment, sends);
        }
    }

    /// Books a hand-over; whether it is the first of its message.
    pub(super) fn note_delivered(&mut self, event: &Event, sends: &Sends) -> bool {
        let first = self.messages.insert(event.message());
        if first {
            let handed_ns = event.handed_over_ns();
            self.first_by_slot.add(sends.slots.slot(handed_ns));
            self.last_first_ns = self.last_first_ns.max(Some(handed_ns));
        }
        first
    }

    fn finish(mut self) -> Self {
        for (place, progress) in std::mem::take(&mut self.progress) {
            if let Some(committed) = progress.committed {
                self.committed.insert(place, committed.event.a);
            }
        }
        self.key_order = KeyOrder::default();
        self
    }
}
