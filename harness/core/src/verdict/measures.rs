//! Metrics, and whether they keep their bounds.

use super::report::{CheckResult, Metrics, Quantiles};
use super::word::VerdictWord;
use crate::checkers::{Checked, Latency, SLOT_NS};
use crate::contract::Claim;
use crate::plan::{Durability, Expectation, Plan};
use crate::property::Property;

/// A value, or why there is none.
struct Measured {
    value: Option<f64>,
    /// The value is a lower bound: it was not over at the end.
    censored: bool,
    unit: &'static str,
    exercised: u64,
    why: String,
}

/// All numbers of a cell.
pub(super) fn metrics(plan: &Plan, checked: &Checked) -> Metrics {
    let sends = &checked.sends;
    if sends.first_ns.is_none() {
        return Metrics::default();
    }
    let acknowledges = plan.durability != Durability::None;
    let certified = checked.certificate.covers_log();
    let handed: u64 = checked.groups.iter().map(|group| group.handed).sum();
    let first: u64 = checked.groups.iter().map(|group| group.messages.count()).sum();
    let has_groups = !checked.groups.is_empty();
    Metrics {
        sent: Some(sends.invoked.count()),
        acked: acknowledges.then(|| sends.acked.count()),
        failed: Some(sends.failed.count()),
        unknown: acknowledges.then(|| sends.unknown()),
        delivered: has_groups.then_some(first),
        duplicates: has_groups.then(|| handed.saturating_sub(first)),
        lost: (acknowledges && certified).then_some(checked.losses.log.count),
        sent_but_missing: checked.losses.sent_but_missing.filter(|_| !acknowledges),
        throughput_per_s: throughput(checked),
        ack_latency_us: acknowledges.then(|| quantiles(&sends.latency)).flatten(),
        e2e_latency_us: quantiles(&checked.e2e_latency),
        rto_ms: rto(checked).value.filter(|_| acknowledges),
        rpo_records: (acknowledges && certified).then_some(checked.losses.log.count),
        drain_ms: drain(checked).value,
        self_lag_p99_us: (sends.self_lag.count() > 0).then(|| sends.self_lag.quantile_us(0.99)),
    }
}

/// Whether the harness itself was so late that its latencies say little.
pub(super) fn latency_is_unreliable(checked: &Checked) -> bool {
    let (lag, latency) = (&checked.sends.self_lag, &checked.sends.latency);
    lag.count() > 0 && latency.count() > 0 && lag.quantile_us(0.99) * 10 > latency.quantile_us(0.99)
}

/// The check of one metric.
pub(super) fn check(
    property: Property,
    expectation: Expectation,
    claim: &Claim,
    checked: &Checked,
    trouble: Option<&str>,
) -> CheckResult {
    let mut measured = measure(property, checked);
    if checked.sends.acked.is_empty() && matches!(property, Property::Rto | Property::Throughput) {
        measured.value = None;
    }
    let (min, max) = match expectation {
        Expectation::Bound { min, max } => (min, max),
        _ => (None, None),
    };
    let out = measured.value.is_some_and(|value| {
        max.is_some_and(|max| value > max) || min.is_some_and(|min| value < min && !measured.censored)
    });
    let is_latency = matches!(property, Property::AckLatency | Property::EndToEndLatency);
    let bounded = min.is_some() || max.is_some();
    let (verdict, why) = if let Some(why) = claim.why_not() {
        (VerdictWord::NotClaimed, why.to_owned())
    } else if measured.exercised == 0 || measured.value.is_none() {
        (VerdictWord::NotExercised, measured.why.clone())
    } else if let Some(trouble) = trouble.filter(|_| checked.conductor.disk_full) {
        // An outage that our own full disk makes is not the broker's.
        (VerdictWord::Inconclusive, trouble.to_owned())
    } else if out && !(is_latency && latency_is_unreliable(checked)) {
        (VerdictWord::Violated, measured.why.clone())
    } else if let Some(trouble) = trouble {
        (VerdictWord::Inconclusive, trouble.to_owned())
    } else if bounded && is_latency && latency_is_unreliable(checked) {
        (VerdictWord::Inconclusive, "unreliable: the harness itself sent late".into())
    } else if bounded && measured.censored {
        (VerdictWord::Inconclusive, measured.why.clone())
    } else {
        (VerdictWord::NotObserved, measured.why.clone())
    };
    CheckResult {
        property: property.name().into(),
        verdict,
        expect: bound_in_words(min, max, measured.unit),
        exercised: measured.exercised,
        count: 0,
        value: measured.value,
        unit: Some(measured.unit.into()),
        grade: measured.censored.then(|| "censored".into()),
        why,
        witnesses: Vec::new(),
    }
}

