//! `mqproof defects`: the planted bugs.

use super::broker::defect_descriptions;

/// Prints them.
pub fn run() -> u8 {
    let all = defect_descriptions();
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in all {
        println!("{name:width$}  {about}");
    }
    println!("\nPlant one with `mqproof run --defect NAME`; `scenarios/defects/` shows what catches it.");
    0
}
