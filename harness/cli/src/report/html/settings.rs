//! The settings in force: one row per setting, one column per system; where cells differ, the class stands beside the value.

use std::collections::{BTreeMap, BTreeSet};

use mqproof_core::verdict::CellResult;

use crate::report::figure;
use crate::report::text::class;

/// The table.
pub struct Settings {
    /// Systems with their versions.
    pub systems: Vec<String>,
    /// By name.
    pub rows: Vec<SettingRow>,
}

/// One setting.
pub struct SettingRow {
    /// Its name as the product or the client library has it.
    pub name: String,
    /// Per system: the values, each with the classes in which it stands if there are several.
    pub values: Vec<Vec<SettingValue>>,
}

/// One value.
pub struct SettingValue {
    /// As read back.
    pub value: String,
    /// Empty if it is the only one.
    pub classes: String,
}

/// Classes by value, of one setting on one system.
type ByValue<'a> = BTreeMap<&'a str, BTreeSet<String>>;

/// Folds the settings of all cells.
pub fn settings(cells: &[CellResult]) -> Settings {
    let mut systems: Vec<String> = Vec::new();
    let mut found: BTreeMap<&str, BTreeMap<String, ByValue<'_>>> = BTreeMap::new();
    for cell in cells {
        let system = figure::system(cell);
        if !systems.contains(&system) {
            systems.push(system.clone());
        }
        for (name, value) in &cell.system.settings {
            let by_value = found.entry(name).or_default().entry(system.clone()).or_default();
            by_value.entry(value).or_default().insert(class(cell));
        }
    }
    let values = |by_system: &BTreeMap<String, ByValue<'_>>, system: &String| -> Vec<SettingValue> {
        let Some(by_value) = by_system.get(system) else { return Vec::new() };
        let alone = by_value.len() == 1;
        let classes = |set: &BTreeSet<String>| {
            if alone { String::new() } else { set.iter().cloned().collect::<Vec<_>>().join(", ") }
        };
        by_value
            .iter()
            .map(|(value, set)| SettingValue { value: (*value).to_owned(), classes: classes(set) })
            .collect()
    };
    let rows = found
        .iter()
        .map(|(name, by_system)| SettingRow {
            name: (*name).to_owned(),
            values: systems.iter().map(|system| values(by_system, system)).collect(),
        })
        .collect();
    Settings { systems, rows }
}
