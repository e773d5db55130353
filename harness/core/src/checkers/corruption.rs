//! A message was delivered with other bytes than were sent (P5). Positive evidence: the delivery, whose bytes are in the
//! side file of its journal.

use super::finding::{Finding, Findings, Moment, Place};

/// Header, checksum, key or length of a delivered message is wrong.
pub(super) fn on_corrupt(findings: &mut Findings, place: Place, moment: Moment) {
    findings.add("corrupt", || Finding {
        grade: "corrupt",
        summary: format!(
            "the record{} is not what was sent ({})",
            moment.at_offset(),
            moment.event.message()
        ),
        messages: vec![moment.event.message()],
        place: Some(place),
        offset: moment.offset(),
        group: None,
        moments: vec![moment],
    });
}
