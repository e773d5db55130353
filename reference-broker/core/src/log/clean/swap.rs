//! New segments in the places of old ones, so that a crash at any moment leaves either.
//!
//! 1. `<base>.cleaned` is written and flushed. 2. It is renamed to `<base>-<until>.swap`, and the directory flushed: from now on
//!    it counts. 3. The index files of the segments from `base` to `until` are removed, and all of those behind the first; the
//!    directory is flushed. 4. The new file is renamed to `<base>.log`, which replaces the first.
//!
//! Recovery removes files from before step 2 and does steps 3 and 4 for those from after it.

use crate::disk::{Disk, DiskError};
use crate::ids::Offset;
use crate::log::segment::{self, remove_if_there};

const CLEANED: &str = ".cleaned";
const SWAP: &str = ".swap";
const INDEXES: [&str; 3] = ["index", "timeindex", "txnindex"];

/// Where the new segment is written.
pub(super) fn cleaned(directory: &str, base: Offset) -> String {
    format!("{}{CLEANED}", segment::stem(directory, base))
}

/// Where it waits for its place.
pub(super) fn swap(directory: &str, base: Offset, until: Offset) -> String {
    format!("{}-{:020}{SWAP}", segment::stem(directory, base), until.0)
}

/// Step 2 for a new segment that is flushed.
pub(super) fn commit(
    directory: &str,
    base: Offset,
    until: Offset,
    disk: &mut dyn Disk,
) -> Result<(), DiskError> {
    disk.rename(&cleaned(directory, base), &swap(directory, base, until))?;
    disk.sync_dir(directory)
}

/// Steps 3 and 4.
pub(super) fn replace(
    directory: &str,
    base: Offset,
    until: Offset,
    disk: &mut dyn Disk,
) -> Result<(), DiskError> {
    let replaced = |offset: &Offset| (base..until).contains(offset);
    for ending in INDEXES {
        for offset in segment::offsets(directory, ending, disk)?.into_iter().filter(replaced) {
            remove_if_there(&format!("{}.{ending}", segment::stem(directory, offset)), disk)?;
        }
    }
    for ending in ["log", "snapshot"] {
        for offset in segment::offsets(directory, ending, disk)?.into_iter().filter(replaced) {
            if offset > base {
                remove_if_there(&format!("{}.{ending}", segment::stem(directory, offset)), disk)?;
            }
        }
    }
    // Old index files must not come back beside the new segment.
    disk.sync_dir(directory)?;
    disk.rename(&swap(directory, base, until), &format!("{}.log", segment::stem(directory, base)))?;
    disk.sync_dir(directory)
}

/// Ends what a process that has died had begun; says how many segments it found half replaced.
pub(in crate::log) fn complete(directory: &str, disk: &mut dyn Disk) -> Result<u64, DiskError> {
    let mut completed = 0;
    for name in disk.list(directory)? {
        let path = format!("{directory}/{name}");
        if name.ends_with(CLEANED) {
            remove_if_there(&path, disk)?;
        } else if let Some((base, until)) = name.strip_suffix(SWAP).and_then(range) {
            tracing::info!(path, "a compacted segment takes its place");
            replace(directory, base, until, disk)?;
            completed += 1;
        }
    }
    Ok(completed)
}

fn range(name: &str) -> Option<(Offset, Offset)> {
    let (base, until) = name.split_once('-')?;
    Some((Offset(base.parse().ok()?), Offset(until.parse().ok()?)))
}
