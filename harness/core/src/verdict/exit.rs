//! The exit status of a run.

use super::report::CellResult;
use super::word::VerdictWord;

/// What `mqproof` says to its caller; `docs/outcomes.md` documents it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitStatus {
    /// Nothing violated, and all required checks exercised.
    Ok = 0,
    /// Something that was claimed is broken.
    Violated = 1,
    /// Not enough evidence, or nothing happened.
    Inconclusive = 2,
    /// Bad scenario or arguments.
    BadInput = 3,
    /// The environment: address not reachable, port taken, directory not writable, no Docker.
    Environment = 4,
    /// Trouble of ours.
    HarnessFailure = 5,
}

/// The status over all cells: a violation that was found survives later trouble.
/// `environment` says that a cell could not run for a reason outside mqproof.
pub fn exit_status(cells: &[CellResult], environment: bool, interrupted: bool) -> ExitStatus {
    let any = |word| cells.iter().any(|cell| cell.verdict == word);
    if any(VerdictWord::Violated) {
        ExitStatus::Violated
    } else if any(VerdictWord::HarnessFailure) {
        ExitStatus::HarnessFailure
    } else if environment {
        ExitStatus::Environment
    } else if interrupted
        || any(VerdictWord::Inconclusive)
        || any(VerdictWord::NotExercised)
        || cells.iter().all(|cell| cell.verdict == VerdictWord::NotOffered)
    {
        ExitStatus::Inconclusive
    } else {
        ExitStatus::Ok
    }
}
