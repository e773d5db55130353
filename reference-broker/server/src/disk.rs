//! The core's disk on a real file system.
//!
//! In:  the core's calls, with paths relative to the data directory.
//! Out: bytes in files; errors in the core's words.
//! Owns: open files and the lock of the data directory.
//! Never: flushes a log by itself; [`Flushers`](crate::flush::Flushers) do, on threads of their own.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::{Disk, DiskError, FileId};
use rustix::fs::{FlockOperation, flock};

use crate::error::ServerError;

const LOCK_FILE: &str = ".lock";
/// The kernel takes no more slices in one call (IOV_MAX).
const SLICES_MAX: usize = 1024;

/// Files below one directory that no other node uses.
pub(crate) struct FileDisk {
    root: PathBuf,
    files: BTreeMap<FileId, OpenFile>,
    next_file: u64,
    /// Holds the lock for as long as it is open.
    _lock: File,
}

/// An open file with its name, for error messages; shared with the threads that flush it.
#[derive(Clone)]
pub(crate) struct OpenFile {
    pub(crate) file: Arc<File>,
    pub(crate) path: Arc<str>,
}

impl FileDisk {
    /// Creates the directory if it is missing, and locks it.
    pub(crate) fn open(root: &Path) -> Result<Self, ServerError> {
        let data_dir = |source| ServerError::DataDir { path: root.to_owned(), source };
        fs::create_dir_all(root).map_err(data_dir)?;
        let lock_path = root.join(LOCK_FILE);
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).open(lock_path).map_err(data_dir)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root: root.to_owned(), files: BTreeMap::new(), next_file: 0, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(ServerError::Locked { path: root.to_owned() }),
            Err(errno) => Err(data_dir(errno.into())),
        }
    }

    /// An open file, to be flushed elsewhere.
    pub(crate) fn file(&self, file: FileId) -> Result<OpenFile, DiskError> {
        self.files.get(&file).cloned().ok_or_else(|| DiskError::Io {
            path: format!("file {}", file.0),
            error: "used after it was closed".into(),
        })
    }

    /// The real path; a path that leaves the data directory is refused.
    fn resolve(&self, path: &str) -> Result<PathBuf, DiskError> {
        let leaves = path.starts_with('/') || path.contains('\0') || path.split('/').any(|part| part == "..");
        if leaves {
            return Err(DiskError::Io { path: path.into(), error: "leaves the data directory".into() });
        }
        Ok(self.root.join(path))
    }
}

/// Says a system error in the core's words.
pub(crate) fn disk_error(path: &str, error: &io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::NotFound => DiskError::NotFound(path.into()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::Full(path.into()),
        _ => DiskError::Io { path: path.into(), error: error.to_string() },
    }
}

