//! Reads journals.

use std::fmt;

use super::block::{self, State};
use super::event::Event;
use super::format::{
    BLOCK_EVENTS, BLOCK_SIZE, HEADER_SIZE, HeaderError, SEAL_OFFSET, SEGMENT_SIZE, decode_header,
    encode_header,
};
use super::meta::JournalMeta;
use super::recorder::Recorder;
use super::seal::{Completeness, Seal, SealReason, Unsealed};

/// The bytes of a journal file, wherever they are.
pub trait JournalBytes: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];
}

impl JournalBytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Why a file is no journal at all. Damage behind the header is told by [`Journal::completeness`] instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(transparent)]
pub struct JournalError(#[from] HeaderError);

/// One journal, validated: what [`Journal::events`] yields was covered by checksums, or lies in the open last block of
/// a journal that says that it is unsealed.
pub struct Journal {
    meta: JournalMeta,
    completeness: Completeness,
    bytes: Box<dyn JournalBytes>,
    /// How many can be read: all blocks before the last are full.
    events: u64,
}

impl Journal {
    /// Reads and checks a whole journal.
    pub fn read(bytes: impl JournalBytes + 'static) -> Result<Self, JournalError> {
        let meta = decode_header(bytes.bytes())?;
        let Walk { events, completeness, .. } = walk(bytes.bytes());
        Ok(Self { meta, completeness, bytes: Box::new(bytes), events })
    }

    /// A journal in memory, for tests and simulators. Without a reason it is unsealed.
    pub fn from_events(meta: &JournalMeta, events: &[Event], reason: Option<SealReason>) -> Self {
        let bytes = encode_journal(meta, events, reason).expect("the description is short");
        Self::read(bytes).expect("a journal that was just encoded can be read")
    }

    /// Whose journal it is.
    pub fn meta(&self) -> &JournalMeta {
        &self.meta
    }

    /// Whether it is the whole record of its process.
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// How many events can be read.
    pub fn len(&self) -> u64 {
        self.events
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// The events from number `from` on, without reading those before it.
    pub fn events_from(&self, from: u64) -> Events<'_> {
        let from = from.min(self.events);
        let block = from / BLOCK_EVENTS as u64;
        let skip = from % BLOCK_EVENTS as u64;
        let blocks =
            &self.bytes.bytes()[(HEADER_SIZE + block as usize * BLOCK_SIZE).min(self.bytes.bytes().len())..];
        let mut events = Events { blocks, block: &[], left: self.events - block * BLOCK_EVENTS as u64 };
        for _ in 0..skip {
            let _ = events.next();
        }
        events
    }

    /// The events, in the order in which they were recorded.
    pub fn events(&self) -> Events<'_> {
        Events { blocks: &self.bytes.bytes()[HEADER_SIZE..], block: &[], left: self.events }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal({}, {} events, {})", self.meta.name(), self.events, self.completeness)
    }
}

/// The bytes of a journal that holds these events.
/// The bytes of a journal. Without a reason it is unsealed.
pub fn encode_journal(
    meta: &JournalMeta,
    events: &[Event],
    reason: Option<SealReason>,
) -> Result<Vec<u8>, HeaderError> {
    let mut bytes = encode_header(meta)?.into_vec();
    let mut segment = vec![0; SEGMENT_SIZE];
    let mut recorder = Recorder::new();
    for event in events {
        if recorder.record(&mut segment, event).is_err() {
            bytes.extend_from_slice(&segment);
            segment.fill(0);
            recorder.next_segment();
            recorder.record(&mut segment, event).expect("a fresh segment has room");
        }
    }
    if let Some(reason) = reason {
        let seal = recorder.seal(&mut segment, reason, events.last().map_or(0, |event| event.t_ns));
        bytes[SEAL_OFFSET..HEADER_SIZE].copy_from_slice(&seal.encode());
    }
    bytes.extend_from_slice(&segment[..recorder.used()]);
    Ok(bytes)
}

