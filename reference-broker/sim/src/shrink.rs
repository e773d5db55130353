//! The few faults of a failing run that it takes.
//!
//! In:  a seed that breaks a rule. Out: the same seed with faults left out that breaks the same rule.
//! Never: changes the seed: each fault draws from numbers of its own, so that one that is left out leaves the others as they
//! were.

use crate::{FaultSet, Options, run};

/// What is left of a failing run.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The rule that is still broken: the first one that the whole run broke.
    pub kind: &'static str,
    /// The options that show it, without the faults that it does not take.
    pub options: Options,
    /// The faults that it takes; without any one of them the rule holds.
    pub kept: Vec<u64>,
    /// How many there were.
    pub of: u64,
    /// Runs that it took to find out.
    pub runs: u64,
}

/// Leaves faults out as long as the seed still breaks the rule that it breaks first; `None` if it breaks none. By delta
/// debugging (Zeller and Hildebrandt, 2002).
pub fn shrink(seed: u64, options: Options) -> Option<Shrunk> {
    let whole = run(seed, options);
    let kind = whole.violations.first()?.kind;
    let of = whole.faults.min(FaultSet::CAPACITY);
    let mut kept: Vec<u64> = (0..of).filter(|number| !options.spared.contains(*number)).collect();
    let with =
        |kept: &[u64]| Options { spared: (0..of).filter(|it| !kept.contains(it)).collect(), ..options };
    let mut runs = 1;
    let mut still = |kept: &[u64]| {
        runs += 1;
        run(seed, with(kept)).violations.iter().any(|violation| violation.kind == kind)
    };
    let mut pieces = 2;
    while !kept.is_empty() {
        let size = kept.len().div_ceil(pieces);
        let without = |from: usize| {
            let left = kept.iter().enumerate().filter(|(at, _)| *at < from || *at >= from + size);
            left.map(|(_, number)| *number).collect::<Vec<_>>()
        };
        match (0..kept.len()).step_by(size).map(without).find(|left| still(left)) {
            Some(left) => {
                kept = left;
                pieces = (pieces - 1).max(2);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(kept.len()),
        }
    }
    Some(Shrunk { kind, options: with(&kept), kept, of, runs })
}
