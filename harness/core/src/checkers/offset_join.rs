//! Joins all that was ever said of an offset: what readers saw there, and which message was acknowledged there.
//!
//! Works through the logs in windows of a million offsets; a window reads only the stretches of journals that speak of it.
//! Feeds `divergence`, `high_watermark_rollback`, the gaps of `order_consumer`, and the agreement of the drain readers.

use std::collections::BTreeMap;

use super::chunk_index::ChunkIndex;
use super::conductor::Conductor;
use super::divergence;
use super::finding::{Findings, Moment, Place};
use super::group_view::GroupView;
use super::high_watermark_rollback as rollback;
use super::order_consumer::{self, Gap};
use super::sends::Sends;
use super::source::{ShardRole, Source};
use super::transactional_reads::TransactionalReads;
use crate::history::{Event, EventKind, Outcome};
use crate::ids::MessageId;

/// Offsets of a window: 17 bytes each.
const WINDOW: u64 = 1 << 20;

/// Bits of [`Window::seen`].
mod bit {
    pub const DRAIN: [u8; 2] = [1, 2];
    pub const BOTH: u8 = 3;
    pub const GROUP: u8 = 4;
    pub const DIVERGED: u8 = 8;
}

/// What the join found.
#[derive(Debug, Default)]
pub struct Joined {
    /// Two messages at one offset, by whoever saw them.
    pub readers: Findings,
    /// An acknowledgement against a reader or another acknowledgement.
    pub acks: Findings,
    /// Delivered, and later another message at that offset: positive by itself.
    pub replaced: Findings,
    /// Delivered, and absent from what the drain readers saw: counts only with a certificate.
    pub vanished: Findings,
    /// Left out by a consumer although the log holds it.
    pub skipped: Findings,
    /// Where the drain readers disagree: how often, and first where.
    pub disagreements: u64,
    /// The first place at which they do.
    pub disagreement: Option<(Place, u64)>,
}

impl Joined {
    fn disagree(&mut self, place: Place, offset: u64) {
        self.disagreements += 1;
        self.disagreement = self.disagreement.or(Some((place, offset)));
    }
}

/// Everything said of the offsets of a window.
struct Window {
    ranges: Vec<(Place, u64, u64)>,
    /// The message that the first reader saw, drain readers first.
    reader: Vec<u64>,
    /// The message that was acknowledged.
    ack: Vec<u64>,
    seen: Vec<u8>,
}

impl Window {
    fn new(ranges: Vec<(Place, u64, u64)>) -> Self {
        let size = ranges.iter().map(|(_, from, to)| (to - from) as usize).sum();
        Self { ranges, reader: vec![u64::MAX; size], ack: vec![u64::MAX; size], seen: vec![0; size] }
    }

    fn index(&self, place: Place, offset: u64) -> Option<usize> {
        let mut base = 0;
        for &(range, from, to) in &self.ranges {
            if range == place && (from..to).contains(&offset) {
                return Some(base + (offset - from) as usize);
            }
            base += (to - from) as usize;
        }
        None
    }

    /// Every offset with its place, in order.
    fn offsets(&self) -> impl Iterator<Item = (Place, u64)> + '_ {
        self.ranges.iter().flat_map(|&(place, from, to)| (from..to).map(move |offset| (place, offset)))
    }
}

/// Joins the whole history. Gaps are those of all groups.
pub(super) fn join(
    source: &dyn Source,
    indices: &[ChunkIndex],
    conductor: &Conductor,
    groups: &[GroupView],
    sends: &Sends,
    reads: &TransactionalReads,
) -> Joined {
    let gaps: Vec<&Gap> = groups.iter().flat_map(|group| &group.gaps).collect();
    // A reader of committed records leaves out what is not known to be committed.
    let may_leave_out = |gap: &Gap, message: u64| {
        reads.is_committed(gap.after.shard) && sends.transactions.may_be_hidden(MessageId(message))
    };
    let mut joined = Joined::default();
    for ranges in windows(source, indices) {
        let mut window = Window::new(ranges);
        fill(&mut window, source, indices, &mut joined);
        compare_drains(&window, source, indices, conductor, &mut joined);
        for gap in &gaps {
            on_gap(&window, gap, &may_leave_out, &mut joined);
        }
        count_comparisons(&window, &mut joined);
    }
    joined
}

