//! The roles, made for one cluster.

use std::sync::Arc;

use mqproof_core::plan::{ConsumerPlan, Durability, Isolation, ProducerPlan};

use super::consumer::KafkaConsumer;
use super::log_reader::KafkaLogReader;
use super::producer::KafkaProducer;
use super::settings::Connection;
use super::transactional::TransactionalProducer;
use crate::library_log::LibraryLog;
use crate::role::{Consumer, Driver, DriverError, GroupObserver, LogReader, Producer, SendObserver};

/// Makes clients of a Kafka-wire cluster.
#[derive(Clone, Debug)]
pub struct KafkaDriver {
    connection: Connection,
    log: LibraryLog,
}

impl KafkaDriver {
    /// Nothing is connected yet.
    pub fn new(connection: Connection, log: LibraryLog) -> Self {
        Self { connection, log }
    }
}

impl Driver for KafkaDriver {
    fn producer(
        &self,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
    ) -> Result<Box<dyn Producer>, DriverError> {
        let log = self.log.clone();
        Ok(match plan.transactions {
            None => Box::new(KafkaProducer::new(&self.connection, plan, durability, observer, log)?),
            Some(_) => {
                Box::new(TransactionalProducer::new(&self.connection, plan, durability, observer, log)?)
            }
        })
    }

    fn consumer(
        &self,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
    ) -> Result<Box<dyn Consumer>, DriverError> {
        Ok(Box::new(KafkaConsumer::new(&self.connection, plan, observer, self.log.clone())?))
    }

    fn log_reader(&self, topic: &str, number: u16) -> Result<Box<dyn LogReader>, DriverError> {
        let (isolation, log) = (Isolation::ReadUncommitted, self.log.clone());
        Ok(Box::new(KafkaLogReader::new(&self.connection, topic, number, isolation, log)?))
    }

    fn committed_reader(&self, topic: &str, number: u16) -> Result<Box<dyn LogReader>, DriverError> {
        let (isolation, log) = (Isolation::ReadCommitted, self.log.clone());
        Ok(Box::new(KafkaLogReader::new(&self.connection, topic, number, isolation, log)?))
    }

    fn library(&self) -> String {
        super::library()
    }
}
