//! Writes events into memory that the shell maps to a file.

use std::sync::atomic::{Ordering, compiler_fence};

use super::block::{self, KIND_AT};
use super::event::Event;
use super::format::{BLOCK_EVENTS, BLOCK_SIZE, SEGMENT_SIZE};
use super::seal::{Seal, SealReason};

/// The segment has no room: call [`Recorder::next_segment`] and record into the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the segment is full")]
pub struct SegmentFull;

/// The place at which the next event goes. It holds no memory: each call is given the current segment,
/// [`SEGMENT_SIZE`] zeroed bytes.
#[derive(Debug, Default)]
pub struct Recorder {
    /// Where in the segment the open block begins.
    block_at: usize,
    /// Events in the open block.
    in_block: usize,
    /// Index of the open block's first event.
    first: u64,
    /// Checksum of the block before.
    previous: u32,
}

impl Recorder {
    /// A recorder at the start of a journal's first segment.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events were recorded.
    pub fn events(&self) -> u64 {
        self.first + self.in_block as u64
    }

    /// Writes an event. After a SIGKILL it is either whole or not there: its kind is stored last.
    #[inline]
    pub fn record(&mut self, segment: &mut [u8], event: &Event) -> Result<(), SegmentFull> {
        if self.block_at == SEGMENT_SIZE {
            return Err(SegmentFull);
        }
        let at = self.block_at + self.in_block * Event::SIZE;
        let slot = &mut segment[at..at + Event::SIZE];
        let mut bytes = event.encode();
        let kind = std::mem::take(&mut bytes[KIND_AT]);
        slot.copy_from_slice(&bytes);
        compiler_fence(Ordering::SeqCst);
        slot[KIND_AT] = kind;
        self.in_block += 1;
        if self.in_block == BLOCK_EVENTS {
            self.close_block(segment);
        }
        Ok(())
    }

    /// To be called when `record` said that the segment is full and the next one is at hand.
    pub fn next_segment(&mut self) {
        assert_eq!(self.block_at, SEGMENT_SIZE, "the segment has room left");
        self.block_at = 0;
    }

    /// Closes the open block and says what to write as the seal.
    pub fn seal(&mut self, segment: &mut [u8], reason: SealReason, t_ns: u64) -> Seal {
        if self.in_block > 0 {
            self.close_block(segment);
        }
        Seal { reason, events: self.first, last_block_crc: self.previous, t_ns }
    }

    /// Bytes of this segment in use, in whole blocks.
    pub fn used(&self) -> usize {
        self.block_at + if self.in_block > 0 { BLOCK_SIZE } else { 0 }
    }

    fn close_block(&mut self, segment: &mut [u8]) {
        let block = &mut segment[self.block_at..self.block_at + BLOCK_SIZE];
        self.previous = block::close(block, self.first, self.in_block, self.previous);
        self.first += self.in_block as u64;
        self.in_block = 0;
        self.block_at += BLOCK_SIZE;
    }
}
