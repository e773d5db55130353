//! The JSON Schema of the scenario language.

use super::model::Document;

/// The schema for editors, draft 2020-12, as committed in `scenarios/scenario.schema.json`.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Document);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
