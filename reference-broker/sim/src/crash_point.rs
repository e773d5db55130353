//! Deaths at every place: a node dies at one chosen change of its disk.

use std::fmt;
use std::str::FromStr;

use crate::{Drill, Options, Violation, run};

/// How far the change has come when the node dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Nothing of it is done.
    Before,
    /// A write has come half way; of other changes nothing is done.
    Midway,
    /// It is done, and nothing after it, nor was anything sent that the same step had to say.
    After,
}

/// A node that dies at one change of its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashPoint {
    /// Its id.
    pub node: usize,
    /// The change, counted from 0.
    pub change: u64,
    /// How far that has come.
    pub moment: Moment,
    /// Whether the power fails, or only the process ends.
    pub power: bool,
    /// It dies again at so many changes after it has started again.
    pub again: Option<u64>,
}

/// As on the command line: `2:17:midway:power:3`.
impl fmt::Display for CrashPoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, change, moment, power, again } = self;
        let moment = match moment {
            Moment::Before => "before",
            Moment::Midway => "midway",
            Moment::After => "after",
        };
        write!(out, "{node}:{change}:{moment}:{}", if *power { "power" } else { "process" })?;
        again.map_or(Ok(()), |again| write!(out, ":{again}"))
    }
}

impl FromStr for CrashPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NODE:CHANGE:before|midway|after:power|process[:CHANGE]");
        let parts: Vec<&str> = text.split(':').collect();
        let ([node, change, moment, way] | [node, change, moment, way, _]) = parts[..] else {
            return Err(wrong());
        };
        Ok(Self {
            node: node.parse().map_err(|_| wrong())?,
            change: change.parse().map_err(|_| wrong())?,
            moment: match moment {
                "before" => Moment::Before,
                "midway" => Moment::Midway,
                "after" => Moment::After,
                _ => return Err(wrong()),
            },
            power: match way {
                "power" => true,
                "process" => false,
                _ => return Err(wrong()),
            },
            again: parts.get(4).map(|again| again.parse()).transpose().map_err(|_| wrong())?,
        })
    }
}

/// What came of all crash points of a script.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// Points that were tried.
    pub points: u64,
    /// Deaths that there were.
    pub deaths: u64,
    /// Runs in which a node died a second time while it recovered.
    pub twice: u64,
    /// The points at which something broke.
    pub broken: Vec<(CrashPoint, Vec<Violation>)>,
}

/// So many changes after its start a node dies again: by turns, so that all of recovery is met.
const RECOVERY_CHANGES: u64 = 40;

/// Runs the script of a seed again and again, each time with the death of one node at another change of its disk: before,
/// within and after every `every`th, by the end of the process and by loss of power, and each of them a second time with
/// another death during recovery.
pub fn explore(seed: u64, every: u64, options: Options) -> Exploration {
    let script = Options { drill: Some(Drill::Script), ..options };
    let mut found = Exploration::default();
    for (node, changes) in run(seed, script).disk_changes.into_iter().enumerate() {
        for change in (0..changes).step_by(every.max(1) as usize) {
            for moment in [Moment::Before, Moment::Midway, Moment::After] {
                for power in [false, true] {
                    for again in [None, Some(found.points % RECOVERY_CHANGES)] {
                        let point = CrashPoint { node, change, moment, power, again };
                        let outcome = run(seed, Options { crash: Some(point), ..script });
                        found.points += 1;
                        found.deaths += outcome.crashes;
                        found.twice += u64::from(outcome.crashes > 1);
                        if !outcome.violations.is_empty() {
                            found.broken.push((point, outcome.violations));
                        }
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_written_and_read_back() {
        for text in ["2:17:midway:power:3", "0:0:before:process", "1:9:after:power"] {
            assert_eq!(text.parse::<CrashPoint>().map(|point| point.to_string()), Ok(text.to_owned()));
        }
        for wrong in
            ["", "2:17:midway", "2:17:half:power", "2:17:after:fire", "x:1:after:power", "1:1:after:power:x"]
        {
            assert!(wrong.parse::<CrashPoint>().is_err(), "{wrong}");
        }
    }
}
