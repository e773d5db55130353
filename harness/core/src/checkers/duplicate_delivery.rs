//! A group is handed a record again (P3, delivery layer), by cause; the first cause that fits wins.
//!
//! Legal: whoever had it lost the partition, left or died before the group had surely committed it. A violation: it was
//! committed before the present session began, or the same session is handed it again without having asked.

use super::finding::{Finding, Findings, Moment, Place};
use super::group_view::Session;

/// How a member's hold on a partition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The partition was taken away in an orderly way.
    Revoked,
    /// It was lost: the session had ended already.
    Lost,
    /// The member left the group.
    Left,
    /// Its process ended.
    Died,
}

/// The circumstances of a message's second hand-over.
pub(super) struct Repeat<'a> {
    /// Whether the offset is one that the group had reached before.
    pub(super) rewound: bool,
    /// Who is handed it now, as it was before.
    pub(super) session: Session,
    /// Who had the partition before, if that was another process.
    pub(super) previous: Option<&'a Session>,
    /// What the group has surely committed by now.
    pub(super) committed: Option<Moment>,
    /// The group.
    pub(super) group: u16,
}

/// A message was handed over again.
pub(super) fn on_repeat(findings: &mut Findings, place: Place, repeat: &Repeat<'_>, moment: Moment) {
    let offset = moment.event.a;
    if !repeat.rewound {
        // Another record with the same message: `duplicate_append` counts it.
        findings.add_legal("stored twice");
        return;
    }
    if repeat.session.last.is_some_and(|last| offset <= last.a) {
        add(findings, place, repeat, moment, "unexplained", "the same session had been handed it before");
    } else if offset < repeat.session.committed_before {
        add(
            findings,
            place,
            repeat,
            moment,
            "acked, then redelivered",
            "it was committed before this session began",
        );
    } else {
        findings.add_legal(match repeat.previous.and_then(|previous| previous.end) {
            Some(SessionEnd::Died) => "consumer died",
            Some(SessionEnd::Lost) => "session lost",
            Some(SessionEnd::Revoked | SessionEnd::Left) => "rebalance",
            None if repeat.previous.is_some() => "taken over",
            None => "rebalance",
        });
    }
}

fn add(
    findings: &mut Findings,
    place: Place,
    repeat: &Repeat<'_>,
    moment: Moment,
    grade: &'static str,
    why: &str,
) {
    findings.add(grade, || Finding {
        grade,
        summary: format!(
            "{} was handed over again at offset {}: {why}",
            moment.event.message(),
            moment.event.a
        ),
        messages: vec![moment.event.message()],
        place: Some(place),
        offset: Some(moment.event.a),
        group: Some(repeat.group),
        moments: repeat.committed.into_iter().chain([moment]).collect(),
    });
}
