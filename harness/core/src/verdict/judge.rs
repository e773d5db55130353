//! From a history to the verdict on a cell.

use std::collections::BTreeMap;

use super::judged::{Judged, RunFacts};
use super::report::{CheckResult, FaultResult, Witness};
use super::rules::rule;
use super::word::VerdictWord;
use super::{canary, course, measures};
use crate::checkers::{
    Checked, Depth, FaultSeen, Finding, Findings, KeyOf, Narrator, Source, TransactionalSeen, check,
};
use crate::contract::{Claim, Contract, Envelope, Storage, storage};
use crate::plan::{ConsumerPlan, Durability, Expectation, FaultKind, FaultPlan, Isolation, Plan};
use crate::property::Property;

/// Witnesses that a check shows at most.
const WITNESSES_MAX: usize = 20;

/// Judges a cell: the contract is asked first, then what the scenario expects.
pub fn judge(plan: &Plan, facts: &RunFacts, keys: &dyn KeyOf, source: &dyn Source) -> Judged {
    let checked =
        check(plan, storage(&facts.system, plan), keys, source, facts.clock_epsilon_ns, Depth::Full);
    let envelope = Envelope {
        brokers_dead_at_once: checked.conductor.brokers_dead_at_once(plan.topology.brokers),
        consumer_crashed: checked.conductor.consumer_crashed,
    };
    let bench = Bench {
        plan,
        facts,
        source,
        contract: Contract::of(&facts.system, plan, envelope),
        trouble: trouble(facts, source, &checked),
        idle_fault: idle_fault(plan, &checked),
        narrator: Narrator { source, plan, conductor: &checked.conductor },
        checked: &checked,
    };
    let checks = bench.checks();
    let required = bench.required(&checks);
    let mut troubles = facts.troubles.clone();
    if checked.foreign > 0 {
        troubles
            .push(format!("{} records of another run were read: the topics were not fresh", checked.foreign));
    }
    for silent in canary::unnoticed(plan, keys, source, facts.clock_epsilon_ns, &checked) {
        troubles.push(format!("canary: `{silent}` did not notice a change in a copy of this history"));
    }
    let (verdict, why) = cell_verdict(&checks, &required, &troubles);
    Judged {
        verdict,
        why,
        required,
        faults: bench.faults(),
        metrics: measures::metrics(plan, &checked),
        timeline: course::course(plan, &checked, source),
        notes: notes(&checked),
        checks,
    }
}

/// What the verdict on each property rests on.
struct Bench<'a> {
    plan: &'a Plan,
    facts: &'a RunFacts,
    source: &'a dyn Source,
    contract: Contract,
    /// Why nothing negative can be said.
    trouble: Option<String>,
    /// A fault that did nothing, so that nothing was put to the test by it.
    idle_fault: Option<String>,
    narrator: Narrator<'a>,
    checked: &'a Checked,
}

/// What was seen of a property, in parts with claims of their own.
struct Seen<'a> {
    parts: Vec<(&'a Findings, Claim)>,
    /// Why absence says nothing here, if so.
    gap: Option<String>,
}

