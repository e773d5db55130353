//! Memory maps of journal files.

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, MmapMut, MmapOptions};
use mqproof_core::history::JournalBytes;

/// Maps a part of a file for writing. The part must have been reserved on disk, or a full disk ends in SIGBUS.
#[expect(
    unsafe_code,
    reason = "a shared map of a file that only this process writes; nobody truncates it meanwhile"
)]
pub(super) fn map_writable(file: &File, offset: u64, length: usize) -> io::Result<MmapMut> {
    // SAFETY: the journal belongs to one process (its name carries role, number and incarnation and is created
    // exclusively), which truncates it only after it dropped the map. A dead process's journal is sealed by its parent.
    unsafe { MmapOptions::new().offset(offset).len(length).map_mut(file) }
}

/// A whole file, read-only. Its pages are the page cache's, not ours.
pub(super) struct ReadOnlyMap(Mmap);

impl ReadOnlyMap {
    #[expect(unsafe_code, reason = "a map of a journal whose writer has ended")]
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: journals are read after their writers ended; nothing truncates them any more.
        let map = unsafe { Mmap::map(file)? };
        // Only a hint: reading goes front to back, several times.
        let _ = map.advise(Advice::Sequential);
        Ok(Self(map))
    }
}

impl JournalBytes for ReadOnlyMap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}
