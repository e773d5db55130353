//! Which broker has which copies, as name servers say, kept fresh for one client.
//!
//! A Java client asks every 30 s (`pollNameServerInterval`), so that after a change of master it may send to the dead one
//! for as long. This one asks every second and whenever something failed, so that a measured recovery is the product's.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::settings::ROUTE_REFRESH_AT_LEAST;
use crate::Connection;

/// How long name servers may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Addresses by broker and number of the copy; 0 is the master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Copies(pub(super) BTreeMap<String, BTreeMap<u64, String>>);

impl Copies {
    /// Where a broker is written to.
    pub(super) fn master(&self, broker: &str) -> Option<&str> {
        self.0.get(broker)?.get(&0).map(String::as_str)
    }

    /// Where a broker is read and asked: its master, or else another copy, as the Java client has it.
    pub(super) fn any(&self, broker: &str) -> Option<&str> {
        self.0.get(broker)?.values().next().map(String::as_str)
    }

    /// All addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(BTreeMap::values).map(String::as_str)
    }
}

/// A thread that asks. Dropping it ends it.
#[derive(Debug)]
pub(super) struct RouteWatch {
    wanted: Sender<String>,
}

impl RouteWatch {
    /// Begins to ask for a topic's route, now, and then as often as told.
    pub(super) fn start(
        connection: &Connection,
        topic: &str,
        every: Duration,
        tell: impl Fn(Copies) + Send + 'static,
    ) -> Self {
        let (wanted, wants) = channel::<String>();
        let (cluster, topic) = (Cluster::new(connection), topic.to_owned());
        thread::spawn(move || {
            let mut failed: Option<String> = None;
            loop {
                let deadline = Instant::now() + ANSWER_WITHIN;
                if let Ok(copies) = cluster.copies(&topic, failed.as_deref(), deadline) {
                    tell(copies);
                }
                thread::sleep(ROUTE_REFRESH_AT_LEAST);
                failed = match wants.recv_timeout(every.saturating_sub(ROUTE_REFRESH_AT_LEAST)) {
                    Ok(address) => wants.try_iter().last().or(Some(address)),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
            }
        });
        Self { wanted }
    }

    /// Asks again soon, because of trouble with an address: name servers that name another master are believed.
    pub(super) fn refresh(&self, failed: &str) {
        let _ = self.wanted.send(failed.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_without_a_master_is_read_from_another_copy_and_not_written_to() {
        let copies = |ids: &[u64]| {
            let addresses = ids.iter().map(|id| (*id, format!("10.0.0.{id}:10911"))).collect();
            Copies(BTreeMap::from([("b".to_owned(), addresses)]))
        };
        assert_eq!(copies(&[0, 2]).master("b"), Some("10.0.0.0:10911"));
        assert_eq!(copies(&[0, 2]).any("b"), Some("10.0.0.0:10911"));
        assert_eq!(copies(&[3, 2]).master("b"), None);
        assert_eq!(copies(&[3, 2]).any("b"), Some("10.0.0.2:10911"));
        assert_eq!(copies(&[]).any("b"), None);
        assert_eq!(copies(&[0, 1]).master("c"), None);
    }
}
