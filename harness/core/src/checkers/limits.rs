//! When a broker took no messages because it was short of memory or disk.
//!
//! In:  what the broker told its producers (AMQP, connection.blocked and connection.unblocked).
//! Out: whether an outage overlaps such a span. It then says how much memory and disk the broker was given, not how it
//! recovers from faults. A span ends when the broker says so, or with the connection, which the client reports alike.

use crate::history::{Event, EventKind};

const AGAIN: u8 = 1;

/// Spans of time, of all producers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(Vec<(u64, u64)>);

impl Limits {
    /// Takes an event of one producer's journal; `open` is since when that producer is held off.
    pub(super) fn note(&mut self, event: &Event, open: &mut Option<u64>) {
        if event.kind != EventKind::Limited {
            return;
        }
        if event.flags == AGAIN {
            self.close(event.t_ns, open);
        } else {
            open.get_or_insert(event.t_ns);
        }
    }

    /// Ends the span of a producer that is still held off.
    pub(super) fn close(&mut self, t_ns: u64, open: &mut Option<u64>) {
        self.0.extend(open.take().map(|since| (since, t_ns)));
    }

    /// Whether a span of time, both ends included, met one of them.
    pub fn overlap(&self, from_ns: u64, until_ns: u64) -> bool {
        self.0.iter().any(|&(since, until)| since <= until_ns && until >= from_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_lasts_from_the_first_no_to_the_next_yes() {
        let (mut limits, mut open) = (Limits::default(), None);
        for (t_ns, kind, flags) in [
            (10, EventKind::Limited, 0),
            (15, EventKind::Limited, 0),
            (18, EventKind::Mark, 1),
            (20, EventKind::Limited, 1),
            (25, EventKind::Limited, 1),
            (40, EventKind::Limited, 0),
        ] {
            limits.note(&Event { t_ns, msg: 0, a: 0, b: 0, kind, flags, c: 0 }, &mut open);
        }
        limits.close(50, &mut open);
        assert_eq!(limits, Limits(vec![(10, 20), (40, 50)]));
        assert!(limits.overlap(0, 10) && limits.overlap(12, 13) && limits.overlap(20, 30));
        assert!(!limits.overlap(0, 9) && !limits.overlap(21, 39));
    }
}