impl Bench<'_> {
    fn checks(&self) -> Vec<CheckResult> {
        let expected = Property::ALL.into_iter().filter_map(|property| {
            let expectation = self.plan.expect.get(&property).copied();
            let expectation = expectation.or_else(|| property.always_runs().then_some(Expectation::Never))?;
            Some((property, expectation))
        });
        expected
            .map(|(property, expectation)| {
                if property.is_metric() {
                    let claim = self.contract.claim(property);
                    measures::check(property, expectation, claim, self.checked, self.trouble.as_deref())
                } else {
                    self.check(property, expectation)
                }
            })
            .collect()
    }

    fn seen(&self, property: Property) -> Seen<'_> {
        let checked = self.checked;
        let claim = self.contract.claim(property).clone();
        match property {
            Property::AckedLoss => {
                let mut parts = Vec::new();
                let mut gap = checked.open_end();
                // Of queues there is no log that could be read; only what groups were handed is known.
                if checked.storage == Storage::Log || checked.losses.groups.is_empty() {
                    parts.push((&checked.losses.log, claim.clone()));
                }
                for (group, findings) in &checked.losses.groups {
                    let name = self.source.names().groups.get(usize::from(*group)).map_or("", String::as_str);
                    let group_claim =
                        if claim.is_claimed() { self.contract.group_loss(name) } else { claim.clone() };
                    parts.push((findings, group_claim));
                    gap = gap.or_else(|| checked.certificate.groups.get(group).cloned().flatten());
                }
                Seen { parts, gap: gap.map(|why| format!("drain: {why}")) }
            }
            Property::Divergence => Seen {
                parts: vec![
                    (&checked.findings[&property], claim),
                    (&checked.ack_divergence, self.contract.acknowledged_offsets().clone()),
                ],
                gap: None,
            },
            Property::HighWatermarkRollback => Seen {
                parts: vec![(&checked.findings[&property], claim)],
                gap: checked.certificate.log.as_ref().map(|why| format!("drain: {why}")),
            },
            Property::AbortedRead | Property::EarlyRead => self.seen_of_transactions(property, claim),
            Property::TornTransaction => Seen {
                parts: vec![(&checked.findings[&property], claim)],
                gap: checked.certificate.visible.as_ref().map(|why| format!("drain: {why}")),
            },
            Property::HangingTransaction => Seen {
                parts: vec![(&checked.findings[&property], claim)],
                gap: checked.hanging_gap.as_ref().map(|why| format!("drain: {why}")),
            },
            _ => Seen { parts: vec![(&checked.findings[&property], claim)], gap: None },
        }
    }

    /// What readers of uncommitted records were handed is shown where no consumer reads committed ones.
    fn seen_of_transactions(&self, property: Property, claim: Claim) -> Seen<'_> {
        let reads = &self.checked.reads;
        let mut parts = vec![(of_reads(&reads.committed, property), claim)];
        let is_committed = |one: &ConsumerPlan| one.isolation == Isolation::ReadCommitted;
        if !self.plan.consumers.is_empty() && !self.plan.consumers.iter().any(is_committed) {
            let why = "isolation read_uncommitted shows what is undecided and what was aborted";
            parts.push((of_reads(&reads.uncommitted, property), Claim::NotClaimed(why.into())));
        }
        Seen { parts, gap: None }
    }

    fn check(&self, property: Property, expectation: Expectation) -> CheckResult {
        let seen = self.seen(property);
        let claimed: u64 =
            seen.parts.iter().filter(|(_, claim)| claim.is_claimed()).map(|(found, _)| found.count).sum();
        let count: u64 = seen.parts.iter().map(|(found, _)| found.count).sum();
        let exercised: u64 = seen.parts.iter().map(|(found, _)| found.exercised).max().unwrap_or(0);
        let unclaimed = seen.parts.iter().find_map(|(_, claim)| claim.why_not()).filter(|_| {
            // A part that is not claimed shows only if it, or everything, is what the verdict rests on.
            claimed == 0 && (count > 0 || seen.parts.iter().all(|(_, claim)| !claim.is_claimed()))
        });
        let by_need = self.idle_fault.clone().filter(|_| needs_faults(property));
        let (verdict, why) = match expectation {
            _ if matches!(seen.parts.first(), Some((_, Claim::NotOffered(_)))) => {
                (VerdictWord::NotOffered, unclaimed.unwrap_or_default().to_owned())
            }
            Expectation::Never if claimed > 0 => (VerdictWord::Violated, grades(&seen)),
            Expectation::Demonstrated if count == 0 => {
                (VerdictWord::NotExercised, "it was to be seen at least once, and was not".into())
            }
            _ if unclaimed.is_some() => (VerdictWord::NotClaimed, unclaimed.unwrap_or_default().to_owned()),
            Expectation::Allowed | Expectation::Demonstrated | Expectation::Bound { .. } if count > 0 => {
                (VerdictWord::NotClaimed, "the scenario allows it".into())
            }
            _ => match self.trouble.clone().or(seen.gap.clone()) {
                Some(trouble) => (VerdictWord::Inconclusive, trouble),
                None if exercised == 0 => {
                    (VerdictWord::NotExercised, "nothing happened that could have shown it".into())
                }
                None => match by_need.or_else(|| self.untold(property)) {
                    Some(why) => (VerdictWord::NotExercised, why),
                    None => (VerdictWord::NotObserved, legal(&seen)),
                },
            },
        };
        CheckResult {
            property: property.name().into(),
            verdict,
            expect: expectation_in_words(expectation).into(),
            exercised,
            count,
            value: None,
            unit: None,
            grade: seen
                .parts
                .iter()
                .flat_map(|(found, _)| &found.examples)
                .next()
                .map(|one| one.grade.into()),
            why,
            witnesses: self.witnesses(property, &seen),
        }
    }

    /// What the faults that were done cannot have shown. A killed process leaves its pages to the operating system, so that
    /// only the loss of a machine's memory tells what was flushed.
    fn untold(&self, property: Property) -> Option<String> {
        let asks = property == Property::AckedLoss && self.plan.durability == Durability::QuorumDisk;
        (asks && !self.has_met_a_loss_of_power()).then(|| {
            "process faults cannot tell quorum from quorum-disk: nothing that was acknowledged and unflushed met a loss of \
             power; without it this is what `quorum` shows"
                .to_owned()
        })
    }

    fn has_met_a_loss_of_power(&self) -> bool {
        let seen = &self.checked.conductor.faults;
        self.plan.faults.iter().enumerate().any(|(index, fault)| {
            fault.kind == FaultKind::KillPower && seen.get(&index).is_some_and(FaultSeen::is_effective)
        })
    }

    /// The strongest evidence first: parts that are claimed, then by time.
    fn witnesses(&self, property: Property, seen: &Seen<'_>) -> Vec<Witness> {
        let mut examples: Vec<(bool, &Finding)> = Vec::new();
        for (found, claim) in &seen.parts {
            examples.extend(found.examples.iter().map(|example| (claim.is_claimed(), example)));
        }
        let first_ns =
            |finding: &Finding| finding.moments.iter().map(|moment| moment.event.t_ns).min().unwrap_or(0);
        examples.sort_by_key(|(claimed, finding)| (!claimed, first_ns(finding)));
        examples.into_iter().take(WITNESSES_MAX).map(|(_, finding)| self.witness(property, finding)).collect()
    }

    fn witness(&self, property: Property, finding: &Finding) -> Witness {
        Witness {
            id: String::new(),
            rule: rule(property).into(),
            summary: finding.summary.clone(),
            messages: finding.messages.iter().map(ToString::to_string).collect(),
            partition: finding.place.map(|place| course::name(self.source, place)),
            offset: finding.offset,
            grade: Some(finding.grade.into()),
            events: self.narrator.with_context(&finding.moments),
        }
    }

    /// Every `never`, `demonstrated` and bound of the plan, less what is not claimed or not offered.
    fn required(&self, checks: &[CheckResult]) -> Vec<String> {
        let asked = |check: &&CheckResult| {
            let expectation = self.plan.expect.iter().find(|(property, _)| property.name() == check.property);
            matches!(
                expectation,
                Some((_, Expectation::Never | Expectation::Demonstrated | Expectation::Bound { .. }))
            ) && !matches!(check.verdict, VerdictWord::NotClaimed | VerdictWord::NotOffered)
        };
        // What always runs is never the reason for exit status 2.
        let always = |check: &CheckResult| {
            Property::ALL.iter().any(|one| one.name() == check.property && one.always_runs())
        };
        checks
            .iter()
            .filter(asked)
            .filter(|check| !always(check))
            .map(|check| check.property.clone())
            .collect()
    }

    /// The bite meter of a kill, where acknowledgements have offsets to compare.
    fn unreplicated(&self, fault: usize, kind: FaultKind) -> Option<u64> {
        let meter = self.checked.sends.meters.iter().find(|meter| meter.fault == fault)?;
        (kind.is_kill() && self.plan.durability != Durability::None).then_some(meter.count)
    }

    fn faults(&self) -> Vec<FaultResult> {
        let evidence: BTreeMap<usize, &String> =
            self.facts.fault_evidence.iter().map(|(index, text)| (*index, text)).collect();
        let conductor = &self.checked.conductor;
        let of = |(index, fault): (usize, &crate::plan::FaultPlan)| {
            let seen = conductor.faults.get(&index).copied().unwrap_or_default();
            let outcome = if seen.skipped || seen.resolved_ns.is_none() {
                "skipped"
            } else if seen.is_effective() {
                "installed"
            } else {
                "indeterminate"
            };
            FaultResult {
                kind: fault.kind.name().into(),
                target: fault.target.to_string(),
                resolved: None,
                outcome: outcome.into(),
                evidence: evidence.get(&index).map_or_else(String::new, |text| (*text).clone()),
                at_ms: seen.effect_ns.map(|t_ns| conductor.at_ms(t_ns)),
                until_ms: seen.undone_ns.map(|t_ns| conductor.at_ms(t_ns)),
                unreplicated_acked: self.unreplicated(index, fault.kind),
            }
        };
        self.plan.faults.iter().enumerate().map(of).collect()
    }
}

