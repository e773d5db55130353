//! The drivers by name: one line each.

use crate::admin::{Admin, AdminError};
use crate::connection::Connection;
use crate::library_log::LibraryLog;
use crate::role::{Driver, DriverError};

/// The driver of this name for a cluster.
pub fn driver(name: &str, connection: &Connection, log: &LibraryLog) -> Result<Box<dyn Driver>, DriverError> {
    match name {
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Box::new(crate::kafka::KafkaDriver::new(connection.clone(), log.clone()))),
        #[cfg(feature = "rocketmq")]
        "rocketmq" => Ok(Box::new(crate::rocketmq::RocketmqDriver::new(connection.clone(), log.clone()))),
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => Ok(Box::new(crate::rabbitmq::RabbitDriver::new(connection, log.clone())?)),
        _ => {
            let _ = (connection, log);
            Err(DriverError { what: format!("driver `{name}`"), why: NOT_BUILT.to_owned() })
        }
    }
}

/// The conductor's client of a cluster, by the same names.
pub fn admin(name: &str, connection: &Connection, log: &LibraryLog) -> Result<Box<dyn Admin>, AdminError> {
    match name {
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Box::new(crate::kafka::KafkaAdmin::new(connection.clone(), log.clone())?)),
        #[cfg(feature = "rocketmq")]
        "rocketmq" => Ok(Box::new(crate::rocketmq::RocketmqAdmin::new(connection))),
        #[cfg(feature = "rabbitmq")]
        "rabbitmq" => Ok(Box::new(crate::rabbitmq::RabbitAdmin::new(connection, log)?)),
        _ => {
            let _ = (connection, log);
            Err(AdminError { what: format!("driver `{name}`"), why: NOT_BUILT.to_owned() })
        }
    }
}

const NOT_BUILT: &str = "not built into this mqproof (hint: build it with the driver's cargo feature)";
