//! A plan for people.

use super::types::Plan;

/// The plan as text.
pub fn render(plan: &Plan) -> String {
    format!("{plan:#?}")
}
