//! The header of a batch, which is all that the hot path looks at.

use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// Length of the header of a batch.
pub const HEADER_BYTES: usize = 61;
/// The base offset and the length, which come before what the length counts.
pub const LENGTH_PREFIX_BYTES: usize = 12;

const EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// The CRC covers everything from the attributes on, so neither the base offset nor the leader epoch.
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const RECORD_COUNT_AT: usize = 57;
pub(crate) const COMPRESSION_MASK: i16 = 0b0111;

pub(crate) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
pub(crate) const CONTROL: i16 = 1 << 5;
/// The base time stamp says when tombstones and markers in the batch may be dropped (KIP-534).
pub(crate) const DELETE_HORIZON: i16 = 1 << 6;

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does, as after a torn write.
    #[error("the batch is cut off: {have} of {need} bytes")]
    Torn {
        /// Bytes there are.
        have: usize,
        /// Bytes there should be.
        need: usize,
    },
    /// The length field cannot be true.
    #[error("the batch claims a length of {0} bytes")]
    Length(i32),
    /// Message formats 0 and 1 are not supported (KIP-724).
    #[error("unsupported message format `{0}`")]
    Magic(i8),
    /// The checksum does not fit.
    #[error("the batch has checksum {found:#010x}, its header says {stored:#010x}")]
    Crc {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        found: u32,
    },
    /// The batch does not follow the one before it, so it is left over from a log that was cut.
    #[error("the batch begins at offset {found}, not {expected}")]
    Offset {
        /// The end of the batch before.
        expected: Offset,
        /// In the header.
        found: Offset,
    },
    /// The batch is older than the one before it, so it is left over from a log that was cut.
    #[error("the batch has leader epoch {found} after {before}")]
    Epoch {
        /// Of the batch before.
        before: LeaderEpoch,
        /// In the header.
        found: LeaderEpoch,
    },
    /// A record inside does not decode.
    #[error("a record in the batch does not decode")]
    Record,
}

/// How the records of a batch are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all; only such batches can be looked into.
    None,
    /// By the codec with this number: 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    Codec(u8),
}

/// The decoded header of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Length of the batch without base offset and this field.
    pub batch_length: i32,
    /// Epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C over everything from the attributes on.
    pub crc: u32,
    /// Bit set: compression, time stamp type, transactional, control.
    pub attributes: i16,
    /// Offset of the last record, relative to the first.
    pub last_offset_delta: i32,
    /// Time stamp of the first record, in milliseconds since 1970.
    pub base_timestamp: i64,
    /// The largest time stamp.
    pub max_timestamp: i64,
    /// The idempotent producer, or none.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record, or −1.
    pub base_sequence: Sequence,
    /// Number of records.
    pub record_count: i32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

impl BatchHeader {
    /// Decodes the header at the front of `bytes`, which may end before the batch does.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Torn { have: bytes.len(), need: HEADER_BYTES });
        }
        let batch_length = i32::from_be_bytes(array(bytes, 8));
        let magic = bytes[MAGIC_AT] as i8;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        if batch_length < (HEADER_BYTES - LENGTH_PREFIX_BYTES) as i32 {
            return Err(BatchError::Length(batch_length));
        }
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(array(bytes, 0))),
            batch_length,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(array(bytes, EPOCH_AT))),
            crc: u32::from_be_bytes(array(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(array(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(array(bytes, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(array(bytes, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(array(bytes, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId(i64::from_be_bytes(array(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(array(bytes, 51))),
            base_sequence: Sequence(i32::from_be_bytes(array(bytes, 53))),
            record_count: i32::from_be_bytes(array(bytes, RECORD_COUNT_AT)),
        })
    }

    /// Decodes the header and checks that the whole batch is there and has the checksum it claims.
    pub fn validate(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        let need = header.size();
        if bytes.len() < need {
            return Err(BatchError::Torn { have: bytes.len(), need });
        }
        let found = crc32c::crc32c(&bytes[ATTRIBUTES_AT..need]);
        if found != header.crc {
            return Err(BatchError::Crc { stored: header.crc, found });
        }
        Ok(header)
    }

    /// Length of the whole batch in bytes.
    pub fn size(&self) -> usize {
        self.batch_length as usize + LENGTH_PREFIX_BYTES
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0 + i64::from(self.last_offset_delta))
    }

    /// Sequence of the last record.
    pub fn last_sequence(&self) -> Sequence {
        self.base_sequence.plus(self.last_offset_delta)
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Compression {
        match self.attributes & COMPRESSION_MASK {
            0 => Compression::None,
            codec => Compression::Codec(codec as u8),
        }
    }

    /// Whether it holds records for brokers and clients themselves, not for consumers.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether it is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether all its records have the time of the append, not of the sender.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// When tombstones and markers in it may be dropped, in milliseconds since 1970, if compaction has met them (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// Whether it comes from an idempotent producer.
    pub fn is_idempotent(&self) -> bool {
        self.producer_id != ProducerId::NONE
    }
}

/// Moves a batch to another offset.
pub fn patch_base_offset(batch: &mut [u8], offset: Offset) {
    batch[..8].copy_from_slice(&offset.0.to_be_bytes());
}

/// Stamps a batch with the epoch of its leader.
pub fn patch_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    batch[EPOCH_AT..EPOCH_AT + 4].copy_from_slice(&epoch.0.to_be_bytes());
}

/// Makes the length and the checksum of one batch fit its bytes.
pub fn seal(batch: &mut [u8]) {
    let length = (batch.len() - LENGTH_PREFIX_BYTES) as i32;
    batch[8..LENGTH_PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Gives all records of a batch the time of the append.
pub fn set_log_append_time(batch: &mut [u8], wall_ms: i64) {
    // The time stamp type is in the low byte of the attributes.
    batch[ATTRIBUTES_AT + 1] |= LOG_APPEND_TIME as u8;
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&wall_ms.to_be_bytes());
    seal(batch);
}
