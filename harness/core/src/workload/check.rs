//! Whether a payload that came back is one that was sent.

use super::header::{CRC_AT, HEADER_SIZE, MAGIC, MessageHeader, NO_KEY, checksum};
use crate::ids::MessageId;

/// What a received payload turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PayloadCheck {
    /// As it was sent.
    Intact(MessageHeader),
    /// Of this run, but changed on the way.
    Corrupt {
        /// What does not fit.
        reason: &'static str,
        /// Which message it seems to be; its id may be what was changed.
        id: Option<MessageId>,
    },
    /// Intact, but of another run: the topic was not empty.
    ForeignRun {
        /// Which one.
        run_id: u64,
        /// The message of that run.
        id: MessageId,
    },
    /// Nothing that mqproof wrote, or changed beyond recognition.
    NotOurs,
}

/// Judges a record by its own header, its checksum and the key it came with.
#[inline]
pub fn verify(payload: &[u8], key: Option<&[u8]>, run_id: u64) -> PayloadCheck {
    let Some(header) = MessageHeader::decode(payload) else {
        return PayloadCheck::NotOurs;
    };
    let number_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| payload[at + i]));
    let magic_fits = number_at(0) == MAGIC;
    if !magic_fits && header.run_id != run_id {
        return PayloadCheck::NotOurs;
    }
    let corrupt =
        |reason| PayloadCheck::Corrupt { reason, id: (header.run_id == run_id).then(|| header.id()) };
    if !magic_fits {
        return corrupt("magic");
    }
    if header.payload_len as usize != payload.len() {
        return corrupt("length");
    }
    if checksum(payload) != number_at(CRC_AT) {
        return corrupt("checksum");
    }
    if header.run_id != run_id {
        return PayloadCheck::ForeignRun { run_id: header.run_id, id: header.id() };
    }
    let sent_key = (header.key != NO_KEY).then(|| header.key.to_le_bytes());
    if key != sent_key.as_ref().map(<[u8; 4]>::as_slice) {
        return corrupt("key");
    }
    PayloadCheck::Intact(header)
}

const _: () = assert!(CRC_AT + 4 == HEADER_SIZE);