/// Writes all slices, however many calls that takes.
fn write_all_at(file: &File, mut position: u64, parts: &[&[u8]]) -> io::Result<()> {
    let mut storage: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut slices = &mut storage[..];
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let batch = slices.len().min(SLICES_MAX);
        match rustix::io::pwritev(file, &slices[..batch], position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut slices, written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Fills the buffer, or as much of it as the file has.
fn read_full_at(file: &File, mut position: u64, mut buffer: &mut [u8]) -> io::Result<usize> {
    let wanted = buffer.len();
    while !buffer.is_empty() {
        match file.read_at(buffer, position) {
            Ok(0) => break,
            Ok(count) => {
                position += count as u64;
                buffer = &mut buffer[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(wanted - buffer.len())
}

impl Disk for FileDisk {
    fn open(&mut self, path: &str) -> Result<FileId, DiskError> {
        let real = self.resolve(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(real)
            .map_err(|error| disk_error(path, &error))?;
        self.next_file += 1;
        let id = FileId(self.next_file);
        self.files.insert(id, OpenFile { file: Arc::new(file), path: path.into() });
        Ok(id)
    }

    fn close(&mut self, file: FileId) {
        self.files.remove(&file);
    }

    fn len(&mut self, file: FileId) -> Result<u64, DiskError> {
        let open = self.file(file)?;
        open.file.metadata().map(|metadata| metadata.len()).map_err(|error| disk_error(&open.path, &error))
    }

    fn write_at(&mut self, file: FileId, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let open = self.file(file)?;
        write_all_at(&open.file, position, parts).map_err(|error| disk_error(&open.path, &error))
    }

    fn read_at(&mut self, file: FileId, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let open = self.file(file)?;
        read_full_at(&open.file, position, buffer).map_err(|error| disk_error(&open.path, &error))
    }

    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), DiskError> {
        let open = self.file(file)?;
        open.file.set_len(length).map_err(|error| disk_error(&open.path, &error))
    }

    fn sync(&mut self, file: FileId) -> Result<(), DiskError> {
        let open = self.file(file)?;
        open.file.sync_data().map_err(|error| disk_error(&open.path, &error))
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), DiskError> {
        let real = self.resolve(path)?;
        File::open(real).and_then(|directory| directory.sync_all()).map_err(|error| disk_error(path, &error))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let (source, target) = (self.resolve(from)?, self.resolve(to)?);
        fs::rename(source, target).map_err(|error| disk_error(from, &error))
    }

    fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        let real = self.resolve(path)?;
        fs::remove_file(real).map_err(|error| disk_error(path, &error))
    }

    fn create_dir(&mut self, path: &str) -> Result<(), DiskError> {
        let real = self.resolve(path)?;
        fs::create_dir_all(real).map_err(|error| disk_error(path, &error))
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), DiskError> {
        let real = self.resolve(path)?;
        match fs::remove_dir_all(real) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(disk_error(path, &error)),
            _ => Ok(()),
        }
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, DiskError> {
        let real = self.resolve(path)?;
        let entries = match fs::read_dir(real) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(disk_error(path, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| disk_error(path, &error))?.file_name();
            match name.to_str() {
                Some(LOCK_FILE) => {}
                Some(name) => names.push(name.to_owned()),
                None => tracing::warn!(?name, "file with a name that is not UTF-8 is left alone"),
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_parts_are_read_back_and_lists_are_sorted() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = FileDisk::open(dir.path()).unwrap();
        disk.create_dir("topic-0").unwrap();
        let file = disk.open("topic-0/b").unwrap();
        disk.open("topic-0/a").unwrap();
        disk.write_at(file, 3, &[b"de", b"", b"f"]).unwrap();
        disk.write_at(file, 0, &[b"abc"]).unwrap();
        let mut buffer = [0; 10];
        assert_eq!(disk.read_at(file, 1, &mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"bcdef");
        disk.truncate(file, 2).unwrap();
        assert_eq!(disk.len(file).unwrap(), 2);
        disk.rename("topic-0/b", "topic-0/c").unwrap();
        assert_eq!(disk.list("topic-0").unwrap(), ["a", "c"]);
        assert_eq!(disk.list("").unwrap(), ["topic-0"]);
        assert!(disk.list("nothing").unwrap().is_empty());
    }

    #[test]
    fn more_parts_than_one_call_takes_are_all_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = FileDisk::open(dir.path()).unwrap();
        let file = disk.open("many").unwrap();
        let parts = vec![&b"xy"[..]; SLICES_MAX * 2 + 5];
        disk.write_at(file, 0, &parts).unwrap();
        assert_eq!(disk.len(file).unwrap(), parts.len() as u64 * 2);
    }

    #[test]
    fn a_path_cannot_leave_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = FileDisk::open(dir.path()).unwrap();
        for path in ["../x", "/etc/passwd", "a/../../x"] {
            assert!(matches!(disk.open(path), Err(DiskError::Io { .. })), "{path}");
        }
    }

    #[test]
    fn two_nodes_cannot_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = FileDisk::open(dir.path()).unwrap();
        assert!(matches!(FileDisk::open(dir.path()), Err(ServerError::Locked { .. })));
        drop(first);
        assert!(FileDisk::open(dir.path()).is_ok());
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let error = disk_error("f", &io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        assert_eq!(error, DiskError::Full("f".into()));
    }
}
