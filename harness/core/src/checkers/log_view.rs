//! What a drain reader saw: whole logs, from the start to the end, after the load.
//!
//! Feeds `duplicate_append` and `order_log`, which are decided record by record in log order.

use std::collections::{BTreeMap, BTreeSet};

use super::chunk_index::ChunkIndex;
use super::finding::{Findings, Moment, Place};
use super::message_set::MessageSet;
use super::sends::Sends;
use super::source::{ShardRole, Source};
use super::{duplicate_append, order_log};
use crate::history::{Event, EventKind};
use crate::ids::MessageId;

/// Of a `Drain` event: all of a log below an offset was read, though its last offsets hold nothing that is handed out.
const READ_TO: u8 = 4;

/// How much of one log a reader has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// First offset that it was handed.
    pub first: u64,
    /// One past the last offset that it was handed.
    pub next: u64,
}

/// The logs as one drain reader saw them.
#[derive(Debug, Default)]
pub struct LogView {
    /// Which reader, 1 or 2.
    pub reader: u8,
    /// The messages in the logs.
    pub messages: MessageSet,
    /// How far it has read.
    pub coverage: BTreeMap<Place, Coverage>,
    /// One past the last record of each log that a group is owed: readers of all records, readers of committed ones.
    pub owed: BTreeMap<Place, [u64; 2]>,
    /// Records that were read as intact messages.
    pub records: u64,
    /// Places of records that could not be read as intact messages.
    pub unreadable: BTreeSet<(Place, u64)>,
    /// Ids that such records claim.
    pub unreadable_ids: BTreeSet<MessageId>,
    /// Messages at two offsets.
    pub duplicates: Findings,
    /// Messages out of send order.
    pub order: Findings,
    highest: BTreeMap<(Place, u32), Highest>,
}

/// The message of a session with the highest number so far in one log.
#[derive(Clone, Copy, Debug)]
struct Highest {
    event: Event,
    shard: usize,
}

impl LogView {
    /// Reads the journals of one drain reader. `on_delivery` sees every record, for the checks that look at single ones.
    pub fn read(
        reader: u8,
        source: &dyn Source,
        sends: &Sends,
        indices: &mut [ChunkIndex],
        on_delivery: &mut dyn FnMut(usize, &Event),
    ) -> Self {
        let mut view = Self { reader, ..Self::default() };
        for (shard, meta) in source.shards().iter().enumerate() {
            if meta.role == ShardRole::DrainReader(reader) {
                for event in source.events(shard, 0) {
                    indices[shard].note(&event);
                    if event.kind == EventKind::Deliver {
                        on_delivery(shard, &event);
                        view.on_record(shard, meta.topic, &event, sends);
                    } else if event.kind == EventKind::Drain && event.flags == READ_TO {
                        let place = Place { topic: meta.topic, partition: event.partition() };
                        let coverage = view.coverage.entry(place).or_insert(Coverage { first: 0, next: 0 });
                        coverage.next = coverage.next.max(event.a);
                    }
                }
            }
        }
        view
    }

    fn on_record(&mut self, shard: usize, topic: u16, event: &Event, sends: &Sends) {
        let place = Place { topic, partition: event.partition() };
        let offset = event.a;
        let coverage = self.coverage.entry(place).or_insert(Coverage { first: offset, next: 0 });
        let read_again = offset < coverage.next;
        coverage.first = coverage.first.min(offset);
        coverage.next = coverage.next.max(offset.saturating_add(1));
        let [all, committed] = self.owed.entry(place).or_default();
        *all = (*all).max(offset.saturating_add(1));
        if !sends.transactions.may_be_hidden(event.message()) {
            *committed = (*committed).max(offset.saturating_add(1));
        }
        if !event.is_intact() {
            self.unreadable.insert((place, offset));
            self.unreadable_ids.insert(event.message());
            return;
        }
        let message = event.message();
        if read_again || !sends.invoked.contains(message) {
            return;
        }
        self.records += 1;
        self.duplicates.exercised += 1;
        let moment = Moment { shard, event: *event };
        if !self.messages.insert(message) {
            duplicate_append::on_second_copy(&mut self.duplicates, sends, place, moment);
            return;
        }
        let highest =
            self.highest.entry((place, (message.0 >> 32) as u32)).or_insert(Highest { event: *event, shard });
        if highest.event.msg != event.msg {
            let before = Moment { shard: highest.shard, event: highest.event };
            order_log::on_next(&mut self.order, sends, place, before, moment);
        }
        if highest.event.msg < event.msg {
            *highest = Highest { event: *event, shard };
        }
    }
}
