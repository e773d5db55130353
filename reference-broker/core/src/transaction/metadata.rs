//! One transactional id: its producer, its transaction, and which state may follow which.
//!
//! ```text
//! Empty ──add──► Ongoing ──end──► PrepareCommit ──markers──► CompleteCommit ──add──► Ongoing …
//!                        └─end, timeout, new instance──► PrepareAbort ──markers──► CompleteAbort
//! ```
//! A prepared state is a decision: from its record on, every coordinator carries the same one out.
//!
//! In the second protocol (KIP-890, part 2) each decision raises the epoch, so that whatever comes late from a transaction
//! is told apart from what belongs to the next one (KAFKA-17754); and a producer that does not know whether anything
//! was added may abort from any settled state.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;

use super::message::TopicPartition;
use super::version::TransactionVersion;
use crate::ids::{ProducerEpoch, ProducerId};

/// This epoch is for fencing only: nobody is given it.
const FENCE: i16 = i16::MAX;
/// From the one before it on, a producer gets another id.
const EPOCH_EXHAUSTED: i16 = FENCE - 1;

/// The states of a transaction, as Kafka names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TransactionState {
    /// The producer has an epoch, and no transaction yet.
    Empty,
    /// Partitions were added.
    Ongoing,
    /// Decided; markers are being written.
    PrepareCommit,
    /// Decided; markers are being written.
    PrepareAbort,
    /// All markers are written.
    CompleteCommit,
    /// All markers are written.
    CompleteAbort,
}

impl TransactionState {
    /// Whether it is decided and markers are being written: `Some(true)` for a commit.
    pub fn prepared(self) -> Option<bool> {
        match self {
            Self::PrepareCommit => Some(true),
            Self::PrepareAbort => Some(false),
            _ => None,
        }
    }
}

/// What is stored of a transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionMetadata {
    /// Of the present producer.
    pub producer_id: ProducerId,
    /// What its producer had instead when it ended the transaction that used up the epochs, until the next one begins.
    pub previous_id: ProducerId,
    /// What its producer gets when this decided transaction is complete, since its epochs are used up.
    pub next_id: ProducerId,
    /// Fences its older instances.
    pub producer_epoch: ProducerEpoch,
    /// `transaction.timeout.ms`, as the producer asked for.
    pub timeout_ms: i32,
    /// The protocol in which the transaction was begun or, once it is decided, decided.
    pub version: TransactionVersion,
    /// Where it stands.
    pub state: TransactionState,
    /// The partitions of the transaction; none in `Empty` and in the complete states.
    pub partitions: BTreeSet<TopicPartition>,
    /// When it was stored, in milliseconds since 1970.
    pub updated_ms: i64,
    /// When the transaction began, in milliseconds since 1970, or −1.
    pub started_ms: i64,
}

/// What a producer that starts gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// It has to come again when the transaction of its predecessor is aborted, as this state says.
    After(TransactionMetadata),
    /// This state, and what it had before.
    With(TransactionMetadata, Option<Identity>),
    /// A fresh producer id is needed first.
    NeedsProducerId,
}

/// What becomes of a transaction that its producer ends in the second protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It has ended in just this way: the question was asked before.
    Ended,
    /// This state.
    With(TransactionMetadata),
    /// A fresh producer id is needed first.
    NeedsProducerId,
}

/// A producer id and an epoch.
pub(super) type Identity = (ProducerId, ProducerEpoch);