fn fill(window: &mut Window, source: &dyn Source, indices: &[ChunkIndex], joined: &mut Joined) {
    let is_reader = |role| matches!(role, ShardRole::Consumer(_) | ShardRole::DrainReader(_));
    let mut order: Vec<usize> = (0..source.shards().len()).collect();
    // Drain readers come first, so that what they saw is what others are compared with.
    order.sort_by_key(|&shard| match source.shards()[shard].role {
        ShardRole::DrainReader(reader) => (0, reader),
        ShardRole::Consumer(_) => (1, 0),
        ShardRole::Producer(_) => (2, 0),
        ShardRole::Conductor => (3, 0),
    });
    for shard in order {
        let meta = &source.shards()[shard];
        let ranges = window.ranges.clone();
        for event in indices[shard].with_offsets(source, shard, &ranges) {
            let place = Place { topic: meta.topic, partition: event.partition() };
            let moment = Moment { shard, event };
            match event.kind {
                EventKind::Deliver if is_reader(meta.role) => {
                    if let Some(index) = window.index(place, event.a) {
                        on_delivery(window, index, place, meta.role, moment, joined);
                    }
                }
                EventKind::SendEnd if event.outcome() == Outcome::Ok => {
                    if let Some(index) = window.index(place, event.a) {
                        on_ack(window, index, place, moment, joined);
                    }
                }
                _ => {}
            }
        }
    }
}

fn on_delivery(
    window: &mut Window,
    index: usize,
    place: Place,
    role: ShardRole,
    moment: Moment,
    joined: &mut Joined,
) {
    window.seen[index] |= match role {
        ShardRole::DrainReader(1) => bit::DRAIN[0],
        ShardRole::DrainReader(2) => bit::DRAIN[1],
        _ => bit::GROUP,
    };
    // A record that cannot be read is corruption, not another message.
    if !moment.event.is_intact() {
        return;
    }
    let message = moment.event.msg;
    let before = window.reader[index];
    if before == u64::MAX {
        window.reader[index] = message;
    } else if before != message && window.seen[index] & bit::DIVERGED == 0 {
        window.seen[index] |= bit::DIVERGED;
        divergence::between_readers(&mut joined.readers, place, MessageId(before), moment);
        if matches!(role, ShardRole::DrainReader(1 | 2)) {
            joined.disagree(place, moment.event.a);
        }
        let drained = window.seen[index] & bit::BOTH != 0;
        if drained && matches!(role, ShardRole::Consumer(_)) {
            rollback::on_replaced(&mut joined.replaced, place, MessageId(before), moment);
        }
    }
}

fn on_ack(window: &mut Window, index: usize, place: Place, moment: Moment, joined: &mut Joined) {
    let message = moment.event.msg;
    match (window.ack[index], window.reader[index]) {
        (ack, _) if ack != u64::MAX && ack != message => {
            divergence::between_acks(&mut joined.acks, place, MessageId(ack), moment);
        }
        (_, reader) if reader != u64::MAX && reader != message => {
            divergence::ack_and_reader(&mut joined.acks, place, MessageId(reader), moment);
        }
        _ => {}
    }
    window.ack[index] = message;
}

fn compare_drains(
    window: &Window,
    source: &dyn Source,
    indices: &[ChunkIndex],
    conductor: &Conductor,
    joined: &mut Joined,
) {
    let any = window.seen.iter().any(|seen| seen & bit::BOTH != 0);
    if !any {
        return;
    }
    for (index, (place, offset)) in window.offsets().enumerate() {
        let seen = window.seen[index];
        let one_only = matches!(seen & bit::BOTH, 1 | 2);
        if one_only {
            joined.disagree(place, offset);
        }
        // What lies before the start of the log was deleted by retention.
        let kept = || {
            let start = conductor.bounds.get(&place).and_then(|bounds| bounds.starts.iter().max());
            start.is_none_or(|&start| offset >= start)
        };
        if seen & bit::GROUP != 0 && seen & bit::BOTH == 0 && kept() {
            let handed = || handed_at(source, indices, place, offset);
            rollback::on_vanished(
                &mut joined.vanished,
                place,
                offset,
                MessageId(window.reader[index]),
                handed,
            );
        }
    }
}

