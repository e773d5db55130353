//! A message that nobody sent was delivered (P4). Positive evidence: the delivery.
//!
//! A message of another run means that the topic was not fresh, which is trouble of ours, and is counted apart.

use super::finding::{Finding, Findings, Moment, Place};

/// No producer of the run ever began to send it.
pub(super) fn never_sent(findings: &mut Findings, place: Place, moment: Moment) {
    add(findings, "never sent", place, moment, "was delivered, and nobody sent it");
}

/// It was delivered before its send began.
pub(super) fn before_its_send(findings: &mut Findings, place: Place, moment: Moment) {
    add(findings, "before its send", place, moment, "was delivered before its send began");
}

fn add(findings: &mut Findings, grade: &'static str, place: Place, moment: Moment, what: &str) {
    findings.add(grade, || Finding {
        grade,
        summary: format!("{} {what}{}", moment.event.message(), moment.at_offset()),
        messages: vec![moment.event.message()],
        place: Some(place),
        offset: moment.offset(),
        group: None,
        moments: vec![moment],
    });
}