impl TransactionMetadata {
    /// Nothing is stored yet.
    pub(super) fn unknown() -> Self {
        Self {
            producer_id: ProducerId::NONE,
            previous_id: ProducerId::NONE,
            next_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch(-1),
            timeout_ms: 0,
            version: TransactionVersion::First,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            updated_ms: -1,
            started_ms: -1,
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.producer_id == ProducerId::NONE
    }

    pub(super) fn identity(&self) -> Identity {
        (self.producer_id, self.producer_epoch)
    }

    /// What its producer has from now on, or when it is complete.
    pub(super) fn promised(&self) -> Identity {
        if self.next_id == ProducerId::NONE { self.identity() } else { (self.next_id, ProducerEpoch(0)) }
    }

    /// A producer starts, perhaps another instance. `expected` is what it says it had (KIP-360), `last` what it had
    /// before its present epoch, `fresh` an id that was never given out.
    pub(super) fn start(
        &self,
        expected: Option<Identity>,
        last: Option<Identity>,
        timeout_ms: i32,
        fresh: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<Start, ResponseError> {
        let with = |(producer_id, producer_epoch): Identity, last| {
            let next =
                Self { producer_id, producer_epoch, timeout_ms, updated_ms: now_ms, ..Self::unknown() };
            Ok(Start::With(next, last))
        };
        if self.is_unknown() {
            return fresh.map_or(Ok(Start::NeedsProducerId), |id| with((id, ProducerEpoch(0)), None));
        }
        // The answer to its first attempt was lost.
        let repeated = expected.is_some() && expected == last;
        let known = |expected| expected == self.identity() || expected == self.promised();
        if expected.is_some_and(|expected| !known(expected)) && !repeated {
            return Err(ResponseError::ProducerFenced);
        }
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            TransactionState::Ongoing if repeated => Err(ResponseError::ProducerFenced),
            TransactionState::Ongoing => Ok(Start::After(self.fenced(now_ms))),
            _ if repeated => with(self.identity(), last),
            _ if self.producer_epoch.0 >= EPOCH_EXHAUSTED => fresh
                .map_or(Ok(Start::NeedsProducerId), |id| with((id, ProducerEpoch(0)), Some(self.identity()))),
            _ => {
                let next = (self.producer_id, ProducerEpoch(self.producer_epoch.0 + 1));
                with(next, expected)
            }
        }
    }

    /// The transaction aborted by the coordinator itself, under an epoch that its producer does not have (KAFKA-6119).
    pub(super) fn fenced(&self, now_ms: i64) -> Self {
        let producer_epoch = ProducerEpoch(self.producer_epoch.0.saturating_add(1));
        let state = TransactionState::PrepareAbort;
        Self { producer_epoch, state, updated_ms: now_ms, ..self.clone() }
    }

    /// With an epoch that planted bugs keep. A marker that bears the producer's own is one of the first protocol.
    pub(super) fn with_epoch(self, producer_epoch: ProducerEpoch) -> Self {
        Self { producer_epoch, version: TransactionVersion::First, ..self }
    }

    /// Whether a request comes from the present producer.
    pub(super) fn check_producer(&self, (id, epoch): Identity) -> Result<(), ResponseError> {
        if (id, epoch) == self.promised() && self.next_id != ProducerId::NONE {
            // It was told of its next id, which counts when all markers are written.
            Err(ResponseError::ConcurrentTransactions)
        } else if self.is_unknown() || id != self.producer_id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if epoch != self.producer_epoch || epoch.0 == FENCE {
            Err(ResponseError::ProducerFenced)
        } else {
            Ok(())
        }
    }

    /// With these partitions; `None` if it has them already.
    pub(super) fn with_partitions(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        version: TransactionVersion,
        now_ms: i64,
    ) -> Result<Option<Self>, ResponseError> {
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            TransactionState::Ongoing if partitions.is_subset(&self.partitions) => Ok(None),
            TransactionState::Ongoing => {
                let partitions = self.partitions.union(partitions).cloned().collect();
                Ok(Some(Self { partitions, version, updated_ms: now_ms, ..self.clone() }))
            }
            _ => Ok(Some(Self {
                previous_id: ProducerId::NONE,
                version,
                state: TransactionState::Ongoing,
                partitions: partitions.clone(),
                updated_ms: now_ms,
                started_ms: now_ms,
                ..self.clone()
            })),
        }
    }

