//! Reads journals.

use std::fmt;

use super::block::{self, State};
use super::event::Event;
use super::format::{
    BLOCK_EVENTS, BLOCK_SIZE, HEADER_SIZE, HeaderError, SEAL_OFFSET, SEGMENT_SIZE, decode_header,
    encode_header,
};
use super::meta::{JournalKind, JournalMeta};
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
    /// Events in blocks before the last, which are all full.
    events: u64,
}

impl Journal {
    /// Reads and checks a whole journal.
    pub fn read(bytes: impl JournalBytes + 'static) -> Result<Self, JournalError> {
        let meta = decode_header(bytes.bytes())?;
        let (events, completeness) = validate(bytes.bytes());
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
pub(super) fn encode_journal(
    meta: &JournalMeta,
    events: &[Event],
    reason: Option<SealReason>,
) -> Result<Vec<u8>, HeaderError> {
    let mut bytes = encode_header(meta)?.into_vec();
    let blocks_per_segment = SEGMENT_SIZE / BLOCK_SIZE;
    let mut recorder = Recorder::new();
    let mut last = None;
    for part in events.chunks(blocks_per_segment * BLOCK_EVENTS) {
        if last.is_some() {
            recorder.next_segment();
        }
        let mut segment = vec![0; SEGMENT_SIZE];
        for event in part {
            recorder.record(&mut segment, event).expect("a part fits into a segment");
        }
        let used = if let Some(reason) = reason {
            let (seal, used) = recorder.seal(&mut segment, reason, event_time(events));
            last = Some(seal);
            used
        } else {
            part.len().div_ceil(BLOCK_EVENTS) * BLOCK_SIZE
        };
        bytes.extend_from_slice(&segment[..used]);
        last = last.or(Some(Seal { reason: SealReason::Clean, events: 0, last_block_crc: 0, t_ns: 0 }));
    }
    if let Some(reason) = reason {
        let seal = last.unwrap_or(Seal { reason, events: 0, last_block_crc: 0, t_ns: 0 });
        bytes[SEAL_OFFSET..HEADER_SIZE].copy_from_slice(&seal.encode());
    }
    Ok(bytes)
}

fn event_time(events: &[Event]) -> u64 {
    events.last().map_or(0, |event| event.t_ns)
}

/// Walks the blocks: how many events are good, and whether that is all.
fn validate(bytes: &[u8]) -> (u64, Completeness) {
    let seal = Seal::decode(&bytes[SEAL_OFFSET..HEADER_SIZE]);
    let mut events = 0;
    let mut previous = 0;
    let mut ended = false;
    let damaged = |events, block| (events, Completeness::Unsealed(Unsealed::BlockDamaged(block)));
    let chunks = bytes[HEADER_SIZE..].chunks(BLOCK_SIZE);
    for (number, block) in chunks.enumerate() {
        if block.len() < BLOCK_SIZE {
            // The file was cut inside a block. Zeros are space that was reserved and never used.
            return if block.iter().all(|&byte| byte == 0) { break } else { damaged(events, number as u64) };
        }
        match block::inspect(block) {
            State::Closed(trailer) if !ended && trailer.first == events && trailer.previous == previous => {
                events += u64::from(trailer.count);
                previous = trailer.crc;
                ended = (trailer.count as usize) < BLOCK_EVENTS;
            }
            // Only the last block may be open, and none in a sealed journal.
            State::Open(0) => ended = true,
            State::Open(count) if !ended => {
                events += count as u64;
                ended = true;
            }
            _ => return damaged(events, number as u64),
        }
    }
    match seal {
        Err(why) => (events, Completeness::Unsealed(why)),
        Ok(seal) if seal.events == events && seal.last_block_crc == previous => {
            (events, Completeness::Sealed(seal.reason))
        }
        Ok(seal) => {
            (events, Completeness::Unsealed(Unsealed::Truncated { sealed: seal.events, found: events }))
        }
    }
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

/// All journals of a cell.
#[derive(Debug, Default)]
pub struct History {
    journals: Vec<Journal>,
}

impl History {
    /// A history of these journals, brought into the order of kind, number, incarnation.
    pub fn new(mut journals: Vec<Journal>) -> Self {
        journals.sort_by(|a, b| {
            let key = |journal: &Journal| (journal.meta.kind, journal.meta.number, journal.meta.incarnation);
            key(a).cmp(&key(b)).then_with(|| a.meta.role.cmp(&b.meta.role))
        });
        Self { journals }
    }

    /// All journals.
    pub fn journals(&self) -> &[Journal] {
        &self.journals
    }

    /// Those of one kind.
    pub fn of_kind(&self, kind: JournalKind) -> impl Iterator<Item = &Journal> + Clone {
        self.journals.iter().filter(move |journal| journal.meta.kind == kind)
    }

    /// The conductor's, if there is one.
    pub fn conductor(&self) -> Option<&Journal> {
        self.of_kind(JournalKind::Conductor).next()
    }

    /// The first journal on which no negative conclusion may rest, if any.
    pub fn first_incomplete(&self) -> Option<&Journal> {
        self.journals.iter().find(|journal| !journal.completeness.is_complete())
    }
}
