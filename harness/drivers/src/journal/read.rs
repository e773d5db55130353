//! Reads what processes left behind, and seals what the dead could not.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use mqproof_core::history::{History, Journal, JournalError, SealError, SealReason, seal_journal};

use super::map::{ReadOnlyMap, map_writable};
use crate::clock::monotonic_ns;

/// Why a journal cannot be opened or sealed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or directory.
    #[error("`{path}`: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a journal that this version reads.
    #[error("`{path}`: {source}")]
    Journal {
        /// Which.
        path: PathBuf,
        /// Why.
        source: JournalError,
    },
    /// It is damaged, so it stays unsealed.
    #[error("`{path}`: {source}")]
    Seal {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
}

/// Opens every `*.journal` of a directory, by read-only maps.
pub fn open_history(dir: &Path) -> Result<History, OpenError> {
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    let mut journals = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            journals.push(open_journal(&path)?);
        }
    }
    Ok(History::new(journals))
}

/// Opens and checks one journal.
pub fn open_journal(path: &Path) -> Result<Journal, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.len() == 0 {
        // An empty file cannot be mapped; the reader says that it is too short.
        return Journal::read(Vec::new())
            .map_err(|source| OpenError::Journal { path: path.to_owned(), source });
    }
    let map = ReadOnlyMap::new(&file).map_err(io)?;
    Journal::read(map).map_err(|source| OpenError::Journal { path: path.to_owned(), source })
}

/// Seals the journal of a process that was killed. The process must be gone. A sealed journal stays as it is.
pub fn seal_dead(path: &Path, reason: SealReason) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let mut map = map_writable(&file, 0, length as usize).map_err(io)?;
    let used = seal_journal(&mut map, reason, monotonic_ns())
        .map_err(|source| OpenError::Seal { path: path.to_owned(), source })?;
    drop(map);
    file.set_len(used as u64).map_err(io)
}
