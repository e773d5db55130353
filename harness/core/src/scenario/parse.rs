//! From text to a checked scenario.

use super::matrix::{self, MatrixPoint};
use super::model::Document;
use super::validate;
use crate::claims::ClaimRegister;
use crate::yaml::{self, Diagnostics, Entry, Node, Place, Value};

/// A scenario that passed every check, at every point of its matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The name.
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// Ids of the claims that it decides.
    pub decides: Vec<String>,
    points: Vec<MatrixPoint>,
}

impl Scenario {
    /// Reads a scenario; every error that can be told apart is reported. `file_name` is for messages only.
    pub fn parse(file_name: &str, text: &str, claims: &ClaimRegister) -> Result<Self, Diagnostics> {
        Self::parse_with(file_name, text, &[], claims)
    }

    /// Reads a scenario with overrides, each `dotted.path=value`. An override of a path of the matrix narrows the
    /// matrix to that value; `matrix.dotted.path=value` does the same for a path that has no matrix yet.
    pub fn parse_with(
        file_name: &str,
        text: &str,
        overrides: &[String],
        claims: &ClaimRegister,
    ) -> Result<Self, Diagnostics> {
        let mut out = Diagnostics::new(file_name, text);
        let Some(mut root) = yaml::read(0, text, &mut out) else { return Err(out) };
        if root.keys().is_empty() {
            out.push(root.place, "a scenario is a map of keys", "start with `schema: 1` and `name: …`");
            return Err(out);
        }
        for text in overrides {
            apply(&mut root, text, &mut out);
        }
        if let Some(Value::Int(version)) = root.at(&["schema"]).map(|node| &node.value)
            && *version != 1
        {
            let place = root.place_of(&["schema"]);
            out.push(place, format!("unknown schema version {version}"), "this build reads version 1");
            return Err(out.sorted());
        }
        let Some(document) = yaml::decode::<Document>(&root, home, &mut out) else {
            return Err(out.sorted());
        };
        validate::whole(&document, &root, claims, &mut out);
        let points = matrix::points(&document, &root, &mut out);
        if !out.is_empty() {
            return Err(out.sorted());
        }
        let Document { name, about, decides, .. } = document;
        Ok(Self { name, about, decides, points })
    }

    /// One point for each combination of the matrix's values, in the order of the file; a single one without a matrix.
    pub fn matrix_points(&self) -> &[MatrixPoint] {
        &self.points
    }
}

/// Applies one override to the tree.
fn apply(root: &mut Node, text: &str, out: &mut Diagnostics) {
    let source = out.add_source("--set", text);
    let whole = Place { source, start: 0, end: text.len() };
    let Some((path, value)) = text.split_once('=') else {
        out.push(whole, format!("`{text}` is no override"), "write `dotted.path=value`");
        return;
    };
    let key_place = Place { source, start: 0, end: path.len() };
    let Some(mut value) = yaml::read(source, value, out) else { return };
    value.shift(path.len() + 1);
    let axis = path.strip_prefix("matrix.").unwrap_or(path);
    if axis != path || root.at(&["matrix", axis]).is_some() {
        let place = value.place;
        let list = match value.value {
            Value::List(_) => value,
            _ => Node::new(Value::List(vec![value]), place),
        };
        if root.set(&["matrix", axis], key_place, list).is_err() {
            out.push(key_place, "`matrix` is not a map", "write `matrix: {durability: [leader, quorum]}`");
        }
        return;
    }
    let steps: Vec<&str> = path.split('.').collect();
    if let Err(depth) = root.set(&steps, key_place, value) {
        report_path(root, &steps, depth, key_place, out);
    }
}

/// Says that a dotted path leads nowhere, and what stands at the point where it fails.
pub(super) fn report_path(root: &Node, steps: &[&str], depth: usize, place: Place, out: &mut Diagnostics) {
    let known = root.at(&steps[..depth]).map(Node::keys).unwrap_or_default();
    let step = steps.get(depth).copied().unwrap_or_default();
    let above = if depth == 0 { String::new() } else { format!(" under `{}`", steps[..depth].join(".")) };
    out.push(place, format!("there is no `{step}`{above}"), yaml::hint(step, &known));
}

/// Where a key belongs that stands somewhere else.
fn home(key: &str) -> Option<&'static str> {
    Some(match key {
        "brokers" | "controllers" | "topics" => "topology",
        "partitions" | "replicas" | "min_in_sync" | "flush" => "topology.topics.<topic>",
        "count" | "rate" | "outstanding" | "total" | "keys" | "payload" | "in_flight" | "idempotence"
        | "retries" => "producers.<role>",
        "group" | "members" | "settle" | "processing" | "begin" | "crashes" => "consumers.<role>",
        "start" => "producers.<role>` or `consumers.<role>",
        "target" | "link" | "at" | "every" | "after" | "repeat" | "for" => "faults[].<fault>",
        "how" => "faults[].kill",
        "window" => "rto",
        "name" | "about" | "decides" | "topology" | "durability" | "producers" | "consumers" | "faults"
        | "expect" | "rto" | "matrix" => "the top level of the file",
        _ => return None,
    })
}

/// The entries of a map node at a top-level key.
pub(super) fn entries<'a>(root: &'a Node, key: &str) -> &'a [Entry] {
    match root.at(&[key]).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries,
        _ => &[],
    }
}