fn of_reads(seen: &TransactionalSeen, property: Property) -> &Findings {
    match property {
        Property::AbortedRead => &seen.aborted,
        _ => &seen.early,
    }
}

/// Properties that nothing puts to the test but the faults of the plan.
fn needs_faults(property: Property) -> bool {
    matches!(
        property,
        Property::AckedLoss
            | Property::DuplicateAppend
            | Property::OrderLog
            | Property::OrderPerKey
            | Property::Divergence
            | Property::HighWatermarkRollback
            | Property::TornTransaction
            | Property::HangingTransaction
    )
}

/// The first fault that was to be done and showed no effect. An optional one may be skipped, and of one that is repeated
/// it is enough that one had its effect.
fn idle_fault(plan: &Plan, checked: &Checked) -> Option<String> {
    let seen = |index: usize| checked.conductor.faults.get(&index).copied().unwrap_or_default();
    plan.faults.iter().enumerate().find_map(|(index, fault)| {
        let is_skipped = seen(index).skipped || seen(index).resolved_ns.is_none();
        let is_same = |other: &FaultPlan| other.kind == fault.kind && other.target == fault.target;
        let mut same = plan.faults.iter().enumerate().filter(|(_, other)| is_same(other));
        let excused = fault.optional && is_skipped || same.any(|(other, _)| seen(other).is_effective());
        (!seen(index).is_effective() && !excused).then(|| {
            format!("the fault `{} {}` had no effect that was seen", fault.kind.name(), fault.target)
        })
    })
}

