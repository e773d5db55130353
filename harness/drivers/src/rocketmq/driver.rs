//! The roles of RocketMQ.

use std::sync::Arc;

use mqproof_core::plan::{ConsumerPlan, Durability, ProducerPlan};

use super::consumer::RocketmqConsumer;
use super::log_reader::RocketmqLogReader;
use super::producer::RocketmqProducer;
use crate::Connection;
use crate::library_log::LibraryLog;
use crate::role::{Consumer, Driver, DriverError, GroupObserver, LogReader, Producer, SendObserver};

/// Makes clients of one cluster.
pub struct RocketmqDriver {
    connection: Connection,
    log: LibraryLog,
}

impl RocketmqDriver {
    /// A driver of the cluster at a connection.
    pub fn new(connection: Connection, log: LibraryLog) -> Self {
        Self { connection, log }
    }
}

impl Driver for RocketmqDriver {
    fn producer(
        &self,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
    ) -> Result<Box<dyn Producer>, DriverError> {
        Ok(Box::new(RocketmqProducer::new(&self.connection, plan, durability, observer, self.log.clone())))
    }

    fn consumer(
        &self,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
    ) -> Result<Box<dyn Consumer>, DriverError> {
        Ok(Box::new(RocketmqConsumer::new(&self.connection, plan, observer, self.log.clone())))
    }

    fn log_reader(&self, topic: &str, number: u16) -> Result<Box<dyn LogReader>, DriverError> {
        Ok(Box::new(RocketmqLogReader::new(&self.connection, topic, number, self.log.clone())))
    }

    fn library(&self) -> String {
        super::library()
    }
}
