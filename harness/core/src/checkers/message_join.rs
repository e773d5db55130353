//! Joins each delivery with the send of its message: end-to-end latency, and deliveries before the send began.
//!
//! Works in windows of a million messages, like `offset_join`.

use super::chunk_index::ChunkIndex;
use super::finding::{Findings, Moment, Place};
use super::group_view::GroupView;
use super::latency::Latency;
use super::phantom;
use super::sends::Sends;
use super::source::{ShardRole, Source};
use crate::history::EventKind;

/// Messages of a window: 16 bytes each, and a bit per group.
const WINDOW: u64 = 1 << 20;

/// What the join found.
#[derive(Debug, Default)]
pub struct JoinedMessages {
    /// From the intended send to the first hand-over, over all groups.
    pub latency: Latency,
    /// Delivered before its send began.
    pub early: Findings,
}

struct Window {
    /// Session, from, to, and where its messages begin in the tables.
    ranges: Vec<(u32, u64, u64)>,
    intended: Vec<u64>,
    invoked: Vec<u64>,
}

impl Window {
    fn index(&self, msg: u64) -> Option<usize> {
        let (session, seq) = ((msg >> 32) as u32, msg & u64::from(u32::MAX));
        let mut base = 0;
        for &(range, from, to) in &self.ranges {
            if range == session && (from..to).contains(&seq) {
                return Some(base + (seq - from) as usize);
            }
            base += (to - from) as usize;
        }
        None
    }
}

/// Joins the whole history; `epsilon_ns` is the uncertainty between clocks.
pub fn join(
    source: &dyn Source,
    indices: &[ChunkIndex],
    sends: &Sends,
    groups: &[GroupView],
    epsilon_ns: u64,
) -> JoinedMessages {
    let mut joined = JoinedMessages::default();
    for ranges in windows(sends) {
        let size = ranges.iter().map(|(_, from, to)| (to - from) as usize).sum();
        let mut window = Window { ranges, intended: vec![0; size], invoked: vec![u64::MAX; size] };
        fill(&mut window, source, indices);
        for group in groups {
            read_group(&window, source, indices, group.group, epsilon_ns, &mut joined);
        }
    }
    joined
}

fn fill(window: &mut Window, source: &dyn Source, indices: &[ChunkIndex]) {
    for (shard, meta) in source.shards().iter().enumerate() {
        if matches!(meta.role, ShardRole::Producer(_)) {
            let ranges = window.ranges.clone();
            for event in indices[shard].with_messages(source, shard, &ranges) {
                if event.kind == EventKind::SendInvoke
                    && let Some(index) = window.index(event.msg)
                    && event.t_ns < window.invoked[index]
                {
                    window.invoked[index] = event.t_ns;
                    window.intended[index] = event.a;
                }
            }
        }
    }
}

fn read_group(
    window: &Window,
    source: &dyn Source,
    indices: &[ChunkIndex],
    group: u16,
    epsilon_ns: u64,
    joined: &mut JoinedMessages,
) {
    let mut first = vec![u64::MAX; window.intended.len()];
    for (shard, meta) in source.shards().iter().enumerate() {
        if meta.group != group || !matches!(meta.role, ShardRole::Consumer(_)) {
            continue;
        }
        for event in indices[shard].with_messages(source, shard, &window.ranges) {
            if event.kind != EventKind::Deliver || !event.is_intact() {
                continue;
            }
            let Some(index) = window.index(event.msg) else { continue };
            let invoked = window.invoked[index];
            if invoked != u64::MAX && event.t_ns.saturating_add(epsilon_ns) < invoked {
                let place = Place { topic: meta.topic, partition: event.partition() };
                phantom::before_its_send(&mut joined.early, place, Moment { shard, event });
            }
            first[index] = first[index].min(event.handed_over_ns());
        }
    }
    for (index, &handed) in first.iter().enumerate() {
        if handed != u64::MAX && window.invoked[index] != u64::MAX {
            joined.latency.record(handed.saturating_sub(window.intended[index]));
        }
    }
}

/// Cuts the messages that were sent into windows.
fn windows(sends: &Sends) -> Vec<Vec<(u32, u64, u64)>> {
    let mut windows = vec![Vec::new()];
    let mut room = WINDOW;
    for (session, end) in sends.invoked.extents() {
        let mut from = 0;
        while from < end {
            let to = end.min(from + room);
            windows.last_mut().expect("there is always one").push((session, from, to));
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
