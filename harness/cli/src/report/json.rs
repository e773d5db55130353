//! `verdict.json`: the public format itself.

use mqproof_core::verdict::RunReport;

/// The report as indented JSON.
pub fn render(report: &RunReport, _run_dir: &str) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report has only string keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use mqproof_core::verdict::{RunReport, verdict_schema};

    use crate::report::fixture;

    #[test]
    fn what_is_written_can_be_read_back() {
        let report = fixture::report();
        let read: RunReport = serde_json::from_str(&super::render(&report, "reports/x")).unwrap();
        assert_eq!(read, report);
    }

    #[test]
    fn the_committed_schema_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verdict.schema.json");
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(path, verdict_schema()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == verdict_schema(),
            "run `UPDATE_SCHEMAS=1 cargo test -p mqproof committed_schema` and commit the result"
        );
    }
}
