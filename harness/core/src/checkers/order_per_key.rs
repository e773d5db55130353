//! End-to-end order of one key (P12), modulo duplicates.
//!
//! A key belongs to one producer session at a time, so that the numbers of its messages tell the order of sending.
//! O3a: a first delivery behind one that was sent later is a reorder. O3b: after a rewind the messages of a key ascend
//! again; a lone stale repeat in the middle of a session does not. Where there are no offsets, a rewind is told by the
//! broker's mark or by a new session. What was given up, because its connection was lost (AMQP 0-9-1, 4.7, orders one
//! channel) or without an answer, may come behind what was sent after that: legal if it was never acknowledged.

use std::collections::BTreeMap;

use super::finding::{Finding, Findings, Moment, Place};
use super::sends::{GIVEN_UP, Sends};

/// Where one key stands in one group.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// The highest number that was delivered.
    highest: u32,
    /// The last number that was delivered.
    last: u32,
    /// To which journal and assignment.
    session: (u32, u16),
}

/// Where every key stands in one group. 24 bytes or so per key.
#[derive(Debug, Default)]
pub(super) struct KeyOrder {
    /// By producer session and channel, then by key; keys are small dense numbers.
    standings: BTreeMap<(u32, u16), Vec<Option<Standing>>>,
}

/// The circumstances of one delivery of a message with a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyCircumstances {
    pub(super) place: Place,
    pub(super) group: u16,
    pub(super) key: u32,
    /// The member's journal, and which assignment.
    pub(super) session: (usize, u16),
    /// Whether it is the first delivery of the message.
    pub(super) first: bool,
    /// Whether the group had come past it before, so that it goes back now.
    pub(super) rewound: bool,
    /// Whether the broker says that it goes back. Then it may do so within a session.
    pub(super) announced: bool,
}

impl KeyOrder {
    /// A message is handed over.
    pub(super) fn on_delivery(
        &mut self,
        findings: &mut Findings,
        now: KeyCircumstances,
        moment: Moment,
        sends: &Sends,
    ) {
        let KeyCircumstances { place, group, key, session, first, rewound, announced } = now;
        let message = moment.event.message();
        let (seq, session) = (message.seq(), (session.0 as u32, session.1));
        let (of_session, channel) = ((message.0 >> 32) as u32, sends.channel(message));
        let later = (of_session, channel + 1)..=(of_session, u16::MAX);
        let overtaken = self
            .standings
            .range(later)
            .find_map(|(_, keys)| keys.get(key as usize).copied().flatten())
            .filter(|_| first);
        let standings = self.standings.entry((of_session, channel)).or_default();
        if standings.len() <= key as usize {
            standings.resize(key as usize + 1, None);
        }
        let finding = |grade, before: u32, why: &str| Finding {
            grade,
            summary: format!(
                "{message} of key {key} was handed over after number {before} of the same key and session: {why}"
            ),
            messages: vec![message, crate::ids::MessageId::new(message.session(), before)],
            place: Some(place),
            offset: moment.offset(),
            group: Some(group),
            moments: vec![moment],
        };
        if let Some(overtaken) = overtaken {
            findings.exercised += 1;
            if sends.acked.contains(message) {
                findings.add("first delivery", || {
                    finding("first delivery", overtaken.highest, "it was sent and acknowledged before it")
                });
            } else {
                findings.add_legal(GIVEN_UP);
            }
        }
        let Some(standing) = &mut standings[key as usize] else {
            standings[key as usize] = Some(Standing { highest: seq, last: seq, session });
            return;
        };
        findings.exercised += 1;
        if first && seq < standing.highest {
            findings.add("first delivery", || {
                finding("first delivery", standing.highest, "it was sent before it")
            });
        } else if !first && rewound && !announced && standing.session == session && seq < standing.last {
            findings.add("stale repeat", || {
                finding("stale repeat", standing.last, "a repeat between newer ones")
            });
        }
        // A second copy in the log says nothing about where the group stands.
        if first || rewound {
            *standing = Standing { highest: standing.highest.max(seq), last: seq, session };
        }
    }
}
