//! The commands that show more: `why` and `replay`.

use mqproof_core::verdict::CellResult;

/// `mqproof why RUN ID`.
pub fn why(run_dir: &str, cell: &CellResult, witness: &str) -> String {
    format!("mqproof why {} {witness}", quoted(cell.run_dir.as_deref().unwrap_or(run_dir)))
}

/// The command that runs a cell again, as typed.
pub fn replay(cell: &CellResult) -> String {
    cell.replay.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
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
