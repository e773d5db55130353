//! One file of batches, named by the offset of its first record, and its indexes.

use super::index::Index;
use super::scan::{Reach, Scanner};
use super::transactions::AbortedIndex;
use crate::disk::{Disk, DiskError, FileId};
use crate::ids::Offset;

/// One open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) base: Offset,
    pub(super) file: FileId,
    /// Bytes of whole batches; a failed write may have left more in the file.
    pub(super) size: u64,
    pub(super) index: Index,
    /// The time stamp of the first batch; only of a segment that is appended to, and not if it is empty.
    pub(super) first_timestamp: Option<i64>,
    /// The transactions that were aborted by markers in this segment.
    pub(super) aborted: AbortedIndex,
    /// Path without the ending.
    stem: String,
}

impl Segment {
    /// Opens the file of a segment, and creates it if it is missing. Its size and index are not known yet.
    pub(super) fn open(directory: &str, base: Offset, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        let stem = stem(directory, base);
        let file = disk.open(&format!("{stem}.log"))?;
        Ok(Self {
            base,
            file,
            size: 0,
            index: Index::new(base),
            first_timestamp: None,
            aborted: AbortedIndex::default(),
            stem,
        })
    }

    /// A segment that was written elsewhere and is found by its base from now on.
    pub(super) fn taken_over(
        directory: &str,
        base: Offset,
        file: FileId,
        size: u64,
        index: Index,
        aborted: AbortedIndex,
    ) -> Self {
        Self { base, file, size, index, first_timestamp: None, aborted, stem: stem(directory, base) }
    }

    pub(super) fn path(&self) -> String {
        format!("{}.log", self.stem)
    }

    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// A walk from the batch at `start`, which begins at that position, to the end. With `holes` offsets may be missing.
    pub(super) fn scan(&self, (start, position): (Offset, u64), reach: Reach, holes: bool) -> Scanner {
        Scanner::new(self.file, position, self.size, start, reach, holes)
    }

    /// Writes the index files of a segment that ends at `end`.
    pub(super) fn store_index_files(&self, end: Offset, disk: &mut dyn Disk) -> Result<(), DiskError> {
        self.index.store(&self.stem, end, disk)?;
        self.aborted.store(&self.stem, disk)
    }

    /// Removes the index files, which only a closed segment has.
    pub(super) fn remove_index_files(&self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        for ending in ["index", "timeindex", "txnindex"] {
            remove_if_there(&format!("{}.{ending}", self.stem), disk)?;
        }
        Ok(())
    }

    /// Closes and removes all files, and the snapshot of the producers at its base.
    pub(super) fn remove(self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        disk.close(self.file);
        self.remove_index_files(disk)?;
        remove_if_there(&format!("{}.snapshot", self.stem), disk)?;
        remove_if_there(&self.path(), disk)
    }
}

/// The path of a segment's files without their endings.
pub(super) fn stem(directory: &str, base: Offset) -> String {
    format!("{directory}/{:020}", base.0)
}

pub(super) fn remove_if_there(path: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
    match disk.remove(path) {
        Ok(()) | Err(DiskError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The base offsets of the segments in a directory, in order.
pub(super) fn bases(directory: &str, disk: &mut dyn Disk) -> Result<Vec<Offset>, DiskError> {
    offsets(directory, "log", disk)
}

/// The offsets that files with this ending are named by, in order.
pub(super) fn offsets(directory: &str, ending: &str, disk: &mut dyn Disk) -> Result<Vec<Offset>, DiskError> {
    let names = disk.list(directory)?;
    let mut offsets: Vec<Offset> = names
        .iter()
        .filter_map(|name| name.strip_suffix(ending)?.strip_suffix('.'))
        .filter(|digits| digits.len() == 20)
        .filter_map(|digits| digits.parse().ok().map(Offset))
        .collect();
    offsets.sort_unstable();
    Ok(offsets)
}
