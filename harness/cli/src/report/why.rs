//! A witness, or the life of a message, as a timeline.

use std::fmt::Write as _;

use mqproof_core::verdict::{Witness, WitnessEvent};
use owo_colors::Style;

use super::look::{Look, columns, padded, right, wrapped};
use super::text::{moment, stopped};

/// A witness: the rule, what happened, and the events that show it.
pub fn witness(witness: &Witness, look: Look) -> String {
    let mut out = format!("{}  {}\n", look.paint(&witness.id, Style::new().bold()), witness.summary);
    let place = [
        witness.partition.as_ref().map(|partition| format!("partition {partition}")),
        witness.offset.map(|offset| format!("offset {offset}")),
        (!witness.messages.is_empty()).then(|| format!("message {}", witness.messages.join(", "))),
        witness.grade.as_ref().map(|grade| format!("evidence {grade}")),
    ];
    let place: Vec<String> = place.into_iter().flatten().collect();
    if !place.is_empty() {
        let _ = writeln!(out, "{}", look.dim(&place.join(" · ")));
    }
    for line in wrapped(&format!("rule: {}", stopped(&witness.rule)), look.width) {
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
    out.push_str(&life(&witness.events, look));
    out
}

/// Events in the order of time, one line each; what is only context is dimmed and marked by a dot.
pub fn life(events: &[WitnessEvent], look: Look) -> String {
    if events.is_empty() {
        return "  nothing was recorded\n".to_owned();
    }
    let widest = |text: &dyn Fn(&WitnessEvent) -> String| {
        events.iter().map(|event| columns(&text(event))).max().unwrap_or(0)
    };
    let at = widest(&|event| moment(event.at_ms));
    let what = widest(&|event| event.what.clone());
    let who = widest(&|event| event.who.clone());
    let inner = 2 + at + 2 + 2 + what + 2 + who + 2;
    let mut out = String::new();
    for event in events {
        let mut lines = wrapped(&event.text, look.width.saturating_sub(inner).max(24)).into_iter();
        let mark = if event.context { "·" } else { "▸" };
        let line = format!(
            "  {}  {mark} {}  {}  {}",
            right(&moment(event.at_ms), at),
            padded(&event.what, what),
            padded(&event.who, who),
            lines.next().unwrap_or_default()
        );
        let paint = |line: &str| if event.context { look.dim(line) } else { line.to_owned() };
        let _ = writeln!(out, "{}", paint(line.trim_end()));
        for line in lines {
            let _ = writeln!(out, "{}{}", " ".repeat(inner), paint(&line));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_witness_is_a_timeline_with_its_rule() {
        let found = fixture::witness();
        insta::assert_snapshot!(witness(&found, Look { width: 80, colour: false }));
    }

    #[test]
    fn a_message_without_events_has_no_life() {
        assert_eq!(life(&[], Look { width: 80, colour: false }), "  nothing was recorded\n");
    }
}
