//! The messages of one producer, in order.

use super::draw::{self, Purpose};
use super::header::{HEADER_SIZE, MessageHeader, NO_KEY};
use super::keys::KeySampler;
use crate::ids::{MessageId, SessionId};
use crate::plan::{Pace, Payload, ProducerPlan};

/// One message to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its number in the session, from 0.
    pub seq: u32,
    /// Its key, if it has one; on the wire 4 bytes, little-endian.
    pub key: Option<u32>,
    /// Its number among the session's messages of the same key, from 0; without a key it is `seq`.
    pub kseq: u32,
    /// Length of its payload, identity header included.
    pub payload_len: u32,
    /// When it is due, counted from the start of load; None in a closed loop, where it is due when there is room.
    pub intended_ns: Option<u64>,
}

/// Yields the messages of one producer session until its plan's total or end. A restarted incarnation sends the same
/// keys and sizes again, but its messages are others: their ids carry the incarnation.
#[derive(Clone, Debug)]
pub struct Generator {
    run_id: u64,
    session: SessionId,
    seed: u64,
    keys: KeySampler,
    /// For each owned key, how many messages it had.
    kseqs: Vec<u32>,
    payload: Payload,
    pace: Pace,
    from_ns: u64,
    until_ns: u64,
    total: u64,
    next: u64,
}

impl Generator {
    /// The messages of producer number `producer` of the plan.
    pub fn new(plan: &ProducerPlan, producer: u16, incarnation: u16, run_id: u64) -> Self {
        let keys = KeySampler::new(&plan.keys, plan.instance, plan.instances);
        Self {
            run_id,
            session: SessionId { producer, incarnation },
            seed: draw::stream_seed(plan.seed, producer),
            kseqs: vec![0; keys.owned() as usize],
            keys,
            payload: plan.payload,
            pace: plan.pace,
            from_ns: plan.from_ns,
            until_ns: plan.until_ns,
            // A session's numbers are 32 bits wide.
            total: plan.total.unwrap_or(u64::MAX).min(1 << 32),
            next: 0,
        }
    }

    /// Whether the transaction with this number, from 0, is aborted on purpose; `share` of all are.
    pub fn aborts(&self, transaction: u32, share: f64) -> bool {
        // 53 bits are a number from 0 to 1 exactly.
        let drawn = draw::draw(self.seed, Purpose::Abort, transaction) >> 11;
        (drawn as f64) < share * (1_u64 << 53) as f64
    }

    /// The key of message `seq`, without replaying those before it.
    #[inline]
    pub fn key_of(&self, seq: u32) -> Option<u32> {
        self.keys.slot(self.seed, seq).map(|slot| self.keys.key(slot))
    }

    /// The payload length of message `seq`.
    #[inline]
    pub fn payload_len_of(&self, seq: u32) -> u32 {
        let length = match self.payload {
            Payload::Fixed(length) => length,
            Payload::Uniform { min, max } => {
                let span = u64::from(max.max(min) - min) + 1;
                min + draw::below(draw::draw(self.seed, Purpose::Size, seq), span) as u32
            }
        };
        length.max(HEADER_SIZE as u32)
    }

    /// When message `seq` is due, ns after the start of load; None in a closed loop.
    #[inline]
    pub fn intended_ns_of(&self, seq: u32) -> Option<u64> {
        match self.pace {
            Pace::Open { rate_per_s } => Some(self.from_ns + (f64::from(seq) * 1e9 / rate_per_s) as u64),
            Pace::Closed { .. } => None,
        }
    }

    /// The id of a message.
    pub fn id(&self, message: &Message) -> MessageId {
        MessageId::new(self.session, message.seq)
    }

    /// Writes the payload of a message. `intended_ns` is CLOCK_MONOTONIC.
    #[inline]
    pub fn write_payload(&self, message: &Message, intended_ns: u64, buffer: &mut Vec<u8>) {
        let header = MessageHeader {
            run_id: self.run_id,
            session: self.session,
            seq: message.seq,
            key: message.key.unwrap_or(NO_KEY),
            kseq: message.kseq,
            destinations: 0,
            attempt: 0,
            flags: 0,
            parent: 0,
            child: 0,
            priority: 0,
            intended_ns,
            payload_len: message.payload_len,
        };
        header.write_payload(self.seed, buffer);
    }
}

impl Iterator for Generator {
    type Item = Message;

    #[inline]
    fn next(&mut self) -> Option<Message> {
        if self.next >= self.total {
            return None;
        }
        let seq = self.next as u32;
        let intended_ns = self.intended_ns_of(seq);
        if intended_ns.is_some_and(|due| due >= self.until_ns) {
            return None;
        }
        self.next += 1;
        let (key, kseq) = match self.keys.slot(self.seed, seq) {
            None => (None, seq),
            Some(slot) => {
                let count = &mut self.kseqs[slot as usize];
                let kseq = *count;
                *count += 1;
                (Some(self.keys.key(slot)), kseq)
            }
        };
        Some(Message { seq, key, kseq, payload_len: self.payload_len_of(seq), intended_ns })
    }
}
