//! A disk in memory: every write succeeds and is durable, unless a failure was asked for.
//!
//! A clone is what the disk held at that moment, for tests that cut a log and open it again.

use std::collections::{BTreeMap, BTreeSet};

use super::{Disk, DiskError, FileId};

/// A [`Disk`] in memory. As on a real one, an open file outlives its name, and follows it through a rename.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    names: BTreeMap<String, u64>,
    directories: BTreeSet<String>,
    contents: BTreeMap<u64, Vec<u8>>,
    open: BTreeMap<FileId, u64>,
    last_id: u64,
    failing: Option<DiskError>,
    /// Written or cut since their last flush.
    unflushed: BTreeSet<u64>,
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a file.
    pub fn contents(&self, path: &str) -> Option<&[u8]> {
        Some(self.contents.get(self.names.get(path)?)?.as_slice())
    }

    /// The bytes of a file, to be damaged.
    pub fn contents_mut(&mut self, path: &str) -> Option<&mut Vec<u8>> {
        self.contents.get_mut(self.names.get(path)?)
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// From now on every write and every flush fails like this; `None` heals the disk.
    pub fn fail_writes(&mut self, error: Option<DiskError>) {
        self.failing = error;
    }

    /// Whether a file was written or cut since its last flush.
    pub fn is_unflushed(&self, path: &str) -> bool {
        self.names.get(path).is_some_and(|inode| self.unflushed.contains(inode))
    }

    /// Forgets all open files, as the end of a process does.
    pub fn close_all(&mut self) {
        self.open.clear();
        self.drop_unreachable();
    }

    fn inode(&self, file: FileId) -> Result<u64, DiskError> {
        self.open
            .get(&file)
            .copied()
            .ok_or_else(|| DiskError::Io { path: format!("file {}", file.0), error: "not open".into() })
    }

    fn bytes(&mut self, file: FileId) -> Result<&mut Vec<u8>, DiskError> {
        let inode = self.inode(file)?;
        Ok(self.contents.entry(inode).or_default())
    }

    fn writable(&self) -> Result<(), DiskError> {
        self.failing.clone().map_or(Ok(()), Err)
    }

    fn drop_unreachable(&mut self) {
        let reachable: BTreeSet<u64> = self.names.values().chain(self.open.values()).copied().collect();
        self.contents.retain(|inode, _| reachable.contains(inode));
    }
}

impl Disk for MemDisk {
    fn open(&mut self, path: &str) -> Result<FileId, DiskError> {
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.directories.contains(parent)
        {
            return Err(DiskError::NotFound(path.into()));
        }
        let inode = if let Some(inode) = self.names.get(path) {
            *inode
        } else {
            self.writable()?;
            self.last_id += 1;
            self.names.insert(path.into(), self.last_id);
            self.contents.insert(self.last_id, Vec::new());
            self.last_id
        };
        self.last_id += 1;
        self.open.insert(FileId(self.last_id), inode);
        Ok(FileId(self.last_id))
    }

    fn close(&mut self, file: FileId) {
        self.open.remove(&file);
        self.drop_unreachable();
    }

    fn len(&mut self, file: FileId) -> Result<u64, DiskError> {
        Ok(self.bytes(file)?.len() as u64)
    }

    fn write_at(&mut self, file: FileId, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.writable()?;
        let bytes = self.bytes(file)?;
        let mut at = position as usize;
        for part in parts {
            let overlap = bytes.len().saturating_sub(at).min(part.len());
            if bytes.len() < at {
                bytes.resize(at, 0);
            }
            bytes[at..at + overlap].copy_from_slice(&part[..overlap]);
            bytes.extend_from_slice(&part[overlap..]);
            at += part.len();
        }
        self.unflushed.insert(self.inode(file)?);
        Ok(())
    }

    fn read_at(&mut self, file: FileId, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let bytes = self.bytes(file)?;
        let from = (position as usize).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), DiskError> {
        self.writable()?;
        self.bytes(file)?.resize(length as usize, 0);
        self.unflushed.insert(self.inode(file)?);
        Ok(())
    }

    fn sync(&mut self, file: FileId) -> Result<(), DiskError> {
        self.writable()?;
        let inode = self.inode(file)?;
        self.unflushed.remove(&inode);
        Ok(())
    }

    fn sync_dir(&mut self, _path: &str) -> Result<(), DiskError> {
        self.writable()
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.writable()?;
        let inode = self.names.remove(from).ok_or_else(|| DiskError::NotFound(from.into()))?;
        self.names.insert(to.into(), inode);
        self.drop_unreachable();
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        self.writable()?;
        self.names.remove(path).ok_or_else(|| DiskError::NotFound(path.into()))?;
        self.drop_unreachable();
        Ok(())
    }

    fn create_dir(&mut self, path: &str) -> Result<(), DiskError> {
        self.writable()?;
        let mut end = 0;
        for part in path.split('/') {
            end += part.len();
            self.directories.insert(path[..end].into());
            end += 1;
        }
        Ok(())
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), DiskError> {
        self.writable()?;
        let inside = format!("{path}/");
        self.names.retain(|name, _| !name.starts_with(&inside));
        self.directories.retain(|name| name != path && !name.starts_with(&inside));
        self.drop_unreachable();
        Ok(())
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, DiskError> {
        let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries: BTreeSet<String> = self
            .names
            .keys()
            .chain(&self.directories)
            .filter_map(|name| name.strip_prefix(&inside))
            .filter_map(|rest| rest.split('/').next())
            .filter(|entry| !entry.is_empty())
            .map(String::from)
            .collect();
        Ok(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_file_replaces_its_target_and_open_files_outlive_their_names() {
        let mut disk = MemDisk::new();
        disk.create_dir("a/b").unwrap();
        let old = disk.open("a/b/x").unwrap();
        disk.write_at(old, 0, &[b"old"]).unwrap();
        let new = disk.open("a/b/x.tmp").unwrap();
        disk.write_at(new, 2, &[b"n", b"ew"]).unwrap();
        disk.rename("a/b/x.tmp", "a/b/x").unwrap();

        assert_eq!(disk.contents("a/b/x"), Some(&b"\0\0new"[..]));
        let mut buffer = [0; 8];
        assert_eq!(disk.read_at(old, 1, &mut buffer), Ok(2));
        assert_eq!(&buffer[..2], b"ld");
        assert_eq!(disk.list("a"), Ok(vec!["b".to_string()]));
        assert_eq!(disk.list("a/b"), Ok(vec!["x".to_string()]));
        disk.remove_dir("a").unwrap();
        assert_eq!(disk.list(""), Ok(vec![]));
    }

    #[test]
    fn a_file_needs_its_directory() {
        assert_eq!(MemDisk::new().open("a/x"), Err(DiskError::NotFound("a/x".into())));
    }
}
