//! End-to-end order of one key (P12), modulo duplicates.
//!
//! A key belongs to one producer session at a time, so that the numbers of its messages tell the order of sending.
//! O3a: a first delivery behind one that was sent later is a reorder. O3b: after a rewind the messages of a key ascend
//! again; a lone stale repeat in the middle of a session does not.

use std::collections::BTreeMap;

use super::finding::{Finding, Findings, Moment, Place};

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
    /// By producer session, then by key; keys are small dense numbers.
    standings: BTreeMap<u32, Vec<Option<Standing>>>,
}

impl KeyOrder {
    /// A message of `key` is handed over.
    #[expect(clippy::too_many_arguments, reason = "the circumstances of one delivery")]
    pub(super) fn on_delivery(
        &mut self,
        findings: &mut Findings,
        place: Place,
        group: u16,
        key: u32,
        session: (usize, u16),
        first: bool,
        rewound: bool,
        moment: Moment,
    ) {
        let message = moment.event.message();
        let (seq, session) = (message.seq(), (session.0 as u32, session.1));
        let standings = self.standings.entry((message.0 >> 32) as u32).or_default();
        if standings.len() <= key as usize {
            standings.resize(key as usize + 1, None);
        }
        let Some(standing) = &mut standings[key as usize] else {
            standings[key as usize] = Some(Standing { highest: seq, last: seq, session });
            return;
        };
        findings.exercised += 1;
        let finding = |grade, before: u32, why: &str| Finding {
            grade,
            summary: format!(
                "{message} of key {key} was handed over after number {before} of the same key and session: {why}"
            ),
            messages: vec![message, crate::ids::MessageId::new(message.session(), before)],
            place: Some(place),
            offset: Some(moment.event.a),
            group: Some(group),
            moments: vec![moment],
        };
        if first && seq < standing.highest {
            findings.add("first delivery", || {
                finding("first delivery", standing.highest, "it was sent before it")
            });
        } else if !first && rewound && standing.session == session && seq < standing.last {
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
