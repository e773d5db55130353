//! The channels of one client, by address.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::remoting::{Channel, Report, Request};

type Sink = Arc<dyn Fn(LinkReport) + Send + Sync>;

/// What happened on one of the channels.
#[derive(Debug)]
pub(super) struct LinkReport {
    pub(super) address: String,
    /// Which of the channels that this address had.
    generation: u64,
    pub(super) report: Report,
}

/// Opens channels when something is to be sent, and numbers requests.
pub(super) struct Links {
    channels: BTreeMap<String, (u64, Channel)>,
    sink: Sink,
    generations: u64,
    opaque: u32,
}

impl Links {
    pub(super) fn new(sink: impl Fn(LinkReport) + Send + Sync + 'static) -> Self {
        Self { channels: BTreeMap::new(), sink: Arc::new(sink), generations: 0, opaque: 0 }
    }

    /// Sends a request, and returns the number that its answer will have.
    pub(super) fn send(&mut self, address: &str, request: &Request) -> u32 {
        self.opaque = self.opaque.wrapping_add(1);
        if !self.channels.contains_key(address) {
            self.generations += 1;
            let (generation, sink, name) = (self.generations, Arc::clone(&self.sink), address.to_owned());
            let tell = move |report| sink(LinkReport { address: name.clone(), generation, report });
            self.channels.insert(address.to_owned(), (generation, Channel::open(address, tell)));
        }
        self.channels[address].1.send(self.opaque, request);
        self.opaque
    }

    /// Whether a report is one of a channel in use; of one that is closed it takes note.
    pub(super) fn is_current(&mut self, report: &LinkReport) -> bool {
        let known = self.channels.get(&report.address).is_some_and(|known| known.0 == report.generation);
        if known && matches!(report.report, Report::Closed { .. }) {
            self.channels.remove(&report.address);
        }
        known
    }
}
