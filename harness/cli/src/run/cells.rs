//! The cells of a run: scenario × system × matrix point × repeat.

use mqproof_core::plan::Plan;

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

/// All cells, in the order in which they run. Repeat r has the seed `seed + r`.
pub fn cells_of<'a>(loaded: &'a [Loaded], targets: &'a [Target], seed: u64, repeats: u32) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for one in loaded {
        for point in one.scenario.matrix_points() {
            for target in targets {
                for repeat in 0..repeats {
                    let plan = Plan::draw(&one.scenario, point, seed.wrapping_add(u64::from(repeat)));
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
        let id = format!("{}~{}~{point}~r{}", self.plan.scenario, self.target.system.name(), self.repeat);
        id.chars().map(|char| if char == '/' || char.is_whitespace() { '_' } else { char }).collect()
    }

    /// Why it cannot be done here, if it cannot.
    pub fn not_offered(&self) -> Option<String> {
        match self.target.system {
            System::Reference => None,
            System::Kafka => self.plan.needs_hands(),
        }
    }
}
