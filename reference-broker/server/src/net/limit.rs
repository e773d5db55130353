//! How many connections there are at once.
//!
//! In:  `max.connections`, and how many files the system lets this process have. Out: places, one for each connection.
//! Never: lets connections take the descriptors that logs need: a log that cannot open a file is a failed disk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::ListenerKind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often refused connections are told of.
const COMPLAINT: Duration = Duration::from_secs(1);

/// Lets this process have as many open files as the system allows it at most. For programs: a library must not.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
}

/// The places of one listener.
#[derive(Clone)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

impl Places {
    /// Five eighths of all files may be connections of clients, and one eighth those of each internal listener, of which a process may
    /// have two.
    pub(crate) fn new(kind: ListenerKind, max_connections: usize) -> Self {
        let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
        let all = match kind {
            ListenerKind::Client => max_connections.min(files / 8 * 5),
            ListenerKind::Internal => files / 8,
        };
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(all)), all }
    }

    /// A place, until it is dropped; `None` if there is none left.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }
}

/// Connections that found no place.
#[derive(Default)]
pub(super) struct Refusals {
    count: u64,
    told: Option<Instant>,
}

impl Refusals {
    pub(super) fn note(&mut self, peer: SocketAddr, kind: ListenerKind, places: &Places) {
        self.count += 1;
        if self.told.is_none_or(|told| told.elapsed() >= COMPLAINT) {
            self.told = Some(Instant::now());
            let (open, refused) = (places.all, self.count);
            tracing::warn!(%peer, ?kind, open, refused, "connections refused: there are as many as may be (`max.connections`, or 5/8 of `ulimit -n`)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_back_is_taken_again() {
        let places = Places::new(ListenerKind::Client, 2);
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
    }

    #[test]
    fn logs_keep_their_share_of_the_files() {
        let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| files as usize);
        let of = |kind| Places::new(kind, usize::MAX).all;
        assert!(of(ListenerKind::Client) + 2 * of(ListenerKind::Internal) <= files - files / 8);
    }
}
