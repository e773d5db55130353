//! What a group was handed from queues, whose messages have no offsets and are gone when they are settled.
//!
//! In:  the members' events in the order of time, from [`GroupView`].
//! Out: which messages came more than once, and what became of the members' sessions: food for `redelivery`.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Moment, Place};
use super::group_view::GroupView;
use super::message_set::MessageSet;
use super::order_per_key::KeyCircumstances;
use super::sends::Sends;
use super::source::KeyOf;
use crate::history::{Event, EventKind, MemberChange, Outcome};
use crate::ids::MessageId;

/// A change of one member's assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) t_ns: u64,
    /// None: of every partition.
    pub(super) partition: Option<u16>,
    pub(super) kind: MemberChange,
}

/// What one member did, by its journal.
#[derive(Clone, Debug, Default)]
pub(super) struct MemberTrace {
    /// In the order of time.
    pub(super) changes: Vec<Change>,
    /// Commits that were answered: when they began and ended, and of which partition.
    pub(super) settled: Vec<(u64, u64, u16)>,
    /// Its last event.
    pub(super) last_ns: u64,
    /// The session that it holds in each partition.
    sessions: BTreeMap<u16, u16>,
}

/// What a group was handed from queues.
#[derive(Clone, Debug, Default)]
pub struct QueueTrace {
    /// Messages that were handed over more than once.
    pub(super) repeated: MessageSet,
    /// Messages that came with other bytes than were sent.
    pub(super) unreadable: BTreeSet<MessageId>,
    /// How many came that cannot even be named, by queue.
    pub(super) nameless: BTreeMap<Place, u64>,
    pub(super) members: BTreeMap<usize, MemberTrace>,
}

impl GroupView {
    /// Whether a message of a queue was handed over more than once.
    pub(crate) fn came_again(&self, message: MessageId) -> bool {
        self.queue.repeated.contains(message)
    }

    /// The next event of a member, where messages come from queues.
    pub(super) fn on_queue_event(
        &mut self,
        shard: usize,
        topic: u16,
        event: &Event,
        sends: &Sends,
        keys: &dyn KeyOf,
    ) {
        let member = self.queue.members.entry(shard).or_default();
        member.last_ns = event.t_ns;
        match event.kind {
            EventKind::Deliver => self.on_queue_delivery(shard, topic, event, sends, keys),
            EventKind::Commit if event.outcome() == Outcome::Ok => {
                member.settled.push((event.msg, event.t_ns, event.partition()));
            }
            EventKind::Member => member.on_change(event),
            _ => {}
        }
    }

    fn on_queue_delivery(
        &mut self,
        shard: usize,
        topic: u16,
        event: &Event,
        sends: &Sends,
        keys: &dyn KeyOf,
    ) {
        let place = Place { topic, partition: event.partition() };
        let message = event.message();
        self.handed += 1;
        if !event.is_intact() {
            if message == MessageId::NONE {
                *self.queue.nameless.entry(place).or_default() += 1;
            } else {
                self.queue.unreadable.insert(message);
            }
            return;
        }
        if !sends.invoked.contains(message) {
            return;
        }
        self.repeats.exercised += 1;
        let first = self.note_delivered(event, sends);
        if !first {
            self.queue.repeated.insert(message);
        }
        let Some(key) = keys.key(message) else { return };
        let session = self.queue.members.get(&shard).map_or(0, |member| member.session(place.partition));
        // A copy that the producer sent again tells nothing of where the group stands.
        let rewound = !first && !sends.retried.contains(message);
        let circumstances = KeyCircumstances {
            place,
            group: self.group,
            key,
            session: (shard, session),
            first,
            rewound,
            // The broker says that it goes back.
            announced: event.is_flagged_repeat(),
        };
        self.key_order.on_delivery(&mut self.keys, circumstances, Moment { shard, event: *event }, sends);
    }
}

impl MemberTrace {
    fn on_change(&mut self, event: &Event) {
        let kind = match event.flags {
            flags if flags == MemberChange::Assign as u8 => MemberChange::Assign,
            flags if flags == MemberChange::Revoke as u8 => MemberChange::Revoke,
            flags if flags == MemberChange::Lost as u8 => MemberChange::Lost,
            _ => MemberChange::Leave,
        };
        if kind == MemberChange::Assign {
            self.sessions.insert(event.partition(), event.c);
        }
        let partition = (kind != MemberChange::Leave).then(|| event.partition());
        self.changes.push(Change { t_ns: event.t_ns, partition, kind });
    }

    fn session(&self, partition: u16) -> u16 {
        self.sessions.get(&partition).copied().unwrap_or(0)
    }
}
