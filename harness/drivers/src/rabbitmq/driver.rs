//! The roles, made for one cluster.

use std::sync::Arc;

use mqproof_core::plan::{ConsumerPlan, Durability, ProducerPlan};

use super::consumer::RabbitConsumer;
use super::log_reader::StreamReader;
use super::producer::RabbitProducer;
use super::settings::Settings;
use crate::connection::Connection;
use crate::library_log::LibraryLog;
use crate::role::{Consumer, Driver, DriverError, GroupObserver, LogReader, Producer, SendObserver};

/// Makes clients of a RabbitMQ cluster.
#[derive(Clone, Debug)]
pub struct RabbitDriver {
    settings: Settings,
    log: LibraryLog,
}

impl RabbitDriver {
    /// Nothing is connected yet.
    pub fn new(connection: &Connection, log: LibraryLog) -> Result<Self, DriverError> {
        Ok(Self { settings: Settings::new(connection)?, log })
    }
}

impl Driver for RabbitDriver {
    fn producer(
        &self,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
    ) -> Result<Box<dyn Producer>, DriverError> {
        Ok(Box::new(RabbitProducer::new(&self.settings, plan, durability, observer, self.log.clone())?))
    }

    fn consumer(
        &self,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
    ) -> Result<Box<dyn Consumer>, DriverError> {
        Ok(Box::new(RabbitConsumer::new(&self.settings, plan, observer, self.log.clone())?))
    }

    fn log_reader(&self, topic: &str, number: u16) -> Result<Box<dyn LogReader>, DriverError> {
        Ok(Box::new(StreamReader::new(&self.settings, topic, number, self.log.clone())?))
    }

    fn library(&self) -> String {
        super::library()
    }
}
