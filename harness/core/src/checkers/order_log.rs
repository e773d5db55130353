//! The log against the order of sending (P10): of one producer session, in one partition, by first copies.
//!
//! Gaps do not matter: a lost message is not a reorder. A pair whose earlier message the harness sent again is left out. A
//! message that was given up without an answer before the other was sent may still come to be served: legal if it was never
//! acknowledged.

use super::finding::{Finding, Findings, Moment, Place};
use super::sends::{GIVEN_UP, Sends};

/// A reader came upon the first copy of `next`, and before it the highest of the session was `highest`.
pub(super) fn on_next(findings: &mut Findings, sends: &Sends, place: Place, highest: Moment, next: Moment) {
    let (before, message) = (highest.event.message(), next.event.message());
    if message < before && sends.retried.contains(message) {
        findings.add_legal("sent again by the harness");
        return;
    }
    findings.exercised += 1;
    if message < before && sends.was_given_up(message, before) {
        findings.add_legal(GIVEN_UP);
    } else if message < before {
        findings.add("reordered", || Finding {
            grade: "reordered",
            summary: format!(
                "{message} was sent before {before} and stands behind it, at offset {} behind {}",
                next.event.a, highest.event.a
            ),
            messages: vec![message, before],
            place: Some(place),
            offset: Some(next.event.a),
            group: None,
            moments: vec![highest, next],
        });
    }
}
