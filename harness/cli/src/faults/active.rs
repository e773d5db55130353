//! One fault and how far it has come.

use mqproof_core::plan::FaultPlan;
use mqproof_core::verdict::FaultResult;

use super::proxy::LinkStats;
use super::resolve::Resolved;

/// How far a fault has come. Times are nanoseconds of the monotonic clock.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Not yet due.
    Waiting,
    /// Done, but no effect was seen yet.
    Installing,
    /// Its effect was seen.
    Installed,
    /// Undone, but a restarted node does not answer yet.
    Undoing,
    /// Over.
    Over,
}

/// One fault.
pub(super) struct Active {
    pub(super) plan: FaultPlan,
    pub(super) index: u32,
    pub(super) phase: Phase,
    pub(super) resolved: Resolved,
    pub(super) before: LinkStats,
    pub(super) done_ns: u64,
    pub(super) effect_ns: Option<u64>,
    pub(super) undone_ns: Option<u64>,
    pub(super) evidence: String,
    pub(super) skipped: Option<String>,
}

impl Active {
    pub(super) fn new(index: u32, plan: FaultPlan) -> Self {
        Self {
            plan,
            index,
            phase: Phase::Waiting,
            resolved: Resolved::default(),
            before: LinkStats::default(),
            done_ns: 0,
            effect_ns: None,
            undone_ns: None,
            evidence: String::new(),
            skipped: None,
        }
    }

    /// Whether it is in force.
    pub(super) fn is_on(&self) -> bool {
        matches!(self.phase, Phase::Installing | Phase::Installed)
    }

    /// Whether its time has come to be undone.
    pub(super) fn is_due_to_end(&self, now_ns: u64) -> bool {
        self.is_on() && self.plan.for_ms.is_some_and(|ms| now_ns >= self.done_ns + ms * 1_000_000)
    }

    /// What the report says of it. `ms` turns a time of the clock into milliseconds since the start of load.
    pub(super) fn result(&self, ms: impl Fn(u64) -> f64) -> FaultResult {
        let outcome = match (&self.skipped, self.effect_ns) {
            (Some(_), _) => "skipped",
            (None, Some(_)) => "installed",
            (None, None) => "indeterminate",
        };
        let evidence = match &self.skipped {
            Some(why) => why.clone(),
            None if self.effect_ns.is_none() => "no effect was seen".into(),
            None => self.evidence.clone(),
        };
        FaultResult {
            kind: self.plan.kind.name().into(),
            target: self.plan.target.to_string(),
            resolved: (!self.resolved.text.is_empty()).then(|| self.resolved.text.clone()),
            outcome: outcome.into(),
            evidence,
            at_ms: self.effect_ns.map(&ms),
            until_ms: self.undone_ns.map(&ms),
            unreplicated_acked: None,
        }
    }
}
