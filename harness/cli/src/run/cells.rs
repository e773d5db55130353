//! The cells of a run: scenario × system × matrix point × repeat.

use mqproof_core::contract::not_offered;
use mqproof_core::plan::{Expectation, Pace, Plan};
use mqproof_core::property::Property;

use super::load::Loaded;
use crate::conduct::{System, Target};

/// One cell, not yet run.
pub struct Cell<'a> {
    /// Its scenario.
    pub loaded: &'a Loaded,
    /// Where it runs.
    pub target: &'a Target,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// What will be done.
    pub plan: Plan,
}

/// All cells, in the order of the report. Repeat r has the seed `seed + r`; `stretch` slows the clock
/// of those that have faults.
pub fn cells_of<'a>(
    loaded: &'a [Loaded],
    targets: &'a [Target],
    seed: u64,
    repeats: u32,
    stretch: u32,
) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for one in loaded {
        for point in one.scenario.matrix_points() {
            for target in targets {
                for repeat in 0..repeats {
                    let plan = Plan::draw(&one.scenario, point, seed.wrapping_add(u64::from(repeat)));
                    let factor = if plan.faults.is_empty() { 1 } else { stretch };
                    let plan = plan.stretched(factor);
                    cells.push(Cell { loaded: one, target, repeat, plan });
                }
            }
        }
    }
    cells
}

impl Cell<'_> {
    /// `<scenario>~<system>~<k=v,…>~r<n>`; also the name of its directory.
    pub fn id(&self) -> String {
        let point = self
            .plan
            .matrix
            .iter()
            .map(|(path, value)| format!("{path}={value}"))
            .collect::<Vec<_>>()
            .join(",");
        let id = format!("{}~{}~{point}~r{}", self.plan.scenario, self.target.label(), self.repeat);
        id.chars().map(|char| if char == '/' || char.is_whitespace() { '_' } else { char }).collect()
    }

    /// Why it cannot be done here, if it cannot: the product lacks what the plan needs, or the harness has no hand on it.
    pub fn not_offered(&self) -> Option<String> {
        not_offered(self.target.system.name(), &self.plan)
            .or_else(|| self.target.address.as_ref().and_then(|_| self.plan.needs_hands()))
            .or_else(|| match self.target.system {
                System::Sim => needs_real_time(&self.plan),
                _ => self.plan.needs_forgetful_disks(),
            })
    }
}

/// Why a plan cannot be carried out in virtual time: it measures how fast a machine is.
fn needs_real_time(plan: &Plan) -> Option<String> {
    if plan.producers.iter().any(|producer| matches!(producer.pace, Pace::Closed { .. })) {
        return Some("a closed loop: how long it sends depends on a speed that virtual time lacks".into());
    }
    let bounded = matches!(plan.expect.get(&Property::Throughput), Some(Expectation::Bound { .. }));
    bounded.then(|| "a bound on throughput: virtual time has no speed".into())
}
