//! The commands that show more: `why` and `replay`.

use mqproof_core::verdict::{CellResult, RunReport};

/// `mqproof why RUN ID`.
pub fn why(run_dir: &str, witness: &str) -> String {
    format!("mqproof why {} {witness}", quoted(run_dir))
}

/// The command that runs a cell again: the same plan, and on a live system another interleaving.
pub fn replay(report: &RunReport, cell: &CellResult) -> String {
    let mut words = vec!["mqproof".to_owned(), "run".to_owned(), quoted(&cell.path)];
    words.push("--on".to_owned());
    words.push(quoted(&on(report, &cell.system.name)));
    words.push("--seed".to_owned());
    words.push(cell.seed.to_string());
    for (path, value) in &cell.matrix {
        words.push("--set".to_owned());
        words.push(quoted(&format!("{path}={value}")));
    }
    for defect in &cell.system.defects {
        words.push("--defect".to_owned());
        words.push(quoted(defect));
    }
    words.join(" ")
}

/// The system as it was asked for, with its address and profile.
fn on(report: &RunReport, system: &str) -> String {
    let mut arguments = report.run.command.iter();
    while let Some(argument) = arguments.next() {
        let list = match argument.strip_prefix("--on=") {
            Some(list) => Some(list),
            None if argument == "--on" => arguments.next().map(String::as_str),
            None => None,
        };
        let named = |item: &&str| item.split(['=', '@']).next() == Some(system);
        if let Some(item) = list.and_then(|list| list.split(',').find(named)) {
            return item.to_owned();
        }
    }
    system.to_owned()
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
