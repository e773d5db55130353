//! The JSON Schema of the scenario language, and the reference page made from it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::Value;

use super::model::Document;
use crate::property::Property;

const INTRODUCTION: &str = "\
# The scenario language, version 1

This page is made from the doc comments of `harness/core/src/scenario`; a test holds it current. A scenario is one YAML
file, read strictly: an unknown key, a missing unit or a fault that hits nobody is an error with its place and a hint.
Editors complete and check it with `scenarios/scenario.schema.json`, which `mqproof schema` prints.

- In the tables below bold keys are required.
- Times count from the start of load. A quantity has a unit: `1500ms`, `2000/s`, `256B`.
- A **matrix** runs the scenario once for every combination of its values. Its keys are dotted paths of the file, such as
  `durability` or `producers.writer.idempotence`.
- `--set dotted.path=value` changes one value, under the same checks. On a path of the matrix it narrows the matrix to
  that value.
- Roles such as `leader-of` are resolved when the fault starts; `random` and `minority` are drawn from the seed.

";

/// The schema for editors, draft 2020-12, as committed in `scenarios/scenario.schema.json`.
pub fn json_schema() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

/// The reference page, as committed in `docs/scenarios.md`. `example` is a scenario file to show first.
pub fn reference_page(example: &str) -> String {
    let root = schema();
    let mut page = format!("{INTRODUCTION}```yaml\n{example}```\n\n## A scenario\n\n");
    let mut queue = VecDeque::new();
    let mut seen = Vec::new();
    describe(&root, &mut page, &mut queue);
    while let Some(name) = queue.pop_front() {
        if seen.contains(&name) {
            continue;
        }
        let _ = write!(page, "## {name}\n\n");
        describe(&root["$defs"][name.as_str()], &mut page, &mut queue);
        seen.push(name);
    }
    page.push_str(
        "## Properties\n\nWhat `expect` may assert. Metrics take bounds; the others `never`, `allowed` or ",
    );
    page.push_str("`demonstrated`.\n\n| property | what it is | judged |\n|---|---|---|\n");
    for property in Property::ALL {
        let judged = match (property.is_metric(), property.always_runs()) {
            (true, _) => "metric",
            (_, true) => "always",
            _ => "as asserted",
        };
        let _ = writeln!(page, "| `{property}` | {} | {judged} |", property.title());
    }
    page
}

fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}

/// One type: its sentence, then its keys or its words. Types that it uses are queued.
fn describe(schema: &Value, page: &mut String, queue: &mut VecDeque<String>) {
    if let Some(text) = schema["description"].as_str() {
        let _ = write!(page, "{}\n\n", flat(text));
    }
    if let Some(keys) = schema["properties"].as_object() {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        page.push_str("| key | value | meaning |\n|---|---|---|\n");
        let (first, rest): (Vec<_>, Vec<_>) =
            keys.iter().partition(|(key, _)| required.iter().any(|name| name == *key));
        for (key, value) in first {
            row(&format!("**`{key}`**"), value, page, queue);
        }
        for (key, value) in rest {
            row(&format!("`{key}`"), value, page, queue);
        }
        page.push('\n');
        return;
    }
    let Some(words) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) else { return };
    page.push_str("| write | meaning |\n|---|---|\n");
    for word in words {
        let written = match (word["const"].as_str(), word["properties"].as_object()) {
            (Some(word), _) => format!("`{word}`"),
            (None, Some(content)) => {
                let forms: Vec<String> =
                    content.iter().map(|(key, value)| format!("`{key}:` {}", kind(value, queue))).collect();
                forms.join(", ")
            }
            (None, None) => kind(word, queue),
        };
        let _ = writeln!(page, "| {written} | {} |", flat(word["description"].as_str().unwrap_or_default()));
    }
    page.push('\n');
}

fn row(key: &str, value: &Value, page: &mut String, queue: &mut VecDeque<String>) {
    let meaning = flat(value["description"].as_str().unwrap_or_default());
    let _ = writeln!(page, "| {key} | {} | {meaning} |", kind(value, queue));
}

/// What may stand as a value, in words; a type of its own is linked and queued.
fn kind(schema: &Value, queue: &mut VecDeque<String>) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        queue.push_back(name.to_owned());
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let kinds = choices.iter().filter(|choice| choice["type"] != "null");
        return kinds.map(|choice| kind(choice, queue)).collect::<Vec<_>>().join(" or ");
    }
    let name = match &schema["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        _ => "",
    };
    match name {
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "string" => "text".to_owned(),
        "array" if schema["prefixItems"].is_array() => {
            format!("list of two: {}", kind(&schema["prefixItems"][0], queue))
        }
        "array" => format!("list of {}", kind(&schema["items"], queue)),
        "object" => format!("map of name to {}", kind(&schema["additionalProperties"], queue)),
        other => other.to_owned(),
    }
}

/// On one line, as a table needs it.
fn flat(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
