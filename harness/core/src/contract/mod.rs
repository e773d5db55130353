//! What was promised: which properties a product claims with the settings that a plan asks for.
//!
//! In:  the product, the plan, and what really happened to brokers and clients (the envelope of the promise).
//! Out: per property `claimed`, `not claimed` or `not offered`, with the reason; the settings a class stands for.
//! Never: looks at what was found. A result outside a contract is a number, not a violation.

mod adapt;
mod claim;
mod comparison;
mod kafka;
mod product;
mod promises;
mod rabbitmq;
mod rocketmq;
mod settings;
mod storage;

pub use adapt::adapt;
pub use claim::Claim;
pub use comparison::{Equality, ack_waits_for, equality, not_offered};
pub use promises::{Contract, Envelope};
pub use settings::{
    ExpectedSetting, Must, SettingScope, class_in_words, client_settings, expected_settings, is_idempotent,
    required_level, topic_settings,
};
pub use storage::{Storage, storage};

#[cfg(test)]
mod tests;
