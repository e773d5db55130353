//! The end of the log, in memory: followers and consumers that keep up need no file.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::ids::Offset;

/// Smaller batches are copied together, so that a response does not become thousands of parts.
const GATHER_BELOW: usize = 4096;

#[derive(Clone, Debug)]
struct Kept {
    base: Offset,
    last: Offset,
    bytes: Bytes,
}

/// The newest batches, without a gap up to the end of the log.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    batches: VecDeque<Kept>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn push(&mut self, base: Offset, last: Offset, bytes: Bytes) {
        self.bytes += bytes.len();
        self.batches.push_back(Kept { base, last, bytes });
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Whether the record at `offset` is here.
    pub(super) fn holds(&self, offset: Offset) -> bool {
        self.batches.front().is_some_and(|first| first.base <= offset)
    }

    /// Drops the batches that end at or below `offset`.
    pub(super) fn forget_below(&mut self, offset: Offset) {
        while let Some(oldest) = self.batches.pop_front_if(|batch| batch.last < offset) {
            self.bytes -= oldest.bytes.len();
        }
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        while let Some(newest) = self.batches.pop_back_if(|batch| batch.last >= end) {
            self.bytes -= newest.bytes.len();
        }
    }

    /// See [`PartitionLog::read`](super::PartitionLog::read).
    pub(super) fn read(&self, from: Offset, to: Offset, max_bytes: usize, at_least_one: bool) -> Vec<Bytes> {
        let first = self.batches.partition_point(|batch| batch.last < from);
        let mut total = 0;
        let mut count = 0;
        for batch in self.batches.range(first..).take_while(|batch| batch.last < to) {
            if total + batch.bytes.len() > max_bytes && !(at_least_one && count == 0) {
                break;
            }
            total += batch.bytes.len();
            count += 1;
        }
        gather(self.batches.range(first..first + count).map(|batch| &batch.bytes))
    }
}

fn gather<'a>(batches: impl Iterator<Item = &'a Bytes>) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let mut run: Vec<&Bytes> = Vec::new();
    let flush = |run: &mut Vec<&Bytes>, parts: &mut Vec<Bytes>| match run.as_slice() {
        [] => {}
        [single] => parts.push(Bytes::clone(single)),
        many => {
            let mut joined = BytesMut::with_capacity(many.iter().map(|bytes| bytes.len()).sum());
            for bytes in many {
                joined.extend_from_slice(bytes);
            }
            parts.push(joined.freeze());
        }
    };
    for bytes in batches {
        if bytes.len() < GATHER_BELOW {
            run.push(bytes);
        } else {
            flush(&mut run, &mut parts);
            run.clear();
            parts.push(bytes.clone());
        }
    }
    flush(&mut run, &mut parts);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(sizes: &[usize], bytes_max: usize) -> Tail {
        let mut tail = Tail::new(bytes_max);
        for (index, size) in sizes.iter().enumerate() {
            let offset = Offset(index as i64 * 2);
            tail.push(offset, offset.next(), Bytes::from(vec![index as u8; *size]));
        }
        tail
    }

    fn lengths(parts: &[Bytes]) -> Vec<usize> {
        parts.iter().map(Bytes::len).collect()
    }

    #[test]
    fn the_oldest_batches_go_when_the_tail_is_full() {
        let tail = tail(&[40, 40, 40], 100);
        assert!(!tail.holds(Offset(1)));
        assert!(tail.holds(Offset(2)));
        assert_eq!(lengths(&tail.read(Offset(3), Offset(6), 1000, true)), [80]);
    }

    #[test]
    fn small_batches_are_joined_and_large_ones_are_shared() {
        let tail = tail(&[10, 20, 5000, 30], 10_000);
        assert_eq!(lengths(&tail.read(Offset(0), Offset(8), 10_000, true)), [30, 5000, 30]);
    }

    #[test]
    fn a_read_stops_before_a_batch_that_is_not_whole_below_the_end() {
        assert_eq!(lengths(&tail(&[10, 20], 100).read(Offset(0), Offset(3), 100, true)), [10]);
    }

    #[test]
    fn the_first_batch_comes_whole_only_if_one_is_wanted_at_least() {
        let tail = tail(&[10, 20], 100);
        assert_eq!(lengths(&tail.read(Offset(0), Offset(4), 5, true)), [10]);
        assert!(tail.read(Offset(0), Offset(4), 5, false).is_empty());
    }

    #[test]
    fn cutting_drops_batches_that_reach_past_the_end() {
        let mut tail = tail(&[10, 20, 30], 100);
        tail.truncate(Offset(3));
        assert_eq!((tail.bytes, tail.batches.len()), (10, 1));
    }
}
