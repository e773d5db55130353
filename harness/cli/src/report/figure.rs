//! The number behind a word.

use mqproof_core::property::Property;
use mqproof_core::verdict::{CellResult, CheckResult, VerdictWord};

use super::text::{at_least, product, property, quantity, span, stopped, thousands};

/// The number behind the word of a check, for a cell of a table: `0 of 8,014`, `1,204 pairs`, `400 ms`.
pub fn figure(check: &CheckResult) -> String {
    if says_only_why(check.verdict) && check.count == 0 {
        return check.why.clone();
    }
    let Some(property) = property(check) else {
        return format!("{} of {}", thousands(check.count), thousands(check.exercised));
    };
    if property.is_metric() {
        return check
            .value
            .map_or_else(|| "not measured".to_owned(), |value| quantity(value, check.unit.as_deref()));
    }
    let (count, of) = (thousands(check.count), thousands(check.exercised));
    match property {
        Property::AckedLoss if check.count > 0 => format!("{count} of {of} lost"),
        Property::DuplicateAppend if check.count > 0 => format!("{count} of {of} twice"),
        Property::DuplicateDelivery if check.count > 0 => format!("{count} of {of} again"),
        Property::OrderLog | Property::OrderConsumer | Property::OrderPerKey => {
            format!("{count} of {of} pairs")
        }
        _ => format!("{count} of {of}"),
    }
}

/// The same as part of a sentence about the cell: `0 lost`, `1,204 pairs in order`, `recovery 400 ms`.
pub fn phrase(check: &CheckResult) -> Option<String> {
    let property = property(check)?;
    let count = thousands(check.count);
    let value = check.value.map(|value| at_least(check.is_least(), quantity(value, check.unit.as_deref())));
    Some(match property {
        Property::AckedLoss => format!("{count} lost"),
        Property::DuplicateAppend => format!("{count} stored twice"),
        Property::DuplicateDelivery => format!("{count} delivered again"),
        Property::OrderLog | Property::OrderConsumer | Property::OrderPerKey if check.count == 0 => {
            format!("{} pairs in order", thousands(check.exercised))
        }
        Property::OrderLog | Property::OrderConsumer | Property::OrderPerKey => {
            format!("{count} of {} pairs out of order", thousands(check.exercised))
        }
        Property::TornTransaction if check.count == 0 => {
            format!("{} transactions whole", thousands(check.exercised))
        }
        Property::TornTransaction => format!("{count} of {} transactions torn", thousands(check.exercised)),
        Property::Rto => format!("recovery {}", value?),
        Property::Rpo => return None,
        Property::AckLatency => format!("ack p99 {}", value?),
        Property::EndToEndLatency => format!("end to end p99 {}", value?),
        Property::Drain => format!("drained in {}", value?),
        Property::Throughput => value?,
        _ if check.count == 0 => return None,
        Property::Phantom => format!("{count} that nobody sent"),
        Property::Corruption => format!("{count} changed on the way"),
        Property::FailVisible => format!("{count} delivered though refused"),
        Property::Divergence => format!("{count} offsets with two messages"),
        Property::HighWatermarkRollback => format!("{count} gone after delivery"),
        Property::AbortedRead => format!("{count} read of aborted transactions"),
        Property::EarlyRead => format!("{count} read before their commit"),
        Property::HangingTransaction => format!("{count} logs with a transaction that never ends"),
    })
}

/// The numbers of a cell that matter, in one line; for a cell that cannot be judged, why.
pub fn numbers(cell: &CellResult) -> String {
    if says_only_why(cell.verdict) {
        return reason(cell);
    }
    let worst = cell.checks.iter().filter(|check| check.verdict == VerdictWord::Violated);
    let mut parts: Vec<String> = worst.filter_map(phrase).collect();
    let violated = !parts.is_empty();
    if !violated && let Some(acked) = cell.metrics.acked {
        parts.push(format!("{} acked", thousands(acked)));
    }
    if !violated && let Some(missing) = cell.metrics.sent_but_missing {
        parts.push(format!("{} sent but missing", thousands(missing)));
    }
    let told = |check: &&CheckResult| {
        check.verdict == VerdictWord::NotObserved && cell.required.contains(&check.property)
            || check.verdict == VerdictWord::NotClaimed && check.count > 0
    };
    parts.extend(cell.checks.iter().filter(told).filter_map(phrase));
    if cell.verdict == VerdictWord::NotClaimed
        && let Some(unreplicated) = unreplicated(cell)
    {
        parts.push(format!("{} unreplicated at the kill", thousands(unreplicated)));
    }
    let unclaimed = |check: &CheckResult| {
        check.property == Property::Rto.name() && check.verdict == VerdictWord::NotClaimed
    };
    if !cell.checks.iter().any(unclaimed)
        && !parts.iter().any(|part| part.starts_with("recovery"))
        && let Some(rto) = cell.metrics.rto_ms
    {
        parts.push(format!("recovery {}", at_least(cell.metrics.rto_is_least, span(rto))));
    }
    if let Some(ms) = cell.metrics.rto_after_leader_ms {
        let with_leader = format!(" (last {} with a leader)", span(ms));
        for recovery in parts.iter_mut().filter(|part| part.starts_with("recovery")) {
            recovery.push_str(&with_leader);
        }
    }
    parts.dedup();
    parts.join(" · ")
}

/// Why a cell has its word: its own sentence, else that of the check that decided it.
pub fn reason(cell: &CellResult) -> String {
    if let Some(why) = &cell.why {
        return why.clone();
    }
    let deciding = cell.checks.iter().find(|check| check.verdict == cell.verdict);
    deciding.map(|check| check.why.clone()).unwrap_or_default()
}

/// The bite meter: acknowledged records that no other replica had when the leader was killed.
pub fn unreplicated(cell: &CellResult) -> Option<u64> {
    cell.faults.iter().filter_map(|fault| fault.unreplicated_acked).reduce(|sum, more| sum + more)
}

/// The cell's system with its version, and the planted defects if any.
pub fn system(cell: &CellResult) -> String {
    let mut text = product(&cell.system.name).to_owned();
    if !cell.system.version.is_empty() {
        text.push(' ');
        text.push_str(&cell.system.version);
    }
    text
}

/// What a reader of the charts is told in words.
pub fn sentence(cell: &CellResult) -> String {
    let numbers = numbers(cell);
    if numbers.is_empty() { String::new() } else { stopped(&numbers) }
}

fn says_only_why(word: VerdictWord) -> bool {
    matches!(
        word,
        VerdictWord::Inconclusive
            | VerdictWord::NotExercised
            | VerdictWord::NotOffered
            | VerdictWord::HarnessFailure
    )
}
