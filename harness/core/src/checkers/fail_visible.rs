//! A message whose send surely had no effect was delivered (P6). Positive evidence: the outcome and the delivery.

use super::finding::{Finding, Findings, Moment, Place};

/// A failed send is delivered.
pub(super) fn on_visible(findings: &mut Findings, place: Place, moment: Moment) {
    findings.add("failed, yet delivered", || Finding {
        grade: "failed, yet delivered",
        summary: format!(
            "{} was refused for good, and delivered{}",
            moment.event.message(),
            moment.at_offset()
        ),
        messages: vec![moment.event.message()],
        place: Some(place),
        offset: moment.offset(),
        group: None,
        moments: vec![moment],
    });
}
