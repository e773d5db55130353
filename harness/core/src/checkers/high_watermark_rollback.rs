//! A record that was handed to a consumer is not in the log any more (P16).
//!
//! Another message at its offset is positive evidence; nothing at its offset counts with a certified drain only.

use super::finding::{Finding, Findings, Moment, Place};
use crate::ids::MessageId;

/// The drain readers saw `now` where a consumer had been handed another message.
pub(super) fn on_replaced(findings: &mut Findings, place: Place, now: MessageId, handed: Moment) {
    findings.add("replaced", || Finding {
        grade: "replaced",
        summary: format!(
            "{} was handed over at offset {}, where the log now holds {now}",
            handed.event.message(),
            handed.event.a
        ),
        messages: vec![handed.event.message(), now],
        place: Some(place),
        offset: Some(handed.event.a),
        group: None,
        moments: vec![handed],
    });
}

/// The drain readers saw nothing where a consumer had been handed a message.
pub(super) fn on_vanished(
    findings: &mut Findings,
    place: Place,
    offset: u64,
    message: MessageId,
    handed: impl FnOnce() -> Vec<Moment>,
) {
    findings.add("vanished", || Finding {
        grade: "vanished",
        summary: format!("{message} was handed over at offset {offset}, where the log now holds nothing"),
        messages: vec![message],
        place: Some(place),
        offset: Some(offset),
        group: None,
        moments: handed(),
    });
}