/// The hand-overs to group members at an offset.
fn handed_at(source: &dyn Source, indices: &[ChunkIndex], place: Place, offset: u64) -> Vec<Moment> {
    let is_member = |shard: &usize| matches!(source.shards()[*shard].role, ShardRole::Consumer(_));
    let range = [(place, offset, offset + 1)];
    let at = |shard: usize| {
        let events = indices[shard].with_offsets(source, shard, &range);
        events
            .filter(move |event| {
                event.kind == EventKind::Deliver && event.a == offset && event.partition() == place.partition
            })
            .map(move |event| Moment { shard, event })
            .collect::<Vec<_>>()
    };
    (0..source.shards().len())
        .filter(is_member)
        .filter(|shard| source.shards()[*shard].topic == place.topic)
        .flat_map(at)
        .collect()
}

/// A consumer left these offsets out; the drain readers tell whether there was something to read.
fn on_gap(window: &Window, gap: &Gap, may_leave_out: &dyn Fn(&Gap, u64) -> bool, joined: &mut Joined) {
    let ranges: Vec<_> = window.ranges.iter().filter(|range| range.0 == gap.place).copied().collect();
    for (_, from, to) in ranges {
        for offset in gap.from.max(from)..gap.to.min(to) {
            let Some(index) = window.index(gap.place, offset) else { continue };
            let message = window.reader[index];
            if window.seen[index] & bit::BOTH != 0 && message != u64::MAX && !may_leave_out(gap, message) {
                let event = Event { a: offset, msg: window.reader[index], ..gap.after.event };
                order_consumer::on_skipped(
                    &mut joined.skipped,
                    gap,
                    Moment { shard: gap.after.shard, event },
                );
            }
        }
    }
}

fn count_comparisons(window: &Window, joined: &mut Joined) {
    for (index, seen) in window.seen.iter().enumerate() {
        let readers = (seen & 7).count_ones();
        joined.readers.exercised += u64::from(readers >= 2);
        joined.acks.exercised += u64::from(readers >= 1 && window.ack[index] != u64::MAX);
        joined.replaced.exercised += u64::from(seen & bit::GROUP != 0 && seen & bit::BOTH != 0);
    }
}

/// Cuts what the journals speak of into windows.
fn windows(source: &dyn Source, indices: &[ChunkIndex]) -> Vec<Vec<(Place, u64, u64)>> {
    let mut extents: BTreeMap<Place, (u64, u64)> = BTreeMap::new();
    for (meta, index) in source.shards().iter().zip(indices) {
        for (partition, low, high) in index.offsets() {
            let extent = extents.entry(Place { topic: meta.topic, partition }).or_insert((low, high));
            *extent = (extent.0.min(low), extent.1.max(high));
        }
    }
    // A log cannot be much longer than what was recorded of it; an offset far beyond is somebody's error.
    let events: u64 = source.shards().iter().map(|meta| meta.events).sum();
    let longest = events.saturating_mul(16) + WINDOW;
    let mut windows = vec![Vec::new()];
    let mut room = WINDOW;
    for (place, (low, high)) in extents {
        let end = high.saturating_add(1).min(low.saturating_add(longest));
        let mut from = low;
        while from < end {
            let to = end.min(from + room);
            windows.last_mut().expect("there is always one").push((place, from, to));
            room -= to - from;
            if room == 0 {
                windows.push(Vec::new());
                room = WINDOW;
            }
            from = to;
        }
    }
    windows.retain(|window| !window.is_empty());
    windows
}
