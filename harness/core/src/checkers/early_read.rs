//! A reader of committed records is handed one before the producer asked for the commit of its transaction (P20).
//!
//! Positive evidence: the delivery and the later request; the uncertainty between clocks is taken off. The smallest
//! history: begin, send m, m is delivered with `read_committed`, commit.

use super::finding::{Finding, Findings, Moment, Place};

/// A record is handed over `early_ns` before its commit was asked for.
pub(super) fn on_delivery(findings: &mut Findings, place: Place, early_ns: u64, moment: Moment) {
    findings.add("before its commit", || Finding {
        grade: "before its commit",
        summary: format!(
            "{} was delivered{} {:.1} ms before its producer asked for the commit of its transaction",
            moment.event.message(),
            moment.at_offset(),
            early_ns as f64 / 1e6
        ),
        messages: vec![moment.event.message()],
        place: Some(place),
        offset: moment.offset(),
        group: None,
        moments: vec![moment],
    });
}
