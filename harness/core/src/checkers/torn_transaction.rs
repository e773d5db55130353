//! Of one transaction some records can be read and others cannot (P22), or a committed one cannot be read at all.
//!
//! Needs the certificate of what is visible: the drain reader of committed records came to the end of every log, and no
//! log held anything undecided. Only messages whose send was acknowledged count. One whose bytes were changed is there;
//! `corruption` tells that. The smallest history: begin, send m and n, commit; the visible log holds m and not n.

use super::certificate::Certificate;
use super::finding::{Finding, Findings, Moment};
use super::log_view::LogView;
use super::sends::Sends;
use super::source::Source;
use super::transactions::{Fate, Transaction, message};
use crate::history::EventKind;
use crate::ids::MessageId;

/// Missing messages that are named.
const NAMED_MAX: usize = 5;

/// Compares every transaction with what is visible.
pub(super) fn find(
    source: &dyn Source,
    sends: &Sends,
    visible: &LogView,
    certificate: &Certificate,
) -> Findings {
    let mut findings = Findings::default();
    if certificate.visible.is_some() {
        return findings;
    }
    for (session, one) in sends.transactions.iter().filter(|(_, one)| !one.fate.is_void()) {
        let stored = (one.first..one.end).map(|seq| message(session, seq));
        let stored = stored.filter(|id| sends.answered.contains(*id) && !visible.unreadable_ids.contains(id));
        let (seen, missing): (Vec<MessageId>, Vec<MessageId>) =
            stored.partition(|id| visible.messages.contains(*id));
        findings.exercised += u64::from(!seen.is_empty() || !missing.is_empty());
        let grade = match (one.fate, seen.is_empty(), missing.is_empty()) {
            (_, false, false) => "torn",
            (Fate::Committed, true, false) => "committed, not visible",
            _ => continue,
        };
        findings.add(grade, || finding(grade, source, one, (&seen, &missing)));
    }
    findings
}

fn finding(
    grade: &'static str,
    source: &dyn Source,
    one: &Transaction,
    (seen, missing): (&[MessageId], &[MessageId]),
) -> Finding {
    let named: Vec<String> = missing.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let more = if missing.len() > NAMED_MAX { ", …" } else { "" };
    let whose = match one.fate {
        Fate::Committed => "committed",
        _ => "undecided to its producer",
    };
    Finding {
        grade,
        summary: format!(
            "of a transaction that is {whose}, `{}` records can be read and `{}` cannot: {}{more}",
            seen.len(),
            missing.len(),
            named.join(", ")
        ),
        messages: missing.iter().chain(seen).copied().take(2 * NAMED_MAX).collect(),
        place: None,
        offset: None,
        group: None,
        moments: moments(source, one, missing.first().copied()),
    }
}

/// What the producer recorded of the transaction, and of the first message that is missing.
fn moments(source: &dyn Source, one: &Transaction, missing: Option<MessageId>) -> Vec<Moment> {
    let Some(missing) = missing else { return Vec::new() };
    let is_producer = |shard: &usize| source.shards()[*shard].session() == Some(missing.session());
    let Some(shard) = (0..source.shards().len()).find(is_producer) else { return Vec::new() };
    let first = MessageId::new(missing.session(), one.first);
    let concerns = |event: &crate::history::Event| match event.kind {
        EventKind::Transaction => event.message() == first,
        EventKind::SendInvoke | EventKind::SendEnd => event.message() == missing,
        _ => false,
    };
    source.events(shard, 0).filter(concerns).map(|event| Moment { shard, event }).collect()
}
