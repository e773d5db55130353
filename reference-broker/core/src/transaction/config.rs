//! The settings of a coordinator.

use crate::defects::Defects;
use crate::node::NodeConfig;

/// The settings of a [`TransactionCoordinator`](super::TransactionCoordinator); names follow Kafka's.
#[derive(Clone, Debug)]
pub struct TransactionConfig {
    /// `transaction.state.log.num.partitions`.
    pub topic_partitions: i32,
    /// `transaction.max.timeout.ms`.
    pub max_timeout_ms: i32,
    /// Planted bugs.
    pub defects: Defects,
}

impl From<&NodeConfig> for TransactionConfig {
    fn from(node: &NodeConfig) -> Self {
        Self {
            topic_partitions: node.transaction_topic_partitions,
            max_timeout_ms: 900_000,
            defects: node.defects,
        }
    }
}
