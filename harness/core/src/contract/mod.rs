//! What was promised: which properties a product claims with the settings that a plan asks for.
//!
//! In:  the product, the plan, and what really happened to brokers and clients (the envelope of the promise).
//! Out: per property `claimed`, `not claimed` or `not offered`, with the reason; the settings a class stands for.
//! Never: looks at what was found. A result outside a contract is a number, not a violation.

mod claim;
mod promises;
mod settings;

pub use claim::Claim;
pub use promises::{Contract, Envelope};
pub use settings::{
    ExpectedSetting, SettingScope, class_in_words, expected_settings, is_idempotent, required_level,
};
