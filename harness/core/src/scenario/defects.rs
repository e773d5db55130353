//! The table of planted bugs: which scenario shows each, and as what.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::property::Property;
use crate::yaml::{self, Diagnostics};

const INTRODUCTION: &str = "\
# Planted defects

A checker that nobody has seen fail is not a checker. The reference broker can be told to break one promise on purpose
(`--defect NAME`; `mqproof defects` says what each does), and a scenario beside the table in `scenarios/defects/` makes the
damage show. With the defect every property under *trips* must be violated, those under *may trip* may be, and nothing
else is; without it the same scenario violates nothing. `cargo test -p mqproof --test defects` runs every row.

This page is made from `scenarios/defects/defects.yaml` and [defects-in-simulation.md](defects-in-simulation.md); a test holds it
current.

| defect | scenario | trips | may trip | how it shows |
|---|---|---|---|---|
";

const IN_SIMULATION: &str = "
## Within how many seeds

The simulator plants the same bugs, and more that take a storm to show, in clusters that are drawn from a seed without regard to them
([how](simulation.md)). Counted are the seeds until the check that is named for the bug speaks: the median and the most of three series.
`cargo test -p broker-sim --test defects` shows one recorded seed of each again. Some checks are invariants, which look into the nodes:
`compacted-away`, `divergence`, `image-diverges`, `invariant`, `metadata`, `metadata-divergence` and `second-vote`; `no-progress` says that
a cluster does not come to rest though all faults are over. The others under *found by* judge what clients were told and shown.

";

/// One planted bug of the reference broker, and how it shows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefectCase {
    /// The bug's name, as given to `--defect`.
    pub defect: String,
    /// The scenario beside the table that shows it, without `.yaml`.
    pub scenario: String,
    /// What must be violated when the bug is planted.
    pub trips: Vec<Property>,
    /// What may be violated with it, because it follows from the same damage.
    pub may_trip: Vec<Property>,
    /// How it shows, and why the others may follow.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    schema: u32,
    defects: Vec<DefectCase>,
}

impl DefectCase {
    /// Reads the table, `scenarios/defects/defects.yaml`, strictly.
    pub fn parse_table(file_name: &str, text: &str) -> Result<Vec<Self>, Diagnostics> {
        let mut out = Diagnostics::new(file_name, text);
        let Some(root) = yaml::read(0, text, &mut out) else { return Err(out) };
        let Some(table) = yaml::decode::<Table>(&root, |_| None, &mut out) else { return Err(out.sorted()) };
        if table.schema != 1 {
            let message = format!("unknown schema version {}", table.schema);
            out.push(root.place_of(&["schema"]), message, "this build reads version 1");
        }
        for (index, case) in table.defects.iter().enumerate() {
            if case.trips.is_empty() {
                let place = root.place_of(&["defects", &index.to_string(), "trips"]);
                out.push(
                    place,
                    format!("`{}` trips nothing", case.defect),
                    "name the property that must catch it",
                );
            }
        }
        if out.is_empty() { Ok(table.defects) } else { Err(out.sorted()) }
    }

    /// The page made from the table, as committed in `docs/defects.md`, and from the page of what simulation has found.
    pub fn page(table: &[Self], in_simulation: &str) -> String {
        let mut page = String::from(INTRODUCTION);
        for case in table {
            let _ = writeln!(
                page,
                "| `{}` | [`{1}`](../scenarios/defects/{1}.yaml) | {2} | {3} | {4} |",
                case.defect,
                case.scenario,
                names(&case.trips),
                names(&case.may_trip),
                case.why
            );
        }
        page.push_str(IN_SIMULATION);
        page.extend(in_simulation.lines().filter(|line| line.starts_with('|')).flat_map(|line| [line, "\n"]));
        page
    }
}

fn names(properties: &[Property]) -> String {
    if properties.is_empty() {
        return "–".to_owned();
    }
    properties.iter().map(|property| format!("`{property}`")).collect::<Vec<_>>().join(", ")
}