/// Why what is not in the history may have happened all the same.
fn trouble(facts: &RunFacts, source: &dyn Source, checked: &Checked) -> Option<String> {
    if checked.conductor.disk_full {
        return Some("recorder: disk full".into());
    }
    if facts.interrupted || checked.conductor.interrupted {
        return Some("the run was interrupted".into());
    }
    let incomplete = source.shards().iter().find(|meta| !meta.is_complete())?;
    Some(match &incomplete.trouble {
        Some(why) => format!("journal `{}` is not complete: {why}", incomplete.name),
        None => format!("journal `{}` was never sealed", incomplete.name),
    })
}

fn expectation_in_words(expectation: Expectation) -> &'static str {
    match expectation {
        Expectation::Never => "never",
        Expectation::Demonstrated => "demonstrated",
        Expectation::Allowed | Expectation::Bound { .. } => "allowed",
    }
}

fn grades(seen: &Seen<'_>) -> String {
    let mut grades: BTreeMap<&str, u64> = BTreeMap::new();
    for (found, _) in &seen.parts {
        for (grade, count) in &found.by_grade {
            *grades.entry(grade).or_default() += count;
        }
    }
    grades.iter().map(|(grade, count)| format!("{count} × {grade}")).collect::<Vec<_>>().join(", ")
}

/// What was seen and is legal, with its causes.
fn legal(seen: &Seen<'_>) -> String {
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for (found, _) in &seen.parts {
        for (cause, count) in &found.legal {
            *causes.entry(cause).or_default() += count;
        }
    }
    if causes.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = causes.iter().map(|(cause, count)| format!("{count} × {cause}")).collect();
    format!("legal: {}", parts.join(", "))
}

/// The worst of the required checks, a violation before everything, trouble of ours right after it.
fn cell_verdict(
    checks: &[CheckResult],
    required: &[String],
    troubles: &[String],
) -> (VerdictWord, Option<String>) {
    let reason = |check: &CheckResult| {
        let count = if check.count > 0 { format!("{} ", check.count) } else { String::new() };
        format!("{}: {count}{}", check.property, check.why)
    };
    if let Some(check) = checks.iter().find(|check| check.verdict == VerdictWord::Violated) {
        return (VerdictWord::Violated, Some(reason(check)));
    }
    if let Some(trouble) = troubles.first() {
        return (VerdictWord::HarnessFailure, Some(trouble.clone()));
    }
    let of_required =
        |word| checks.iter().find(|check| check.verdict == word && required.contains(&check.property));
    for word in [VerdictWord::Inconclusive, VerdictWord::NotExercised] {
        if let Some(check) = of_required(word) {
            return (word, Some(reason(check)));
        }
    }
    let unclaimed =
        checks.iter().find(|check| check.verdict == VerdictWord::NotClaimed && check.expect == "never");
    match (of_required(VerdictWord::NotObserved), unclaimed) {
        (_, Some(check)) => (VerdictWord::NotClaimed, Some(reason(check))),
        (Some(_), None) => (VerdictWord::NotObserved, None),
        (None, None) => (VerdictWord::NotObserved, Some("nothing was required".into())),
    }
}

fn notes(checked: &Checked) -> Vec<String> {
    let mut notes = Vec::new();
    if measures::latency_is_unreliable(checked) {
        notes.push(format!(
            "latency is unreliable: the harness itself was up to {:.1} ms late (p99)",
            checked.sends.self_lag.quantile_us(0.99) as f64 / 1000.0
        ));
    }
    let (unknown, sent) = (checked.sends.unknown(), checked.sends.invoked.count());
    if sent > 0 && checked.sends.acked.count() > 0 && unknown * 5 > sent {
        notes.push(format!(
            "{unknown} of {sent} sends are unknown to their client: little can be said of them"
        ));
    }
    let limited = checked.outages.outages.iter().filter(|outage| outage.limited).count();
    if limited > 0 {
        notes.push(format!(
            "{limited} outages are resource-limited: the broker took nothing meanwhile for want of memory or disk; they \
             are no recovery time"
        ));
    }
    let unmarked = checked.unmarked_repeats;
    if unmarked > 0 {
        notes.push(format!(
            "{unmarked} messages came again from the same queue to another member, and the broker did not mark them as \
             redelivered"
        ));
    }
    notes
}
