//! Two observers saw different messages at one offset (P15). Positive evidence: the two observations.

use super::finding::{Finding, Findings, Moment, Place};
use crate::ids::MessageId;

/// Two readers: the worst kind.
pub(super) fn between_readers(findings: &mut Findings, place: Place, other: MessageId, moment: Moment) {
    add(findings, "reader/reader", place, other, moment, "another reader saw");
}

/// A reader saw another message where this one was acknowledged.
pub(super) fn ack_and_reader(findings: &mut Findings, place: Place, other: MessageId, moment: Moment) {
    add(findings, "ack/reader", place, other, moment, "it was acknowledged there, and a reader saw");
}

/// Two messages were acknowledged at one offset.
pub(super) fn between_acks(findings: &mut Findings, place: Place, other: MessageId, moment: Moment) {
    add(findings, "ack/ack", place, other, moment, "it was acknowledged there, and so was");
}

fn add(
    findings: &mut Findings,
    grade: &'static str,
    place: Place,
    other: MessageId,
    moment: Moment,
    how: &str,
) {
    findings.add(grade, || Finding {
        grade,
        summary: format!("{} at offset {}: {how} {other}", moment.event.message(), moment.event.a),
        messages: vec![moment.event.message(), other],
        place: Some(place),
        offset: Some(moment.event.a),
        group: None,
        moments: vec![moment],
    });
}
