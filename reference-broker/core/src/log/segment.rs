//! One file of batches, named by the offset of its first record, and its indexes.

use super::index::Index;
use super::scan::{Reach, Scanner};
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
    /// Path without the ending.
    stem: String,
}

impl Segment {
    /// Opens the file of a segment, and creates it if it is missing. Its size and index are not known yet.
    pub(super) fn open(directory: &str, base: Offset, disk: &mut dyn Disk) -> Result<Self, DiskError> {
        let stem = format!("{directory}/{:020}", base.0);
        let file = disk.open(&format!("{stem}.log"))?;
        Ok(Self { base, file, size: 0, index: Index::new(base), stem })
    }

    pub(super) fn path(&self) -> String {
        format!("{}.log", self.stem)
    }

    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// A walk from the batch at `start`, which begins at that position, to the end.
    pub(super) fn scan(&self, (start, position): (Offset, u64), reach: Reach) -> Scanner {
        Scanner::new(self.file, position, self.size, start, reach)
    }

    /// Removes the index files, which only a closed segment has.
    pub(super) fn remove_index_files(&self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        for ending in ["index", "timeindex"] {
            remove_if_there(&format!("{}.{ending}", self.stem), disk)?;
        }
        Ok(())
    }

    /// Closes and removes all files.
    pub(super) fn remove(self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        disk.close(self.file);
        self.remove_index_files(disk)?;
        remove_if_there(&self.path(), disk)
    }
}

fn remove_if_there(path: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
    match disk.remove(path) {
        Ok(()) | Err(DiskError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The base offsets of the segments in a directory, in order.
pub(super) fn bases(directory: &str, disk: &mut dyn Disk) -> Result<Vec<Offset>, DiskError> {
    let names = disk.list(directory)?;
    let mut bases: Vec<Offset> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".log"))
        .filter(|digits| digits.len() == 20)
        .filter_map(|digits| digits.parse().ok().map(Offset))
        .collect();
    bases.sort_unstable();
    Ok(bases)
}
