//! A log holds an open transaction beyond the time that transactions are given (P23): readers of committed records come
//! no further, for ever.
//!
//! Evidence: the last stable offset of a log, asked for again and again once the cluster was whole after the load, still
//! lies before the end when the longest transaction has had its time, and the coordinator its rounds. Seen for a shorter
//! time it says nothing: the broker may still abort it.

use super::conductor::Conductor;
use super::finding::{Finding, Findings, Place};

/// A coordinator looks at its transactions now and then; Kafka's every 10 s.
pub const ROUNDS_NS: u64 = 15_000_000_000;

/// What the last stable offsets say.
#[derive(Debug, Default)]
pub(super) struct Hanging {
    pub(super) findings: Findings,
    /// Why nothing can be said, if so.
    pub(super) gap: Option<String>,
}

/// Looks at each of these logs. `timeout_ms`: of the longest transaction.
pub(super) fn find(
    conductor: &Conductor,
    places: impl Iterator<Item = (Place, String)>,
    timeout_ms: u64,
) -> Hanging {
    let mut hanging = Hanging::default();
    let patience_ns = timeout_ms * 1_000_000 + ROUNDS_NS;
    for (place, name) in places {
        let seen = conductor.stable.get(&place).map_or(&[][..], Vec::as_slice);
        let end = conductor.bounds.get(&place).and_then(|bounds| bounds.ends.iter().max());
        let (Some(first), Some(last), Some(&end)) = (seen.first(), seen.last(), end) else {
            hanging.gap = Some(format!("nobody observed the last stable offset of `{name}`"));
            continue;
        };
        let watched_ns = last.event.t_ns.saturating_sub(first.event.t_ns);
        if last.event.a >= end {
            hanging.findings.exercised += 1;
        } else if watched_ns < patience_ns {
            hanging.gap = Some(format!(
                "the last stable offset of `{name}` lies before its end, and was watched for {:.0} of {:.0} s",
                watched_ns as f64 / 1e9,
                patience_ns as f64 / 1e9
            ));
        } else {
            hanging.findings.exercised += 1;
            hanging.findings.add("no end", || Finding {
                grade: "no end",
                summary: format!(
                    "the last stable offset of `{name}` stands at {} of {end}, {:.0} s after the cluster was whole \
                     again; transactions are given {:.0} s",
                    last.event.a,
                    watched_ns as f64 / 1e9,
                    timeout_ms as f64 / 1e3
                ),
                messages: Vec::new(),
                place: Some(place),
                offset: Some(last.event.a),
                group: None,
                moments: vec![*first, *last],
            });
        }
    }
    hanging
}
