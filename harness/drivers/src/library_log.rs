//! Where the client library's own log lines go.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::wall_ns;

/// A client that retries against a dead broker logs without end; a file gets no more than this.
const MAX_BYTES: u64 = 4 << 20;

/// A library complains of every lost connection, which in a run with faults is no news: its lines never reach the
/// terminal by themselves.
#[derive(Clone, Debug, Default)]
pub struct LibraryLog(Option<Arc<Mutex<LogFile>>>);

#[derive(Debug)]
struct LogFile {
    file: File,
    left: u64,
}

impl LibraryLog {
    /// Lines become `tracing` events at level debug.
    pub fn to_tracing() -> Self {
        Self(None)
    }

    /// Lines are appended to a file.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self(Some(Arc::new(Mutex::new(LogFile { file, left: MAX_BYTES })))))
    }

    /// Writes a line.
    pub fn line(&self, level: &str, text: &str) {
        let Some(log) = &self.0 else {
            tracing::debug!(target: "client_library", "{level} {text}");
            return;
        };
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let time = wall_ns();
        let line = format!("{}.{:06} {level} {text}\n", time / 1_000_000_000, time / 1_000 % 1_000_000);
        if let Some(left) = log.left.checked_sub(line.len() as u64) {
            log.left = left;
            // A log that cannot be written must not end a client.
            let _ = log.file.write_all(line.as_bytes());
        }
    }
}
