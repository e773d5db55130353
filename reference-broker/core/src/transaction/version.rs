//! Which of the two protocols of transactions a producer speaks.

/// The feature by which clients learn that the second protocol is spoken here, and its level (KIP-890, KIP-1022).
pub const TRANSACTION_FEATURE: (&str, i16) = ("transaction.version", 2);

/// A protocol, as the versions of a producer's requests tell it: in one transaction it may speak another than before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TransactionVersion {
    /// The producer adds partitions before it writes to them, and has one epoch through its transactions (KIP-98).
    #[default]
    First,
    /// The leaders of partitions add them, and every end of a transaction raises the epoch (KIP-890, part 2).
    Second,
}

impl TransactionVersion {
    /// By the version of a Produce.
    pub fn of_produce(version: i16) -> Self {
        Self::since(12, version)
    }

    /// By the version of a TxnOffsetCommit.
    pub fn of_offset_commit(version: i16) -> Self {
        Self::since(5, version)
    }

    /// By the version of an EndTxn.
    pub fn of_end(version: i16) -> Self {
        Self::since(5, version)
    }

    fn since(first: i16, version: i16) -> Self {
        if version >= first { Self::Second } else { Self::First }
    }
}
