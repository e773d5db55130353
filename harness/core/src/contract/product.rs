//! The products that contracts are written for.

/// A product, by what it promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Product {
    /// Apache Kafka, and brokers of its wire and contract.
    Kafka,
    /// RabbitMQ.
    RabbitMq,
    /// Apache RocketMQ 5, in controller mode.
    RocketMq,
}

impl Product {
    /// The product behind the name of a system.
    pub(super) fn named(system: &str) -> Option<Self> {
        match system {
            "reference" | "kafka" | "sim" => Some(Self::Kafka),
            "rabbitmq" => Some(Self::RabbitMq),
            "rocketmq" => Some(Self::RocketMq),
            _ => None,
        }
    }
}
