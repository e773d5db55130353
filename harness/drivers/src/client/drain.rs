//! The drain reader: reads every partition from its start to the end that it had when producers had stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use mqproof_core::history::{Event, EventKind};

use super::edge::{arrive, hand_over};
use super::session::{Session, blank};
use super::spec::PartitionEnd;
use crate::clock::monotonic_ns;
use crate::role::LogReader;

const POLL: Duration = Duration::from_millis(50);
const BATCH: usize = 1_000;
/// How long one question for the bounds of a log may take.
const BOUNDS: Duration = Duration::from_secs(1);
/// Flags of a `Drain` event.
const BEGIN: u8 = 0;
const DONE: u8 = 1;
const GAVE_UP: u8 = 3;
const READ_TO: u8 = 4;

/// What is left of one partition.
struct Left {
    end: u64,
    next: u64,
    /// All that can be read was read; if that is not the end, the log is short or ends in records that are not handed
    /// out.
    at_end: bool,
}

/// One reading.
pub(super) struct Drain<'a> {
    pub(super) session: &'a Session,
    pub(super) reader: Box<dyn LogReader>,
    pub(super) run_id: u64,
    pub(super) ends: &'a [PartitionEnd],
    pub(super) timeout: Duration,
    /// Whether logs may end in marks of transactions.
    pub(super) transactional: bool,
}

impl Drain<'_> {
    /// Reads until all ends are reached, or the time is over.
    pub(super) fn run(mut self) {
        let deadline = monotonic_ns() + self.timeout.as_nanos() as u64;
        let expected = self.ends.iter().map(|end| end.end - end.start).sum();
        self.phase(BEGIN, expected, self.ends.len());
        self.record_bounds(deadline);
        let mut left: BTreeMap<u16, Left> = self
            .ends
            .iter()
            .map(|end| (end.partition as u16, Left { end: end.end, next: end.start, at_end: false }))
            .collect();
        left.retain(|_, left| left.next < left.end);
        let partitions: Vec<u16> = left.keys().copied().collect();
        if let Err(why) = self.reader.assign(&partitions) {
            self.session.trouble(why.to_string());
        }
        let mut read = 0;
        let mut batch = 0_u16;
        while !left.is_empty() && monotonic_ns() < deadline && !self.session.should_stop() {
            batch = batch.wrapping_add(1);
            read += self.read_some(&mut left, batch);
            self.forget_finished(&mut left);
        }
        if left.is_empty() {
            self.record_bounds(deadline.max(monotonic_ns() + BOUNDS.as_nanos() as u64));
            self.phase(DONE, read, self.ends.len());
        } else {
            let missing = left.values().map(|left| left.end - left.next).sum();
            self.phase(GAVE_UP, missing, left.len());
            self.session.trouble(format!("`{}` partitions were not read to their end", left.len()));
        }
        // Nothing is committed, so nobody waits for the library to end in order.
        std::mem::forget(self.reader);
    }

    fn read_some(&mut self, left: &mut BTreeMap<u16, Left>, batch: u16) -> u64 {
        let (session, run_id) = (self.session, self.run_id);
        let mut read = 0;
        let mut at_ends = Vec::new();
        self.reader.poll(
            BATCH,
            POLL,
            &mut |received| {
                // What came after the end was taken belongs to nobody's load.
                let Some(left) = left.get_mut(&received.partition).filter(|left| received.offset < left.end)
                else {
                    return;
                };
                left.next = received.offset + 1;
                read += u64::from(hand_over(session, arrive(received, run_id, batch), false));
            },
            &mut |partition| at_ends.push(partition),
        );
        for partition in at_ends {
            left.entry(partition).and_modify(|left| left.at_end = true);
        }
        read
    }

    fn forget_finished(&self, left: &mut BTreeMap<u16, Left>) {
        left.retain(|&partition, left| {
            let end = left.end;
            // A log may end in offsets that hold no messages, such as transaction markers.
            let nothing_more = left.at_end
                && left.next < left.end
                && self.reader.bounds(partition, BOUNDS).is_ok_and(|(_, end)| end >= left.end);
            if nothing_more && self.transactional {
                let event =
                    Event { a: end, b: u32::from(partition), flags: READ_TO, ..blank(EventKind::Drain) };
                let _ = self.session.record(&event);
            }
            left.next < end && !nothing_more
        });
    }

    /// Records log start and end of each partition; retries while the cluster does not answer.
    fn record_bounds(&self, deadline_ns: u64) {
        for end in self.ends {
            let bounds = loop {
                match self.reader.bounds(end.partition as u16, BOUNDS) {
                    Ok(bounds) => break Some(bounds),
                    Err(_) if monotonic_ns() < deadline_ns && !self.session.should_stop() => {}
                    Err(why) => {
                        self.session.trouble(why.to_string());
                        break None;
                    }
                }
            };
            for (flags, bound) in bounds.into_iter().flat_map(|(start, end)| [(0, start), (1, end)]) {
                let event = Event { a: bound, b: end.partition, flags, ..blank(EventKind::LogBound) };
                let _ = self.session.record(&event);
            }
        }
    }

    fn phase(&self, flags: u8, a: u64, partitions: usize) {
        let event = Event { a, b: partitions as u32, flags, ..blank(EventKind::Drain) };
        let _ = self.session.record(&event);
    }
}
