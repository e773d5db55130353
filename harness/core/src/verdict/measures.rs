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
    let certified = checked.open_end().is_none();
    let handed: u64 = checked.groups.iter().map(|group| group.handed).sum();
    let first: u64 = checked.groups.iter().map(|group| group.messages.count()).sum();
    let has_groups = !checked.groups.is_empty();
    // Without a fault an outage is no recovery, whatever bound is set for it.
    let was_hit = checked.conductor.faults.values().any(|fault| fault.effect_ns.is_some());
    let recovery = longest_recovery(checked).filter(|_| acknowledges && was_hit);
    Metrics {
        sent: Some(sends.invoked.count()),
        acked: acknowledges.then(|| sends.acked.count()),
        failed: Some(sends.failed.count()),
        unknown: acknowledges.then(|| sends.unknown()),
        delivered: has_groups.then_some(first),
        duplicates: has_groups.then(|| handed.saturating_sub(first)),
        lost: (acknowledges && certified).then(|| checked.lost()),
        sent_but_missing: checked.losses.sent_but_missing.filter(|_| !acknowledges),
        throughput_per_s: throughput(checked),
        ack_latency_us: acknowledges.then(|| quantiles(&sends.latency)).flatten(),
        e2e_latency_us: quantiles(&checked.e2e_latency),
        rto_ms: rto(checked).value.filter(|_| acknowledges && was_hit),
        rto_is_least: recovery.as_ref().is_some_and(|longest| longest.censored),
        rto_after_leader_ms: recovery.and_then(|longest| longest.after_leader_ms),
        rpo_records: (acknowledges && certified).then(|| checked.recovery_point().0),
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
        Property::Rpo => rpo(checked),
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

fn rpo(checked: &Checked) -> Measured {
    let open = checked.open_end();
    let (lost, exercised) = checked.recovery_point();
    Measured {
        value: (open.is_none() && exercised > 0).then_some(lost as f64),
        censored: false,
        unit: "records",
        exercised,
        why: open.map_or_else(
            || format!("of {} acknowledged", checked.sends.acked.count()),
            |why| format!("drain: {why}"),
        ),
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
    let mut faulty = outages.outages.iter().filter(|outage| !outage.limited);
    if faulty.next().is_none() && !outages.outages.is_empty() {
        return none("resource-limited: the broker was short of memory or disk in every outage", None);
    }
    match longest_recovery(checked) {
        None => none("no outage was seen", Some(0.0)),
        Some(Recovery { ms, censored, .. }) => Measured {
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

/// How a partition came back.
struct Recovery {
    ms: f64,
    /// It was not over at the end of the load.
    censored: bool,
    /// The part of it that came after its last new leader was seen.
    after_leader_ms: Option<f64>,
}

/// The longest outage of those that were not over before the first fault, and not for want of memory or disk.
fn longest_recovery(checked: &Checked) -> Option<Recovery> {
    let origin = checked.sends.slots.origin_ns;
    let last_ns = checked.conductor.load_ends_ns.unwrap_or(origin);
    let effects: Vec<u64> = checked.conductor.faults.values().filter_map(|fault| fault.effect_ns).collect();
    let first_effect = effects.iter().min().copied().unwrap_or(0);
    let recoveries = checked.outages.outages.iter().filter(|outage| !outage.limited).filter_map(|outage| {
        let from = origin + outage.from as u64 * SLOT_NS;
        let until = outage.until.map_or(last_ns, |until| origin + until as u64 * SLOT_NS);
        // What was over before the first fault is no recovery from it.
        if until <= first_effect {
            return None;
        }
        // Counted from the fault that came before it, where there is one.
        let before = |effect: &u64| *effect <= from + SLOT_NS && *effect + 10 * SLOT_NS >= from;
        let since = effects.iter().copied().filter(before).max().unwrap_or(from.max(first_effect));
        let leader_ns = checked.conductor.last_new_leader_ns(outage.place, since, until);
        Some(Recovery {
            ms: until.saturating_sub(since) as f64 / 1e6,
            censored: outage.until.is_none(),
            after_leader_ms: leader_ns.filter(|_| outage.until.is_some()).map(|at| (until - at) as f64 / 1e6),
        })
    });
    recoveries.max_by(|a, b| a.ms.total_cmp(&b.ms))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkers::{LeaderSeen, Outage, Place};

    #[test]
    fn what_came_after_the_new_leader_was_seen_is_told_apart() {
        let place = Place { topic: 0, partition: 0 };
        let seen = |t_ns, node| LeaderSeen { t_ns, node, epoch: 0 };
        let after = |until, leaders: &[LeaderSeen]| {
            let mut checked = Checked::default();
            checked.outages.outages = vec![Outage { place, from: 10, until, limited: false }];
            checked.conductor.leaders.insert(place, leaders.to_vec());
            checked.conductor.load_ends_ns = Some(40 * SLOT_NS);
            longest_recovery(&checked).expect("an outage").after_leader_ms
        };
        let before = seen(0, 1);
        let nobody = seen(15 * SLOT_NS, 0);
        let new = seen(28 * SLOT_NS, 2);
        assert_eq!(after(Some(30), &[before, nobody, new]), Some(200.0));
        assert_eq!(after(Some(30), &[before, nobody]), None, "nobody is no leader");
        assert_eq!(after(None, &[before, nobody, new]), None, "it is not over");
        assert_eq!(after(Some(20), &[before, nobody, new]), None, "the new one came later");
    }

    #[test]
    fn an_outage_of_a_broker_short_of_memory_is_no_recovery_time() {
        let outage = |from, limited| Outage {
            place: Place { topic: 0, partition: 0 },
            from,
            until: Some(from + 20),
            limited,
        };
        let rto_of = |outages: &[Outage]| {
            let mut checked = Checked::default();
            checked.outages.exercised = 100;
            checked.outages.outages = outages.to_vec();
            let measured = rto(&checked);
            (measured.value, measured.why)
        };
        let (value, why) = rto_of(&[outage(10, true)]);
        assert_eq!(value, None);
        assert!(why.starts_with("resource-limited"), "{why}");
        assert_eq!(rto_of(&[outage(10, true), outage(50, false)]).0, Some(2_000.0));
    }
}
