//! Judges messages where they arrive, and records what they were.

use std::sync::atomic::Ordering;

use mqproof_core::history::{Delivery, Event, EventKind, flags};
use mqproof_core::ids::MessageId;
use mqproof_core::workload::{PayloadCheck, verify};

use super::session::Session;
use crate::clock::monotonic_ns;
use crate::role::Received;

/// A message that arrived and was judged, but not yet handed over.
pub(super) struct Arrival {
    event: Event,
    settlement: u64,
    /// The bytes, if they are not what was sent.
    raw: Option<Box<[u8]>>,
}

impl Arrival {
    /// What settles it and those before it: partition and token.
    pub(super) fn settlement(&self) -> (u16, u64) {
        (self.event.partition(), self.settlement)
    }
}

/// Judges a message that the library's poll just returned. `batch` numbers the polls.
#[inline]
pub(super) fn arrive(received: &Received<'_>, run_id: u64, batch: u16) -> Arrival {
    let t_ns = monotonic_ns();
    let (id, delivery) = match verify(received.payload, received.key, run_id) {
        PayloadCheck::Intact(header) => (header.id(), Delivery::Intact),
        PayloadCheck::Corrupt { id, .. } => (id.unwrap_or(MessageId::NONE), Delivery::Corrupt),
        PayloadCheck::ForeignRun { id, .. } => (id, Delivery::ForeignRun),
        PayloadCheck::NotOurs => (MessageId::NONE, Delivery::Corrupt),
    };
    let event = Event {
        t_ns,
        msg: id.0,
        a: received.offset,
        b: u32::from(received.partition),
        kind: EventKind::Deliver,
        flags: delivery as u8 | if received.redelivered { flags::REDELIVERED } else { 0 },
        c: batch,
    };
    let settlement = received.settlement;
    Arrival { event, settlement, raw: (delivery != Delivery::Intact).then(|| received.payload.into()) }
}

/// Records that a message is handed over now. False: it is not recorded, so it must not be settled.
#[inline]
#[must_use]
pub(super) fn hand_over(session: &Session, mut arrival: Arrival, delayed: bool) -> bool {
    if delayed {
        let delay = (monotonic_ns() - arrival.event.t_ns) / 16_000;
        arrival.event.b |= u32::from(u16::try_from(delay).unwrap_or(u16::MAX)) << 16;
    }
    if !session.record(&arrival.event) {
        return false;
    }
    session.delivered.fetch_add(1, Ordering::Relaxed);
    let Some(raw) = arrival.raw else { return true };
    session.keep_raw(&raw).is_some_and(|at| {
        let c = u16::try_from(raw.len()).unwrap_or(u16::MAX);
        session.record(&Event { kind: EventKind::Raw, a: at, c, flags: 0, ..arrival.event })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_marks_as_redelivered_is_recorded_so_whatever_the_message_is() {
        let received = |redelivered| Received {
            partition: 3,
            offset: Event::NO_OFFSET,
            redelivered,
            settlement: 1,
            key: None,
            payload: b"not ours",
        };
        for mark in [false, true] {
            let event = arrive(&received(mark), 1, 7).event;
            assert_eq!((event.is_flagged_repeat(), event.delivery()), (mark, Some(Delivery::Corrupt)));
        }
    }
}
