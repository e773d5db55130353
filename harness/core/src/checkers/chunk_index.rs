//! Which stretch of a journal speaks of which offsets and messages, so that a window reads only what concerns it.

use crate::history::{Event, EventKind};

use super::finding::Place;
use super::source::Source;

/// Events of a stretch.
const CHUNK_EVENTS: u64 = 16_384;

/// Smallest and largest number, both inclusive.
type Range<K> = (K, u64, u64);

#[derive(Clone, Debug, Default)]
struct Chunk {
    offsets: Vec<Range<u16>>,
    /// By session, as the high 32 bits of a message id.
    seqs: Vec<Range<u32>>,
}

/// The index of one journal.
#[derive(Clone, Debug, Default)]
pub struct ChunkIndex {
    chunks: Vec<Chunk>,
    events: u64,
}

impl ChunkIndex {
    /// Takes note of the next event.
    #[inline]
    pub fn note(&mut self, event: &Event) {
        if self.events.is_multiple_of(CHUNK_EVENTS) {
            self.chunks.push(Chunk::default());
        }
        self.events += 1;
        let chunk = self.chunks.last_mut().expect("one was pushed for the first event");
        match event.kind {
            EventKind::Deliver | EventKind::SendEnd if event.a != Event::NO_OFFSET => {
                widen(&mut chunk.offsets, event.partition(), event.a);
            }
            _ => {}
        }
        match event.kind {
            EventKind::Deliver | EventKind::SendEnd | EventKind::SendInvoke => {
                widen(&mut chunk.seqs, (event.msg >> 32) as u32, event.msg & u64::from(u32::MAX));
            }
            _ => {}
        }
    }

    /// The offsets that the journal speaks of, by partition.
    pub fn offsets(&self) -> Vec<Range<u16>> {
        let mut all = Vec::new();
        for &(partition, from, to) in self.chunks.iter().flat_map(|chunk| &chunk.offsets) {
            widen(&mut all, partition, from);
            widen(&mut all, partition, to);
        }
        all
    }

    fn read<'a>(
        &'a self,
        source: &'a dyn Source,
        shard: usize,
        wanted: impl Fn(&Chunk) -> bool + 'a,
    ) -> impl Iterator<Item = Event> + 'a {
        self.chunks.iter().enumerate().filter(move |(_, chunk)| wanted(chunk)).flat_map(move |(number, _)| {
            source.events(shard, number as u64 * CHUNK_EVENTS).take(CHUNK_EVENTS as usize)
        })
    }

    /// The stretches of journal `shard` that may speak of an offset in one of these ranges (place, from, to exclusive).
    pub fn with_offsets<'a>(
        &'a self,
        source: &'a dyn Source,
        shard: usize,
        ranges: &'a [(Place, u64, u64)],
    ) -> impl Iterator<Item = Event> + 'a {
        let topic = source.shards()[shard].topic;
        self.read(source, shard, move |chunk| {
            chunk.offsets.iter().any(|&(partition, low, high)| {
                let place = Place { topic, partition };
                ranges.iter().any(|&(range, from, to)| range == place && low < to && high >= from)
            })
        })
    }

    /// The stretches that may speak of a message in one of these ranges (session, from, to exclusive).
    pub fn with_messages<'a>(
        &'a self,
        source: &'a dyn Source,
        shard: usize,
        ranges: &'a [(u32, u64, u64)],
    ) -> impl Iterator<Item = Event> + 'a {
        self.read(source, shard, move |chunk| {
            chunk.seqs.iter().any(|&(session, low, high)| {
                ranges.iter().any(|&(range, from, to)| range == session && low < to && high >= from)
            })
        })
    }
}

fn widen<K: PartialEq + Copy>(ranges: &mut Vec<Range<K>>, key: K, number: u64) {
    match ranges.iter_mut().find(|range| range.0 == key) {
        Some(range) => {
            range.1 = range.1.min(number);
            range.2 = range.2.max(number);
        }
        None => ranges.push((key, number, number)),
    }
}
