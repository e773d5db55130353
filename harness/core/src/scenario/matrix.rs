//! The points of a matrix: every combination of its values, each typed and checked as if it were written out.

use std::collections::BTreeMap;

use super::model::Document;
use super::parse::{entries, report_path};
use super::validate;
use crate::yaml::{self, Diagnostics, Entry, Node, Place, Value};

/// One combination of the values of a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixPoint {
    /// The values that make the point, as `dotted.path` → value; empty without a matrix.
    pub values: BTreeMap<String, String>,
    /// The scenario as it stands at this point.
    pub document: Document,
}

/// Each point is a cell that starts a cluster of its own.
const MOST_POINTS: usize = 1_000;

/// One value of one path.
struct Choice<'a> {
    axis: &'a Entry,
    value: &'a Node,
}

/// All points, in the order of the file: the last path varies fastest.
pub(super) fn points(document: &Document, root: &Node, out: &mut Diagnostics) -> Vec<MatrixPoint> {
    let axes = entries(root, "matrix");
    if axes.is_empty() {
        validate::point(document, root, &[], out);
        return vec![MatrixPoint { values: BTreeMap::new(), document: document.clone() }];
    }
    let unsound = axes.iter().filter(|axis| !check_axis(axis, root, out)).count();
    if unsound > 0 {
        return Vec::new();
    }
    let count = axes.iter().fold(1_usize, |count, axis| count.saturating_mul(list(axis).len()));
    if count > MOST_POINTS {
        let message = format!("the matrix has {count} points");
        out.push(
            axes[0].key_place,
            message,
            format!("leave values out until at most {MOST_POINTS} are left"),
        );
        return Vec::new();
    }
    let mut points = Vec::new();
    for choices in combinations(axes) {
        if let Some(point) = build(&choices, root, out) {
            points.push(point);
        }
    }
    points
}

/// Whether a path can be set and its values tell points apart.
fn check_axis(axis: &Entry, root: &Node, out: &mut Diagnostics) -> bool {
    let values = list(axis);
    if values.is_empty() {
        out.push(axis.key_place, format!("the matrix of `{}` has no values", axis.key), "write at least one");
        return false;
    }
    let steps: Vec<&str> = axis.key.split('.').collect();
    if matches!(steps[0], "matrix" | "name" | "schema" | "decides" | "about") {
        out.push(
            axis.key_place,
            format!("`{}` cannot vary", axis.key),
            "a matrix varies settings, not names",
        );
        return false;
    }
    if let Err(depth) = root.clone().set(&steps, axis.key_place, values[0].clone()) {
        report_path(root, &steps, depth, axis.key_place, out);
        return false;
    }
    let mut seen = Vec::new();
    for value in values {
        let text = value.scalar();
        if seen.contains(&text) {
            out.push(value.place, "this value stands in the matrix twice", "leave it out");
            return false;
        }
        seen.push(text);
    }
    true
}

fn list(axis: &Entry) -> &[Node] {
    match &axis.node.value {
        Value::List(values) => values,
        _ => &[],
    }
}

fn combinations(axes: &[Entry]) -> Vec<Vec<Choice<'_>>> {
    axes.iter().fold(vec![Vec::new()], |partial, axis| {
        partial
            .into_iter()
            .flat_map(|chosen: Vec<Choice<'_>>| {
                list(axis).iter().map(move |value| {
                    let mut next: Vec<Choice<'_>> = chosen
                        .iter()
                        .map(|choice| Choice { axis: choice.axis, value: choice.value })
                        .collect();
                    next.push(Choice { axis, value });
                    next
                })
            })
            .collect()
    })
}

fn build(choices: &[Choice<'_>], root: &Node, out: &mut Diagnostics) -> Option<MatrixPoint> {
    let mut tree = root.clone();
    for Choice { axis, value } in choices {
        let steps: Vec<&str> = axis.key.split('.').collect();
        if tree.set(&steps, axis.key_place, (*value).clone()).is_err() {
            return None;
        }
    }
    let document: Document = yaml::decode(&tree, |_| None, out)?;
    let places: Vec<(&str, Place)> =
        choices.iter().map(|choice| (choice.axis.key.as_str(), choice.value.place)).collect();
    validate::point(&document, &tree, &places, out);
    let values = choices
        .iter()
        .map(|choice| (choice.axis.key.clone(), choice.value.scalar().unwrap_or_default()))
        .collect();
    Some(MatrixPoint { values, document })
}
