//! One message at two offsets of the log (P3, log layer).
//!
//! Positive evidence: two records of one reader. A copy that the harness itself sent again is legal, for broker and client
//! cannot know that it is one; so is one of a session that had to begin a new producer epoch, for idempotence ends with it.

use super::finding::{Finding, Findings, Moment, Place};
use super::sends::Sends;

/// A reader came upon a message that it had read at a lower offset, or in another partition.
pub(super) fn on_second_copy(findings: &mut Findings, sends: &Sends, place: Place, copy: Moment) {
    let message = copy.event.message();
    if sends.retried.contains(message) {
        findings.add_legal("sent again by the harness");
        return;
    }
    if sends.new_epochs.contains(&message.session()) {
        findings.add_legal("in a new producer epoch, after a send had timed out");
        return;
    }
    findings.add("client or broker", || Finding {
        grade: "client or broker",
        summary: format!(
            "{message} stands a second time in the log, at offset {}; it was sent once",
            copy.event.a
        ),
        messages: vec![message],
        place: Some(place),
        offset: Some(copy.event.a),
        group: None,
        moments: vec![copy],
    });
}
