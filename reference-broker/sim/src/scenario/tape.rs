//! What a client records: the same events as the client processes of a live run, kept in memory.

use std::cell::RefCell;
use std::rc::Rc;

use mqproof_core::history::{Delivery, Event, EventKind, JournalMeta, Outcome, SealReason, flags};
use mqproof_core::ids::MessageId;
use mqproof_core::workload::{PayloadCheck, verify};

/// The journal of one client, and what it counted.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// Whose it is.
    pub meta: JournalMeta,
    /// What it recorded.
    pub events: Vec<Event>,
    /// Bytes of messages that arrived changed.
    pub raw: Vec<u8>,
    /// Why it ended; None: its process runs.
    pub sealed: Option<SealReason>,
    /// Sends that were acknowledged (with acks=0: handed to the network).
    pub acked: u64,
    /// What kept it from doing what it had to.
    pub trouble: Option<String>,
}

/// A tape that its client and the simulation share.
pub(crate) type SharedTape = Rc<RefCell<Tape>>;

impl Tape {
    pub(crate) fn shared(meta: JournalMeta) -> SharedTape {
        Rc::new(RefCell::new(Self { meta, ..Self::default() }))
    }

    pub(crate) fn record(&mut self, event: Event) {
        if event.kind == EventKind::SendEnd && event.outcome() == Outcome::Ok {
            self.acked += 1;
        }
        self.events.push(event);
    }

    /// A message is handed over now that arrived when its event says.
    pub(crate) fn hand_over(&mut self, arrival: Arrival, now_ns: u64, batch: u16) {
        let Arrival { mut event, raw, .. } = arrival;
        let delay = u16::try_from((now_ns - event.t_ns) / 16_000).unwrap_or(u16::MAX);
        event.b |= u32::from(delay) << 16;
        event.c = batch;
        self.record(event);
        if let Some(raw) = raw {
            let c = u16::try_from(raw.len()).unwrap_or(u16::MAX);
            self.record(Event { kind: EventKind::Raw, a: self.raw.len() as u64, c, flags: 0, ..event });
            self.raw.extend_from_slice(&raw);
        }
    }
}

/// An event of now with nothing in it.
pub(crate) fn blank(kind: EventKind, t_ns: u64) -> Event {
    Event { t_ns, msg: 0, a: 0, b: 0, kind, flags: 0, c: 0 }
}

/// A record as it was fetched.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) partition: i32,
    pub(crate) offset: u64,
    pub(crate) key: Option<bytes::Bytes>,
    pub(crate) value: bytes::Bytes,
}

/// A message that arrived and was judged, but not yet handed over.
#[derive(Debug)]
pub(crate) struct Arrival {
    event: Event,
    pub(crate) partition: i32,
    /// What settles it: the offset behind it.
    pub(crate) next: u64,
    raw: Option<bytes::Bytes>,
}

impl Arrival {
    /// Judges a record that is taken at this time.
    pub(crate) fn judge(record: Fetched, run_id: u64, now_ns: u64) -> Self {
        let Fetched { partition, offset, key, value } = record;
        let (id, delivery) = match verify(&value, key.as_deref(), run_id) {
            PayloadCheck::Intact(header) => (header.id(), Delivery::Intact),
            PayloadCheck::Corrupt { id, .. } => (id.unwrap_or(MessageId::NONE), Delivery::Corrupt),
            PayloadCheck::ForeignRun { id, .. } => (id, Delivery::ForeignRun),
            PayloadCheck::NotOurs => (MessageId::NONE, Delivery::Corrupt),
        };
        let event = Event {
            msg: id.0,
            a: offset,
            b: partition as u32,
            flags: delivery as u8 & !flags::REDELIVERED,
            ..blank(EventKind::Deliver, now_ns)
        };
        Self { event, partition, next: offset + 1, raw: (delivery != Delivery::Intact).then_some(value) }
    }

    /// It is taken from the client library at this time.
    pub(crate) fn taken(mut self, now_ns: u64) -> Self {
        self.event.t_ns = now_ns;
        self
    }
}
