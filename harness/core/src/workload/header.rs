//! The identity that each payload begins with.

use super::draw;
use crate::ids::{MessageId, SessionId};

/// Size of the header; a payload is never shorter.
pub const HEADER_SIZE: usize = 64;
/// Stands for "no key" in [`MessageHeader::key`].
pub const NO_KEY: u32 = u32::MAX;
/// "mqp" and the version of the layout.
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"mqp\x01");
/// Where the checksum is.
pub(super) const CRC_AT: usize = 60;

/// Who sent a message, as its how-manieth, with which key and when it was due. All numbers are little-endian:
/// magic and version u32 | run u64 | producer u16 | incarnation u16 | seq u32 | key u32 | kseq u32 | destinations u16 |
/// attempt u8 | flags u8 | parent u64 | child u16 | priority u8 | intended time u64 | payload length u32 | zero 5 |
/// CRC-32C u32 over all before it and the filler behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageHeader {
    /// The run.
    pub run_id: u64,
    /// Who sent it.
    pub session: SessionId,
    /// Its number in the session.
    pub seq: u32,
    /// Its key, or [`NO_KEY`].
    pub key: u32,
    /// Its number among the session's messages of the same key.
    pub kseq: u32,
    /// The set of destinations that it was sent to.
    pub destinations: u16,
    /// How often the harness itself had sent it before; retries of a client library do not count.
    pub attempt: u8,
    /// Marks, 0 for now.
    pub flags: u8,
    /// The message that it answers or derives from, 0 if none.
    pub parent: u64,
    /// Which of the parent's children it is.
    pub child: u16,
    /// Its priority.
    pub priority: u8,
    /// When it was due, CLOCK_MONOTONIC ns.
    pub intended_ns: u64,
    /// Length of the whole payload.
    pub payload_len: u32,
}

impl MessageHeader {
    /// The message's id.
    pub fn id(&self) -> MessageId {
        MessageId::new(self.session, self.seq)
    }

    /// Writes the payload: this header, filler drawn from `seed` and the number, and the checksum over both.
    /// What was in the buffer before is gone.
    #[inline]
    pub fn write_payload(&self, seed: u64, buffer: &mut Vec<u8>) {
        buffer.resize(HEADER_SIZE.max(self.payload_len as usize), 0);
        let (header, filler) = buffer.split_at_mut(HEADER_SIZE);
        self.encode(header);
        draw::fill(seed, self.seq, filler);
        let crc = checksum(buffer);
        buffer[CRC_AT..HEADER_SIZE].copy_from_slice(&crc.to_le_bytes());
    }

    fn encode(&self, header: &mut [u8]) {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC.to_le_bytes());
        put(&self.run_id.to_le_bytes());
        put(&self.session.producer.to_le_bytes());
        put(&self.session.incarnation.to_le_bytes());
        put(&self.seq.to_le_bytes());
        put(&self.key.to_le_bytes());
        put(&self.kseq.to_le_bytes());
        put(&self.destinations.to_le_bytes());
        put(&[self.attempt, self.flags]);
        put(&self.parent.to_le_bytes());
        put(&self.child.to_le_bytes());
        put(&[self.priority]);
        put(&self.intended_ns.to_le_bytes());
        put(&self.payload_len.to_le_bytes());
        put(&[0; 9]);
    }

    /// Reads a header without judging it; None if there are too few bytes.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_SIZE] = payload.first_chunk()?;
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let u64_at = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        Some(Self {
            run_id: u64_at(4),
            session: SessionId { producer: u16_at(12), incarnation: u16_at(14) },
            seq: u32_at(16),
            key: u32_at(20),
            kseq: u32_at(24),
            destinations: u16_at(28),
            attempt: header[30],
            flags: header[31],
            parent: u64_at(32),
            child: u16_at(40),
            priority: header[42],
            intended_ns: u64_at(43),
            payload_len: u32_at(51),
        })
    }
}

/// Over everything but the checksum itself.
pub(super) fn checksum(payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&payload[..CRC_AT]), &payload[HEADER_SIZE..])
}
