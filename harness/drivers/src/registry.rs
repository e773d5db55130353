//! The drivers by name: one line each.

use std::collections::BTreeMap;

use crate::library_log::LibraryLog;
use crate::role::{Driver, DriverError};

/// The driver of this name for a cluster at `bootstrap`; `settings` go over what a plan implies.
pub fn driver(
    name: &str,
    bootstrap: &str,
    settings: &BTreeMap<String, String>,
    log: &LibraryLog,
) -> Result<Box<dyn Driver>, DriverError> {
    match name {
        #[cfg(feature = "kafka")]
        "kafka" => {
            let connection =
                crate::kafka::Connection { bootstrap: bootstrap.to_owned(), settings: settings.clone() };
            Ok(Box::new(crate::kafka::KafkaDriver::new(connection, log.clone())))
        }
        _ => {
            let _ = (bootstrap, settings, log);
            let what = format!("driver `{name}`");
            Err(DriverError { what, why: "not built into this mqproof (hint: known is `kafka`)".to_owned() })
        }
    }
}
