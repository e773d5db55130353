//! Where a cluster is.

use std::collections::BTreeMap;

/// Where a cluster is, and settings that go over those of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `host:port,…`.
    pub bootstrap: String,
    /// In the driver's own names: those of librdkafka for `kafka`; for the others their modules tell.
    pub settings: BTreeMap<String, String>,
}
