//! The rule that a violation of each property breaks, in a sentence.

use crate::property::Property;

/// The rule, as it stands above a piece of evidence.
pub fn rule(property: Property) -> &'static str {
    match property {
        Property::AckedLoss => "an acknowledged message stays in the log and reaches every subscribed group",
        Property::DuplicateAppend => {
            "an idempotent producer's message stands in the log once, however often it is sent"
        }
        Property::DuplicateDelivery => {
            "a record that a group has committed is not handed to it again without cause"
        }
        Property::Phantom => "every delivered message was sent",
        Property::Corruption => "a message is delivered with the bytes that were sent",
        Property::FailVisible => "a send that was surely refused has no effect",
        Property::OrderLog => "the log holds a producer's messages in the order in which they were sent",
        Property::OrderConsumer => {
            "a consumer is handed the records of a partition in log order, without gaps"
        }
        Property::OrderPerKey => {
            "the messages of one key are first delivered in the order in which they were sent"
        }
        Property::Divergence => "all observers see the same message at the same offset",
        Property::HighWatermarkRollback => "a record that was once delivered stays in the log",
        Property::AbortedRead => "no reader of committed records sees a transaction that was aborted",
        Property::EarlyRead => "no reader of committed records sees a transaction before it is committed",
        Property::TornTransaction => "of a transaction all records can be read, or none",
        Property::HangingTransaction => "a transaction that its producer leaves open is aborted in time",
        Property::Rto => "operations succeed again within the bound",
        Property::Rpo => "no more acknowledged records are lost than the bound",
        Property::AckLatency => "acknowledgements come within the bound (99 of 100)",
        Property::EndToEndLatency => "messages are handed over within the bound (99 of 100)",
        Property::Drain => "the backlog is empty within the bound",
        Property::Throughput => "so many messages are acknowledged per second",
    }
}