/// Seals the journal of a process that is gone: closes the block that it left open, writes the seal, and says how long
/// the file is then. A journal that was sealed before stays as it is; a damaged one is not sealed.
pub fn seal_journal(bytes: &mut [u8], reason: SealReason, t_ns: u64) -> Result<usize, SealError> {
    decode_header(bytes)?;
    let walk = walk(bytes);
    match walk.completeness {
        Completeness::Sealed(_) => {}
        Completeness::Unsealed(Unsealed::NeverSealed) => {
            let mut seal = Seal { reason, events: walk.events, last_block_crc: walk.previous, t_ns };
            if walk.open_events > 0 {
                let at = HEADER_SIZE + walk.closed_blocks * BLOCK_SIZE;
                let first = walk.events - walk.open_events as u64;
                let block = &mut bytes[at..at + BLOCK_SIZE];
                seal.last_block_crc = block::close(block, first, walk.open_events, walk.previous);
            }
            bytes[SEAL_OFFSET..HEADER_SIZE].copy_from_slice(&seal.encode());
        }
        Completeness::Unsealed(why) => return Err(SealError::Damaged(why)),
    }
    Ok(HEADER_SIZE + (walk.closed_blocks + usize::from(walk.open_events > 0)) * BLOCK_SIZE)
}

/// Why a dead process's journal cannot be sealed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// It is no journal.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// What is there is not what was written.
    #[error("not sealed: {0}")]
    Damaged(Unsealed),
}

/// What a walk over the blocks found.
struct Walk {
    /// Good events, those of an open block included.
    events: u64,
    /// Closed blocks.
    closed_blocks: usize,
    /// Checksum of the last closed block.
    previous: u32,
    /// Events of the open block behind them.
    open_events: usize,
    completeness: Completeness,
}

/// Walks the blocks: how many events are good, and whether that is all.
fn walk(bytes: &[u8]) -> Walk {
    let mut walk = Walk {
        events: 0,
        closed_blocks: 0,
        previous: 0,
        open_events: 0,
        completeness: Completeness::Unsealed(Unsealed::NeverSealed),
    };
    // Only the last block may be open or short of events; behind it is space that was reserved and never used.
    let mut ended = false;
    for (number, bytes) in bytes[HEADER_SIZE..].chunks(BLOCK_SIZE).enumerate() {
        let state = if bytes.len() == BLOCK_SIZE {
            block::inspect(bytes)
        } else if bytes.iter().all(|&byte| byte == 0) {
            State::Open(0)
        } else {
            State::Damaged
        };
        match state {
            State::Closed(trailer)
                if !ended && trailer.first == walk.events && trailer.previous == walk.previous =>
            {
                walk.events += u64::from(trailer.count);
                walk.previous = trailer.crc;
                walk.closed_blocks += 1;
                ended = (trailer.count as usize) < BLOCK_EVENTS;
            }
            State::Open(0) => ended = true,
            State::Open(count) if !ended => {
                walk.events += count as u64;
                walk.open_events = count;
                ended = true;
            }
            _ => {
                walk.completeness = Completeness::Unsealed(Unsealed::BlockDamaged(number as u64));
                return walk;
            }
        }
    }
    walk.completeness = match Seal::decode(&bytes[SEAL_OFFSET..HEADER_SIZE]) {
        Err(why) => Completeness::Unsealed(why),
        Ok(seal)
            if seal.events == walk.events
                && seal.last_block_crc == walk.previous
                && walk.open_events == 0 =>
        {
            Completeness::Sealed(seal.reason)
        }
        Ok(seal) => Completeness::Unsealed(Unsealed::Truncated { sealed: seal.events, found: walk.events }),
    };
    walk
}

/// See [`Journal::events`].
#[derive(Clone)]
pub struct Events<'a> {
    blocks: &'a [u8],
    block: &'a [u8],
    left: u64,
}

impl Iterator for Events<'_> {
    type Item = Event;

    #[inline]
    fn next(&mut self) -> Option<Event> {
        if self.block.is_empty() {
            if self.left == 0 {
                return None;
            }
            let count = self.left.min(BLOCK_EVENTS as u64);
            let (block, rest) = self.blocks.split_at(BLOCK_SIZE);
            self.block = &block[..count as usize * Event::SIZE];
            self.blocks = rest;
            self.left -= count;
        }
        let (event, rest) = self.block.split_first_chunk().expect("a block holds whole events");
        self.block = rest;
        Some(Event::decode(event).expect("kinds were checked when the journal was read"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left as usize + self.block.len() / Event::SIZE;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Events<'_> {}
