//! Why a command ends without a verdict, and its exit status.

use std::fmt;

use mqproof_core::verdict::ExitStatus;

/// Why a command ends without a verdict.
#[derive(Debug)]
pub struct Failure {
    /// What the process says to its caller.
    pub status: ExitStatus,
    text: String,
    is_rendered: bool,
}

impl Failure {
    fn new(status: ExitStatus, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), is_rendered: false }
    }

    /// A bad scenario or bad arguments.
    pub fn input(text: impl Into<String>) -> Self {
        Self::new(ExitStatus::BadInput, text)
    }

    /// Bad input whose text is a finished picture of the place.
    pub fn rendered(text: impl Into<String>) -> Self {
        Self { is_rendered: true, ..Self::new(ExitStatus::BadInput, text) }
    }

    /// The environment.
    pub fn environment(text: impl Into<String>) -> Self {
        Self::new(ExitStatus::Environment, text)
    }

    /// Trouble of ours.
    pub fn harness(text: impl Into<String>) -> Self {
        Self::new(ExitStatus::HarnessFailure, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_rendered { f.write_str(&self.text) } else { write!(f, "error: {}", self.text) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::environment(error.to_string())
    }
}
