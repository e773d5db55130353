//! The admin client of a cluster.

use mqproof_drivers::admin::Admin;
use mqproof_drivers::kafka::{Connection, KafkaAdmin, LibraryLog};

use crate::provision::ProvisionError;

/// An admin client for the cluster at these addresses.
pub fn connect(bootstrap: &str) -> Result<Box<dyn Admin>, ProvisionError> {
    let connection = Connection { bootstrap: bootstrap.to_owned(), ..Connection::default() };
    let admin = KafkaAdmin::new(connection, LibraryLog::to_tracing()).map_err(|error| {
        ProvisionError::Unreachable { address: bootstrap.to_owned(), why: error.to_string() }
    })?;
    Ok(Box::new(admin))
}
