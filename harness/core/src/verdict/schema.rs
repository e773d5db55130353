//! The schema of `verdict.json`.

use super::report::RunReport;

/// The JSON Schema of the format, draft 2020-12, as committed in `docs/verdict.schema.json`.
pub fn verdict_schema() -> String {
    let schema = schemars::schema_for!(RunReport);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}