fn bound_in_words(min: Option<f64>, max: Option<f64>, unit: &str) -> String {
    let one = |word: &str, value: Option<f64>| value.map(|value| format!("{word} {value} {unit}"));
    let parts: Vec<String> = [one("min", min), one("max", max)].into_iter().flatten().collect();
    if parts.is_empty() { "allowed".into() } else { parts.join(", ") }
}

fn measure(property: Property, checked: &Checked) -> Measured {
    let latency = |latency: &Latency, of: &str| Measured {
        value: (latency.count() > 0).then(|| latency.quantile_us(0.99) as f64 / 1000.0),
        censored: latency.censored as f64 > latency.count() as f64 * 0.01,
        unit: "ms",
        exercised: latency.count(),
        why: format!("p99 of {} {of}, from the intended send time", latency.count()),
    };
    match property {
        Property::Rto => rto(checked),
        Property::Rpo => Measured {
            value: (checked.certificate.covers_log() && checked.losses.log.exercised > 0)
                .then_some(checked.losses.log.count as f64),
            censored: false,
            unit: "records",
            exercised: checked.losses.log.exercised,
            why: match &checked.certificate.log {
                Some(why) => format!("drain: {why}"),
                None => format!("of {} acknowledged", checked.sends.acked.count()),
            },
        },
        Property::AckLatency => latency(&checked.sends.latency, "acknowledgements"),
        Property::EndToEndLatency => latency(&checked.e2e_latency, "hand-overs"),
        Property::Drain => drain(checked),
        _ => Measured {
            value: throughput(checked),
            censored: false,
            unit: "messages/s",
            exercised: checked.sends.acked.count(),
            why: format!("{} acknowledged over the load", checked.sends.acked.count()),
        },
    }
}

fn rto(checked: &Checked) -> Measured {
    let outages = &checked.outages;
    let none = |why: &str, value| Measured {
        value,
        censored: false,
        unit: "ms",
        exercised: outages.exercised,
        why: why.into(),
    };
    if outages.exercised == 0 {
        return none("below 200 operations/s per partition an outage cannot be told from a pause", None);
    }
    if checked.conductor.faults.is_empty() && outages.outages.is_empty() {
        return none("no fault, and no outage", None);
    }
    let origin = checked.sends.slots.origin_ns;
    let last_ns = checked.conductor.load_ends_ns.unwrap_or(origin);
    let longest = outages.outages.iter().map(|outage| {
        let from = origin + outage.from as u64 * SLOT_NS;
        // Counted from the fault that came before it, where there is one.
        let effects = checked.conductor.faults.values().filter_map(|fault| fault.effect_ns);
        let since = effects
            .filter(|effect| *effect <= from + SLOT_NS && *effect + 10 * SLOT_NS >= from)
            .max()
            .unwrap_or(from);
        let until = outage.until.map_or(last_ns, |until| origin + until as u64 * SLOT_NS);
        (until.saturating_sub(since) as f64 / 1e6, outage.until.is_none())
    });
    match longest.max_by(|a, b| a.0.total_cmp(&b.0)) {
        None => none("no outage was seen", Some(0.0)),
        Some((ms, censored)) => Measured {
            value: Some(ms),
            censored,
            unit: "ms",
            exercised: outages.exercised,
            why: if censored {
                "not over at the end of the load".into()
            } else {
                "the longest outage".into()
            },
        },
    }
}

fn drain(checked: &Checked) -> Measured {
    let none = |why: String| Measured { value: None, censored: false, unit: "ms", exercised: 0, why };
    let Some(end) = checked.conductor.load_ends_ns else { return none("the load did not end".into()) };
    let behind = checked.groups.iter().find_map(|group| match checked.certificate.groups.get(&group.group) {
        Some(Some(why)) => Some(why.clone()),
        _ => None,
    });
    let last = checked.groups.iter().filter_map(|group| group.last_first_ns).max();
    match (behind, last) {
        (Some(why), _) => none(why),
        (None, None) => none("no group was handed anything".into()),
        (None, Some(last)) => Measured {
            value: Some(last.saturating_sub(end) as f64 / 1e6),
            censored: false,
            unit: "ms",
            exercised: checked.groups.iter().map(|group| group.handed).sum(),
            why: "from the end of load to the last first delivery".into(),
        },
    }
}

fn throughput(checked: &Checked) -> Option<f64> {
    let (first, last) = (checked.sends.first_ns?, checked.sends.last_ack_ns?);
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    (seconds > 0.0).then(|| checked.sends.acked.count() as f64 / seconds)
}

fn quantiles(latency: &Latency) -> Option<Quantiles> {
    (latency.count() > 0).then(|| Quantiles {
        count: latency.count(),
        censored: latency.censored,
        p50: latency.quantile_us(0.5),
        p90: latency.quantile_us(0.9),
        p95: latency.quantile_us(0.95),
        p99: latency.quantile_us(0.99),
        p999: latency.quantile_us(0.999),
        max: latency.max_us(),
    })
}
