//! The snapshots on the disk, beside the segments of the log.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};

use super::snapshot::{self, SnapshotId};
use crate::disk::{Disk, DiskError};

/// What is written aside and not whole yet.
const PART: &str = ".part";

/// All snapshots of the log in a directory.
#[derive(Debug)]
pub(super) struct Snapshots {
    directory: &'static str,
    ids: BTreeSet<SnapshotId>,
}

impl Snapshots {
    /// Finds those that are whole, and removes the others: what was being written when the process died, and what is damaged.
    pub(super) fn open(directory: &'static str, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        let mut found = Self { directory, ids: BTreeSet::new() };
        for name in disk.list(directory)? {
            let path = format!("{directory}/{name}");
            match SnapshotId::of_file(&name) {
                Some(id) => match snapshot::decode(id, found.read(id, disk)?) {
                    Ok(_) => {
                        found.ids.insert(id);
                    }
                    Err(error) => {
                        tracing::warn!(path, %error, "removed");
                        disk.remove(&path)?;
                    }
                },
                None if name.ends_with(PART) => disk.remove(&path)?,
                None => {}
            }
        }
        Ok(found)
    }

    pub(super) fn newest(&self) -> Option<SnapshotId> {
        self.ids.last().copied()
    }

    /// The one before the newest.
    pub(super) fn last_but_one(&self) -> Option<SnapshotId> {
        self.ids.iter().rev().nth(1).copied()
    }

    pub(super) fn has(&self, id: SnapshotId) -> bool {
        self.ids.contains(&id)
    }

    fn path(&self, id: SnapshotId) -> String {
        format!("{}/{}", self.directory, id.file_name())
    }

    /// All bytes of a snapshot.
    pub(super) fn read(&self, id: SnapshotId, disk: &mut dyn Disk) -> Result<Bytes, DiskError> {
        self.chunk(id, 0, usize::MAX, disk).map(|(_, bytes)| bytes)
    }

    /// The size of a snapshot, and at most `max_bytes` of it from `position` on.
    pub(super) fn chunk(
        &self,
        id: SnapshotId,
        position: u64,
        max_bytes: usize,
        disk: &mut dyn Disk,
    ) -> Result<(u64, Bytes), DiskError> {
        let file = disk.open(&self.path(id))?;
        let read = disk.len(file).and_then(|size| {
            let left = usize::try_from(size.saturating_sub(position)).unwrap_or(usize::MAX);
            let mut bytes = BytesMut::zeroed(left.min(max_bytes));
            let count = disk.read_at(file, position, &mut bytes)?;
            bytes.truncate(count);
            Ok((size, bytes.freeze()))
        });
        disk.close(file);
        read
    }

    /// Puts a snapshot in place, durably: after a crash it is there whole, or not at all.
    pub(super) fn store(
        &mut self,
        id: SnapshotId,
        bytes: &[u8],
        disk: &mut dyn Disk,
    ) -> Result<(), DiskError> {
        let path = self.path(id);
        let aside = path.clone() + PART;
        let file = disk.open(&aside)?;
        let done = disk
            .truncate(file, 0)
            .and_then(|()| disk.write_at(file, 0, &[bytes]))
            .and_then(|()| disk.sync(file));
        disk.close(file);
        done?;
        disk.rename(&aside, &path)?;
        disk.sync_dir(self.directory)?;
        self.ids.insert(id);
        Ok(())
    }

    /// Removes all that are older than this one.
    pub(super) fn remove_below(&mut self, id: SnapshotId, disk: &mut dyn Disk) -> Result<(), DiskError> {
        while let Some(oldest) = self.ids.first().copied().filter(|oldest| *oldest < id) {
            disk.remove(&self.path(oldest))?;
            self.ids.remove(&oldest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;
    use crate::ids::{LeaderEpoch, Offset};

    fn id(end: i64) -> SnapshotId {
        SnapshotId { end: Offset(end), epoch: LeaderEpoch(1) }
    }

    fn bytes(end: i64) -> Bytes {
        snapshot::encode(id(end), 5, &[Bytes::from(format!("all up to {end}"))])
    }

    fn three() -> (Snapshots, MemDisk) {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        let mut snapshots = Snapshots::open("log", &mut disk).unwrap();
        for end in [5, 9, 20] {
            snapshots.store(id(end), &bytes(end), &mut disk).unwrap();
        }
        (snapshots, disk)
    }

    #[test]
    fn snapshots_are_found_again_and_what_is_not_whole_is_removed() {
        let (_, mut disk) = three();
        disk.contents_mut("log/00000000000000000020-0000000001.checkpoint").unwrap()[70] ^= 1;
        let part = disk.open("log/00000000000000000030-0000000001.checkpoint.part").unwrap();
        disk.write_at(part, 0, &[b"torn"]).unwrap();
        let found = Snapshots::open("log", &mut disk).unwrap();
        assert_eq!((found.newest(), found.last_but_one()), (Some(id(9)), Some(id(5))));
        assert_eq!(disk.paths().count(), 2);
    }

    #[test]
    fn a_snapshot_is_read_in_chunks() {
        let (snapshots, mut disk) = three();
        let (mut read, whole) = (Vec::new(), bytes(9));
        loop {
            let (size, chunk) = snapshots.chunk(id(9), read.len() as u64, 50, &mut disk).unwrap();
            assert_eq!(size, whole.len() as u64);
            if chunk.is_empty() {
                break;
            }
            read.extend_from_slice(&chunk);
        }
        assert_eq!(read, whole);
    }

    #[test]
    fn older_ones_go_and_newer_ones_stay() {
        let (mut snapshots, mut disk) = three();
        snapshots.remove_below(id(9), &mut disk).unwrap();
        assert!(!snapshots.has(id(5)) && snapshots.has(id(9)) && snapshots.has(id(20)));
        assert_eq!(disk.paths().count(), 2);
    }
}
