//! `junit.xml`: one suite per cell, one test case per check that counts.

use std::fmt::Write as _;

use std::time::Duration;

use mqproof_core::verdict::{CellResult, CheckResult, RunReport, VerdictWord};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{command, figure};

/// Violated is a failure; what could not be judged is an error; what nobody promised is skipped, with the reason.
pub fn render(report: &RunReport, run_dir: &str) -> String {
    let mut junit = Report::new("mqproof");
    junit.set_time(Duration::from_millis(report.run.duration_ms));
    for cell in &report.results {
        junit.add_test_suite(suite(cell, run_dir));
    }
    junit.to_string().expect("writing to memory does not fail")
}

fn suite(cell: &CellResult, run_dir: &str) -> TestSuite {
    let mut suite = TestSuite::new(cell.cell_id.as_str());
    suite.set_time(Duration::from_millis(cell.duration_ms));
    suite.add_property(("seed", cell.seed.to_string().as_str()));
    suite.add_property(("system", figure::system(cell).as_str()));
    suite.add_property(("durability", cell.system.durability.as_str()));
    for defect in &cell.system.defects {
        suite.add_property(("planted-defect", defect.as_str()));
    }
    let judged = |verdict| {
        matches!(verdict, VerdictWord::Violated | VerdictWord::NotClaimed | VerdictWord::NotOffered)
    };
    for check in &cell.checks {
        if cell.required.contains(&check.property) || judged(check.verdict) {
            suite.add_test_case(case(cell, check, run_dir));
        }
    }
    // A cell that was not run, or whose trouble belongs to no check, must not look like an empty success.
    let explained = cell.checks.iter().any(|check| check.verdict == cell.verdict);
    if suite.test_cases.is_empty() || !explained {
        let status = status(cell.verdict, &figure::reason(cell), None);
        suite.add_test_case(named(cell, "verdict", status));
    }
    suite
}

fn case(cell: &CellResult, check: &CheckResult, run_dir: &str) -> TestCase {
    let description = (check.verdict == VerdictWord::Violated).then(|| evidence(cell, check, run_dir));
    let message = format!("{}: {}", figure::figure(check), check.why);
    let message = if figure::figure(check) == check.why { check.why.clone() } else { message };
    let mut case = named(cell, &check.property, status(check.verdict, &message, description));
    case.set_assertions(usize::try_from(check.exercised).unwrap_or(usize::MAX));
    case
}

fn named(cell: &CellResult, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(cell.cell_id.replace('.', "_"));
    case.set_time(Duration::from_millis(cell.duration_ms));
    case
}

fn status(verdict: VerdictWord, message: &str, description: Option<String>) -> TestCaseStatus {
    let mut status = match verdict {
        VerdictWord::NotObserved => return TestCaseStatus::success(),
        VerdictWord::Violated => TestCaseStatus::non_success(NonSuccessKind::Failure),
        VerdictWord::NotClaimed | VerdictWord::NotOffered => TestCaseStatus::skipped(),
        VerdictWord::Inconclusive | VerdictWord::NotExercised | VerdictWord::HarnessFailure => {
            TestCaseStatus::non_success(NonSuccessKind::Error)
        }
    };
    status.set_type(verdict.name());
    status.set_message(format!("{verdict}: {message}"));
    if let Some(description) = description {
        status.set_description(description);
    }
    status
}

fn evidence(cell: &CellResult, check: &CheckResult, run_dir: &str) -> String {
    let mut text = String::new();
    for witness in &check.witnesses {
        let _ = writeln!(text, "{} {}", witness.id, witness.summary);
    }
    if let Some(first) = check.witnesses.first() {
        let _ = writeln!(text, "rule: {}\nwhy: {}", first.rule, command::why(run_dir, cell, &first.id));
    }
    let _ = writeln!(text, "replay: {}", command::replay(cell));
    text
}

#[cfg(test)]
mod tests {
    use crate::report::fixture;

    #[test]
    fn each_word_becomes_the_outcome_that_a_build_server_understands() {
        let text = super::render(&fixture::report(), "reports/20261121-0240");
        insta::assert_snapshot!(text);
    }
}
