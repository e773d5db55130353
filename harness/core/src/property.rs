//! What can be asked of a broker: the names used in `expect`, in verdicts and in reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One property of a run. `docs/outcomes.md` defines each.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// An acknowledged message never reached a subscribed group, or is gone from the log.
    AckedLoss,
    /// One message stands twice in the log although its producer session is idempotent.
    DuplicateAppend,
    /// A group was handed a message again without a reason that its protocol allows.
    DuplicateDelivery,
    /// A message was delivered that nobody sent.
    Phantom,
    /// A message was delivered with other bytes than were sent.
    Corruption,
    /// A message was delivered although its send had surely failed.
    FailVisible,
    /// The log holds the messages of one producer session and key in another order than they were sent.
    OrderLog,
    /// A consumer was handed records of a partition in another order than the log holds, or past a record it skipped.
    OrderConsumer,
    /// First deliveries of the messages of one key came in another order than they were sent.
    OrderPerKey,
    /// Two observers saw different messages at the same offset.
    Divergence,
    /// A record that was once delivered is gone from the log.
    HighWatermarkRollback,
    /// A reader of committed records was handed one of a transaction that was never to be committed.
    AbortedRead,
    /// A reader of committed records was handed one before its producer began to commit the transaction.
    EarlyRead,
    /// Of one transaction some records can be read and others cannot, or none of a committed one.
    TornTransaction,
    /// A log holds an open transaction beyond the time that transactions are given.
    HangingTransaction,
    /// How long no operation succeeded after a fault (metric, ms).
    Rto,
    /// How many acknowledged messages were lost (metric, records).
    Rpo,
    /// From the intended send to the acknowledgement (metric, ms, p99).
    AckLatency,
    /// From the intended send to the hand-over (metric, ms, p99).
    EndToEndLatency,
    /// From the end of load to an empty backlog (metric, ms).
    Drain,
    /// Acknowledged messages per second (metric).
    Throughput,
}

impl Property {
    /// All properties, in the order of reports.
    pub const ALL: [Self; 21] = [
        Self::AckedLoss,
        Self::DuplicateAppend,
        Self::DuplicateDelivery,
        Self::Phantom,
        Self::Corruption,
        Self::FailVisible,
        Self::OrderLog,
        Self::OrderConsumer,
        Self::OrderPerKey,
        Self::Divergence,
        Self::HighWatermarkRollback,
        Self::AbortedRead,
        Self::EarlyRead,
        Self::TornTransaction,
        Self::HangingTransaction,
        Self::Rto,
        Self::Rpo,
        Self::AckLatency,
        Self::EndToEndLatency,
        Self::Drain,
        Self::Throughput,
    ];

    /// The name as written in scenarios and in `verdict.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckedLoss => "acked_loss",
            Self::DuplicateAppend => "duplicate_append",
            Self::DuplicateDelivery => "duplicate_delivery",
            Self::Phantom => "phantom",
            Self::Corruption => "corruption",
            Self::FailVisible => "fail_visible",
            Self::OrderLog => "order_log",
            Self::OrderConsumer => "order_consumer",
            Self::OrderPerKey => "order_per_key",
            Self::Divergence => "divergence",
            Self::HighWatermarkRollback => "high_watermark_rollback",
            Self::AbortedRead => "aborted_read",
            Self::EarlyRead => "early_read",
            Self::TornTransaction => "torn_transaction",
            Self::HangingTransaction => "hanging_transaction",
            Self::Rto => "rto",
            Self::Rpo => "rpo",
            Self::AckLatency => "ack_latency",
            Self::EndToEndLatency => "end_to_end_latency",
            Self::Drain => "drain",
            Self::Throughput => "throughput",
        }
    }

    /// What the property is about, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::AckedLoss => "acknowledged messages lost",
            Self::DuplicateAppend => "messages stored twice",
            Self::DuplicateDelivery => "messages delivered again",
            Self::Phantom => "messages nobody sent",
            Self::Corruption => "messages changed on the way",
            Self::FailVisible => "failed sends that were delivered",
            Self::OrderLog => "log out of send order",
            Self::OrderConsumer => "consumer out of log order",
            Self::OrderPerKey => "keys out of order, end to end",
            Self::Divergence => "two messages at one offset",
            Self::HighWatermarkRollback => "delivered, then gone from the log",
            Self::AbortedRead => "records of aborted transactions delivered",
            Self::EarlyRead => "records delivered before their commit",
            Self::TornTransaction => "transactions neither whole nor absent",
            Self::HangingTransaction => "transactions that never end",
            Self::Rto => "recovery time",
            Self::Rpo => "records lost",
            Self::AckLatency => "ack latency p99",
            Self::EndToEndLatency => "end-to-end latency p99",
            Self::Drain => "backlog drain time",
            Self::Throughput => "throughput",
        }
    }

    /// Whether it is a number with bounds rather than something that must never be seen.
    pub fn is_metric(self) -> bool {
        self >= Self::Rto
    }

    /// Whether it is about transactions.
    pub fn is_transactional(self) -> bool {
        matches!(self, Self::AbortedRead | Self::EarlyRead | Self::TornTransaction | Self::HangingTransaction)
    }

    /// Whether it is checked in every run, can be violated, and never makes a run inconclusive.
    pub fn always_runs(self) -> bool {
        matches!(
            self,
            Self::Phantom
                | Self::Corruption
                | Self::FailVisible
                | Self::Divergence
                | Self::HighWatermarkRollback
        )
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
