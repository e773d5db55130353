//! The door to stored bytes.
//!
//! A write goes to the page cache and returns at once; only a flush makes it durable. A flush of a log is asked for
//! by [`Effect::Sync`](crate::Effect::Sync) and reported back as an event, so that a shell can group flushes and
//! never blocks the core; small checkpoints are flushed in place by [`Disk::sync`].
//!
//! Paths are relative to the node's data directory, with `/` between the parts.

mod mem;
#[cfg(any(test, feature = "fuzz"))]
mod patch;

pub use mem::MemDisk;
#[cfg(any(test, feature = "fuzz"))]
pub use patch::damage;

/// An open file of a [`Disk`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub u64);

/// Why a file operation failed. After a failed write or flush the log is fenced: no later success is
/// acknowledged (KAFKA-10778), and a failed flush is never tried again in the hope that it then means something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// There is no such file or directory.
    #[error("no such file `{0}`")]
    NotFound(String),
    /// No space is left (ENOSPC, EDQUOT).
    #[error("no space left while writing `{0}`")]
    Full(String),
    /// Any other trouble, with the system's words.
    #[error("`{path}`: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: String,
    },
}

/// What a shell offers for storage. All calls return at once, up to the speed of the page cache.
pub trait Disk {
    /// Opens a file for reading and writing, and creates it if it is missing.
    fn open(&mut self, path: &str) -> Result<FileId, DiskError>;
    /// Closes a file; its id is not used again.
    fn close(&mut self, file: FileId);
    /// The length of a file in bytes.
    fn len(&mut self, file: FileId) -> Result<u64, DiskError>;
    /// Writes all parts one after another, starting at `position`.
    fn write_at(&mut self, file: FileId, position: u64, parts: &[&[u8]]) -> Result<(), DiskError>;
    /// Fills `buffer` from `position`; returns how many bytes there were (fewer only at the end of the file).
    fn read_at(&mut self, file: FileId, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;
    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), DiskError>;
    /// Makes what was written to the file durable, and waits for it. For small checkpoint files only.
    fn sync(&mut self, file: FileId) -> Result<(), DiskError>;
    /// Makes entries of a directory durable, and waits for it.
    fn sync_dir(&mut self, path: &str) -> Result<(), DiskError>;
    /// Renames a file, replacing the target.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Deletes a file.
    fn remove(&mut self, path: &str) -> Result<(), DiskError>;
    /// Creates a directory and its parents; no error if it is there.
    fn create_dir(&mut self, path: &str) -> Result<(), DiskError>;
    /// Deletes a directory with all it holds; no error if it is missing.
    fn remove_dir(&mut self, path: &str) -> Result<(), DiskError>;
    /// Names of the entries of a directory, sorted; empty if the directory is missing.
    fn list(&mut self, path: &str) -> Result<Vec<String>, DiskError>;
}
