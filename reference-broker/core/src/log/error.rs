//! What can go wrong in a log, and the error code that a client is told.

use kafka_protocol::ResponseError;

use crate::disk::DiskError;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::record::BatchError;

/// Why a log could not be opened, read or cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The offset is outside the log.
    #[error("offset {offset} is outside the log, which has {start}..{end}")]
    OutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset there is.
        start: Offset,
        /// The end, exclusive.
        end: Offset,
    },
    /// Bytes that were durable have changed. Cutting the log here would lose acknowledged records.
    #[error("`{path}` is damaged at byte {position}: {error}")]
    Damaged {
        /// The segment.
        path: String,
        /// Where the bad batch begins.
        position: u64,
        /// What is wrong with it.
        error: BatchError,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl LogError {
    /// Kafka's error code.
    pub fn code(&self) -> i16 {
        match self {
            Self::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
            Self::Damaged { .. } => ResponseError::CorruptMessage,
            Self::Disk(_) => ResponseError::KafkaStorageError,
        }
        .code()
    }
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The bytes are not batches, or a checksum does not fit.
    #[error("corrupt batch: {0}")]
    Corrupt(BatchError),
    /// Message formats 0 and 1 are not supported.
    #[error("unsupported message format `{0}`")]
    UnsupportedMagic(i8),
    /// The header contradicts itself, or there is not exactly one batch.
    #[error("invalid batch: {0}")]
    InvalidRecord(&'static str),
    /// Records without a key, in a topic that keeps the newest record of each key.
    #[error("{} of the batch's records have no key, and the topic is compacted", records.len())]
    NoKey {
        /// Which ones: their places in the batch, from 0.
        records: Vec<i32>,
    },
    /// The batch is larger than the log takes.
    #[error("a batch of {size} bytes is larger than {max}")]
    TooLarge {
        /// Of the batch.
        size: usize,
        /// `max.message.bytes`.
        max: usize,
    },
    /// A batch before this one is missing.
    #[error("producer {producer} sent sequence {found}, expected {expected}")]
    OutOfOrderSequence {
        /// Who.
        producer: ProducerId,
        /// What would have been next.
        expected: Sequence,
        /// What came.
        found: Sequence,
    },
    /// A newer incarnation of the producer is known.
    #[error("producer {producer} has epoch {known}, epoch {found} is fenced")]
    InvalidProducerEpoch {
        /// Who.
        producer: ProducerId,
        /// The newest epoch known.
        known: ProducerEpoch,
        /// What came.
        found: ProducerEpoch,
    },
    /// A marker of a coordinator that was deposed.
    #[error("producer {producer} has a marker of coordinator epoch {known}, epoch {found} is fenced")]
    CoordinatorFenced {
        /// Whose transaction.
        producer: ProducerId,
        /// The newest coordinator epoch known.
        known: i32,
        /// What came.
        found: i32,
    },
    /// A batch that does not fit what is known of the producer's transaction: it is outside of the open one, or in
    /// one that the coordinator was not asked about (KIP-890).
    #[error("the batch does not fit the transaction of producer {producer}")]
    InvalidTransactionState {
        /// Who.
        producer: ProducerId,
    },
    /// A follower was given a batch that does not begin where its log ends.
    #[error("batch begins at {found}, the log ends at {expected}")]
    NonContiguous {
        /// The end of the log.
        expected: Offset,
        /// The base offset of the batch.
        found: Offset,
    },
    /// An earlier write or flush failed, so nothing is acknowledged any more (KAFKA-10778).
    #[error("the log is fenced after a disk failure")]
    Fenced,
    /// The disk failed; the log is fenced from now on.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl AppendError {
    /// Kafka's error code.
    pub fn code(&self) -> i16 {
        match self {
            Self::Corrupt(_) => ResponseError::CorruptMessage,
            Self::UnsupportedMagic(_) | Self::InvalidRecord(_) | Self::NoKey { .. } => {
                ResponseError::InvalidRecord
            }
            Self::TooLarge { .. } => ResponseError::MessageTooLarge,
            Self::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
            Self::CoordinatorFenced { .. } => ResponseError::TransactionCoordinatorFenced,
            Self::InvalidTransactionState { .. } => ResponseError::InvalidTxnState,
            // Between brokers only: no client sees it.
            Self::NonContiguous { .. } => ResponseError::OffsetOutOfRange,
            Self::Fenced | Self::Disk(_) => ResponseError::KafkaStorageError,
        }
        .code()
    }
}

impl From<BatchError> for AppendError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Magic(magic) => Self::UnsupportedMagic(magic),
            error => Self::Corrupt(error),
        }
    }
}
