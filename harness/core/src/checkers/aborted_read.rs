//! A reader of committed records is handed one of a transaction that never can be committed (P19; G1a of Adya's thesis).
//!
//! Positive evidence: the delivery, and a journal that is complete and in which the producer never asked for the commit,
//! or was surely refused. The smallest history: begin, send m, abort; m is delivered with `read_committed`.

use super::finding::{Finding, Findings, Moment, Place};
use super::transactions::Fate;

/// A record of a void transaction is handed over.
pub(super) fn on_delivery(findings: &mut Findings, place: Place, fate: Fate, moment: Moment) {
    let grade = fate.in_words();
    findings.add(grade, || Finding {
        grade,
        summary: format!(
            "{} was delivered{}; its transaction was {}",
            moment.event.message(),
            moment.at_offset(),
            match fate {
                Fate::Aborted => "aborted by its producer",
                Fate::Refused => "refused its commit",
                _ => "never ended by its producer, who did not ask for a commit",
            }
        ),
        messages: vec![moment.event.message()],
        place: Some(place),
        offset: moment.offset(),
        group: None,
        moments: vec![moment],
    });
}
