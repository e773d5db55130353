//! What a consumer is handed against the log (P11), within one assignment session.
//!
//! Offsets ascend, and none is left out at which the log proves a record. A new assignment starts anew.

use super::finding::{Finding, Findings, Moment, Place};
use super::group_view::Session;

/// Offsets that a session left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Where.
    pub place: Place,
    /// Whose.
    pub group: u16,
    /// First offset that was left out.
    pub from: u64,
    /// First offset that was not.
    pub to: u64,
    /// The record before the gap.
    pub before: Moment,
    /// The record behind it.
    pub after: Moment,
}

impl Gap {
    /// What a session left out between its last record and the next.
    pub(super) fn between(place: Place, group: u16, session: &Session, next: Moment) -> Option<Self> {
        let last = session.last?;
        let before = Moment { shard: session.shard, event: last };
        (next.event.a > last.a.saturating_add(1)).then(|| Self {
            place,
            group,
            from: last.a + 1,
            to: next.event.a,
            before,
            after: next,
        })
    }
}

/// A session was handed its next record.
pub(super) fn on_next(findings: &mut Findings, place: Place, group: u16, session: &Session, next: Moment) {
    let Some(last) = session.last else { return };
    findings.exercised += 1;
    if next.event.a <= last.a {
        findings.add("not ascending", || Finding {
            grade: "not ascending",
            summary: format!(
                "offset {} was handed over behind offset {} in one session",
                next.event.a, last.a
            ),
            messages: vec![last.message(), next.event.message()],
            place: Some(place),
            offset: Some(next.event.a),
            group: Some(group),
            moments: vec![Moment { shard: session.shard, event: last }, next],
        });
    }
}

/// The log holds records in a gap.
pub(super) fn on_skipped(findings: &mut Findings, gap: &Gap, record: Moment) {
    findings.add("skipped", || Finding {
        grade: "skipped",
        summary: format!(
            "{} at offset {} was left out between offsets {} and {} of one session",
            record.event.message(),
            record.event.a,
            gap.before.event.a,
            gap.to
        ),
        messages: vec![record.event.message()],
        place: Some(gap.place),
        offset: Some(record.event.a),
        group: Some(gap.group),
        moments: vec![gap.before, gap.after, record],
    });
}
