//! The recorded seed of each planted defect shows it again, and nothing that was not declared.

use std::collections::BTreeSet;

use broker_sim::hunt::{QUARRIES, replay};

const PAGE: &str = include_str!("../../../docs/defects-in-simulation.md");

/// Rows of the page: defect, check, seed.
fn rows() -> Vec<(&'static str, &'static str, u64)> {
    let cells =
        |line: &'static str| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>();
    let row = |cells: Vec<&'static str>| Some((*cells.get(1)?, *cells.get(2)?, cells.get(6)?.parse().ok()?));
    PAGE.lines().filter_map(|line| row(cells(line))).collect()
}

#[test]
fn every_recorded_seed_is_found_by_the_check_that_is_named_for_it_and_by_nothing_undeclared() {
    let rows = rows();
    for quarry in QUARRIES {
        let name = quarry.defect.name();
        let row = rows.iter().find(|(defect, ..)| *defect == name);
        let (_, check, seed) = row.unwrap_or_else(|| panic!("the page has no seed for `{name}`"));
        assert_eq!(*check, quarry.named, "`{name}`");
        let (is_found, undeclared) = replay(&quarry, *seed);
        assert!(is_found, "seed {seed} does not show `{name}` any more: make the page again");
        assert_eq!(undeclared, BTreeSet::new(), "`{name}`, seed {seed}");
    }
    assert_eq!(rows.len(), QUARRIES.len(), "a row for each");
}
