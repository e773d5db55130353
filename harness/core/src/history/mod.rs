//! What happened: events of 32 bytes, in one journal per process.
//!
//! In:  events from clients, from the conductor and from its probes, each recorded before its effect is acknowledged.
//! Out: a history that checkers read as streams, so that memory stays flat however long a run was.
//! Owns: the event, the block codec, the reader. Never: opens a file or reads a clock.

mod block;
mod cell;
mod event;
mod format;
mod journal;
mod meta;
mod recorder;
mod seal;

pub use cell::History;
pub use event::{Delivery, Event, EventKind, Level, MemberChange, Outcome, TransactionPhase, flags};
pub use format::{
    BLOCK_EVENTS, BLOCK_SIZE, HEADER_SIZE, HeaderError, SEAL_OFFSET, SEGMENT_SIZE, VERSION, encode_header,
};
pub use journal::{Events, Journal, JournalBytes, JournalError, SealError, encode_journal, seal_journal};
pub use meta::{JournalKind, JournalMeta};
pub use recorder::{Recorder, SegmentFull};
pub use seal::{Completeness, Seal, SealReason, Unsealed};

#[cfg(test)]
mod tests;
