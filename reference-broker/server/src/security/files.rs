//! Reading what settings name.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::SecurityError;

/// What others may not do with a secret file: anything; and its group, write it.
const NOT_FOR_OTHERS: u32 = 0o027;

/// A file that a key names.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    pub(super) key: &'static str,
    pub(super) path: PathBuf,
}

impl NamedFile {
    pub(super) fn new(key: &'static str, path: &Path) -> Self {
        Self { key, path: path.to_owned() }
    }

    /// Everything in it.
    pub(super) fn read(&self) -> Result<Vec<u8>, SecurityError> {
        self.open().and_then(contents).map_err(|error| self.error(error.to_string()))
    }

    /// The same, unless others than its owner and group can read it.
    pub(super) fn read_secret(&self) -> Result<Vec<u8>, SecurityError> {
        let file = self.open().map_err(|error| self.error(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| self.error(error.to_string()))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & NOT_FOR_OTHERS != 0 {
            return Err(self.error(format!(
                "with mode {mode:03o} it is open to other users of this machine\nhint: `chmod 600 {}`",
                self.path.display()
            )));
        }
        contents(file).map_err(|error| self.error(error.to_string()))
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> SecurityError {
        SecurityError::File { key: self.key, path: self.path.clone(), reason: reason.into() }
    }

    fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

fn contents(mut file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
