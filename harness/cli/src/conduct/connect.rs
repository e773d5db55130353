//! The admin client of a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use mqproof_drivers::admin::{Admin, ClusterInfo};
use mqproof_drivers::library_log::LibraryLog;
use mqproof_drivers::{Connection, admin};

use super::setup::{ASK, wait_for_brokers};
use super::target::System;
use crate::provision::ProvisionError;

/// How long somebody else's cluster is given to answer for the first time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// An admin client for the cluster at these addresses.
pub fn connect(
    system: System,
    bootstrap: &str,
    settings: &BTreeMap<String, String>,
) -> Result<Box<dyn Admin>, ProvisionError> {
    let connection = Connection { bootstrap: bootstrap.to_owned(), settings: settings.clone() };
    admin(system.driver(), &connection, &LibraryLog::to_tracing())
        .map_err(|error| ProvisionError::NoClient { address: bootstrap.to_owned(), why: error.to_string() })
}

/// What somebody else's cluster says of itself. A refusal is told as such.
pub fn first_answer(admin: &dyn Admin, address: &str) -> Result<ClusterInfo, ProvisionError> {
    wait_for_brokers(admin, 1, ANSWERS_WITHIN).map_err(|why| {
        let address = address.to_owned();
        match admin.complaint(ASK) {
            Some(said) if said.is_refusal => ProvisionError::Refused { address, why: said.text },
            Some(said) => ProvisionError::Unreachable { address, why: said.text },
            None => ProvisionError::Unreachable { address, why },
        }
    })
}
