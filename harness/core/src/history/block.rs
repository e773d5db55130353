//! One block: up to 2,047 events and a trailer that closes it.

use std::sync::atomic::{Ordering, compiler_fence};

use super::event::Event;
use super::format::{BLOCK_EVENTS, u32_at, u64_at};

/// Where the trailer begins.
const TRAILER: usize = BLOCK_EVENTS * Event::SIZE;
/// Where in an event its kind is.
pub(super) const KIND_AT: usize = 28;

/// The trailer: first index u64 | count u32 | CRC-32C u32 over events, index, count and previous | CRC of the previous
/// block u32 | zero 12. A count of 0 means that the block is still open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Trailer {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) crc: u32,
    pub(super) previous: u32,
}

/// Closes a block: writes the trailer and returns the block's checksum. Space after the last event is zeroed.
pub(super) fn close(block: &mut [u8], first: u64, count: usize, previous: u32) -> u32 {
    block[count * Event::SIZE..].fill(0);
    let crc = checksum(block, first, count as u32, previous);
    block[TRAILER + 12..TRAILER + 16].copy_from_slice(&crc.to_le_bytes());
    block[TRAILER + 16..TRAILER + 20].copy_from_slice(&previous.to_le_bytes());
    block[TRAILER..TRAILER + 8].copy_from_slice(&first.to_le_bytes());
    // The count makes it closed, so a SIGKILL before this line leaves an open block.
    compiler_fence(Ordering::SeqCst);
    block[TRAILER + 8..TRAILER + 12].copy_from_slice(&(count as u32).to_le_bytes());
    crc
}

/// What a block turned out to be.
pub(super) enum State {
    /// Closed, with a right checksum.
    Closed(Trailer),
    /// Not closed; so many events are written.
    Open(usize),
    /// Neither.
    Damaged,
}

/// Looks at a block as it is on disk.
pub(super) fn inspect(block: &[u8]) -> State {
    let trailer = &block[TRAILER..];
    let read = Trailer {
        first: u64_at(trailer, 0),
        count: u32_at(trailer, 8),
        crc: u32_at(trailer, 12),
        previous: u32_at(trailer, 16),
    };
    if read.count == 0 {
        return open_events(block).map_or(State::Damaged, State::Open);
    }
    let written = &block[..TRAILER];
    let whole = read.count as usize <= BLOCK_EVENTS
        && trailer[20..].iter().all(|&byte| byte == 0)
        && checksum(block, read.first, read.count, read.previous) == read.crc
        && kinds_known(&written[..read.count as usize * Event::SIZE]);
    if whole { State::Closed(read) } else { State::Damaged }
}

/// How many events an open block holds: those before the first kind of 0. Anything but an unfinished event (whose kind
/// is still 0) after them is damage.
fn open_events(block: &[u8]) -> Option<usize> {
    let events = block[..TRAILER].chunks_exact(Event::SIZE);
    let count = events.clone().take_while(|event| event[KIND_AT] != 0).count();
    let unfinished_only = events.skip(count + 1).all(|event| event.iter().all(|&byte| byte == 0));
    (unfinished_only && kinds_known(&block[..count * Event::SIZE])).then_some(count)
}

fn kinds_known(events: &[u8]) -> bool {
    events.chunks_exact(Event::SIZE).all(|event| super::EventKind::from_number(event[KIND_AT]).is_some())
}

fn checksum(block: &[u8], first: u64, count: u32, previous: u32) -> u32 {
    let mut tail = [0; 16];
    tail[0..8].copy_from_slice(&first.to_le_bytes());
    tail[8..12].copy_from_slice(&count.to_le_bytes());
    tail[12..16].copy_from_slice(&previous.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&block[..TRAILER]), &tail)
}