    /// Decided by its producer in the first protocol; `None` if it has ended in just this way.
    pub(super) fn ended(&self, commit: bool, now_ms: i64) -> Result<Option<Self>, ResponseError> {
        use TransactionState::{CompleteAbort, CompleteCommit, Ongoing, PrepareAbort, PrepareCommit};
        let state = if commit { PrepareCommit } else { PrepareAbort };
        let version = TransactionVersion::First;
        match (self.state, commit) {
            (Ongoing, _) => Ok(Some(Self { state, version, updated_ms: now_ms, ..self.clone() })),
            (CompleteCommit, true) | (CompleteAbort, false) => Ok(None),
            (PrepareCommit, true) | (PrepareAbort, false) => Err(ResponseError::ConcurrentTransactions),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Decided by its producer in the second protocol. `fresh` is an id that was never given out.
    ///
    /// The epoch says which transaction is meant: the present one is of this one, and a question that was asked before is
    /// of a decision, whose epoch is one higher, or whose producer has got another id since.
    pub(super) fn ended_with_bump(
        &self,
        producer: Identity,
        commit: bool,
        fresh: Option<ProducerId>,
        now_ms: i64,
    ) -> Result<End, ResponseError> {
        use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        let (id, epoch) = producer;
        let bumped = id == self.producer_id && epoch.0.checked_add(1) == Some(self.producer_epoch.0);
        let renamed = id == self.previous_id && epoch.0 >= EPOCH_EXHAUSTED && self.producer_epoch.0 == 0;
        if !renamed {
            match self.check_producer(producer) {
                Err(ResponseError::ProducerFenced) if bumped => {}
                checked => checked?,
            }
        }
        let repeated = bumped || renamed;
        match (self.state, commit, repeated) {
            (Ongoing | Empty, _, true) | (PrepareCommit | PrepareAbort, _, false) => {
                Err(ResponseError::ProducerFenced)
            }
            (Ongoing, _, false) | (Empty | CompleteCommit | CompleteAbort, false, false) => {
                Ok(self.decided(commit, fresh, now_ms))
            }
            // The coordinator has aborted it under the last epoch, which no producer may have (KAFKA-20090).
            (CompleteAbort, false, true) if self.producer_epoch.0 == FENCE => Ok(self.renamed(fresh, now_ms)),
            (CompleteCommit, true, true) | (CompleteAbort, false, true) => Ok(End::Ended),
            (PrepareCommit, true, true) | (PrepareAbort, false, true) => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// The decision, under the epoch after the producer's.
    fn decided(&self, commit: bool, fresh: Option<ProducerId>, now_ms: i64) -> End {
        let next_id = match fresh {
            _ if self.producer_epoch.0 < EPOCH_EXHAUSTED => ProducerId::NONE,
            Some(fresh) => fresh,
            None => return End::NeedsProducerId,
        };
        let begun = self.state == TransactionState::Ongoing;
        End::With(Self {
            previous_id: ProducerId::NONE,
            next_id,
            producer_epoch: ProducerEpoch(self.producer_epoch.0.saturating_add(1)),
            version: TransactionVersion::Second,
            state: if commit { TransactionState::PrepareCommit } else { TransactionState::PrepareAbort },
            updated_ms: now_ms,
            started_ms: if begun { self.started_ms } else { now_ms },
            ..self.clone()
        })
    }

    /// The same under another id.
    fn renamed(&self, fresh: Option<ProducerId>, now_ms: i64) -> End {
        fresh.map_or(End::NeedsProducerId, |producer_id| {
            let (previous_id, producer_epoch) = (self.producer_id, ProducerEpoch(0));
            End::With(Self { producer_id, previous_id, producer_epoch, updated_ms: now_ms, ..self.clone() })
        })
    }

    /// All markers are written.
    pub(super) fn completed(&self, now_ms: i64) -> Option<Self> {
        let state = if self.state.prepared()? {
            TransactionState::CompleteCommit
        } else {
            TransactionState::CompleteAbort
        };
        let (producer_id, producer_epoch) = self.promised();
        let renamed = self.next_id != ProducerId::NONE;
        Some(Self {
            producer_id,
            previous_id: if renamed { self.producer_id } else { self.previous_id },
            next_id: ProducerId::NONE,
            producer_epoch,
            state,
            partitions: BTreeSet::new(),
            updated_ms: now_ms,
            ..self.clone()
        })
    }

    /// Whether a partition belongs to the open transaction of this producer (KIP-890, part 1).
    pub(super) fn verify(&self, producer: Identity, partition: &TopicPartition) -> Result<(), ResponseError> {
        self.check_producer(producer)?;
        match self.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            _ if self.partitions.contains(partition) => Ok(()),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }
}
