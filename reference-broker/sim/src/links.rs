//! What a scenario's faults do to links, and what the links did to the bytes.
//!
//! A link is named by who dials whom, as the proxies of a live cluster are; it disturbs both directions.

use std::collections::BTreeMap;

use crate::net::Host;

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// Bytes pass.
    #[default]
    Pass,
    /// Connections are reset, and new ones are refused.
    Cut,
    /// Bytes are held. They go on when the link passes again, and are lost if the sender is gone by then.
    Stall,
    /// Bytes arrive late, and at most so many a second.
    Slow {
        /// Added to each direction, ns.
        latency_ns: u64,
        /// Bytes a second, connection and direction; 0 is unlimited.
        bytes_per_s: u64,
    },
}

/// Counters of one link since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Connections that were reset or refused by a cut.
    pub reset: u64,
    /// Bytes that were held by a stall.
    pub held_bytes: u64,
    /// Bytes that were made late.
    pub delayed_bytes: u64,
}

/// Who dials whom; all clients are one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LinkId {
    /// None: the clients.
    from: Option<usize>,
    to: usize,
}

impl LinkId {
    /// From a server, or from all clients, to a server.
    pub(crate) fn new(from: Option<usize>, to: usize) -> Self {
        Self { from, to }
    }

    /// The link of a connection. Nobody dials a client.
    pub(crate) fn of(dialer: Host, acceptor: Host) -> Self {
        let from = match dialer {
            Host::Server(index) => Some(index),
            Host::Client(_) => None,
        };
        let (Host::Server(to) | Host::Client(to)) = acceptor;
        Self { from, to }
    }
}

/// The links that were ever disturbed.
#[derive(Default)]
pub(crate) struct Links(BTreeMap<LinkId, (LinkMode, LinkStats)>);

impl Links {
    /// Changes what a link does; `connections` stand on it.
    pub(crate) fn set_mode(&mut self, link: LinkId, mode: LinkMode, connections: u64) {
        let (now, stats) = self.0.entry(link).or_default();
        *now = mode;
        if mode == LinkMode::Cut {
            stats.reset += connections;
        }
    }

    pub(crate) fn stats(&self, link: LinkId) -> LinkStats {
        self.0.get(&link).map_or_else(LinkStats::default, |(_, stats)| *stats)
    }

    /// Whether a new connection is refused.
    pub(crate) fn refuses(&mut self, link: LinkId) -> bool {
        match self.0.get_mut(&link) {
            Some((LinkMode::Cut, stats)) => {
                stats.reset += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether bytes that are due wait.
    pub(crate) fn holds(&mut self, link: LinkId, bytes: usize) -> bool {
        match self.0.get_mut(&link) {
            Some((LinkMode::Stall, stats)) => {
                stats.held_bytes += bytes as u64;
                true
            }
            _ => false,
        }
    }

    /// When bytes that are sent now have passed. `free_ns`: when those before them have.
    pub(crate) fn pass(&mut self, link: LinkId, now_ns: u64, bytes: usize, free_ns: &mut u64) -> u64 {
        let Some((LinkMode::Slow { latency_ns, bytes_per_s }, stats)) = self.0.get_mut(&link) else {
            return now_ns;
        };
        stats.delayed_bytes += bytes as u64;
        let takes = (bytes as u64 * 1_000_000_000).checked_div(*bytes_per_s).unwrap_or(0);
        *free_ns = now_ns.max(*free_ns) + takes;
        *free_ns + *latency_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkId = LinkId { from: None, to: 1 };

    #[test]
    fn a_narrow_link_passes_bytes_one_after_another() {
        let mut links = Links::default();
        links.set_mode(LINK, LinkMode::Slow { latency_ns: 5, bytes_per_s: 1_000_000_000 }, 0);
        let mut free_ns = 0;
        assert_eq!(links.pass(LINK, 100, 30, &mut free_ns), 135);
        assert_eq!(links.pass(LINK, 110, 30, &mut free_ns), 165);
        assert_eq!(links.pass(LINK, 500, 0, &mut free_ns), 505);
        assert_eq!(links.stats(LINK).delayed_bytes, 60);
    }

    #[test]
    fn each_mode_counts_what_it_did() {
        let mut links = Links::default();
        assert!(!links.refuses(LINK) && !links.holds(LINK, 9));
        links.set_mode(LINK, LinkMode::Cut, 2);
        assert!(links.refuses(LINK) && !links.holds(LINK, 9));
        links.set_mode(LINK, LinkMode::Stall, 0);
        assert!(links.holds(LINK, 9) && !links.refuses(LINK));
        assert_eq!(links.stats(LINK), LinkStats { reset: 3, held_bytes: 9, delayed_bytes: 0 });
    }
}
