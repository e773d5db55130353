//! Clusters of real products, in containers on a network of their own.
//!
//! In:  a product's description of its nodes. Out: a [`Cluster`](super::Cluster) with hands on its nodes and links.
//! Owns: containers, volumes, the network and packet filters, all labelled with the run. Never: pulls an image.

mod cluster;
mod docker;
mod filter;
mod kafka;
mod labels;
mod links;
mod network;
mod pool;
mod product;
mod rabbitmq;
mod remains;
mod rocketmq;
mod tool;

pub use cluster::ContainerOrder;
pub use pool::ClusterPool;
use product::Product;
pub use remains::{remains, remove};

/// The description of a product by its name; None: it is not deployed in containers.
pub fn product(name: &str) -> Option<&'static dyn Product> {
    match name {
        "kafka" => Some(&kafka::Kafka),
        "rocketmq" => Some(&rocketmq::Rocketmq),
        "rabbitmq" => Some(&rabbitmq::RabbitMq),
        _ => None,
    }
}
